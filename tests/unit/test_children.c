/* Child processes: exit, output caps, exact start errors, deadlines against programs that resist, grandchildren, environment and descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/run_fixture.h"

/* A kind that starts what its options say and keeps how it ended. */
struct seen {
    const char *const *argv;
    const char *const *env;
    const char *cwd;
    size_t cap;
    enum rb_child_end end;
    int code;
    char out[70000], err[4096];
    size_t out_len;
    bool truncated;
};

static bool start_seen(const struct rb_check_ctx *ctx, struct rb_child_spec *out, struct rb_outcome *outcome)
{
    struct seen *seen = *(struct seen *const *)ctx->options;
    if (!seen->argv) {
        rb_outcome_set(outcome, RB_RESULT_SKIP, "absent", "nothing to start");
        return false;
    }
    *out = (struct rb_child_spec){.argv = seen->argv, .env = seen->env, .cwd = seen->cwd, .output_cap = seen->cap ? seen->cap : 65536};
    return true;
}

static void judge_seen(const struct rb_check_ctx *ctx, const struct rb_child_result *result, struct rb_outcome *outcome)
{
    struct seen *seen = *(struct seen *const *)ctx->options;
    seen->end = result->end;
    seen->code = result->code;
    seen->truncated = result->truncated;
    seen->out_len = result->out_len;
    snprintf(seen->out, sizeof seen->out, "%s", result->out);
    snprintf(seen->err, sizeof seen->err, "%s", result->err);
    rb_outcome_say(outcome, "judged");
}

static const struct rb_child_ops ops = {.command = start_seen, .judge = judge_seen};
static const struct rb_kind kind = {.schema = {.schema = {.name = "test"}}, .exec = RB_EXEC_CHILD, .child = &ops};

static struct seen seen;
static char root[64];

