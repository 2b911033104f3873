/* Linux: processes, from /proc.
 *
 * A process may end between any two reads: then it is left out, which is what would have happened a moment later anyway. What belongs to
 * somebody else (cwd, environ, fd) gives EACCES and is reported as such, never as empty. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux_internal.h"

#define STAT_MAX  4096
#define SMAPS_MAX 16384

/* ---- /proc/PID/stat ---- */

bool rb_linux_stat_parse(const char *text, struct rb_linux_stat *out)
{
    /* The name stands in parentheses and may hold any character, a ')' too: the last one counts. */
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open || close[1] != ' ')
        return false;
    size_t len = (size_t)(close - open - 1);
    if (len >= sizeof out->name)
        len = sizeof out->name - 1;
    *out = (struct rb_linux_stat){0};
    memcpy(out->name, open + 1, len);
    const char *p = close + 2; /* field 3, the state */
    for (int field = 3; field <= 22; field++) {
        char *end = NULL;
        long long value = field == 3 ? 0 : strtoll(p, &end, 10);
        if (field == 4)
            out->ppid = (pid_t)value;
        else if (field == 20)
            out->threads = value;
        else if (field == 22)
            out->start_ticks = value;
        p = strchr(p, ' ');
        if (!p)
            return field == 22;
        p++;
    }
    return true;
}

int64_t rb_linux_start_wall_ns(int64_t start_ticks)
{
    long per_second = sysconf(_SC_CLK_TCK);
    if (per_second <= 0)
        per_second = 100;
    return rb_linux_boot_wall_ns() + start_ticks / per_second * RB_NS_PER_S + start_ticks % per_second * (RB_NS_PER_S / per_second);
}

static bool read_stat(int pid_fd, struct rb_linux_stat *out)
{
    RB_BUF_AUTO text = {.max = STAT_MAX};
    return rb_linux_read_some_at(pid_fd, "stat", STAT_MAX, &text) == RB_OK && rb_linux_stat_parse(rb_buf_str(&text), out);
}

/* ---- walking /proc ---- */

static int compare_pids(const void *a, const void *b)
{
    pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;
    return (left > right) - (left < right);
}

/* The pids of /proc, unsorted; at most RB_MAX_PROCESSES. */
static size_t list_pids(DIR *proc, pid_t *out)
{
    size_t count = 0;
    const struct dirent *entry;
    while (count < RB_MAX_PROCESSES && (entry = readdir(proc)) != NULL) {
        char *end = NULL;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid > 0 && pid <= INT_MAX && *end == '\0')
            out[count++] = (pid_t)pid;
    }
    return count;
}

int rb_linux_each_process(rb_linux_visit visit, void *ctx, struct rb_error *err)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return rb_platform_fail(err, errno, "cannot list /proc");
    pid_t *pids = malloc(RB_MAX_PROCESSES * sizeof *pids);
    if (!pids) {
        (void)closedir(proc);
        return rb_error_set(err, RB_ENOMEM, "processes: out of memory");
    }
    size_t count = list_pids(proc, pids);
    qsort(pids, count, sizeof *pids, compare_pids);
    for (size_t i = 0; i < count; i++) {
        if (!visit(ctx, dirfd(proc), pids[i]))
            break;
    }
    free(pids);
    (void)closedir(proc);
    return RB_OK;
}

/* ---- the list ---- */

struct list {
    struct rb_arena *arena;
    struct rb_process *items;
    size_t count, cap;
};

static bool list_grow(struct list *list)
{
    if (list->count < list->cap)
        return true;
    size_t cap = list->cap ? list->cap * 2 : 128;
    struct rb_process *grown = realloc(list->items, cap * sizeof *grown);
    if (!grown)
        return false;
    list->items = grown;
    list->cap = cap;
    return true;
}

static void read_argv(struct rb_arena *arena, int pid_fd, struct rb_process *process)
{
    RB_BUF_AUTO text = {.max = RB_MAX_ARGS_BYTES, .wiped = true};
    if (rb_linux_read_some_at(pid_fd, "cmdline", RB_MAX_ARGS_BYTES, &text) != RB_OK)
        rb_buf_reset(&text);
    process->argv = rb_platform_split(arena, rb_buf_str(&text), text.len, RB_MAX_ARGS);
}

static void read_cwd(struct rb_arena *arena, int pid_fd, struct rb_process *process)
{
    char path[PATH_MAX];
    ssize_t len = readlinkat(pid_fd, "cwd", path, sizeof path);
    if (len > 0 && (size_t)len < sizeof path)
        process->cwd = rb_arena_strndup(arena, path, (size_t)len);
}

