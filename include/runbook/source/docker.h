/* The Docker engine, without its connection: where its socket is, which API version to speak, and what its answers mean. Only GET is ever asked.
 *
 * Docker Engine API 1.41 to 1.52 (docs.docker.com/reference/api/engine). Everything here is pure but rb_docker_find, which looks at the file system.
 * check/docker.h asks the questions as steps of an exchange. What the engine and its containers say is hostile text. */
#ifndef RUNBOOK_SOURCE_DOCKER_H
#define RUNBOOK_SOURCE_DOCKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/buf.h"

/* ---- where it is ---- */

#define RB_DOCKER_SOCKET_MAX 108 /* sun_path of Linux; macOS has 104: a longer one is refused when it is connected */

enum rb_docker_found {
    RB_DOCKER_FOUND,
    RB_DOCKER_NO_SOCKET,   /* nobody names one and none of the usual paths exists; the endpoint is the first usual path */
    RB_DOCKER_UNSUPPORTED, /* named, but ssh, TLS, another host, a named pipe: `problem` says what to do */
    RB_DOCKER_BAD_CONTEXT  /* the Docker context that is in use cannot be read */
};

/* Fixed size and without pointers, so that a kind can keep it in its memory. */
struct rb_docker_endpoint {
    enum rb_docker_found found;
    bool host_paths_are_ours;               /* this machine has a /host_mnt of its own: rb_docker_host_path leaves it alone */
    char unix_socket[RB_DOCKER_SOCKET_MAX]; /* "" for TCP */
    char url[96];                           /* "http://docker" or "http://127.0.0.1:2375"; paths are appended */
    char origin[96];                        /* who named it: "option socket", "DOCKER_HOST", "context colima", "default" */
    char problem[256];                      /* when not FOUND */
};

struct rb_docker_search {
    const char *socket;                                 /* the check's option: a path or unix:///path; NULL: search */
    const char *home;                                   /* NULL: from the password database */
    const char *(*getenv)(void *ctx, const char *name); /* NULL: the process's environment */
    void *ctx;
    const char *system_prefix; /* put before absolute usual paths; NULL but in tests */
};

/* The option, DOCKER_HOST, the context of DOCKER_CONTEXT or ~/.docker/config.json, then the usual paths of Linux and macOS: the first that this user may
 * write to, else the first that exists. Connects to nothing. May block on a dead file system: workers only. */
void rb_docker_find(const struct rb_docker_search *search, struct rb_docker_endpoint *out);

/* ---- API version ---- */

enum { RB_DOCKER_API_OLDEST = 24, RB_DOCKER_API_FALLBACK = 41, RB_DOCKER_API_NEWEST = 52 };
/* The minor version to speak with an engine that says `text` ("1.41"): the smaller of both sides' newest. 0 when it is no version or too old. */
unsigned rb_docker_api_minor(const char *text);

/* ---- answers ---- */

/* A time of the engine, RFC 3339, as wall time. What is before 2001 ("0001-01-01T00:00:00Z" is Go's "never") or no time is 0. */
int64_t rb_docker_time(const char *text);

#define RB_DOCKER_LABEL_PROJECT "com.docker.compose.project"
#define RB_DOCKER_LABEL_SERVICE "com.docker.compose.service"
#define RB_DOCKER_LABEL_NUMBER  "com.docker.compose.container-number"
#define RB_DOCKER_LABEL_HASH    "com.docker.compose.config-hash"
#define RB_DOCKER_LABEL_ONEOFF  "com.docker.compose.oneoff"
#define RB_DOCKER_LABEL_FILES   "com.docker.compose.project.config_files"
#define RB_DOCKER_LABEL_NEEDS   "com.docker.compose.depends_on" /* "db:service_started:false,…", compose 2 */

