/* macOS: the table, the clock, and what one Mach or sysctl call answers.
 *
 * mach_continuous_time counts through sleep, mach_absolute_time does not: the pair is what CLOCK_BOOTTIME and CLOCK_MONOTONIC are on Linux.
 * No framework and no program is used, so this links with nothing but libSystem. Processes and sockets: darwin_process.c. */
#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <limits.h>
#include <mach-o/dyld.h>
#include <mach/mach.h>
#include <mach/mach_time.h>
#include <malloc/malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <sys/proc_info.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <sys/ucred.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "darwin_internal.h"

/* ---- clock ---- */

/* Mach ticks to nanoseconds. The ratio is 125/3 on Apple silicon; split so that the product cannot overflow. */
static int64_t ticks_to_ns(uint64_t ticks)
{
    mach_timebase_info_data_t base = {0, 0};
    if (mach_timebase_info(&base) != KERN_SUCCESS || base.denom == 0)
        return (int64_t)ticks;
    return (int64_t)(ticks / base.denom * base.numer + ticks % base.denom * base.numer / base.denom);
}

static int64_t clock_elapsed(void *ctx RB_UNUSED)
{
    return ticks_to_ns(mach_continuous_time());
}

static int64_t clock_awake(void *ctx RB_UNUSED)
{
    return ticks_to_ns(mach_absolute_time());
}

static int64_t clock_wall(void *ctx RB_UNUSED)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * RB_NS_PER_S + now.tv_nsec;
}

/* ---- the machine ---- */

/* A string from sysctl, "" when it is absent. */
static void sysctl_text(const char *name, char *out, size_t out_size)
{
    size_t len = out_size - 1;
    out[0] = '\0';
    if (sysctlbyname(name, out, &len, NULL, 0) == 0)
        out[len] = '\0';
}

/* An integer of 4 or 8 bytes from sysctl, `otherwise` when it is absent. */
static int64_t sysctl_number(const char *name, int64_t otherwise)
{
    union {
        int32_t narrow;
        int64_t wide;
    } value = {.wide = 0};
    size_t len = sizeof value;
    if (sysctlbyname(name, &value, &len, NULL, 0) != 0)
        return otherwise;
    return len == sizeof value.narrow ? value.narrow : value.wide;
}

static int os_info(struct rb_arena *arena, struct rb_os_info *out, struct rb_error *err)
{
    struct utsname uts;
    char version[64];
    if (uname(&uts) != 0)
        return rb_platform_fail(err, errno, "cannot read the kernel's name");
    sysctl_text("kern.osproductversion", version, sizeof version);
    struct rb_os_info info = {
        .os = "darwin",
        .name = version[0] ? rb_arena_printf(arena, "macOS %s", version) : "macOS",
        .kernel = rb_arena_strdup(arena, uts.release),
        .arch = rb_arena_strdup(arena, uts.machine),
        .hostname = rb_arena_strndup(arena, uts.nodename, strcspn(uts.nodename, ".")),
    };
    if (rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "operating system");
    *out = info;
    return RB_OK;
}

static int remote_mounts(struct rb_arena *arena, const char *const **out, struct rb_error *err)
{
    int count = getfsstat(NULL, 0, MNT_NOWAIT); /* NOWAIT: what the kernel knows already, no server is asked */
    size_t room = count > 0 ? (size_t)count : 0;
    struct statfs *mounts = rb_arena_array(arena, room + 1, sizeof *mounts);
    const char **points = rb_arena_array(arena, room + 1, sizeof *points);
    if (!mounts || !points)
        return rb_platform_arena_fail(err, "mounts");
    count = getfsstat(mounts, (int)(room * sizeof *mounts), MNT_NOWAIT);
    if (count < 0)
        return rb_platform_fail(err, errno, "cannot list the mounts");
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        if (rb_platform_fs_is_remote(mounts[i].f_fstypename) || strcmp(mounts[i].f_fstypename, "autofs") == 0)
            points[used++] = mounts[i].f_mntonname;
    }
    points[used] = NULL;
    *out = points;
    return RB_OK;
}

