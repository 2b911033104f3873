/* Compose files: which services a project should have, and what can be compared with the containers that run.
 *
 * Compose specification, 2024 (compose-spec.io). Read without the compose program: names, images, profiles, who runs only once. Values with variables are not
 * compared, because what they stood for when the containers were made is unknown. */
#ifndef RUNBOOK_SOURCE_COMPOSE_H
#define RUNBOOK_SOURCE_COMPOSE_H

#include "runbook/base/strings.h"
#include "runbook/source/document.h"

enum { RB_COMPOSE_MAX_SERVICES = 256, RB_COMPOSE_MAX_NEEDS = 64, RB_COMPOSE_MAX_BYTES = 1 << 20 };

struct rb_compose_service {
    const char *name;
    const char *image;  /* as written; NULL when it is built, or has variables */
    bool once;          /* others wait for its completion: it is meant to end */
    bool on_demand;     /* has profiles: not started by a plain `up` */
    const char **needs; /* services that it names in depends_on, links or network_mode; `need_count` of them, none twice */
    size_t need_count;
};
struct rb_compose {
    const char *project; /* the files' `name`, else the folder's, as compose normalises it; "" when nothing is left */
    struct rb_compose_service *services;
    size_t count;
    int64_t mtime_wall_ns; /* of the file changed last */
    const char *newest;    /* that file */
};

/* Reads the files in order, later ones complete earlier ones. Relative paths count from `root`. Workers only. RB_EPARSE names file, line and column. */
int rb_compose_read(const char *root, const struct rb_strings *files, struct rb_arena *arena, struct rb_compose *out,
                    struct rb_error *err) RB_MUST_CHECK;
const struct rb_compose_service *rb_compose_find(const struct rb_compose *compose, const char *service); /* or NULL */

#endif
