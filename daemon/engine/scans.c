/* Scan runs: gathered for a moment (a short one when somebody waits), then one helper process does them all in one pass over the tree.
 *
 * The helper is the program runbookd-scan (daemon/scan_main.c) beside this binary or in libexec, else this binary once more: the same code, which only starts more slowly, so
 * that a binary that was copied alone still scans.
 *
 * Invariants: at most one helper at a time; a run is either waiting or in the batch that the helper works on; a run's timeout counts from
 * the start of its batch,
 * because until then it waits on purpose, and the batch's deadline is the longest of them. When a helper dies, each check of a larger
 * batch is tried once more
 * alone, so that the file that kills one check's parser does not blind the others. */
#include "environment.h"
#include "scan_wire.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATHER_S         0.2
#define GATHER_URGENT_S  0.002 /* what is brought forward together starts within a few turns of the loop */
#define OUTPUT_CAP       ((size_t)96 * 1024 * 1024)
#define GRACE_NS         RB_NS_PER_S /* the helper itself stops at the deadline and says what it has seen until then */
#define HELPER_NICENESS  10
#define HELPER_PATH_MAX  4096u
#define HELPER_NAME      "runbookd-scan"
#define ENVIRONMENT_MAX  ((size_t)256 * 1024)
#define LAST_STDERR_SHOW 200

/* A sanitizer's shadow memory alone is larger than any sensible limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_LIMIT UINT64_C(0)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MEMORY_LIMIT UINT64_C(0)
#endif
#endif
#ifndef MEMORY_LIMIT
#define MEMORY_LIMIT (UINT64_C(2) * 1024 * 1024 * 1024)
#endif

struct waiting {
    struct rb_run *run;
    bool alone; /* a helper died with it: the next one does nothing else */
};

struct rb_scans {
    struct ev_loop *loop;
    struct rb_children *children;
    const struct rb_platform *platform;
    ev_timer gather;
    struct waiting *waiting; /* in order of arrival */
    size_t waiting_count, waiting_cap;
    struct rb_run **batch;
    size_t batch_count;
    bool batch_alone;
    struct rb_child_process *process;
    struct rb_scan_stats stats;
    char helper[HELPER_PATH_MAX];
};

static void on_gather(struct ev_loop *loop, ev_timer *timer, int events);

/* ---- the helper's program ---- */

/* A file that only root, we, or whoever owns the daemon's binary can have put there. */
static bool is_trusted(const char *path, const struct stat *self)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & S_IWOTH) && access(path, X_OK) == 0 &&
           (st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == self->st_uid);
}

static int find_helper(const struct rb_platform *platform, char *out, size_t size, struct rb_error *err)
{
    static const char *const folders[] = {"", RB_HELPER_FOLDER};
    struct stat self;
    int rc = platform->self_path(out, size, err);
    const char *slash = rc < 0 ? NULL : strrchr(out, '/');
    if (!slash || stat(out, &self) != 0)
        return rc;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[HELPER_PATH_MAX];
        int from = folders[i][0] == '/' ? 0 : (int)(slash - out) + 1; /* relative ones count from the binary's */
        int len = snprintf(path, sizeof path, "%.*s%s%s", from, out, folders[i], HELPER_NAME);
        if (len > 0 && (size_t)len < size && is_trusted(path, &self)) {
            memcpy(out, path, (size_t)len + 1);
            break;
        }
    }
    return rc;
}

struct rb_scans *rb_scans_new(struct ev_loop *loop, struct rb_children *children, const struct rb_platform *platform, struct rb_error *err)
{
    struct rb_scans *scans = calloc(1, sizeof *scans);
    if (!scans) {
        rb_error_set(err, RB_ENOMEM, "cannot prepare scans: out of memory");
        return NULL;
    }
    scans->loop = loop;
    scans->children = children;
    scans->platform = platform;
    ev_timer_init(&scans->gather, on_gather, GATHER_S, 0.);
    scans->gather.data = scans;
    if (find_helper(platform, scans->helper, sizeof scans->helper, err) < 0) {
        free(scans);
        return NULL;
    }
    return scans;
}

int rb_scans_set_helper(struct rb_scans *scans, const char *path, struct rb_error *err)
{
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof scans->helper)
        return rb_error_set(err, RB_EINVAL, "the scan helper's path must be absolute and shorter than %zu bytes", sizeof scans->helper);
    memcpy(scans->helper, path, len + 1);
    return RB_OK;
}

/* ---- waiting ---- */

static bool push(struct rb_scans *scans, struct rb_run *run, bool alone)
{
    if (scans->waiting_count == scans->waiting_cap) {
        size_t cap = scans->waiting_cap ? 2 * scans->waiting_cap : 16;
        struct waiting *grown = realloc(scans->waiting, cap * sizeof *grown);
        if (!grown)
            return false;
        scans->waiting = grown;
        scans->waiting_cap = cap;
    }
    scans->waiting[scans->waiting_count++] = (struct waiting){.run = run, .alone = alone};
    return true;
}

