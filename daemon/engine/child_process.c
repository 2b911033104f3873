/* One program in its own process group, from fork to the last byte of its output.
 *
 * Life: start → the leader ends (libev reaps it) → the rest of its group is killed → what is still in the pipes is read → `done`. So a
 * grandchild that keeps a pipe
 * open cannot hang a run, and nothing outlives its check; only a program that leaves the group on purpose (setsid) gets away.
 * Deadline: TERM to the group, KILL_AFTER_S later KILL. A leader that not even KILL ends (it hangs in the kernel) is reported after
 * another second and
 * stays on the list until it can be reaped.
 *
 * Between fork and exec only async-signal-safe calls: the daemon has threads. fork instead of posix_spawn, because limits, the cut from
 * the parent's
 * descriptors and the exact error of exec are wanted: the child reports it through a close-on-exec pipe, which is read when the child has
 * been reaped and
 * can therefore never block. All signals are blocked across the fork, so that no handler of the daemon runs in the child.
 *
 * All functions: loop thread, which must be libev's default loop, the only one that reaps. */
#include "capture.h"
#include "children.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_AFTER_S    1.0
#define OPEN_FILES_MAX  1024u
#define READ_SIZE       ((size_t)64 * 1024)
#define DRAIN_READS_MAX 64
#define OUTPUT_CAP_MAX  ((size_t)256 * 1024 * 1024)
#define EXEC_FAILED     127

enum stage { STAGE_RUNNING, STAGE_TERMINATED, STAGE_KILLED, STAGE_REPORTED };

/* What the child tells about a start that failed. */
struct start_report {
    int error;
    bool at_exec; /* else at the working folder */
};

struct stream {
    ev_io io;
    int fd; /* -1: closed */
    struct capture capture;
};

struct rb_child_process {
    struct rb_children *children;
    struct rb_child_process *next, **link;
    pid_t pid;
    ev_child reaper;
    ev_timer timer;
    struct stream out, err;
    ev_io in;
    char *input;
    size_t input_len, input_sent;
    int in_fd, report_fd;
    enum stage stage;
    bool timed_out;
    int64_t started_ns;
    void (*done)(void *arg, const struct rb_child_result *result, int64_t peak_resident_bytes);
    void *arg;
};

/* The descriptors of one start; parent's and child's ends. */
struct plumbing {
    int in[2], out[2], err[2], report[2];
};

/* ---- descriptors ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Above the standard three and close-on-exec, whatever the daemon itself was started with. */
static int lift(int *fd)
{
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    int saved = errno;
    close_fd(fd);
    *fd = lifted;
    errno = saved;
    return lifted < 0 ? -1 : 0;
}

static int open_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        ends[0] = ends[1] = -1;
        return -1;
    }
    return lift(&ends[0]) == 0 && lift(&ends[1]) == 0 ? 0 : -1;
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void plumbing_close(struct plumbing *plumbing)
{
    for (int i = 0; i < 2; i++) {
        close_fd(&plumbing->in[i]);
        close_fd(&plumbing->out[i]);
        close_fd(&plumbing->err[i]);
        close_fd(&plumbing->report[i]);
    }
}

