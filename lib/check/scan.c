/* The scan engine: one listing and one read per file, however many checks look at it.
 *
 * Invariants: every file is handed to each job that asked for it exactly once, in the order of paths; the bytes live in one buffer that is reused, so that the
 * peak is the largest file; nothing but regular files is opened, by lstat first and again on the open descriptor, and no symlink is ever followed. A job whose
 * deadline passed or that was cancelled sees no further file, and its summary says so: an incomplete scan must never look green. */
#include "runbook/check/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/source/files.h"

enum { DEFAULT_MAX_FILE = 64 << 20, DEADLINE_STRIDE = 16 };

struct job_state {
    struct rb_scan_request request;
    struct rb_scan_summary summary;
    void *state;
};

struct engine {
    struct rb_scan_job *jobs;
    struct job_state *states;
    size_t count;
    struct rb_arena *arena; /* the listing */
    struct rb_below below;
    bool outside_git; /* then nothing is tracked, and the tree itself is what there is to scan */
    char *bytes;
    size_t cap;
};

static bool matches(const struct engine *engine, const struct rb_scan_request *request, const struct rb_file_entry *entry)
{
    if (engine->outside_git ? false : entry->tracked ? !request->tracked : !request->untracked)
        return false;
    bool in = request->include.count == 0;
    for (size_t i = 0; i < request->include.count && !in; i++)
        in = rb_glob_match(request->include.items[i], entry->path);
    for (size_t i = 0; i < request->exclude.count && in; i++)
        in = !rb_glob_match(request->exclude.items[i], entry->path);
    return in;
}

static void stop_job(struct job_state *job, const char *why)
{
    if (job->summary.complete) {
        job->summary.complete = false;
        job->summary.incomplete_why = why;
    }
}

static bool is_active(const struct rb_scan_job *job, struct job_state *state, bool look_at_clock)
{
    if (!state->summary.complete)
        return false;
    if (job->ctx.cancelled && atomic_load_explicit(job->ctx.cancelled, memory_order_relaxed))
        stop_job(state, "cancelled");
    else if (look_at_clock && job->ctx.clock && job->ctx.deadline_ns > 0 && rb_elapsed_ns(job->ctx.clock) > job->ctx.deadline_ns)
        stop_job(state, "the time limit passed");
    return state->summary.complete;
}

static bool ensure_capacity(struct engine *engine, size_t size)
{
    if (size <= engine->cap)
        return true;
    char *bigger = realloc(engine->bytes, size);
    if (!bigger)
        return false;
    engine->bytes = bigger;
    engine->cap = size;
    return true;
}

