/* What the files of lib/platform share. Nobody else includes this (its unit test excepted). */
#ifndef RUNBOOK_LIB_PLATFORM_INTERNAL_H
#define RUNBOOK_LIB_PLATFORM_INTERNAL_H

#include "runbook/base/buf.h"
#include "runbook/platform/platform.h"

/* As rb_error_sys, but with the code that fits: RB_ENOTFOUND, RB_EPERM, RB_ENOMEM or RB_ESYS. */
int rb_platform_fail(struct rb_error *err, int saved_errno, const char *fmt, ...) RB_PRINTF(3, 4);
/* RB_ENOMEM or RB_ELIMIT for an arena that failed. */
int rb_platform_arena_fail(struct rb_error *err, const char *what);

/* Reads all of an open descriptor, at most `max` bytes, whatever its stated size is (files of /proc say 0). */
int rb_platform_read_fd(int fd, const char *name, size_t max, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* Opens `relative` below a folder for reading without ever leaving it; a descriptor, or a negative RB_E* code. The first is the system's best
 * way (openat2 on Linux), the second walks component by component and works everywhere. */
int rb_platform_open_below(int root_fd, const char *relative, struct rb_error *err) RB_MUST_CHECK;
int rb_posix_open_below(int root_fd, const char *relative, struct rb_error *err) RB_MUST_CHECK;

/* Splits a block of NUL-terminated strings ("a\0b\0") into an array with NULL at its end, at most `max_count` strings; copies into the arena. */
const char *const *rb_platform_split(struct rb_arena *arena, const char *block, size_t len, size_t max_count);
/* The same strings joined by blanks. */
const char *rb_platform_join(struct rb_arena *arena, const char *block, size_t len);

/* True for file systems whose answers come over a network. */
bool rb_platform_fs_is_remote(const char *fs_type);

/* Limits that platform.h promises. */
#define RB_MAX_LISTENERS     4096
#define RB_MAX_PROCESSES     65536
#define RB_MAX_ARGS          256
#define RB_MAX_ARGS_BYTES    (32 * 1024)
#define RB_MAX_ENVIRON       4096
#define RB_MAX_ENVIRON_BYTES (2 * 1024 * 1024)

#endif