static int plumbing_open(struct plumbing *plumbing, bool input, struct rb_error *err)
{
    *plumbing = (struct plumbing){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    bool complete = open_pipe(plumbing->out) == 0 && open_pipe(plumbing->err) == 0 && open_pipe(plumbing->report) == 0;
    if (complete && input) {
        complete = open_pipe(plumbing->in) == 0 && set_nonblocking(plumbing->in[1]) == 0;
    } else if (complete) {
        plumbing->in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        complete = plumbing->in[0] >= 0 && lift(&plumbing->in[0]) == 0;
    }
    complete = complete && set_nonblocking(plumbing->out[0]) == 0 && set_nonblocking(plumbing->err[0]) == 0 &&
               set_nonblocking(plumbing->report[0]) == 0;
    if (complete)
        return RB_OK;
    int saved = errno;
    plumbing_close(plumbing);
    return rb_error_sys(err, saved, "cannot make pipes for a child process");
}

/* ---- the child's side: async-signal-safe only ---- */

static void lower(struct rlimit *limit, rlim_t wanted)
{
    if (limit->rlim_max == RLIM_INFINITY || limit->rlim_max > wanted)
        limit->rlim_max = wanted;
    limit->rlim_cur = limit->rlim_max;
}

/* A macro, because the type of the first argument of getrlimit differs between C libraries. */
#define LIMIT(resource, wanted)                     \
    do {                                            \
        struct rlimit limit_now;                    \
        if (getrlimit(resource, &limit_now) == 0) { \
            lower(&limit_now, (wanted));            \
            (void)setrlimit(resource, &limit_now);  \
        }                                           \
    } while (0)

static _Noreturn void report_and_exit(int fd, bool at_exec)
{
    struct start_report report = {.error = errno, .at_exec = at_exec};
    ssize_t written = write(fd, &report, sizeof report);
    _exit(written == (ssize_t)sizeof report ? EXEC_FAILED : EXEC_FAILED - 1);
}

static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        if (number != SIGKILL && number != SIGSTOP)
            (void)signal(number, SIG_DFL);
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_main(const struct rb_child_start *start, const struct plumbing *plumbing, const struct rb_platform *platform,
                                 pid_t parent)
{
    (void)setpgid(0, 0);
    if (platform->die_with_parent)
        platform->die_with_parent();
    /* The parent may have died before the kernel was asked. */
    if (getppid() != parent)
        _exit(EXEC_FAILED);
    if (dup2(plumbing->in[0], STDIN_FILENO) < 0 || dup2(plumbing->out[1], STDOUT_FILENO) < 0 || dup2(plumbing->err[1], STDERR_FILENO) < 0)
        report_and_exit(plumbing->report[1], false);
    if (platform->cloexec_from)
        platform->cloexec_from(3);
    LIMIT(RLIMIT_CORE, 0);
    LIMIT(RLIMIT_NOFILE, OPEN_FILES_MAX);
    if (start->memory_limit_bytes)
        LIMIT(RLIMIT_AS, (rlim_t)start->memory_limit_bytes);
    if (start->niceness)
        (void)setpriority(PRIO_PROCESS, 0, start->niceness);
    if (chdir(start->cwd) != 0)
        report_and_exit(plumbing->report[1], false);
    /* execve takes pointers to char for historical reasons and changes nothing (POSIX, execve, rationale). */
    char *const *argv;
    char *const *envp;
    memcpy(&argv, &start->argv, sizeof argv);
    memcpy(&envp, &start->envp, sizeof envp);
    reset_signals();
    (void)execve(start->argv[0], argv, envp);
    report_and_exit(plumbing->report[1], true);
}

static pid_t fork_child(const struct rb_child_start *start, const struct plumbing *plumbing, const struct rb_platform *platform)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_main(start, plumbing, platform, parent);
    int saved = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* Both sides do it: whoever comes first, the group exists before anybody signals it. */
    if (pid > 0)
        (void)setpgid(pid, pid);
    errno = saved;
    return pid;
}

/* ---- streams ---- */

static void stream_close(struct rb_child_process *process, struct stream *stream)
{
    ev_io_stop(process->children->loop, &stream->io);
    close_fd(&stream->fd);
}

/* One read; false when nothing more is to be had now. */
static bool stream_read(struct rb_child_process *process, struct stream *stream)
{
    char bytes[READ_SIZE];
    ssize_t got = read(stream->fd, bytes, sizeof bytes);
    if (got > 0) {
        capture_add(&stream->capture, bytes, (size_t)got);
        return true;
    }
    if (got < 0 && errno == EINTR)
        return true;
    if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        stream_close(process, stream);
    return false;
}

static void on_output(struct ev_loop *loop RB_UNUSED, ev_io *io, int events RB_UNUSED)
{
    struct rb_child_process *process = io->data;
    (void)stream_read(process, io == &process->out.io ? &process->out : &process->err);
}

static void stream_drain(struct rb_child_process *process, struct stream *stream)
{
    for (int i = 0; i < DRAIN_READS_MAX && stream->fd >= 0 && stream_read(process, stream); i++) {
    }
    stream_close(process, stream);
}

static void stream_open(struct rb_child_process *process, struct stream *stream, int *take_fd)
{
    stream->fd = *take_fd;
    *take_fd = -1;
    ev_io_init(&stream->io, on_output, stream->fd, EV_READ);
    stream->io.data = process;
    ev_io_start(process->children->loop, &stream->io);
}

static void input_close(struct rb_child_process *process)
{
    ev_io_stop(process->children->loop, &process->in);
    close_fd(&process->in_fd);
    free(process->input);
    process->input = NULL;
}

static void on_input(struct ev_loop *loop RB_UNUSED, ev_io *io, int events RB_UNUSED)
{
    struct rb_child_process *process = io->data;
    ssize_t written = write(process->in_fd, process->input + process->input_sent, process->input_len - process->input_sent);
    if (written > 0)
        process->input_sent += (size_t)written;
    bool broken = written < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    if (broken || process->input_sent == process->input_len)
        input_close(process);
}

