/* The platform of this machine, asked for real, and the file helpers against every trap that a name can be. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../lib/platform/internal.h"
#include "../support/check_main.h"
#include "runbook/base/digest.h"

/* A fresh folder with files, links and traps; removed by finish(). */
static char scratch[64];
static int scratch_fd;

static void put(const char *name, const char *text)
{
    int fd = openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static void begin(void)
{
    (void)snprintf(scratch, sizeof scratch, "/tmp/rb_platform_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(scratch_fd, 0);
    ck_assert_int_eq(mkdirat(scratch_fd, "dir", 0700), 0);
    ck_assert_int_eq(mkdirat(scratch_fd, "dir/sub", 0700), 0);
    put("file", "text");
    put("dir/sub/deep", "deep");
    put("empty", "");
    ck_assert_int_eq(mkfifoat(scratch_fd, "fifo", 0600), 0);
    ck_assert_int_eq(symlinkat("sub/deep", scratch_fd, "dir/in"), 0);
    ck_assert_int_eq(symlinkat("../file", scratch_fd, "dir/up"), 0);
    ck_assert_int_eq(symlinkat("dir/sub", scratch_fd, "folder"), 0);
    ck_assert_int_eq(symlinkat("../../etc/passwd", scratch_fd, "dir/out"), 0);
    ck_assert_int_eq(symlinkat("/etc/passwd", scratch_fd, "absolute"), 0);
    ck_assert_int_eq(symlinkat("loop", scratch_fd, "loop"), 0);
    ck_assert_int_eq(symlinkat("nowhere", scratch_fd, "dangling"), 0);
}

static void finish(void)
{
    static const char *const files[] = {"file",   "dir/sub/deep", "empty",    "fifo", "dir/in",  "dir/up",
                                        "folder", "dir/out",      "absolute", "loop", "dangling"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        ck_assert_int_eq(unlinkat(scratch_fd, files[i], 0), 0);
    ck_assert_int_eq(unlinkat(scratch_fd, "dir/sub", AT_REMOVEDIR), 0);
    ck_assert_int_eq(unlinkat(scratch_fd, "dir", AT_REMOVEDIR), 0);
    (void)close(scratch_fd);
    ck_assert_int_eq(rmdir(scratch), 0);
}

static int read_path(const char *name, size_t max, bool nofollow, const char *expected)
{
    char path[128];
    RB_BUF_AUTO out = {.max = 1 << 20};
    struct rb_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", scratch, name);
    int code = rb_file_read(path, max, nofollow, &out, &err);
    ck_assert_int_eq(code != RB_OK, err.message[0] != '\0');
    if (expected)
        ck_assert_str_eq(rb_buf_str(&out), expected);
    return code;
}

START_TEST(files_and_traps)
{
    begin();
    ck_assert_int_eq(read_path("file", 4, false, "text"), RB_OK);
    ck_assert_int_eq(read_path("file", 3, false, NULL), RB_ELIMIT);
    ck_assert_int_eq(read_path("empty", 0, true, ""), RB_OK);
    ck_assert_int_eq(read_path("dir/in", 100, false, "deep"), RB_OK);
    ck_assert_int_eq(read_path("dir/in", 100, true, NULL), RB_EINVAL);
    ck_assert_int_eq(read_path("fifo", 100, false, NULL), RB_EINVAL);
    ck_assert_int_eq(read_path("dir", 100, false, NULL), RB_EINVAL);
    ck_assert_int_eq(read_path("missing", 100, false, NULL), RB_ENOTFOUND);
    ck_assert_int_eq(read_path("file/x", 100, false, NULL), RB_ENOTFOUND);
    ck_assert_int_lt(read_path("loop", 100, false, NULL), 0);
    RB_BUF_AUTO out = {.max = 100};
    ck_assert_int_eq(rb_file_read("/dev/zero", 100, false, &out, NULL), RB_EINVAL);
    finish();
}
END_TEST

static int below(const char *name, const char *expected)
{
    RB_BUF_AUTO out = {.max = 1 << 20};
    struct rb_error err = {0};
    int code = rb_file_read_below(scratch_fd, name, 1000, &out, &err);
    ck_assert_int_eq(code != RB_OK, err.message[0] != '\0');
    if (expected)
        ck_assert_str_eq(rb_buf_str(&out), expected);
    return code;
}

/* The portable walk must decide as the system's call does. */
static int walked(const char *name)
{
    struct rb_error err = {0};
    int fd = rb_posix_open_below(scratch_fd, name, &err);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 ? RB_OK : fd;
}

START_TEST(never_out_of_the_tree)
{
    begin();
    static const struct {
        const char *name, *text;
        int code;
    } cases[] = {{"file", "text", RB_OK},           {"dir/sub/deep", "deep", RB_OK}, {"dir//sub/./deep", "deep", RB_OK},
                 {"dir/in", "deep", RB_OK},         {"dir/up", "text", RB_OK},       {"folder/deep", "deep", RB_OK},
                 {"dir/out", NULL, RB_EPERM},       {"absolute", NULL, RB_EPERM},    {"dangling", NULL, RB_ENOTFOUND},
                 {"missing/x", NULL, RB_ENOTFOUND}, {"file/x", NULL, RB_ENOTFOUND},  {"loop", NULL, RB_EINVAL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(below(cases[i].name, cases[i].text) == cases[i].code, "%s", cases[i].name);
        ck_assert_msg(walked(cases[i].name) == cases[i].code, "walk %s gave %d", cases[i].name, walked(cases[i].name));
    }
    ck_assert_int_eq(below("/etc/passwd", NULL), RB_EINVAL);
    ck_assert_int_eq(below("../x", NULL), RB_EINVAL);
    ck_assert_int_eq(below("dir/../file", NULL), RB_EINVAL);
    ck_assert_int_eq(below("", NULL), RB_EINVAL);
    ck_assert_int_eq(below("fifo", NULL), RB_EINVAL);
    ck_assert_int_eq(below("dir", NULL), RB_EINVAL);
    finish();
}
END_TEST

START_TEST(paths_expand)
{
    char home[PATH_MAX], path[PATH_MAX], expected[PATH_MAX + 8];
    struct rb_error err;
    ck_assert_int_eq(rb_home_dir(home, sizeof home, &err), RB_OK);
    ck_assert_int_eq(home[0], '/');
    ck_assert_int_eq(rb_path_expand("~/x", path, sizeof path, &err), RB_OK);
    (void)snprintf(expected, sizeof expected, "%s/x", home);
    ck_assert_str_eq(path, expected);
    ck_assert_int_eq(rb_path_expand("~", path, sizeof path, &err), RB_OK);
    ck_assert_str_eq(path, home);
    ck_assert_int_eq(rb_path_expand("~other/x", path, sizeof path, &err), RB_OK);
    ck_assert_str_eq(path, "~other/x");
    ck_assert_int_eq(rb_path_expand("/a/b", path, 4, &err), RB_ELIMIT);
    ck_assert_int_eq(rb_home_dir(path, 1, &err), RB_ELIMIT);
}
END_TEST

START_TEST(this_machine)
{
    const struct rb_platform *host = rb_platform_host();
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_error err = {0};
    struct rb_os_info os;
    struct rb_disk_info disk;
    struct rb_memory_info memory;
    struct rb_load_info load;
    struct rb_self_info self;
    ck_assert_int_eq(host->os_info(arena, &os, &err), RB_OK);
    ck_assert(*os.name && *os.kernel && *os.arch && *os.hostname && !strchr(os.hostname, '.'));
    ck_assert_int_eq(host->disk_info(arena, "/", &disk, &err), RB_OK);
    ck_assert_str_eq(disk.mount_point, "/");
    ck_assert_int_gt(disk.total_bytes, 0);
    ck_assert_int_le(disk.free_bytes, disk.total_bytes);
    ck_assert_int_eq(host->disk_info(arena, "/does/not/exist", &disk, &err), RB_ENOTFOUND);
    ck_assert_int_eq(host->memory_info(&memory, &err), RB_OK);
    ck_assert_int_gt(memory.total_bytes, memory.available_bytes);
    ck_assert_int_gt(memory.available_bytes, 0);
    ck_assert_int_eq(host->load_info(&load, &err), RB_OK);
    ck_assert_int_ge(load.cpus, 1);
    ck_assert_int_gt(load.uptime_s, 0);
    ck_assert_int_eq(host->self_info(&self, &err), RB_OK);
    ck_assert_int_gt(self.private_bytes, 0);
    ck_assert_int_ge(self.open_fds, 3);
    ck_assert_int_ge(self.threads, 1);
    int64_t age_ns = rb_wall_ns(host->clock) - self.start_wall_ns;
    ck_assert_msg(age_ns > -2 * RB_NS_PER_S && age_ns < 600 * RB_NS_PER_S, "this process seems to be %lld ns old", (long long)age_ns);
}
END_TEST

START_TEST(clocks_run)
{
    const struct rb_clock *clock = rb_platform_host()->clock;
    int64_t elapsed = rb_elapsed_ns(clock), awake = rb_awake_ns(clock);
    ck_assert_int_ge(elapsed, awake - RB_NS_PER_S);
    ck_assert_int_ge(rb_elapsed_ns(clock), elapsed);
    ck_assert_int_ge(rb_awake_ns(clock), awake);
    ck_assert_int_gt(rb_wall_ns(clock), INT64_C(1700000000) * RB_NS_PER_S);
}
END_TEST

/* A listener on a free loopback port; the port in *out_port. */
static int listen_somewhere(int family, uint16_t *out_port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t len = family == AF_INET ? sizeof v4 : sizeof v6;
    if (fd < 0 || bind(fd, address, len) != 0 || listen(fd, 1) != 0 || getsockname(fd, address, &len) != 0)
        return -1;
    *out_port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
    return fd;
}

static void expect_listener(int family, const char *address)
{
    uint16_t port = 0;
    int fd = listen_somewhere(family, &port);
    /* A host without IPv6 has nothing to find. */
    if (fd < 0 && family == AF_INET6)
        return;
    ck_assert_int_ge(fd, 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_error err = {0};
    struct rb_listener *found = NULL;
    size_t count = 0;
    ck_assert_msg(rb_platform_host()->listeners(arena, port, true, &found, &count, &err) == RB_OK, "%s", err.message);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(found[0].address, address);
    ck_assert_int_eq(found[0].port, port);
    ck_assert_int_eq(found[0].owner, RB_OWNER_KNOWN);
    ck_assert_int_eq(found[0].pid, getpid());
    ck_assert_int_eq(found[0].uid, getuid());
    ck_assert_ptr_nonnull(strstr(found[0].command, "platform"));
    (void)close(fd);
    ck_assert_int_eq(rb_platform_host()->listeners(arena, port, true, &found, &count, &err), RB_OK);
    ck_assert_uint_eq(count, 0);
}

START_TEST(listeners)
{
    expect_listener(AF_INET, "127.0.0.1");
    expect_listener(AF_INET6, "::1");
    RB_ARENA_AUTO *tiny = rb_arena_new(1);
    struct rb_listener *found = NULL;
    size_t count = 0;
    ck_assert_int_eq(rb_platform_host()->listeners(tiny, 0, false, &found, &count, NULL), RB_ENOMEM);
}
END_TEST

START_TEST(processes_and_environment)
{
    const struct rb_platform *host = rb_platform_host();
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct rb_error err = {0};
    struct rb_process *all = NULL;
    const struct rb_process *mine = NULL;
    size_t count = 0;
    ck_assert_int_eq(host->processes(arena, &all, &count, &err), RB_OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert(i == 0 || all[i].pid > all[i - 1].pid);
        ck_assert_ptr_nonnull(all[i].argv);
        if (all[i].pid == getpid())
            mine = &all[i];
    }
    ck_assert_ptr_nonnull(mine);
    ck_assert_int_eq(mine->ppid, getppid());
    ck_assert_int_eq(mine->uid, getuid());
    ck_assert_ptr_nonnull(strstr(mine->argv[0], "platform"));
    char cwd[PATH_MAX];
    ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
    ck_assert_str_eq(mine->cwd, cwd);
    const char *const *env = NULL;
    ck_assert_int_eq(host->process_environ(arena, getpid(), &env, &err), RB_OK);
    size_t equals = 0;
    for (size_t i = 0; env[i]; i++)
        equals += strchr(env[i], '=') != NULL;
    ck_assert_uint_gt(equals, 0);
    ck_assert_int_eq(host->process_environ(arena, INT_MAX, &env, &err), RB_ENOTFOUND);
}
END_TEST

START_TEST(own_process)
{
    const struct rb_platform *host = rb_platform_host();
    char path[PATH_MAX];
    struct rb_error err = {0};
    ck_assert_int_eq(host->self_path(path, sizeof path, &err), RB_OK);
    ck_assert_int_eq(access(path, X_OK), 0);
    ck_assert_int_eq(host->self_path(path, 3, &err), RB_ELIMIT);
    ck_assert(!host->is_dialog_shim("/bin/sh"));
    int ends[2];
    uid_t uid = (uid_t)-1;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_int_eq(host->peer_uid(ends[0], &uid, &err), RB_OK);
    ck_assert_int_eq(uid, getuid());
    ck_assert_int_lt(host->peer_uid(-1, &uid, &err), 0);
    ck_assert_int_eq(fcntl(ends[1], F_GETFD) & FD_CLOEXEC, 0);
    host->cloexec_from(ends[0] < ends[1] ? ends[0] : ends[1]);
    ck_assert_int_ne(fcntl(ends[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(ends[1], F_GETFD) & FD_CLOEXEC, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
END_TEST

START_TEST(what_the_start_needed_is_given_back_and_comes_again)
{
    const struct rb_platform *host = rb_platform_host();
    struct rb_error err = {0};
    struct rb_self_info before, after;
    char digest[65], again[65];
    rb_sha256_of("abc", 3, digest);
    ck_assert_int_eq(host->self_info(&before, &err), RB_OK);
    host->trim_heap();
    host->forget_start();
    ck_assert_int_eq(host->self_info(&after, &err), RB_OK);
    if (strcmp(host->name, "linux") == 0)
        ck_assert_int_lt(after.resident_bytes, before.resident_bytes);
    rb_sha256_of("abc", 3, again); /* libcrypto's code and tables are read again */
    ck_assert_str_eq(digest, again);
}
END_TEST

START_TEST(null_platform_is_complete)
{
    struct rb_fake_clock fake;
    struct rb_platform null;
    rb_fake_clock_init(&fake, 1);
    memset(&null, 0, sizeof null);
    rb_platform_null(&null, &fake.clock);
    ck_assert_ptr_eq(null.clock, &fake.clock);
    ck_assert(null.os_info && null.disk_info && null.memory_info && null.load_info && null.self_info && null.listeners && null.processes &&
              null.process_environ && null.peer_uid && null.cloexec_from && null.die_with_parent && null.is_dialog_shim && null.self_path &&
              null.return_memory && null.trim_heap && null.forget_start);
    struct rb_disk_info disk;
    struct rb_listener *found = NULL;
    size_t count = 7;
    ck_assert_int_eq(null.disk_info(NULL, "/", &disk, NULL), RB_OK);
    ck_assert_int_lt(disk.free_bytes, disk.total_bytes);
    ck_assert_int_eq(null.listeners(NULL, 0, true, &found, &count, NULL), RB_OK);
    ck_assert_uint_eq(count, 0);
    char path[4];
    ck_assert_int_eq(null.self_path(path, sizeof path, NULL), RB_ELIMIT);
}
END_TEST

START_TEST(remote_file_systems)
{
    ck_assert(rb_platform_fs_is_remote("nfs4"));
    ck_assert(rb_platform_fs_is_remote("fuse.sshfs"));
    ck_assert(!rb_platform_fs_is_remote("ext4"));
    ck_assert(!rb_platform_fs_is_remote(""));
}
END_TEST

RB_TEST_MAIN("platform", files_and_traps, never_out_of_the_tree, paths_expand, this_machine, clocks_run, listeners,
             processes_and_environment, own_process, what_the_start_needed_is_given_back_and_comes_again, null_platform_is_complete,
             remote_file_systems)