static int disk_info(struct rb_arena *arena, const char *path, struct rb_disk_info *out, struct rb_error *err)
{
    struct statfs fs;
    if (statfs(path, &fs) != 0)
        return rb_platform_fail(err, errno, "cannot read the space of %s", path);
    struct rb_disk_info info = {
        .mount_point = rb_arena_strdup(arena, fs.f_mntonname),
        .fs_type = rb_arena_strdup(arena, fs.f_fstypename),
        .total_bytes = (int64_t)fs.f_blocks * fs.f_bsize,
        .free_bytes = (int64_t)fs.f_bavail * fs.f_bsize,
        .total_inodes = (int64_t)fs.f_files,
        .free_inodes = (int64_t)fs.f_ffree,
        .read_only = (fs.f_flags & MNT_RDONLY) != 0,
        .remote = (fs.f_flags & MNT_LOCAL) == 0 || rb_platform_fs_is_remote(fs.f_fstypename),
    };
    if (rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "disk");
    *out = info;
    return RB_OK;
}

/* Available: free, inactive, speculative and purgeable pages, which is what the kernel can give without swapping. */
static int memory_info(struct rb_memory_info *out, struct rb_error *err)
{
    vm_statistics64_data_t vm = {0};
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    mach_port_t host = mach_host_self();
    kern_return_t result = host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&vm, &count);
    (void)mach_port_deallocate(mach_task_self(), host);
    if (result != KERN_SUCCESS)
        return rb_error_set(err, RB_EUNSUPPORTED, "the kernel tells nothing about memory (host_statistics64 gave %d)", (int)result);
    struct xsw_usage swap;
    size_t swap_len = sizeof swap;
    if (sysctlbyname("vm.swapusage", &swap, &swap_len, NULL, 0) != 0)
        swap = (struct xsw_usage){0};
    int64_t page = getpagesize();
    *out = (struct rb_memory_info){
        .total_bytes = sysctl_number("hw.memsize", 0),
        .available_bytes = ((int64_t)vm.free_count + vm.inactive_count + vm.purgeable_count) * page,
        .swap_total_bytes = (int64_t)swap.xsu_total,
        .swap_free_bytes = (int64_t)swap.xsu_avail,
    };
    return RB_OK;
}

static int load_info(struct rb_load_info *out, struct rb_error *err)
{
    double loads[3];
    if (getloadavg(loads, 3) != 3)
        return rb_error_set(err, RB_EUNSUPPORTED, "this system tells no load average");
    *out = (struct rb_load_info){
        .load1 = loads[0],
        .load5 = loads[1],
        .load15 = loads[2],
        .cpus = (int)sysconf(_SC_NPROCESSORS_ONLN),
        .uptime_s = clock_elapsed(NULL) / RB_NS_PER_S,
        .open_files = sysctl_number("kern.num_files", -1),
        .max_open_files = sysctl_number("kern.maxfiles", -1),
    };
    return RB_OK;
}

/* ---- this process and its relatives ---- */

static int64_t count_open_fds(void)
{
    int bytes = proc_pidinfo(getpid(), PROC_PIDLISTFDS, 0, NULL, 0);
    if (bytes <= 0)
        return -1;
    char *list = malloc((size_t)bytes);
    if (!list)
        return -1;
    bytes = proc_pidinfo(getpid(), PROC_PIDLISTFDS, 0, list, bytes);
    free(list);
    return bytes < 0 ? -1 : bytes / (int)sizeof(struct proc_fdinfo);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Private memory is the physical footprint: what Activity Monitor shows, and the nearest to private pages that macOS counts. */
static int self_info(struct rb_self_info *out, struct rb_error *err)
{
    task_vm_info_data_t vm = {0};
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
    kern_return_t result = task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)&vm, &count);
    if (result != KERN_SUCCESS)
        return rb_error_set(err, RB_EUNSUPPORTED, "the kernel tells nothing about this process (task_info gave %d)", (int)result);
    struct rb_self_info info = {
        .resident_bytes = (int64_t)vm.resident_size,
        .private_bytes = (int64_t)vm.phys_footprint,
        .virtual_bytes = (int64_t)vm.virtual_size,
        .open_fds = count_open_fds(),
        .max_fds = -1,
    };
    struct rusage usage;
    struct rlimit limit;
    struct proc_bsdinfo bsd;
    struct proc_taskinfo task;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        info.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        info.max_fds = (int64_t)limit.rlim_cur;
    if (proc_pidinfo(getpid(), PROC_PIDTBSDINFO, 0, &bsd, sizeof bsd) == (int)sizeof bsd)
        info.start_wall_ns = (int64_t)bsd.pbi_start_tvsec * RB_NS_PER_S + (int64_t)bsd.pbi_start_tvusec * 1000;
    if (proc_pidinfo(getpid(), PROC_PIDTASKINFO, 0, &task, sizeof task) == (int)sizeof task)
        info.threads = task.pti_threadnum;
    *out = info;
    return RB_OK;
}