static void make_root(void)
{
    snprintf(root, sizeof root, "/tmp/rb-children-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "%s/script", root);
    (void)unlink(command);
    ck_assert_int_eq(rmdir(root), 0);
}

static void write_script(const char *text, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/script", root);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static struct rb_children *children_new(void)
{
    struct rb_error err = {0};
    struct rb_children *children = rb_children_new(ev_default_loop(0), rb_platform_host(), &err);
    ck_assert_msg(children, "%s", err.message);
    return children;
}

/* Starts argv, waits for the end, returns the seconds it took. */
static double run_argv(const char *const *argv, int64_t timeout_ms)
{
    struct rb_children *children = children_new();
    struct seen *options = &seen;
    struct run_fixture fixture;
    seen.argv = argv;
    run_fixture_init(&fixture, &kind, &options, root, timeout_ms);
    rb_children_start(children, &fixture.run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &fixture.finished, 10));
    ck_assert_uint_eq(rb_children_running(children), 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
    ck_assert_int_eq(errno, ECHILD);
    double after_s = fixture.after_s;
    run_fixture_fini(&fixture);
    rb_children_free(children);
    return after_s;
}

static double run_shell(const char *script, int64_t timeout_ms)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    return run_argv(argv, timeout_ms);
}

static void set_up(void)
{
    memset(&seen, 0, sizeof seen);
    make_root();
}

START_TEST(exit_code_and_both_streams)
{
    run_shell("echo out; echo err >&2; exit 3", 5000);
    ck_assert_int_eq(seen.end, RB_CHILD_EXITED);
    ck_assert_int_eq(seen.code, 3);
    ck_assert_str_eq(seen.out, "out\n");
    ck_assert_str_eq(seen.err, "err\n");
    ck_assert(!seen.truncated);
    run_shell("kill -SEGV $$", 5000);
    ck_assert_int_eq(seen.end, RB_CHILD_SIGNALED);
    ck_assert_int_eq(seen.code, SIGSEGV);
    run_argv(NULL, 1000);
}
END_TEST

START_TEST(start_errors_are_exact)
{
    const char *const no_such[] = {"rb-no-such-program", NULL}, *const no_path[] = {"./missing/x", NULL},
                      *const script[] = {"./script", NULL};
    run_argv(no_such, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_NOT_FOUND);
    run_argv(no_path, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_NOT_FOUND);
    write_script("#!/bin/sh\necho relative; pwd\n", 0644);
    run_argv(script, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_NOT_EXECUTABLE);
    ck_assert_int_eq(seen.code, EACCES);
    write_script("echo no interpreter\n", 0755);
    run_argv(script, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_NOT_EXECUTABLE);
    ck_assert_int_eq(seen.code, ENOEXEC);
    write_script("#!/no/such/interpreter\n", 0755);
    run_argv(script, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_NOT_FOUND);
    write_script("#!/bin/sh\necho relative; pwd\n", 0755);
    run_argv(script, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_EXITED);
    ck_assert_ptr_nonnull(strstr(seen.out, root));
    seen.cwd = "nowhere";
    run_argv(script, 1000);
    ck_assert_int_eq(seen.end, RB_CHILD_SPAWN_FAILED);
    ck_assert_int_eq(seen.code, ENOENT);
}
END_TEST

START_TEST(output_cap_keeps_both_ends)
{
    seen.cap = 1000;
    run_shell("i=0; while [ $i -lt 1000 ]; do echo line$i; i=$((i+1)); done", 5000);
    ck_assert(seen.truncated);
    ck_assert_ptr_eq(strstr(seen.out, "line0\n"), seen.out);
    ck_assert_ptr_nonnull(strstr(seen.out, "\n[... 6890 bytes left out ...]\n"));
    ck_assert_ptr_nonnull(strstr(seen.out, "line999\n"));
    ck_assert_uint_eq(seen.out_len, 1000 + strlen("\n[... 6890 bytes left out ...]\n"));
    seen.cap = 7890; /* exactly as much as is printed */
    run_shell("i=0; while [ $i -lt 1000 ]; do echo line$i; i=$((i+1)); done", 5000);
    ck_assert(!seen.truncated);
    ck_assert_uint_eq(seen.out_len, 7890);
    ck_assert_ptr_null(strstr(seen.out, "left out"));
}
END_TEST

START_TEST(endless_output_ends_at_the_deadline)
{
    double after_s = run_shell("exec yes", 300);
    ck_assert_int_eq(seen.end, RB_CHILD_TIMEOUT);
    ck_assert(seen.truncated);
    ck_assert(after_s < 1.5);
}
END_TEST

/* Dead and waiting for process 1 to collect it counts as gone: that is not ours to do. */
static bool is_zombie(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    return got > 0 && strstr(text, ") Z ") != NULL;
}

static bool is_gone(pid_t pid)
{
    ck_assert_int_gt(pid, 1);
    for (int i = 0; i < 50; i++) {
        if ((kill(pid, 0) != 0 && errno == ESRCH) || is_zombie(pid))
            return true;
        usleep(10000);
    }
    return false;
}

START_TEST(group_that_ignores_term_is_killed)
{
    /* The grandchild ignores TERM as well and tells who it is. */
    double after_s = run_shell("trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait; while :; do sleep 1; done",
                               300);
    ck_assert_int_eq(seen.end, RB_CHILD_TIMEOUT);
    ck_assert(after_s >= 1.2 && after_s < 2.3); /* deadline + 2 s */
    ck_assert(is_gone((pid_t)atoi(seen.out)));
}
END_TEST

START_TEST(term_is_enough_for_the_polite)
{
    double after_s = run_shell("trap 'echo bye; exit 0' TERM; echo ready; sleep 30 & wait", 400);
    ck_assert_int_eq(seen.end, RB_CHILD_TIMEOUT);
    ck_assert_str_eq(seen.out, "ready\nbye\n");
    ck_assert(after_s < 1.2);
}
END_TEST

START_TEST(grandchild_with_the_pipe_does_not_hang_the_run)
{
    double after_s = run_shell("sleep 60 & echo $!; exit 0", 8000);
    ck_assert_int_eq(seen.end, RB_CHILD_EXITED);
    ck_assert(after_s < 2);
    ck_assert(is_gone((pid_t)atoi(seen.out)));
}
END_TEST

START_TEST(environment_is_clean)
{
    static const char *const extra[] = {"MINE=yes", "PAGER=less", NULL};
    ck_assert_int_eq(setenv("RB_TEST_SECRET", "do not leak", 1), 0);
    seen.env = extra;
    run_shell("env; ulimit -c; ulimit -n; cat; ls /proc/self/fd 2>/dev/null | wc -l", 5000);
    ck_assert_int_eq(seen.end, RB_CHILD_EXITED);
    ck_assert_ptr_null(strstr(seen.out, "do not leak"));
    const char *const wanted[] = {"PYTHONDONTWRITEBYTECODE=1\n",
                                  "GIT_OPTIONAL_LOCKS=0\n",
                                  "GIT_TERMINAL_PROMPT=0\n",
                                  "MINE=yes\n",
                                  "PAGER=less\n",
                                  "HOME=/",
                                  "LC_ALL=C.UTF-8\n",
                                  "\n0\n1024\n"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        ck_assert_msg(strstr(seen.out, wanted[i]), "missing %s in\n%s", wanted[i], seen.out);
    ck_assert_ptr_null(strstr(seen.out, "PAGER=cat\nPAGER"));
}
END_TEST

START_TEST(no_descriptor_is_inherited)
{
    int leaked = open("/dev/null", O_RDONLY); /* on purpose without close-on-exec */
    ck_assert_int_ge(leaked, 3);
    char script[128];
    snprintf(script, sizeof script, "if [ -e /dev/fd/%d ]; then echo leaked; else echo closed; fi", leaked);
    run_shell(script, 5000);
    ck_assert_str_eq(seen.out, "closed\n");
    close(leaked);
}
END_TEST

START_TEST(untrusted_starts_nothing)
{
    const char *const argv[] = {"sh", "-c", "exit 0", NULL};
    struct rb_children *children = children_new();
    struct seen *options = &seen;
    struct run_fixture fixture;
    seen.argv = argv;
    run_fixture_init(&fixture, &kind, &options, root, 1000);
    fixture.spec.untrusted = true;
    rb_children_start(children, &fixture.run);
    ck_assert(fixture.finished);
    ck_assert_str_eq(fixture.reason, "untrusted");
    ck_assert_uint_eq(rb_children_running(children), 0);
    run_fixture_fini(&fixture);
    rb_children_free(children);
}
END_TEST

START_TEST(free_kills_and_cancels)
{
    const char *const argv[] = {"sh", "-c", "trap '' TERM; while :; do sleep 1; done", NULL};
    struct rb_children *children = children_new();
    struct seen *options = &seen;
    struct run_fixture fixture;
    seen.argv = argv;
    run_fixture_init(&fixture, &kind, &options, root, 60000);
    rb_children_start(children, &fixture.run);
    bool never = false;
    (void)run_fixture_wait(ev_default_loop(0), &never, 0.1);
    ck_assert_uint_eq(rb_children_running(children), 1);
    rb_children_free(children);
    ck_assert(fixture.finished);
    ck_assert_str_eq(fixture.reason, "cancelled");
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    run_fixture_fini(&fixture);
}
END_TEST

struct raw {
    bool done;
    enum rb_child_end end;
    char out[64];
};

static void raw_done(void *arg, const struct rb_child_result *result, int64_t peak)
{
    struct raw *raw = arg;
    ck_assert_int_eq(peak, -1);
    raw->done = true;
    raw->end = result->end;
    snprintf(raw->out, sizeof raw->out, "%.60s", result->out);
}

START_TEST(input_larger_than_a_pipe_arrives)
{
    struct rb_children *children = children_new();
    size_t len = 1000000;
    char *input = malloc(len);
    memset(input, 'x', len);
    const char *const argv[] = {"/bin/sh", "-c", "wc -c", NULL}, *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    struct raw raw = {0};
    struct rb_child_start start = {.argv = argv,
                                   .envp = envp,
                                   .cwd = "/",
                                   .input = input,
                                   .input_len = len,
                                   .output_cap = 100,
                                   .deadline_ns = rb_elapsed_ns(rb_platform_host()->clock) + 5 * RB_NS_PER_S,
                                   .done = raw_done,
                                   .arg = &raw};
    struct rb_error err = {0};
    ck_assert_ptr_nonnull(rb_child_process_start(children, &start, &err));
    free(input);
    ck_assert(run_fixture_wait(ev_default_loop(0), &raw.done, 5));
    ck_assert_int_eq(atoi(raw.out), 1000000);
    /* One that does not read: its input is dropped, not the daemon. */
    const char *const deaf[] = {"/bin/sh", "-c", "exec 0<&-; echo deaf", NULL};
    raw.done = false;
    start.argv = deaf;
    char small[200000];
    memset(small, 'y', sizeof small);
    start.input = small;
    start.input_len = sizeof small;
    ck_assert_ptr_nonnull(rb_child_process_start(children, &start, &err));
    ck_assert(run_fixture_wait(ev_default_loop(0), &raw.done, 5));
    ck_assert_int_eq(raw.end, RB_CHILD_EXITED);
    ck_assert_str_eq(raw.out, "deaf\n");
    rb_children_free(children);
}
END_TEST

START_TEST(only_the_default_loop_will_do)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct rb_error err = {0};
    (void)ev_default_loop(0);
    ck_assert_ptr_null(rb_children_new(loop, rb_platform_host(), &err));
    ck_assert_int_eq(err.code, RB_EINVAL);
    ev_loop_destroy(loop);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("children");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, remove_root);
    tcase_add_test(tcase, exit_code_and_both_streams);
    tcase_add_test(tcase, start_errors_are_exact);
    tcase_add_test(tcase, output_cap_keeps_both_ends);
    tcase_add_test(tcase, endless_output_ends_at_the_deadline);
    tcase_add_test(tcase, group_that_ignores_term_is_killed);
    tcase_add_test(tcase, term_is_enough_for_the_polite);
    tcase_add_test(tcase, grandchild_with_the_pipe_does_not_hang_the_run);
    tcase_add_test(tcase, environment_is_clean);
    tcase_add_test(tcase, no_descriptor_is_inherited);
    tcase_add_test(tcase, untrusted_starts_nothing);
    tcase_add_test(tcase, free_kills_and_cancels);
    tcase_add_test(tcase, input_larger_than_a_pipe_arrives);
    tcase_add_test(tcase, only_the_default_loop_will_do);
    Suite *suite = suite_create("children");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
