/* The engine's event stream, for kinds whose checks are about containers. */
#ifndef RUNBOOK_CHECK_DOCKER_EVENTS_H
#define RUNBOOK_CHECK_DOCKER_EVENTS_H

#include "runbook/check/docker.h"

/* The beginning of such a kind's memory. */
struct rb_docker_events {
    struct rb_docker_endpoint endpoint;
    char project[128]; /* only containers of this compose project; "": all */
    int64_t last_ns;   /* newest event that was seen, the engine's wall time */
    int64_t replay_ns; /* after a gap: what is not newer was told before it */
};

/* Where the stream is to be opened from now on. Worker part or loop. */
void rb_docker_events_point(struct rb_docker_events *events, const struct rb_docker_endpoint *endpoint, const char *project);

/* As a kind's companion stream. Each life or death becomes a note; with a project the check is brought forward too. */
extern const struct rb_stream_ops rb_docker_events_ops;

#endif