enum rb_docker_state {
    RB_DOCKER_STATE_CREATED,
    RB_DOCKER_STATE_RUNNING,
    RB_DOCKER_STATE_PAUSED,
    RB_DOCKER_STATE_RESTARTING,
    RB_DOCKER_STATE_REMOVING,
    RB_DOCKER_STATE_EXITED,
    RB_DOCKER_STATE_DEAD,
    RB_DOCKER_STATE_OTHER,
    RB_DOCKER_STATE_COUNT
};
const char *rb_docker_state_name(enum rb_docker_state state); /* "created" … "other" */
enum rb_docker_health { RB_DOCKER_HEALTH_NONE, RB_DOCKER_HEALTH_STARTING, RB_DOCKER_HEALTH_HEALTHY, RB_DOCKER_HEALTH_UNHEALTHY };

/* One container. Strings are in the arena and never NULL. The part below the line needs inspect. */
struct rb_docker_container {
    const char *id, *name, *image;               /* name without '/'; image as the container was created with */
    const char *image_id;                        /* "sha256:…" */
    const char *project, *service, *config_hash; /* labels of compose; "" without */
    const char *needs;                           /* RB_DOCKER_LABEL_NEEDS; "" without */
    unsigned number;                             /* of the service's containers; 0 unknown */
    bool oneoff;                                 /* of `compose run` */
    enum rb_docker_state state;
    enum rb_docker_health health;
    int exit_code; /* of the last end; meaningful when exited, dead or restarting */
    /* ---- */
    bool inspected;
    bool oom_killed, tty;
    const char *error;          /* why the engine could not start it */
    const char *restart_policy; /* "", "no", "always", "unless-stopped", "on-failure" */
    const char *stop_signal;    /* "" is SIGTERM */
    const char *network_mode;   /* "bridge", "container:ID", …; "" unknown */
    int64_t restart_count;
    int64_t memory_limit_bytes;                  /* 0: none */
    int64_t created_ns, started_ns, finished_ns; /* wall; 0 never */
    const char *health_output;                   /* of the last probe */
    int64_t health_exit_code, health_streak;
    struct rb_docker_publish {
        const char *address;
        uint16_t host_port, container_port;
    } * publish;
    size_t publish_count;
    struct rb_docker_mount {
        const char *source, *target;
    } * mounts; /* bind mounts; source as the engine sees it */
    size_t mount_count;
    const char *const *env; /* "K=V", `env_count` of them: may hold secrets */
    size_t env_count;
};

enum { RB_DOCKER_MAX_CONTAINERS = 2000, RB_DOCKER_MAX_PUBLISH = 64, RB_DOCKER_MAX_MOUNTS = 64, RB_DOCKER_MAX_ENV = 4096 };

/* From one item of GET /containers/json?all=1 (any version; Health from 1.52 on, before that by Status' words). False when it is no container. */
bool rb_docker_listed(const json_t *item, struct rb_arena *arena, struct rb_docker_container *out);
/* From GET /containers/ID/json. False when it is no container. */
bool rb_docker_inspected(const json_t *document, struct rb_arena *arena, struct rb_docker_container *out);

/* One line of GET /events. Strings as in the document, never NULL; borrowed from it. */
struct rb_docker_event {
    int64_t wall_ns;
    const char *type, *action, *id, *name, *project, *service, *image, *exit_code, *signal;
};
bool rb_docker_event_of(const json_t *document, struct rb_docker_event *out);
/* True for what belongs into a timeline: lives and deaths, not exec_*, attach, top … */
bool rb_docker_event_tells(const struct rb_docker_event *event);

/* The bytes of GET /containers/ID/logs: frames of 8 bytes header and payload are joined (a torn last frame keeps what it has); a TTY's are raw. Stops at the
 * buffer's maximum. */
void rb_docker_log_text(const char *bytes, size_t len, bool tty, struct rb_buf *out);

/* A path of the engine's machine as one of this: Docker Desktop's "/host_mnt/Users/x" is "/Users/x", "/private/tmp" is "/tmp"; relative to `root` when it
 * lies below it. In the arena; NULL when memory is out. */
const char *rb_docker_host_path(const struct rb_docker_endpoint *endpoint, const char *source, const char *root, struct rb_arena *arena);

#endif
