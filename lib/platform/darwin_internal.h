/* What the macOS files share. */
#ifndef RUNBOOK_LIB_PLATFORM_DARWIN_INTERNAL_H
#define RUNBOOK_LIB_PLATFORM_DARWIN_INTERNAL_H

#include "internal.h"

int rb_darwin_listeners(struct rb_arena *arena, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count,
                        struct rb_error *err);
int rb_darwin_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err);
int rb_darwin_process_environ(struct rb_arena *arena, pid_t pid, const char *const **out, struct rb_error *err);
int rb_darwin_file_events(struct rb_file_events **out, struct rb_error *err);

/* All pids, ascending; free() the array. */
int rb_darwin_pids(pid_t **out, size_t *out_count, struct rb_error *err) RB_MUST_CHECK;
/* Joined command line of a process, or NULL. */
const char *rb_darwin_command(struct rb_arena *arena, pid_t pid);

#endif
