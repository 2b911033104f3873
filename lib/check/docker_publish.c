/* From a published port to its container. The list is enough: unlike inspect it has the ports of all containers in one answer. */
#include "runbook/check/docker_publish.h"

#include <string.h>

#include "runbook/check/listener.h"

bool rb_docker_answers_to(const struct rb_docker_container *container, const char *name)
{
    size_t project_len = strlen(container->project);
    if (strcmp(container->name, name) == 0 || (container->service[0] && strcmp(container->service, name) == 0))
        return true;
    return project_len > 0 && strncmp(name, container->project, project_len) == 0 && name[project_len] == '/' &&
           strcmp(name + project_len + 1, container->service) == 0;
}

/* {"IP": "0.0.0.0", "PublicPort": 3000, "Type": "tcp"}; without IP it is every address. */
static bool publishes(const json_t *item, int64_t wanted, const char *host)
{
    const json_t *ports = json_object_get(item, "Ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        const char *address = json_string_value(json_object_get(port, "IP")), *type = json_string_value(json_object_get(port, "Type"));
        if (json_integer_value(json_object_get(port, "PublicPort")) == wanted && type && strcmp(type, "tcp") == 0 &&
            rb_listener_reaches(address && *address ? address : "::", host))
            return true;
    }
    return false;
}

void rb_docker_find_publisher(const json_t *list, int64_t port, const char *host, const char *name, struct rb_arena *arena,
                              struct rb_docker_publisher *out)
{
    struct rb_docker_container container;
    *out = (struct rb_docker_publisher){0};
    for (size_t i = 0; i < json_array_size(list) && i < RB_DOCKER_MAX_CONTAINERS && !out->found; i++) {
        const json_t *item = json_array_get(list, i);
        if (!rb_docker_listed(item, arena, &container))
            continue;
        if (name && rb_docker_answers_to(&container, name)) {
            out->named = container;
            out->name_known = true;
        }
        /* What is paused keeps its ports: connections are taken, and never answered. */
        bool there = container.state == RB_DOCKER_STATE_RUNNING || container.state == RB_DOCKER_STATE_PAUSED;
        out->found = there && publishes(item, port, host);
        if (out->found)
            out->container = container;
    }
}
