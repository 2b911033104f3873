/* The parts of the compose kind: compose.c asks the engine, judge.c judges one container, needs.c knows who needs whom, report.c makes the outcome of all. */
#ifndef RB_KINDS_COMPOSE_H
#define RB_KINDS_COMPOSE_H

#include "runbook/base/units.h"
#include "runbook/check/docker.h"
#include "runbook/check/docker_events.h"
#include "runbook/source/compose.h"

enum { MAX_INSPECT = 38, MAX_IMAGES = 6, MAX_ENDED = 8, MAX_LOGS = 4, MAX_KNOWN = 64, LOG_LINES = 20 };
#define LOG_BYTES (256u << 10)

struct compose_options {
    const char *socket, *project;
    struct rb_strings services, once, files;
    int unexpected;
    int64_t window_ms;
};

enum { UNEXPECTED_OK, UNEXPECTED_WARN };

/* ---- what is remembered between runs ---- */

struct compose_known {
    char service[64];
    char id[16], image_id[24];
    unsigned number;
    int64_t restarts, window_restarts; /* counters as last seen, and when the window began */
    int64_t window_ns, image_ns;       /* elapsed clock; 0: no */
    int64_t ended_ns;                  /* wall: the end that `by_request` is about */
    int64_t oom_ns;                    /* elapsed clock: since when the engine tells of an out of memory; 0: it does not */
    bool by_request, alone, oom;
};

struct compose_memory {
    struct rb_docker_events events; /* first: see docker_events.h */
    size_t count;
    struct compose_known items[MAX_KNOWN];
};

/* ---- one run ---- */

enum stage { STAGE_VERSION, STAGE_LIST, STAGE_INSPECT, STAGE_IMAGES, STAGE_ENDED, STAGE_LOGS, STAGE_DONE };

struct compose_finding {
    enum rb_result result;
    const char *reason, *text;
    bool ended;      /* not there, and that is in order */
    bool down;       /* not there, and that is not in order */
    bool by_request; /* somebody asked the engine to end it */
    bool alone;      /* nobody did: the event log has its end without that */
    bool changed_image;
    bool old_oom; /* told of for longer than the window: the engine forgets it only with the container */
};

struct compose_unit {
    struct rb_docker_container container;
    struct compose_finding finding;
    struct compose_known *known;
    const char *tag_image; /* id of what the container's tag names now; NULL unknown */
    const char *log;       /* its last lines; NULL not asked */
};

/* Services by name; matrix[a * count + b]: a cannot do without b, directly or through others. */
struct compose_needs {
    const char **names;
    bool *down;
    size_t count;
    bool *matrix;
};

struct compose_state {
    struct rb_docker_client client;
    struct rb_compose file;
    bool has_file;
    const char *project;
    enum stage stage;
    size_t at, asked;
    struct compose_unit *units; /* what does not run first */
    size_t count;
    struct compose_needs needs;
    int64_t now_ns;
};

/* ---- expectations ---- */

/* The i-th expected service, or NULL behind the last. */
const char *rb_compose_expected(const struct compose_options *o, const struct compose_state *state, size_t i);
/* True also for every service when nothing is expected by name. */
bool rb_compose_is_expected(const struct compose_options *o, const struct compose_state *state, const char *service);
bool rb_compose_runs_once(const struct compose_options *o, const struct compose_state *state, const char *service);

/* ---- one container ---- */

/* The place where a container's service is remembered; NULL when there are too many. */
struct compose_known *rb_compose_known(struct compose_memory *memory, const struct rb_docker_container *container);
/* Forgets services that are gone, so that their places are free. */
void rb_compose_forget_gone(struct compose_memory *memory, const struct compose_state *state);
/* Looks what changed since the last run, and remembers how it is now. */
void rb_compose_compare(const struct rb_check_ctx *ctx, struct compose_unit *unit);
/* What is said when the engine's event log tells nothing of an end. */
bool rb_compose_probably_by_request(const struct rb_docker_container *container);
/* Fills unit->finding; `by_request` is set before. */
void rb_compose_judge(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit);

/* ---- who needs whom ---- */

/* Fills state->needs; when the containers are judged and their last lines known. */
void rb_compose_find_needs(const struct rb_check_ctx *ctx, struct compose_state *state);
bool rb_compose_needs(const struct compose_state *state, const char *service, const char *other);
/* A service that is down and that this one needs, but not the other way round; NULL: it failed for reasons of its own. */
const char *rb_compose_blames(const struct compose_state *state, const char *service);

/* ---- all of them ---- */

bool rb_compose_is_up(const struct compose_unit *unit);
/* Puts the containers in the order in which they are told. */
void rb_compose_report(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_outcome *out);

#endif