/* Reads what an open regular file of `st` holds. NULL, or the problem. */
static const char *read_open(struct engine *engine, int fd, const struct stat *st, size_t max, size_t *out_len)
{
    if (st->st_size < 0 || (uint64_t)st->st_size > max)
        return "too_large";
    size_t size = (size_t)st->st_size, len = 0;
    if (!ensure_capacity(engine, size + 1))
        return "unreadable";
    while (len <= size) { /* one byte more than expected shows that it grew */
        ssize_t got = read(fd, engine->bytes + len, size + 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return "unreadable";
        if (got == 0)
            break;
        len += (size_t)got;
    }
    struct stat after;
    if (len != size || fstat(fd, &after) != 0 || after.st_size != st->st_size || rb_stat_mtime_ns(&after) != rb_stat_mtime_ns(st))
        return "changed_while_read";
    *out_len = len;
    return NULL;
}

static const char *read_once(struct engine *engine, struct rb_scan_file *file, size_t max)
{
    struct stat st;
    int rc = rb_below_lstat(&engine->below, file->path, &st);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return "deleted";
    if (rc == -ELOOP)
        return "outside"; /* a folder on the way became a symlink */
    if (rc < 0)
        return "unreadable";
    file->mode = (int)st.st_mode;
    file->mtime_ns = rb_stat_mtime_ns(&st);
    file->symlink = S_ISLNK(st.st_mode);
    if (!S_ISREG(st.st_mode))
        return "not_regular";
    int fd = rb_below_open(&engine->below, file->path, O_RDONLY | O_NOCTTY);
    if (fd < 0)
        return fd == -ENOENT ? "deleted" : "unreadable";
    const char *problem = "not_regular";
    if (fstat(fd, &st) != 0)
        problem = "unreadable";
    else if (S_ISREG(st.st_mode))
        problem = read_open(engine, fd, &st, max, &file->len);
    file->mtime_ns = rb_stat_mtime_ns(&st);
    close(fd);
    return problem;
}

static void read_file(struct engine *engine, struct rb_scan_file *file, size_t max)
{
    file->problem = read_once(engine, file, max);
    if (file->problem && strcmp(file->problem, "changed_while_read") == 0)
        file->problem = read_once(engine, file, max);
    file->bytes = file->problem ? NULL : engine->bytes;
    file->len = file->problem ? 0 : file->len;
}

static void count_file(struct rb_scan_summary *summary, const struct rb_scan_file *file)
{
    summary->files++;
    summary->bytes += file->len;
    if (!file->problem)
        return;
    if (strcmp(file->problem, "deleted") == 0)
        summary->deleted++;
    else if (!file->symlink)
        summary->unreadable++;
}

/* Hands one file to the jobs that want it. A job with a smaller limit than the others sees the file as too large. */
static void visit(struct engine *engine, const struct rb_file_entry *entry, bool look_at_clock)
{
    struct rb_scan_file file = {.path = entry->path, .tracked = entry->tracked};
    bool read = false;
    size_t max = 0;
    for (size_t i = 0; i < engine->count; i++)
        if (engine->states[i].request.max_file_bytes > max)
            max = engine->states[i].request.max_file_bytes;
    for (size_t i = 0; i < engine->count; i++) {
        struct rb_scan_job *job = &engine->jobs[i];
        struct job_state *state = &engine->states[i];
        if (!matches(engine, &state->request, entry) || !is_active(job, state, look_at_clock))
            continue;
        if (!read)
            read_file(engine, &file, max);
        read = true;
        struct rb_scan_file seen = file;
        if (seen.bytes && seen.len > state->request.max_file_bytes) {
            seen.bytes = NULL;
            seen.len = 0;
            seen.problem = "too_large";
        }
        count_file(&state->summary, &seen);
        job->kind->scan->visit(&job->ctx, state->state, &seen, job->outcome);
    }
}

/* One listing that holds what every job wants: all globs together, or everything when one job asks for everything. */
static int list_files(struct engine *engine, const char *root, struct rb_file_entry **out, size_t *out_count, struct rb_error *err)
{
    struct rb_file_request request = {.root = root, .cancelled = engine->jobs[0].ctx.cancelled};
    size_t globs = 0, unreachable = 0;
    bool everything = false;
    for (size_t i = 0; i < engine->count; i++) {
        const struct rb_scan_request *wanted = &engine->states[i].request;
        request.tracked = request.tracked || wanted->tracked;
        request.untracked = request.untracked || wanted->untracked;
        everything = everything || wanted->include.count == 0;
        globs += wanted->include.count;
    }
    const char **include = rb_arena_array(engine->arena, globs + 1, sizeof(char *));
    if (!include)
        return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    for (size_t i = 0, at = 0; i < engine->count; i++)
        for (size_t j = 0; j < engine->states[i].request.include.count; j++)
            include[at++] = engine->states[i].request.include.items[j];
    request.include = (struct rb_strings){include, everything ? 0 : globs};
    if (engine->count == 1)
        request.exclude = engine->states[0].request.exclude;
    request.out_unreachable = &unreachable;
    request.out_outside_git = &engine->outside_git;
    int code = rb_files_list(&request, engine->arena, out, out_count, err);
    for (size_t i = 0; code == 0 && unreachable > 0 && i < engine->count; i++)
        if (engine->outside_git || engine->states[i].request.untracked)
            stop_job(&engine->states[i], "a folder could not be read");
    return code;
}

static int begin_jobs(struct engine *engine, struct rb_error *err)
{
    for (size_t i = 0; i < engine->count; i++) {
        const struct rb_scan_job *job = &engine->jobs[i];
        struct job_state *state = &engine->states[i];
        state->state = rb_arena_alloc(job->ctx.arena, job->kind->scan->state_size ? job->kind->scan->state_size : 1);
        if (!state->state)
            return rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
        state->summary.complete = true;
        job->kind->scan->begin(&job->ctx, state->state, &state->request);
        if (state->request.max_file_bytes == 0)
            state->request.max_file_bytes = DEFAULT_MAX_FILE;
    }
    return 0;
}

static int run_jobs(struct engine *engine, const char *root, struct rb_error *err)
{
    struct rb_file_entry *entries = NULL;
    size_t count = 0;
    int code = begin_jobs(engine, err);
    if (code == 0)
        code = list_files(engine, root, &entries, &count, err);
    for (size_t i = 0; code == 0 && i < count; i++)
        visit(engine, &entries[i], i % DEADLINE_STRIDE == 0);
    for (size_t i = 0; code == 0 && i < engine->count; i++)
        engine->jobs[i].kind->scan->finish(&engine->jobs[i].ctx, engine->states[i].state, &engine->states[i].summary,
                                           engine->jobs[i].outcome);
    return code;
}

int rb_scan_run(const char *root, struct rb_scan_job *jobs, size_t count, struct rb_error *err)
{
    if (count == 0)
        return 0;
    struct engine engine = {.jobs = jobs, .count = count};
    int code = rb_below_init(&engine.below, root, err);
    if (code < 0)
        return code;
    engine.states = calloc(count, sizeof(*engine.states));
    engine.arena = rb_arena_new((size_t)256 << 20);
    if (engine.states && engine.arena)
        code = run_jobs(&engine, root, err);
    else
        code = rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
    free(engine.bytes);
    free(engine.states);
    rb_arena_free(engine.arena);
    rb_below_fini(&engine.below);
    return code;
}
