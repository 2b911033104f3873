/* Asking the daemon of this tree: over its control socket in the state folder, else over the addresses of the configuration. */
#ifndef RUNBOOKD_CLI_CLIENT_H
#define RUNBOOKD_CLI_CLIENT_H

#include "cli.h"

struct rb_client {
    char socket[1024];  /* path of control.sock, or "" */
    char url[256];      /* "http://127.0.0.1:9112" */
    char root[4096];    /* the tree that is meant, or "" when the configuration could not be loaded */
    bool explicit_root; /* it was named by --root or --config: another tree's daemon is no answer */
};

/* Where the daemon would be. Never fails: a broken configuration must not hide a running daemon. Prints nothing. */
void rb_client_find(const struct rb_cli *cli, struct rb_client *out);
/* GET over the socket, else over TCP. 0 with the body and its status; RB_ENOTFOUND when nobody listens; else a negative code. */
int rb_client_get(const struct rb_client *client, const char *path, const char *accept, struct rb_buf *out_body, long *out_status,
                  struct rb_error *err) RB_MUST_CHECK;
/* As above, 200 and JSON or an error. The caller drops the reference. */
int rb_client_get_json(const struct rb_client *client, const char *path, json_t **out, struct rb_error *err) RB_MUST_CHECK;
/* POST of a JSON text over the control socket alone, where no token is needed. 0 with body and status; RB_ENOTFOUND when no daemon is there. */
int rb_client_post(const struct rb_client *client, const char *path, const char *json, struct rb_buf *out_body, long *out_status,
                   struct rb_error *err) RB_MUST_CHECK;
/* "no daemon answers on …" for people. */
void rb_client_nobody(const struct rb_client *client, struct rb_buf *out);
/* True when the daemon that sent this /status serves the tree that is meant, or it does not matter. Else a note (or, with an explicit root, the refusal) is on stderr. */
bool rb_client_check_root(const struct rb_client *client, const json_t *status);

#endif
