/* The state folder: the only place that runbookd writes. Atomic replacement, a lock, private modes. */
#ifndef RUNBOOK_STATE_FILES_H
#define RUNBOOK_STATE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runbook/base/buf.h"

/* <base>/<name of root>-<12 hex of the digest of root's path>, made with mode 0700 (parents too); VERSION file inside checked: a newer version is refused. `create` false: RB_ENOTFOUND when absent. */
int rb_state_dir_open(const char *base, const char *root, bool create, char *out, size_t out_size, struct rb_error *err) RB_MUST_CHECK;
/* Exclusive advisory lock on <dir>/lock, held until the descriptor is closed; RB_EBUSY names the pid that holds it. */
int rb_state_lock(const char *dir, int *out_fd, struct rb_error *err) RB_MUST_CHECK;
/* Write to a temporary file in the same folder, fsync, rename, fsync the folder (POSIX rename is atomic). Mode 0600 unless given. Blocks: not on the loop. */
int rb_file_replace(const char *dir, const char *name, const void *bytes, size_t len, mode_t mode, struct rb_error *err) RB_MUST_CHECK;
/* Renames a damaged file to <name>.damaged-<UTC stamp> and keeps it; `out_name` gets the new name. */
int rb_file_set_aside(const char *dir, const char *name, int64_t wall_ns, char *out_name, size_t out_size,
                      struct rb_error *err) RB_MUST_CHECK;
/* The bearer token: 32 random bytes as hex in <dir>/token, mode 0600; made when absent; a file with other modes or owner is refused. */
int rb_token_load(const char *dir, bool create, char *out, size_t out_size, struct rb_error *err) RB_MUST_CHECK;

#endif
