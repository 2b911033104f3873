/* What a child finds around it: its environment, and which file its argv[0] is. */
#ifndef RUNBOOKD_ENGINE_ENVIRONMENT_H
#define RUNBOOKD_ENGINE_ENVIRONMENT_H

#include "runbook/base/arena.h"
#include "runbook/platform/platform.h"

/* A complete environment: PATH (absolute folders of the daemon's, then the usual ones), HOME, USER and LOGNAME from the password database,
 * TMPDIR and TZ as the
 * daemon has them, a UTF-8 C locale, and what keeps programs quiet and read-only (SPEC 5). Then `extra` ("K=V", NULL-terminated, may be
 * NULL), which wins. Nothing else
 * of the daemon's environment is passed on: it may hold secrets. NULL when the arena is exhausted. */
const char *const *environment_build(struct rb_arena *arena, const char *const *extra);

/* The path to execute for `name`: absolute as it is, with '/' below `root`, else searched in the PATH of `envp`. RB_ENOTFOUND; RB_EPERM
 * when a file of that name is
 * there but not executable; RB_EUNSUPPORTED for a program that would open a dialog instead of running; RB_ENOMEM. */
int environment_resolve(struct rb_arena *arena, const struct rb_platform *platform, const char *root, const char *name,
                        const char *const *envp, const char **out_path, struct rb_error *err) RB_MUST_CHECK;

#endif
