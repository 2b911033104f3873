/* The null platform: one fixed, plausible machine for tests and simulation.
 *
 * It asks the system nothing, so a test that uses it gives the same result everywhere. Its numbers are round on purpose: a test that
 * wants a full disk replaces `disk_info` by its own function and leaves the rest. */
#include <stdio.h>

#include "internal.h"

static const struct rb_os_info null_os = {.os = "linux", .name = "Null 1.0", .kernel = "6.1.0", .arch = "x86_64", .hostname = "nullhost"};

static int os_info(struct rb_arena *arena RB_UNUSED, struct rb_os_info *out, struct rb_error *err RB_UNUSED)
{
    *out = null_os;
    return RB_OK;
}

static int remote_mounts(struct rb_arena *arena RB_UNUSED, const char *const **out, struct rb_error *err RB_UNUSED)
{
    static const char *const none[] = {NULL};
    *out = none;
    return RB_OK;
}

static int disk_info(struct rb_arena *arena RB_UNUSED, const char *path RB_UNUSED, struct rb_disk_info *out, struct rb_error *err RB_UNUSED)
{
    *out = (struct rb_disk_info){
        .mount_point = "/",
        .fs_type = "ext4",
        .total_bytes = INT64_C(100) << 30,
        .free_bytes = INT64_C(50) << 30,
        .total_inodes = 1000000,
        .free_inodes = 900000,
    };
    return RB_OK;
}

static int memory_info(struct rb_memory_info *out, struct rb_error *err RB_UNUSED)
{
    *out = (struct rb_memory_info){
        .total_bytes = INT64_C(8) << 30,
        .available_bytes = INT64_C(4) << 30,
        .swap_total_bytes = INT64_C(2) << 30,
        .swap_free_bytes = INT64_C(2) << 30,
    };
    return RB_OK;
}

static int load_info(struct rb_load_info *out, struct rb_error *err RB_UNUSED)
{
    *out = (struct rb_load_info){
        .load1 = 0.5, .load5 = 0.25, .load15 = 0.125, .cpus = 4, .uptime_s = 86400, .open_files = 1000, .max_open_files = 100000};
    return RB_OK;
}

static int self_info(struct rb_self_info *out, struct rb_error *err RB_UNUSED)
{
    *out = (struct rb_self_info){
        .resident_bytes = INT64_C(20) << 20,
        .private_bytes = INT64_C(10) << 20,
        .virtual_bytes = INT64_C(200) << 20,
        .cpu_s = 1.5,
        .open_fds = 16,
        .max_fds = 1024,
        .start_wall_ns = INT64_C(1750000000) * RB_NS_PER_S,
        .threads = 4,
    };
    return RB_OK;
}

static int listeners(struct rb_arena *arena RB_UNUSED, uint16_t port RB_UNUSED, bool with_owner RB_UNUSED, struct rb_listener **out,
                     size_t *out_count, struct rb_error *err RB_UNUSED)
{
    *out = NULL;
    *out_count = 0;
    return RB_OK;
}

static int processes(struct rb_arena *arena RB_UNUSED, struct rb_process **out, size_t *out_count, struct rb_error *err RB_UNUSED)
{
    *out = NULL;
    *out_count = 0;
    return RB_OK;
}

static int process_environ(struct rb_arena *arena RB_UNUSED, pid_t pid, const char *const **out RB_UNUSED, struct rb_error *err)
{
    return rb_error_set(err, RB_ENOTFOUND, "process %d does not exist", (int)pid);
}

static int peer_uid(int fd RB_UNUSED, uid_t *out_uid, struct rb_error *err RB_UNUSED)
{
    *out_uid = 1000;
    return RB_OK;
}

static void cloexec_from(int lowest RB_UNUSED)
{
}

static void adopt_orphans(void)
{
}

static size_t block_bytes(void *block RB_UNUSED)
{
    return 0;
}

static void return_memory(void)
{
}

static void trim_heap(void)
{
}

static void forget_start(void)
{
}

static void die_with_parent(void)
{
}

static bool is_dialog_shim(const char *path RB_UNUSED)
{
    return false;
}

static int self_path(char *out, size_t out_size, struct rb_error *err)
{
    int len = snprintf(out, out_size, "/usr/bin/runbookd");
    if (len < 0 || (size_t)len >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the path of the running binary is longer than %zu bytes", out_size);
    return RB_OK;
}

static int file_events(struct rb_file_events **out RB_UNUSED, struct rb_error *err)
{
    return rb_error_set(err, RB_EUNSUPPORTED, "there are no file events here");
}

void rb_platform_null(struct rb_platform *out, const struct rb_clock *clock)
{
    *out = (struct rb_platform){
        .name = "null",
        .clock = clock,
        .os_info = os_info,
        .disk_info = disk_info,
        .remote_mounts = remote_mounts,
        .memory_info = memory_info,
        .load_info = load_info,
        .self_info = self_info,
        .listeners = listeners,
        .processes = processes,
        .process_environ = process_environ,
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
        .file_events = file_events,
    };
}