/* ---- the end ---- */

static void process_free(struct rb_child_process *process)
{
    struct rb_children *children = process->children;
    *process->link = process->next;
    if (process->next)
        process->next->link = process->link;
    children->running--;
    ev_child_stop(children->loop, &process->reaper);
    ev_timer_stop(children->loop, &process->timer);
    stream_close(process, &process->out);
    stream_close(process, &process->err);
    input_close(process);
    close_fd(&process->report_fd);
    capture_fini(&process->out.capture);
    capture_fini(&process->err.capture);
    free(process);
}

static void judge_start(const struct start_report *report, struct rb_child_result *result)
{
    result->code = report->error;
    result->end = RB_CHILD_SPAWN_FAILED;
    if (!report->at_exec)
        return;
    if (report->error == ENOENT || report->error == ENOTDIR)
        result->end = RB_CHILD_NOT_FOUND;
    else if (report->error == EACCES || report->error == ENOEXEC || report->error == EPERM || report->error == EISDIR ||
             report->error == ETXTBSY)
        result->end = RB_CHILD_NOT_EXECUTABLE;
}

static void judge_end(struct rb_child_process *process, int status, struct rb_child_result *result)
{
    struct start_report report;
    ssize_t got = read(process->report_fd, &report, sizeof report);
    if (got == (ssize_t)sizeof report) {
        judge_start(&report, result);
    } else if (process->timed_out) {
        result->end = RB_CHILD_TIMEOUT;
    } else if (WIFSIGNALED(status)) {
        result->end = RB_CHILD_SIGNALED;
        result->code = WTERMSIG(status);
    } else {
        result->end = RB_CHILD_EXITED;
        result->code = WEXITSTATUS(status);
    }
}

/* Hands the result over; `reaped` false: the leader is still there and only its deadline is known. */
static void report(struct rb_child_process *process, bool reaped, int status)
{
    struct rb_child_result result = {.end = RB_CHILD_TIMEOUT};
    if (reaped)
        judge_end(process, status, &result);
    stream_drain(process, &process->out);
    stream_drain(process, &process->err);
    char *out = capture_text(&process->out.capture, &result.out_len);
    char *err = capture_text(&process->err.capture, &result.err_len);
    result.out = out ? out : "";
    result.err = err ? err : "";
    result.truncated = capture_truncated(&process->out.capture) || capture_truncated(&process->err.capture) || !out || !err;
    result.duration_s = (double)(rb_elapsed_ns(process->children->platform->clock) - process->started_ns) / (double)RB_NS_PER_S;
    process->stage = STAGE_REPORTED;
    process->done(process->arg, &result, -1);
    free(out);
    free(err);
}

static void signal_group(const struct rb_child_process *process, int number)
{
    if (kill(-process->pid, number) != 0)
        (void)kill(process->pid, number);
}

static void on_reaped(struct ev_loop *loop, ev_child *reaper, int events RB_UNUSED)
{
    struct rb_child_process *process = reaper->data;
    ev_child_stop(loop, reaper);
    ev_timer_stop(loop, &process->timer);
    /* Only the group from here on: the leader's number is free for anybody. */
    (void)kill(-process->pid, SIGKILL);
    if (process->stage != STAGE_REPORTED)
        report(process, true, reaper->rstatus);
    process_free(process);
}

