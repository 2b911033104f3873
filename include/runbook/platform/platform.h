/* What the operating system knows, behind one table of functions. Filled by linux.c, darwin.c or null.c (tests).
 *
 * Invariants: no OS macro outside lib/platform. A function returns RB_EUNSUPPORTED where the system cannot answer and RB_EPERM where
 * this user may not see it; callers turn both into `unknown` with that reason, never into a guess. All functions are thread-safe and read-only.
 * Lists are allocated in the caller's arena and bounded as stated. */
#ifndef RUNBOOK_PLATFORM_PLATFORM_H
#define RUNBOOK_PLATFORM_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runbook/base/arena.h"
#include "runbook/base/clock.h"
#include "runbook/base/error.h"

struct rb_os_info {
    const char *os;       /* "linux", "darwin" */
    const char *name;     /* "Debian GNU/Linux 12 (bookworm)" or "macOS 14.5" */
    const char *kernel;   /* release */
    const char *arch;     /* "x86_64", "arm64" */
    const char *hostname; /* without domain */
};

struct rb_disk_info {
    const char *mount_point;
    const char *fs_type;
    int64_t total_bytes, free_bytes;   /* free: for this user */
    int64_t total_inodes, free_inodes; /* 0 total: the file system has no fixed number */
    bool read_only;
    bool remote; /* network file system: a caller may refuse to touch it on the loop */
};

struct rb_memory_info {
    int64_t total_bytes, available_bytes, swap_total_bytes, swap_free_bytes;
};

struct rb_load_info {
    double load1, load5, load15;
    int cpus;
    int64_t uptime_s;
    int64_t open_files, max_open_files; /* system-wide; -1 unknown */
};

struct rb_self_info { /* this process, for process_* metrics and the memory bench */
    int64_t resident_bytes, private_bytes, virtual_bytes;
    double cpu_s;
    int64_t open_fds, max_fds;
    int64_t start_wall_ns;
    int64_t threads;
};

enum rb_owner_state { RB_OWNER_KNOWN, RB_OWNER_UNREADABLE, RB_OWNER_NONE }; /* NONE: the kernel holds it for no process */

struct rb_listener {
    char address[64]; /* "127.0.0.1", "::", "*" never: wildcard is "0.0.0.0" or "::" */
    uint16_t port;
    uid_t uid;
    enum rb_owner_state owner;
    pid_t pid;           /* when KNOWN; the lowest pid that holds the socket */
    const char *name;    /* process name */
    const char *command; /* joined command line, redacted by the caller before it is shown */
};

struct rb_process {
    pid_t pid, ppid;
    uid_t uid;
    const char *name;
    const char *const *argv; /* NULL-terminated; at most 256 arguments, 32 KiB */
    const char *cwd;         /* NULL when unreadable */
    int64_t start_wall_ns;
};

struct rb_file_events; /* platform/file_events.h */

struct rb_platform {
    const char *name;
    const struct rb_clock *clock;
    int (*os_info)(struct rb_arena *arena, struct rb_os_info *out, struct rb_error *err);
    int (*disk_info)(struct rb_arena *arena, const char *path, struct rb_disk_info *out,
                     struct rb_error *err); /* may block: workers only */
    /* Mount points of file systems whose server may not answer (network, automounter, FUSE), NULL-terminated; touches none of them. */
    int (*remote_mounts)(struct rb_arena *arena, const char *const **out, struct rb_error *err);
    int (*memory_info)(struct rb_memory_info *out, struct rb_error *err);
    int (*load_info)(struct rb_load_info *out, struct rb_error *err);
    int (*self_info)(struct rb_self_info *out, struct rb_error *err);
    /* TCP listeners, v4 and v6. `port` 0: all, at most 4,096. One netlink sock_diag dump on Linux, libproc on macOS. `with_owner` costs a walk
     * of /proc (Linux). */
    int (*listeners)(struct rb_arena *arena, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count,
                     struct rb_error *err);
    /* Every process, at most 65,536; argv and cwd where readable. */
    int (*processes)(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err);
    /* Environment of a process as of its start: NULL-terminated "K=V", at most 4,096 entries, 2 MiB. RB_EPERM when not ours to read. */
    int (*process_environ)(struct rb_arena *arena, pid_t pid, const char *const **out, struct rb_error *err);
    /* Credentials of the peer of a connected unix socket. */
    int (*peer_uid)(int fd, uid_t *out_uid, struct rb_error *err);
    /* Marks every descriptor from `lowest` up close-on-exec; async-signal-safe: runs between fork and exec. */
    void (*cloexec_from)(int lowest);
    /* Asks the kernel to end this process when its parent dies, where that exists. Async-signal-safe. */
    void (*die_with_parent)(void);
    /* Makes this process the parent of its descendants' orphans, where the system can, so that none of them stays a zombie under an init that does not reap. */
    void (*adopt_orphans)(void);
    /* Asks the C library to give freed memory back instead of keeping it for later, where it can be asked. Once, before any thread. */
    void (*return_memory)(void);
    /* How many bytes of a block of malloc may be written. */
    size_t (*block_bytes)(void *block);
    /* Gives back heap that is free but lies between what is in use. Up to a millisecond; any thread. */
    void (*trim_heap)(void);
    /* Gives back pages of programs and libraries that nobody changed, most of which only the start needed; what is used again is read again. Any thread. */
    void (*forget_start)(void);
    /* True for a program that would open a dialog or an installer instead of running (Apple's /usr/bin shims without developer tools). */
    bool (*is_dialog_shim)(const char *path);
    /* Absolute path of the running binary. */
    int (*self_path)(char *out, size_t out_size, struct rb_error *err);
    /* Hints that files changed (file_events.h); an empty object to add watches to. RB_EUNSUPPORTED where there are none, RB_ESYS when there is no room for it. */
    int (*file_events)(struct rb_file_events **out, struct rb_error *err);
};

/* The platform that this build runs on. Immutable, static. */
const struct rb_platform *rb_platform_host(void);

/* The null platform: a fixed machine for tests, driven by the given clock (borrowed). Every field of `*out` is set; tests overwrite what they vary. */
void rb_platform_null(struct rb_platform *out, const struct rb_clock *clock);

/* ---- portable helpers over POSIX, same on all platforms (posix.c) ---- */

/* Reads a whole regular file of at most `max` bytes into `out`, following no final symlink when `nofollow`. Refuses FIFOs, devices, sockets,
 * folders with RB_EINVAL and a file that is larger with RB_ELIMIT. Opens with O_NONBLOCK|O_CLOEXEC, so that nothing can hang it. */
struct rb_buf;
int rb_file_read(const char *path, size_t max, bool nofollow, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* As above relative to a folder descriptor, and never leaving it: no "..", no absolute path; a symlink on the way that leaves is refused. */
int rb_file_read_below(int root_fd, const char *relative, size_t max, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* free and realloc that overwrite what they give back: for libraries that hold answers of services (libcurl, jansson). */
void rb_free_wiped(void *block);
void *rb_realloc_wiped(void *block, size_t size);
/* The home folder of this user from the password database (not $HOME), in `out`. */
int rb_home_dir(char *out, size_t out_size, struct rb_error *err) RB_MUST_CHECK;
/* "~/x" → home + "/x"; anything else is copied. */
int rb_path_expand(const char *path, char *out, size_t out_size, struct rb_error *err) RB_MUST_CHECK;

#endif
