/* What the readers of packages share. Private to lib/source. */
#ifndef RUNBOOK_SOURCE_PACKAGES_INTERNAL_H
#define RUNBOOK_SOURCE_PACKAGES_INTERNAL_H

#include "runbook/base/buf.h"
#include "runbook/source/files.h"
#include "runbook/source/packages.h"

struct packages_reader {
    const struct rb_packages_request *request;
    struct rb_arena *arena;
    struct rb_packages *out;
};

/* Texts that are not NUL-terminated; over-long ones are cut. RB_ELIMIT, RB_ENOMEM. */
struct packages_text {
    const char *text;
    size_t len;
};
int packages_add(struct packages_reader *reader, const char *origin, struct packages_text name, struct packages_text version,
                 int64_t changed_wall_ns, struct rb_error *err) RB_MUST_CHECK;
/* PEP 503: lower case, runs of '-', '_', '.' as one '-'. In the arena; NULL without memory. */
const char *packages_python_name(struct rb_arena *arena, const char *name, size_t len);
/* What `folder`/`pattern` names; the folder is taken literally. */
int packages_list(struct packages_reader *reader, const char *folder, const char *pattern, struct rb_found_list *out,
                  struct rb_error *err) RB_MUST_CHECK;
/* A file of a place, relative to the root (never out of it) or absolute. */
int packages_file(struct packages_reader *reader, const char *path, size_t max, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* One *.dist-info or *.egg-info, a folder or a file. */
int packages_python_installed(struct packages_reader *reader, const char *origin, const struct rb_found *found,
                              struct rb_error *err) RB_MUST_CHECK;
int packages_requirements(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err) RB_MUST_CHECK;
int packages_toml_lock(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err) RB_MUST_CHECK;
int packages_npm_lock(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err) RB_MUST_CHECK;
int packages_dpkg(struct packages_reader *reader, const char *origin, const struct rb_found *found, struct rb_error *err) RB_MUST_CHECK;
int packages_cellar(struct packages_reader *reader, const char *origin, const char *cellar, struct rb_error *err) RB_MUST_CHECK;

#endif
