/* Asking a Docker engine from an exchange kind: GET requests as actions, answers as JSON, and everything that can go wrong as one fault with its reason.
 *
 * A kind with `socket:` calls rb_docker_client_find in its worker part, then rb_docker_ask_version, and from then on rb_docker_get. All of it keeps no state but the
 * client, which has no pointers and may live in the kind's memory. */
#ifndef RUNBOOK_CHECK_DOCKER_H
#define RUNBOOK_CHECK_DOCKER_H

#include "runbook/check/kind.h"
#include "runbook/source/docker.h"

struct rb_docker_client {
    struct rb_docker_endpoint endpoint;
    unsigned api_minor; /* 0: not known yet */
    bool asked_ping;
};

/* Why the engine could not be asked, as a check of the engine itself says it. */
struct rb_docker_fault {
    const char *reason; /* one of RB_DOCKER_REASONS, "timeout" or "unsupported" */
    enum rb_result result;
    enum rb_sighting sighting; /* of the engine */
    const char *text;          /* for people, names the socket; in the arena, redacted */
};

/* Rows for a kind's reason table. */
#define RB_DOCKER_REASONS                                                                                                       \
    {"no_socket", "There is no Docker socket: the engine is not installed, or its socket is at an unusual place (`socket:`)."}, \
        {"not_running", "The socket is there but nothing accepts on it: the engine is stopped or crashed."},                    \
        {"no_permission",                                                                                                       \
         "The user that runbookd runs as may not use the socket; the engine itself may be well. Add it to the group docker."},  \
        {"protocol", "Something answers on the socket, but not as a Docker engine does."},                                      \
        {"api_error", "The engine refuses the question; the message has its own words."},                                       \
    {                                                                                                                           \
        "bad_context", "The Docker context that is in use cannot be read; look at `docker context ls`."                         \
    }

/* Workers only (rb_docker_find). False with the fault when there is nothing to connect to. */
bool rb_docker_client_find(struct rb_docker_client *client, const char *socket, struct rb_arena *arena, struct rb_docker_fault *out);

/* GET /version, and GET /_ping for those that do not know it. */
void rb_docker_ask_version(const struct rb_check_ctx *ctx, struct rb_docker_client *client, struct rb_action *next);
/* Takes the answer. 1: the version is known and *out_document (may be NULL when asked by ping; json_decref it) is /version's; 0: `next` asks once more; negative: the
 * fault. */
int rb_docker_take_version(const struct rb_check_ctx *ctx, struct rb_docker_client *client, const struct rb_event *event,
                           struct rb_action *next, json_t **out_document, struct rb_docker_fault *out);

/* GET of a path below /v1.N, for example "/containers/%s/json"; what enters the path must be safe in a URL (rb_docker_is_id, rb_docker_url_escape). */
void rb_docker_get(const struct rb_check_ctx *ctx, const struct rb_docker_client *client, struct rb_action *next, const char *fmt, ...)
    RB_PRINTF(4, 5);
/* The answer's document (json_decref it), or NULL with the fault: the network failed, the status is not 200, or it is no JSON. */
json_t *rb_docker_json(const struct rb_docker_client *client, const struct rb_event *event, struct rb_arena *arena,
                       struct rb_docker_fault *out);

/* True for 12 to 64 hex digits: an id that may enter a path. */
bool rb_docker_is_id(const char *text);
/* Percent-encodes everything but unreserved characters (RFC 3986, 2.3). NULL when memory is out. */
const char *rb_docker_url_escape(const char *text, struct rb_arena *arena);
/* A redacted, clipped copy for messages; never NULL. */
const char *rb_docker_clean(const char *text, struct rb_arena *arena);

#endif