static int peer_uid(int fd, uid_t *out_uid, struct rb_error *err)
{
    struct xucred peer;
    socklen_t len = sizeof peer;
    const int level = 0; /* SOL_LOCAL, which <sys/un.h> hides from strict POSIX */
    if (getsockopt(fd, level, LOCAL_PEERCRED, &peer, &len) != 0)
        return rb_platform_fail(err, errno, "cannot learn who is at the other end of the socket");
    if (peer.cr_version != XUCRED_VERSION)
        return rb_error_set(err, RB_EUNSUPPORTED, "the kernel tells who is at the other end of the socket in an unknown form");
    *out_uid = peer.cr_uid;
    return RB_OK;
}

static void cloexec_from(int lowest)
{
    int end = getdtablesize();
    if (end > 65536)
        end = 65536;
    for (int fd = lowest; fd < end; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* macOS has no such request; children notice their closed pipe instead. */
static void adopt_orphans(void)
{
    /* launchd reaps orphans */
}

static size_t block_bytes(void *block)
{
    return malloc_size(block);
}

static void return_memory(void)
{
    /* its allocator gives large blocks back by itself */
}

static void trim_heap(void)
{
    /* as above */
}

static void forget_start(void)
{
    /* libraries lie in the cache that all programs share */
}

static void die_with_parent(void)
{
}

/* Without developer tools the programs of /usr/bin that belong to them are one shim, which opens an installer dialog. */
static bool is_dialog_shim(const char *path)
{
    static const char *const shims[] = {"git",  "python3", "pip3",   "make",  "clang",  "clang++",    "cc",    "c++",  "gcc",
                                        "g++",  "ld",      "lldb",   "swift", "swiftc", "xcodebuild", "svn",   "nm",   "strip",
                                        "java", "javac",   "javaws", "otool", "size",   "ar",         "bison", "flex", "gperf"};
    static const char dir[] = "/usr/bin/";
    if (strncmp(path, dir, sizeof dir - 1) != 0)
        return false;
    const char *name = path + sizeof dir - 1;
    bool listed = false;
    for (size_t i = 0; i < sizeof shims / sizeof shims[0] && !listed; i++)
        listed = strcmp(name, shims[i]) == 0;
    if (!listed)
        return false;
    if (strncmp(name, "java", 4) == 0)
        return access("/Library/Java/JavaVirtualMachines", F_OK) != 0;
    return access("/Library/Developer/CommandLineTools/usr/bin", F_OK) != 0 && access("/var/db/xcode_select_link", F_OK) != 0 &&
           access("/Applications/Xcode.app", F_OK) != 0;
}

static int self_path(char *out, size_t out_size, struct rb_error *err)
{
    char raw[PATH_MAX];
    uint32_t size = sizeof raw;
    if (_NSGetExecutablePath(raw, &size) != 0)
        return rb_error_set(err, RB_ELIMIT, "the path of the running binary is longer than %zu bytes", sizeof raw);
    char *real = realpath(raw, NULL);
    if (!real)
        return rb_platform_fail(err, errno, "cannot resolve %s", raw);
    int len = snprintf(out, out_size, "%s", real);
    free(real);
    if (len < 0 || (size_t)len >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the path of the running binary is longer than %zu bytes", out_size);
    return RB_OK;
}

int rb_platform_open_below(int root_fd, const char *relative, struct rb_error *err)
{
    return rb_posix_open_below(root_fd, relative, err);
}

const struct rb_platform *rb_platform_host(void)
{
    static const struct rb_clock clock = {.elapsed_ns = clock_elapsed, .awake_ns = clock_awake, .wall_ns = clock_wall};
    static const struct rb_platform host = {
        .name = "darwin",
        .clock = &clock,
        .os_info = os_info,
        .disk_info = disk_info,
        .remote_mounts = remote_mounts,
        .memory_info = memory_info,
        .load_info = load_info,
        .self_info = self_info,
        .listeners = rb_darwin_listeners,
        .processes = rb_darwin_processes,
        .process_environ = rb_darwin_process_environ,
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
        .file_events = rb_darwin_file_events,
    };
    return &host;
}
