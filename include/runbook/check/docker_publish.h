/* Which container publishes a port of this machine, from the engine's list of containers. Pure; any thread. */
#ifndef RUNBOOK_CHECK_DOCKER_PUBLISH_H
#define RUNBOOK_CHECK_DOCKER_PUBLISH_H

#include "runbook/source/docker.h"

struct rb_docker_publisher {
    bool found; /* `container` runs and publishes the port */
    struct rb_docker_container container;
    bool name_known; /* `named` is a container of the wanted name, whatever it does */
    struct rb_docker_container named;
};

/* Looks through GET /containers/json?all=1 for the publisher of TCP port `port` on `host` (an IP address; "" is any) and for the container called `name` (NULL:
 * nobody). Strings are in the arena. */
void rb_docker_find_publisher(const json_t *list, int64_t port, const char *host, const char *name, struct rb_arena *arena,
                              struct rb_docker_publisher *out);
/* Whether `name` means this container: its name, its compose service, or "project/service". */
bool rb_docker_answers_to(const struct rb_docker_container *container, const char *name);

#endif