static void finish(struct rb_run *run, const char *reason, const char *message)
{
    rb_outcome_init(&run->outcome, run->arena);
    rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, reason, "%s", message);
    rb_run_finish(run);
}

/* Somebody waits: brought forward, or run by hand. */
static bool is_urgent(const struct rb_run *run)
{
    return run->urgent || run->ctx.by_hand;
}

static double gather_s(const struct rb_scans *scans)
{
    bool urgent = false;
    for (size_t i = 0; i < scans->waiting_count; i++)
        urgent = urgent || is_urgent(scans->waiting[i].run);
    if (scans->waiting[0].alone)
        return 0.;
    return urgent ? GATHER_URGENT_S : GATHER_S;
}

static void arm(struct rb_scans *scans)
{
    if (scans->waiting_count == 0 || scans->stats.active)
        return;
    double wait_s = gather_s(scans);
    ev_now_update(scans->loop);
    if (ev_is_active(&scans->gather) && ev_timer_remaining(scans->loop, &scans->gather) <= wait_s)
        return;
    ev_timer_stop(scans->loop, &scans->gather);
    ev_timer_set(&scans->gather, wait_s, 0.);
    ev_timer_start(scans->loop, &scans->gather);
}

void rb_scans_start(struct rb_scans *scans, struct rb_run *run)
{
    if (push(scans, run, false))
        arm(scans);
    else
        finish(run, "resource_limit", "not started: out of memory");
}

/* Moves what goes together into the batch: one that must be alone, or all others of the same root. */
static bool take_batch(struct rb_scans *scans)
{
    struct rb_run **batch = calloc(scans->waiting_count, sizeof *batch);
    if (!batch)
        return false;
    struct waiting first = scans->waiting[0];
    size_t kept = 0;
    scans->batch_count = 0;
    for (size_t i = 0; i < scans->waiting_count; i++) {
        struct waiting entry = scans->waiting[i];
        bool fits = i == 0 || (!first.alone && !entry.alone && strcmp(entry.run->ctx.root, first.run->ctx.root) == 0);
        if (fits && scans->batch_count < SCAN_JOB_MAX_RUNS)
            batch[scans->batch_count++] = entry.run;
        else
            scans->waiting[kept++] = entry;
    }
    scans->waiting_count = kept;
    scans->batch = batch;
    scans->batch_alone = first.alone;
    return true;
}

/* ---- the end of a batch ---- */

/* The batch is over: takes it off before its runs are finished, because finishing one may start the next. */
static struct rb_run **release_batch(struct rb_scans *scans, size_t *out_count)
{
    struct rb_run **batch = scans->batch;
    *out_count = scans->batch_count;
    scans->batch = NULL;
    scans->batch_count = 0;
    scans->process = NULL;
    scans->stats.active = false;
    return batch;
}

static void fail_batch(struct rb_scans *scans, const char *reason, const char *message)
{
    size_t count;
    struct rb_run **batch = release_batch(scans, &count);
    scans->stats.failures++;
    for (size_t i = 0; i < count; i++)
        finish(batch[i], reason, message);
    free(batch);
    arm(scans);
}

static void describe_death(const struct rb_child_result *result, char *out, size_t out_size)
{
    int shown = (int)(result->err_len < LAST_STDERR_SHOW ? result->err_len : LAST_STDERR_SHOW);
    const char *last = result->err + result->err_len - shown;
    const char *limit = MEMORY_LIMIT ? "; its memory limit is 2 GiB" : "";
    if (result->end == RB_CHILD_SIGNALED)
        (void)snprintf(out, out_size, "the scan helper was killed by signal %d (%s)%s", result->code, strsignal(result->code), limit);
    else if (result->end == RB_CHILD_EXITED)
        (void)snprintf(out, out_size, "the scan helper ended with code %d%s%s%.*s", result->code, limit, shown ? ": " : "", shown, last);
    else
        (void)snprintf(out, out_size, "the scan helper could not be started: %s", strerror(result->code));
}

static void retry_alone(struct rb_scans *scans, const char *message)
{
    size_t count;
    struct rb_run **batch = release_batch(scans, &count);
    scans->stats.failures++;
    for (size_t i = 0; i < count; i++) {
        if (!push(scans, batch[i], true))
            finish(batch[i], "scan_helper_died", message);
    }
    free(batch);
    arm(scans);
}

static void on_death(struct rb_scans *scans, const struct rb_child_result *result)
{
    char message[512];
    if (result->end == RB_CHILD_TIMEOUT) {
        fail_batch(scans, "timeout",
                   "the scan did not end before its timeout; the tree is large or slow: narrow `files` or raise `timeout`");
        return;
    }
    describe_death(result, message, sizeof message);
    if (scans->batch_count > 1 && (result->end == RB_CHILD_SIGNALED || result->end == RB_CHILD_EXITED))
        retry_alone(scans, message);
    else
        fail_batch(scans, "scan_helper_died", message);
}

