/* What the Linux files share. */
#ifndef RUNBOOK_LIB_PLATFORM_LINUX_INTERNAL_H
#define RUNBOOK_LIB_PLATFORM_LINUX_INTERNAL_H

#include "internal.h"

/* Reads a file of /proc or /sys relative to `dir_fd` (AT_FDCWD for absolute paths), at most `max` bytes. */
int rb_linux_read_at(int dir_fd, const char *path, size_t max, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* Reads at most `max` bytes and leaves the rest; 0 or a negative code. */
int rb_linux_read_some_at(int dir_fd, const char *path, size_t max, struct rb_buf *out) RB_MUST_CHECK;

/* The number of nanoseconds between 1970 and the boot, by the clocks of now. */
int64_t rb_linux_boot_wall_ns(void);
/* Fields of /proc/PID/stat that we use. */
struct rb_linux_stat {
    char name[64];
    pid_t ppid;
    int64_t threads;
    int64_t start_ticks;
};
/* Parses the text of a stat file; false when it has another form. */
bool rb_linux_stat_parse(const char *text, struct rb_linux_stat *out);
/* When a process started, from its ticks since boot. */
int64_t rb_linux_start_wall_ns(int64_t start_ticks);

int rb_linux_listeners(struct rb_arena *arena, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count,
                       struct rb_error *err);
int rb_linux_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err);
int rb_linux_process_environ(struct rb_arena *arena, pid_t pid, const char *const **out, struct rb_error *err);
int rb_linux_remote_mounts(struct rb_arena *arena, const char *const **out, struct rb_error *err);
int rb_linux_disk_info(struct rb_arena *arena, const char *path, struct rb_disk_info *out, struct rb_error *err);
int rb_linux_self_info(struct rb_self_info *out, struct rb_error *err);
int rb_linux_file_events(struct rb_file_events **out, struct rb_error *err);

/* Calls `visit` for each process folder of /proc in ascending order of pid until it returns false. `proc_fd` is open on /proc. */
typedef bool (*rb_linux_visit)(void *ctx, int proc_fd, pid_t pid);
int rb_linux_each_process(rb_linux_visit visit, void *ctx, struct rb_error *err) RB_MUST_CHECK;

#endif