static bool add_process(void *ctx, int proc_fd, pid_t pid)
{
    struct list *list = ctx;
    char name[16];
    (void)snprintf(name, sizeof name, "%d", (int)pid);
    int pid_fd = openat(proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pid_fd < 0)
        return true;
    struct stat st;
    struct rb_linux_stat stat_fields;
    if (fstat(pid_fd, &st) == 0 && read_stat(pid_fd, &stat_fields) && list_grow(list)) {
        struct rb_process *process = &list->items[list->count++];
        *process = (struct rb_process){
            .pid = pid,
            .ppid = stat_fields.ppid,
            .uid = st.st_uid,
            .name = rb_arena_strdup(list->arena, stat_fields.name),
            .start_wall_ns = rb_linux_start_wall_ns(stat_fields.start_ticks),
        };
        read_argv(list->arena, pid_fd, process);
        read_cwd(list->arena, pid_fd, process);
    }
    (void)close(pid_fd);
    return !rb_arena_failed(list->arena);
}

int rb_linux_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err)
{
    struct list list = {.arena = arena};
    int code = rb_linux_each_process(add_process, &list, err);
    if (code == RB_OK) {
        struct rb_process *items = rb_arena_array(arena, list.count + 1, sizeof *items);
        if (items) {
            if (list.count)
                memcpy(items, list.items, list.count * sizeof *items);
            *out = items;
            *out_count = list.count;
        } else {
            code = rb_platform_arena_fail(err, "processes");
        }
    }
    free(list.items);
    return code;
}

int rb_linux_process_environ(struct rb_arena *arena, pid_t pid, const char *const **out, struct rb_error *err)
{
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    RB_BUF_AUTO text = {.max = RB_MAX_ENVIRON_BYTES, .wiped = true};
    int code = rb_linux_read_at(AT_FDCWD, path, RB_MAX_ENVIRON_BYTES, &text, err);
    if (code != RB_OK)
        return code;
    const char *const *items = rb_platform_split(arena, rb_buf_str(&text), text.len, RB_MAX_ENVIRON);
    if (!items || rb_arena_failed(arena))
        return rb_platform_arena_fail(err, path);
    *out = items;
    return RB_OK;
}

/* ---- this process ---- */

/* Kilobytes behind "Name:" in smaps_rollup, as bytes; 0 when absent. */
static int64_t rollup_bytes(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line ? strtoll(line + strlen(name), NULL, 10) * 1024 : 0;
}

static int64_t count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return -1;
    int64_t count = -1; /* the folder's own descriptor is one of them */
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

int rb_linux_self_info(struct rb_self_info *out, struct rb_error *err)
{
    RB_BUF_AUTO stat_text = {.max = STAT_MAX};
    RB_BUF_AUTO statm = {.max = STAT_MAX};
    RB_BUF_AUTO rollup = {.max = SMAPS_MAX};
    struct rb_linux_stat fields;
    int code = rb_linux_read_at(AT_FDCWD, "/proc/self/stat", STAT_MAX, &stat_text, err);
    if (code == RB_OK)
        code = rb_linux_read_at(AT_FDCWD, "/proc/self/statm", STAT_MAX, &statm, err);
    if (code != RB_OK)
        return code;
    if (!rb_linux_stat_parse(rb_buf_str(&stat_text), &fields))
        return rb_error_set(err, RB_EUNSUPPORTED, "/proc/self/stat has an unknown form");
    struct rusage usage;
    struct rlimit limit;
    char *end = NULL;
    int64_t page = sysconf(_SC_PAGESIZE);
    struct rb_self_info info = {.threads = fields.threads, .start_wall_ns = rb_linux_start_wall_ns(fields.start_ticks)};
    info.virtual_bytes = strtoll(rb_buf_str(&statm), &end, 10) * page;
    info.resident_bytes = strtoll(end, &end, 10) * page;
    int64_t shared = strtoll(end, NULL, 10) * page;
    info.private_bytes = info.resident_bytes - shared;
    /* The kernel sums this up by walking the page tables: exact, unlike statm, and worth its millisecond. */
    if (rb_linux_read_at(AT_FDCWD, "/proc/self/smaps_rollup", SMAPS_MAX, &rollup, NULL) == RB_OK)
        info.private_bytes = rollup_bytes(rb_buf_str(&rollup), "Private_Clean:") + rollup_bytes(rb_buf_str(&rollup), "Private_Dirty:");
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        info.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    info.open_fds = count_open_fds();
    info.max_fds = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? (int64_t)limit.rlim_cur : -1;
    *out = info;
    return RB_OK;
}