static void read_peak(struct rb_scans *scans, const char *line, size_t len)
{
    json_t *json = json_loadb(line, len, 0, NULL);
    const json_t *peak = json_object_get(json, "peak_resident_bytes");
    if (json_is_integer(peak) && json_integer_value(peak) >= 0)
        scans->stats.peak_resident_bytes = json_integer_value(peak);
    json_decref(json);
}

static void deliver(struct rb_run *run, const char *line, size_t len)
{
    struct rb_error error = {0};
    if (rb_outcome_from_json(line, len, run->kind, &run->outcome, &error) < 0) {
        rb_outcome_init(&run->outcome, run->arena);
        rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "scan_helper_died", "the scan helper sent what cannot be read: %s", error.message);
    }
    rb_run_finish(run);
}

static void deliver_batch(struct rb_scans *scans, const struct rb_child_result *result)
{
    size_t count;
    struct rb_run **batch = release_batch(scans, &count);
    const char *line = result->out, *end = result->out + result->out_len;
    for (size_t i = 0; i <= count; i++) {
        const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        if (i < count && !newline)
            finish(batch[i], "scan_helper_died", "the scan helper ended before it reported on this check");
        else if (i < count)
            deliver(batch[i], line, (size_t)(newline - line));
        else if (newline)
            read_peak(scans, line, (size_t)(newline - line));
        line = newline ? newline + 1 : end;
    }
    free(batch);
    arm(scans);
}

static void on_helper_done(void *arg, const struct rb_child_result *result, int64_t peak_resident_bytes RB_UNUSED)
{
    struct rb_scans *scans = arg;
    if (!result) {
        fail_batch(scans, "cancelled", "given up: the daemon stops");
        return;
    }
    scans->stats.last_duration_s = result->duration_s;
    if (result->end != RB_CHILD_EXITED || result->code != 0)
        on_death(scans, result);
    else if (result->truncated)
        fail_batch(scans, "resource_limit", "the scan helper reported more than the daemon takes");
    else
        deliver_batch(scans, result);
}

/* ---- the start of a batch ---- */

static int start_helper(struct rb_scans *scans, struct rb_arena *arena, struct rb_error *err)
{
    int64_t timeout_ms = 0;
    bool urgent = false;
    for (size_t i = 0; i < scans->batch_count; i++) {
        timeout_ms = scans->batch[i]->spec->timeout_ms > timeout_ms ? scans->batch[i]->spec->timeout_ms : timeout_ms;
        urgent = urgent || is_urgent(scans->batch[i]);
    }
    const char *root = scans->batch[0]->ctx.root;
    RB_BUF_AUTO job;
    rb_buf_init(&job, SCAN_JOB_MAX_BYTES);
    int rc = scan_job_write(root, timeout_ms, scans->batch, scans->batch_count, &job, err);
    if (rc < 0)
        return rc;
    const char *const argv[] = {scans->helper, "--scan-helper", NULL};
    struct rb_child_start start = {.argv = argv,
                                   .envp = arena ? environment_build(arena, NULL) : NULL,
                                   .cwd = root,
                                   .input = job.data,
                                   .input_len = job.len,
                                   .output_cap = OUTPUT_CAP,
                                   .deadline_ns = rb_elapsed_ns(scans->platform->clock) + timeout_ms * RB_NS_PER_MS + GRACE_NS,
                                   .memory_limit_bytes = MEMORY_LIMIT,
                                   .niceness = urgent ? 0 : HELPER_NICENESS,
                                   .done = on_helper_done,
                                   .arg = scans};
    if (!start.envp)
        return rb_error_set(err, RB_ENOMEM, "cannot start the scan helper: out of memory");
    scans->process = rb_child_process_start(scans->children, &start, err);
    return scans->process ? RB_OK : err->code;
}

static void on_gather(struct ev_loop *loop RB_UNUSED, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_scans *scans = timer->data;
    struct rb_error error = {0};
    if (scans->waiting_count == 0)
        return;
    if (!take_batch(scans)) {
        arm(scans); /* out of memory for a moment: the runs wait on */
        return;
    }
    scans->stats.active = true;
    scans->stats.runs++;
    RB_ARENA_AUTO *arena = rb_arena_new(ENVIRONMENT_MAX);
    if (start_helper(scans, arena, &error) < 0)
        fail_batch(scans, "resource_limit", error.message);
}

struct rb_scan_stats rb_scans_stats(const struct rb_scans *scans)
{
    return scans->stats;
}

void rb_scans_free(struct rb_scans *scans)
{
    if (!scans)
        return;
    ev_timer_stop(scans->loop, &scans->gather);
    if (scans->process)
        rb_child_process_forget(scans->process);
    size_t count;
    struct rb_run **batch = release_batch(scans, &count);
    for (size_t i = 0; i < count; i++)
        finish(batch[i], "cancelled", "given up: the daemon stops");
    free(batch);
    while (scans->waiting_count)
        finish(scans->waiting[--scans->waiting_count].run, "cancelled", "given up before it began: the daemon stops");
    ev_timer_stop(scans->loop, &scans->gather);
    free(scans->waiting);
    free(scans);
}
