/* The HTTP server: libmicrohttpd on its own thread, listeners of our own, the order of defence of SPEC 9 before anything else.
 *
 * It touches only the newest snapshot (swapped under a mutex) and the command queue. Bodies are rendered at the first request per (snapshot, format, encoding, language) on the HTTP thread and freed with
 * the snapshot. Whole-request deadline (10 s), header and body limits, total connection limit (default 512; sheds the oldest incomplete ones), kernel backlog 4,096. */
#ifndef RUNBOOKD_SERVER_H
#define RUNBOOKD_SERVER_H

#include "command.h"
#include "runbook/render/render.h"

struct rb_server;
struct rb_server_options {
    struct rb_strings
        listen; /* "127.0.0.1:9112", "[::1]:9112", "unix:/path"; EADDRNOTAVAIL for ::1 is a warning, EADDRINUSE fatal and names the holder */
    struct rb_strings allowed_hosts; /* besides listen addresses and localhost */
    const char *control_socket;      /* path of control.sock in the state folder, or NULL */
    const char *token;               /* bearer token, or NULL */
    const struct rb_platform *platform;
    struct rb_command_queue *queue;
    size_t connections_max;      /* 0: 512 */
    int64_t request_deadline_ms; /* 0: 10,000; from the first byte's time to the complete request */
};

/* Binds every address and starts the thread. On RB_EBUSY the message says which process holds the port; no other port is tried. */
int rb_server_new(const struct rb_server_options *options, struct rb_server **out, struct rb_error *err) RB_MUST_CHECK;
/* Gives the server a new snapshot (takes its own reference). Loop thread; never waits for a request. */
void rb_server_publish(struct rb_server *server, struct rb_snapshot *snapshot);
/* Addresses as bound, for the start message. Borrowed. */
struct rb_strings rb_server_addresses(const struct rb_server *server);
struct rb_server_stats rb_server_stats(struct rb_server *server);
/* Stops accepting, resumes and answers what waits, closes within 2 s. */
void rb_server_free(struct rb_server *server);

#endif
