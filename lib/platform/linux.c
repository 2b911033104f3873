/* Linux: the table, the clock, and what one read of /proc or one system call answers.
 *
 * Everything comes from /proc and system calls, never from programs: uname, free and lsof cost milliseconds and may be missing in a
 * container. The larger parts have their own files: linux_process.c, linux_net.c, linux_disk.c. */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "linux_internal.h"
#include "runbook/base/wipe.h"

enum { SEGMENTS_MAX = 32 };

/* ---- clock ---- */

static int64_t read_clock(clockid_t id)
{
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * RB_NS_PER_S + now.tv_nsec;
}

static int64_t clock_elapsed(void *ctx RB_UNUSED)
{
    return read_clock(CLOCK_BOOTTIME);
}

static int64_t clock_awake(void *ctx RB_UNUSED)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t clock_wall(void *ctx RB_UNUSED)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t rb_linux_boot_wall_ns(void)
{
    return clock_wall(NULL) - clock_elapsed(NULL);
}

/* ---- reading /proc ---- */

int rb_linux_read_at(int dir_fd, const char *path, size_t max, struct rb_buf *out, struct rb_error *err)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rb_platform_fail(err, errno, "cannot open %s", path);
    int code = rb_platform_read_fd(fd, path, max, out, err);
    (void)close(fd);
    return code;
}

int rb_linux_read_some_at(int dir_fd, const char *path, size_t max, struct rb_buf *out)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == EACCES || errno == EPERM ? RB_EPERM : RB_ENOTFOUND;
    char chunk[4096];
    int code = RB_OK;
    while (out->len < max) {
        size_t want = max - out->len < sizeof chunk ? max - out->len : sizeof chunk;
        ssize_t got = read(fd, chunk, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = errno == EACCES || errno == EPERM ? RB_EPERM : RB_ENOTFOUND;
        if (got <= 0)
            break;
        rb_buf_add(out, chunk, (size_t)got);
    }
    (void)close(fd);
    if (out->wiped)
        rb_wipe(chunk, sizeof chunk);
    return code == RB_OK && out->failed ? RB_ENOMEM : code;
}

/* The number behind "Name:" at the start of a line; -1 when the line is missing. */
static int64_t line_number(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            return strtoll(line + len + 1, NULL, 10);
    }
    return -1;
}

/* ---- the machine ---- */

/* The value of PRETTY_NAME in os-release(5), without its quotes. */
static char *pretty_name(struct rb_arena *arena, const char *text)
{
    static const char key[] = "PRETTY_NAME=";
    const char *line = strncmp(text, key, sizeof key - 1) == 0 ? text : strstr(text, "\nPRETTY_NAME=");
    if (!line)
        return NULL;
    const char *value = strchr(line, '=') + 1;
    size_t len = strcspn(value, "\n");
    if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
        value++;
        len -= 2;
    }
    char *name = rb_arena_strndup(arena, value, len);
    char *to = name;
    for (const char *from = name; from && *from; from++) {
        if (*from == '\\' && from[1])
            from++;
        *to++ = *from;
    }
    if (to)
        *to = '\0';
    return name;
}

static int os_info(struct rb_arena *arena, struct rb_os_info *out, struct rb_error *err)
{
    struct utsname uts;
    if (uname(&uts) != 0)
        return rb_platform_fail(err, errno, "cannot read the kernel's name");
    RB_BUF_AUTO text = {.max = 16384};
    if (rb_linux_read_at(AT_FDCWD, "/etc/os-release", text.max, &text, NULL) != RB_OK) {
        rb_buf_reset(&text);
        if (rb_linux_read_at(AT_FDCWD, "/usr/lib/os-release", text.max, &text, NULL) != RB_OK)
            rb_buf_reset(&text);
    }
    const char *name = pretty_name(arena, rb_buf_str(&text));
    struct rb_os_info info = {
        .os = "linux",
        .name = name ? name : "Linux",
        .kernel = rb_arena_strdup(arena, uts.release),
        .arch = rb_arena_strdup(arena, uts.machine),
        .hostname = rb_arena_strndup(arena, uts.nodename, strcspn(uts.nodename, ".")),
    };
    if (rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "operating system");
    *out = info;
    return RB_OK;
}

static int memory_info(struct rb_memory_info *out, struct rb_error *err)
{
    RB_BUF_AUTO text = {.max = 16384};
    int code = rb_linux_read_at(AT_FDCWD, "/proc/meminfo", text.max, &text, err);
    if (code != RB_OK)
        return code;
    const char *info = rb_buf_str(&text);
    int64_t total = line_number(info, "MemTotal"), available = line_number(info, "MemAvailable");
    if (total < 0 || available < 0)
        return rb_error_set(err, RB_EUNSUPPORTED, "/proc/meminfo has no MemTotal or no MemAvailable (Linux before 3.14)");
    int64_t swap_total = line_number(info, "SwapTotal"), swap_free = line_number(info, "SwapFree");
    *out = (struct rb_memory_info){
        .total_bytes = total * 1024,
        .available_bytes = available * 1024,
        .swap_total_bytes = swap_total > 0 ? swap_total * 1024 : 0,
        .swap_free_bytes = swap_free > 0 ? swap_free * 1024 : 0,
    };
    return RB_OK;
}

