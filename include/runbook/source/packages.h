/* Installed and locked packages, read from the files that package managers leave behind: no program is started, not even Python.
 *
 * A place is a word (`dpkg`, `brew`) or a path or glob: a virtual environment, a site-packages folder, *.dist-info, a Cellar, a file (package-lock.json, uv.lock,
 * poetry.lock or any lock file in TOML with [[package]], requirements*.txt, a dpkg status file). */
#ifndef RUNBOOK_SOURCE_PACKAGES_H
#define RUNBOOK_SOURCE_PACKAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"

enum { RB_PACKAGES_MAX = 100000, RB_PACKAGES_MAX_TEXT = 512 };

struct rb_package {
    const char *origin;      /* where it is told: ".venv", "uv.lock", "dpkg"; never NULL */
    const char *name;        /* as its manager compares names (Python: PEP 503) */
    const char *version;     /* hostile text; "" when none is told */
    int64_t changed_wall_ns; /* when what tells it was written; 0 unknown */
};
struct rb_packages {
    struct rb_package *items; /* in no order; the same name may come several times, with several versions */
    size_t count, cap;
    size_t unreadable; /* packages whose own description cannot be read: left out */
};
struct rb_packages_request {
    const char *root;
    const char *place;
    const char *system_prefix;    /* put before the usual places of dpkg and brew; NULL but in tests */
    const atomic_bool *cancelled; /* may be NULL */
};

/* Appends the packages of one place; `out` is zeroed before the first. RB_ENOTFOUND: nothing is there; RB_EPARSE: not of the form that its name says; RB_EUNSUPPORTED: no known
 * form; RB_ELIMIT, RB_ENOMEM, RB_ETIMEOUT. Workers only. */
int rb_packages_read(const struct rb_packages_request *request, struct rb_arena *arena, struct rb_packages *out,
                     struct rb_error *err) RB_MUST_CHECK;

#endif