static void terminate(struct rb_child_process *process)
{
    signal_group(process, SIGTERM);
    process->stage = STAGE_TERMINATED;
    process->timer.repeat = KILL_AFTER_S;
    ev_timer_again(process->children->loop, &process->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_child_process *process = timer->data;
    switch (process->stage) {
    case STAGE_RUNNING:
        process->timed_out = true;
        terminate(process);
        break;
    case STAGE_TERMINATED:
        signal_group(process, SIGKILL);
        process->stage = STAGE_KILLED;
        break;
    case STAGE_KILLED:
        ev_timer_stop(loop, timer);
        report(process, false, 0);
        break;
    case STAGE_REPORTED:
        break;
    }
}

void rb_child_process_kill(struct rb_child_process *process)
{
    if (process->stage == STAGE_RUNNING)
        terminate(process);
}

static void ignore_result(void *arg RB_UNUSED, const struct rb_child_result *result RB_UNUSED, int64_t peak_resident_bytes RB_UNUSED)
{
}

void rb_child_process_forget(struct rb_child_process *process)
{
    process->done = ignore_result;
    process->arg = NULL;
    rb_child_process_kill(process);
}

/* ---- start ---- */

static struct rb_child_process *process_new(struct rb_children *children, const struct rb_child_start *start)
{
    struct rb_child_process *process = calloc(1, sizeof *process);
    if (!process)
        return NULL;
    *process = (struct rb_child_process){.children = children,
                                         .out.fd = -1,
                                         .err.fd = -1,
                                         .in_fd = -1,
                                         .report_fd = -1,
                                         .done = start->done,
                                         .arg = start->arg,
                                         .started_ns = rb_elapsed_ns(children->platform->clock)};
    size_t cap = start->output_cap < OUTPUT_CAP_MAX ? start->output_cap : OUTPUT_CAP_MAX;
    capture_init(&process->out.capture, cap);
    capture_init(&process->err.capture, cap);
    if (start->input && start->input_len) {
        process->input = malloc(start->input_len);
        if (!process->input) {
            free(process);
            return NULL;
        }
        memcpy(process->input, start->input, start->input_len);
        process->input_len = start->input_len;
    }
    return process;
}

static void watch(struct rb_child_process *process, struct plumbing *plumbing, int64_t deadline_ns)
{
    struct rb_children *children = process->children;
    process->next = children->first;
    process->link = &children->first;
    if (children->first)
        children->first->link = &process->next;
    children->first = process;
    children->running++;
    stream_open(process, &process->out, &plumbing->out[0]);
    stream_open(process, &process->err, &plumbing->err[0]);
    process->report_fd = plumbing->report[0];
    plumbing->report[0] = -1;
    ev_io_init(&process->in, on_input, plumbing->in[1], EV_WRITE);
    if (process->input) {
        process->in_fd = plumbing->in[1];
        plumbing->in[1] = -1;
        process->in.data = process;
        ev_io_start(children->loop, &process->in);
    }
    ev_child_init(&process->reaper, on_reaped, process->pid, 0);
    process->reaper.data = process;
    ev_child_start(children->loop, &process->reaper);
    double left_s = (double)(deadline_ns - process->started_ns) / (double)RB_NS_PER_S;
    ev_timer_init(&process->timer, on_timer, 0., left_s > 0.001 ? left_s : 0.001);
    process->timer.data = process;
    ev_now_update(children->loop);
    ev_timer_again(children->loop, &process->timer);
}

struct rb_child_process *rb_child_process_start(struct rb_children *children, const struct rb_child_start *start, struct rb_error *err)
{
    assert(start->argv[0] && start->argv[0][0] == '/' && start->done);
    if (children->stopping) {
        rb_error_set(err, RB_EBUSY, "not started: the daemon stops");
        return NULL;
    }
    struct plumbing plumbing;
    if (plumbing_open(&plumbing, start->input && start->input_len, err) < 0)
        return NULL;
    struct rb_child_process *process = process_new(children, start);
    if (!process) {
        plumbing_close(&plumbing);
        rb_error_set(err, RB_ENOMEM, "cannot start %s: out of memory", start->argv[0]);
        return NULL;
    }
    process->pid = fork_child(start, &plumbing, children->platform);
    if (process->pid < 0) {
        rb_error_sys(err, errno, "cannot start %s", start->argv[0]);
        plumbing_close(&plumbing);
        free(process->input);
        free(process);
        return NULL;
    }
    watch(process, &plumbing, start->deadline_ns);
    plumbing_close(&plumbing);
    return process;
}

/* ---- the way out ---- */

void child_processes_cancel(struct rb_children *children)
{
    children->stopping = true;
    for (struct rb_child_process *process = children->first; process; process = process->next) {
        if (process->stage == STAGE_REPORTED)
            continue;
        process->stage = STAGE_REPORTED;
        process->done(process->arg, NULL, -1);
    }
}

bool child_processes_signal(struct rb_children *children, int signal_number)
{
    for (struct rb_child_process *process = children->first; process; process = process->next)
        signal_group(process, signal_number);
    return children->first != NULL;
}

void child_processes_reap(struct rb_children *children)
{
    for (struct rb_child_process *process = children->first, *next; process; process = next) {
        next = process->next;
        if (waitpid(process->pid, NULL, WNOHANG) == 0)
            continue;
        (void)kill(-process->pid, SIGKILL);
        process_free(process);
    }
}

void child_processes_forget(struct rb_children *children)
{
    while (children->first)
        process_free(children->first); /* NOLINT(clang-analyzer-unix.Malloc): it takes the process off the list */
}