static int load_info(struct rb_load_info *out, struct rb_error *err)
{
    double loads[3];
    if (getloadavg(loads, 3) != 3)
        return rb_error_set(err, RB_EUNSUPPORTED, "this system tells no load average");
    struct rb_load_info info = {.load1 = loads[0], .load5 = loads[1], .load15 = loads[2], .open_files = -1, .max_open_files = -1};
    info.cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    info.uptime_s = clock_elapsed(NULL) / RB_NS_PER_S;
    RB_BUF_AUTO text = {.max = 256};
    if (rb_linux_read_at(AT_FDCWD, "/proc/sys/fs/file-nr", text.max, &text, NULL) == RB_OK) {
        char *end = NULL;
        info.open_files = strtoll(rb_buf_str(&text), &end, 10);
        (void)strtoll(end, &end, 10);
        info.max_open_files = strtoll(end, &end, 10);
    }
    *out = info;
    return RB_OK;
}

/* ---- this process and its relatives ---- */

static int peer_uid(int fd, uid_t *out_uid, struct rb_error *err)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return rb_platform_fail(err, errno, "cannot learn who is at the other end of the socket");
    *out_uid = peer.uid;
    return RB_OK;
}

static void cloexec_from(int lowest)
{
#ifdef SYS_close_range
    const unsigned close_range_cloexec = 4; /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */
    if (syscall(SYS_close_range, (unsigned)lowest, ~0U, close_range_cloexec) == 0)
        return;
#endif
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
    for (int fd = lowest; fd < end; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void adopt_orphans(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* glibc raises its threshold for separate mappings to the size of what was freed last, so that one page of 2 MB keeps that much for ever; and it gives each
 * thread a heap of its own. With both fixed, 1,000 checks take half (tests/bench/memory.py). Other C libraries do neither. */
static size_t block_bytes(void *block)
{
    return malloc_usable_size(block);
}

static void return_memory(void)
{
#ifdef M_ARENA_MAX
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    (void)mallopt(M_ARENA_MAX, 1);
#endif
}

static void trim_heap(void)
{
#ifdef M_ARENA_MAX
    (void)malloc_trim(0);
#endif
}

/* Whether the loader had to write into the code (DT_TEXTREL): then the file does not have what is mapped. */
static bool is_rewritten(const struct dl_phdr_info *object, const ElfW(Phdr) * header)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): an address that the loader tells */
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + header->p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL)))
            return true;
    return false;
}

/* Drops the segments that nobody can have written to. */
static int drop_segments(struct dl_phdr_info *object, size_t size RB_UNUSED, void *arg RB_UNUSED)
{
    ElfW(Phdr) headers[SEGMENTS_MAX]; /* a copy: they lie in the first page of what is dropped */
    size_t count = object->dlpi_phnum < SEGMENTS_MAX ? object->dlpi_phnum : SEGMENTS_MAX;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    memcpy(headers, object->dlpi_phdr, count * sizeof *headers);
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_DYNAMIC && is_rewritten(object, &headers[i]))
            return 0;
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_W))
            continue;
        uintptr_t from = (object->dlpi_addr + headers[i].p_vaddr) & ~(page - 1);
        uintptr_t to = (object->dlpi_addr + headers[i].p_vaddr + headers[i].p_filesz + page - 1) & ~(page - 1);
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): likewise */
        (void)madvise((void *)from, to - from, MADV_DONTNEED); /* fails where the mapping is locked: then it stays */
    }
    return 0;
}

/* Relocating 50 libraries touches 10 MB of tables and constructors that are never looked at again, and the kernel maps 64 KiB around each touch. */
static void forget_start(void)
{
    (void)dl_iterate_phdr(drop_segments, NULL);
}

static void die_with_parent(void)
{
    (void)prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0);
}

static bool is_dialog_shim(const char *path RB_UNUSED)
{
    return false;
}

static int self_path(char *out, size_t out_size, struct rb_error *err)
{
    static const char deleted[] = " (deleted)", link[] = "/proc/self/exe";
    ssize_t len = readlink(link, out, out_size);
    if (len < 0)
        return rb_platform_fail(err, errno, "cannot read %s", link);
    if ((size_t)len >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the path of the running binary is longer than %zu bytes", out_size);
    out[len] = '\0';
    /* Replaced by an upgrade while running: the link still starts what is running. */
    if ((size_t)len > sizeof deleted && strcmp(out + len - (sizeof deleted - 1), deleted) == 0)
        (void)snprintf(out, out_size, "%s", link);
    return RB_OK;
}

int rb_platform_open_below(int root_fd, const char *relative, struct rb_error *err)
{
    struct open_how how = {
        .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    for (int attempt = 0; attempt < 4; attempt++) {
        long fd = syscall(SYS_openat2, root_fd, relative, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        /* A rename somewhere on the way; ask again. */
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    /* Kernels before 5.6, and seccomp filters that answer EPERM to what they do not know, need the walk; it also words the refusal. */
    return rb_posix_open_below(root_fd, relative, err);
}

const struct rb_platform *rb_platform_host(void)
{
    static const struct rb_clock clock = {.elapsed_ns = clock_elapsed, .awake_ns = clock_awake, .wall_ns = clock_wall};
    static const struct rb_platform host = {
        .name = "linux",
        .clock = &clock,
        .os_info = os_info,
        .disk_info = rb_linux_disk_info,
        .remote_mounts = rb_linux_remote_mounts,
        .memory_info = memory_info,
        .load_info = load_info,
        .self_info = rb_linux_self_info,
        .listeners = rb_linux_listeners,
        .processes = rb_linux_processes,
        .process_environ = rb_linux_process_environ,
        .peer_uid = peer_uid,
        .cloexec_from = cloexec_from,
        .die_with_parent = die_with_parent,
        .adopt_orphans = adopt_orphans,
        .return_memory = return_memory,
        .block_bytes = block_bytes,
        .trim_heap = trim_heap,
        .forget_start = forget_start,
        .is_dialog_shim = is_dialog_shim,
        .self_path = self_path,
        .file_events = rb_linux_file_events,
    };
    return &host;
}
