/* The scan engine: one listing, one read and one search per file, however many checks look at it.
 *
 * Invariants: every file is handed to each job that asked for it exactly once, in the order of paths, on the caller's thread; files are listed by scan_list.c, read and
 * searched by scan_lane.c, on threads of scan_feed.c where there are many. All patterns of all jobs are one set, so that the tree is searched once. A job whose deadline passed or that was cancelled
 * sees no further file, and its summary says so: an incomplete scan must never look green. */
#include "runbook/check/scan.h"

#include <stdlib.h>
#include <string.h>

#include "scan_internal.h"

enum { DEFAULT_MAX_FILE = 64 << 20, DEADLINE_STRIDE = 16 };

struct engine {
    struct scan_plan plan;
    struct rb_pattern *patterns; /* all jobs', for as long as the set lives */
};

static void stop_job(struct scan_job_state *job, const char *why)
{
    if (job->summary.complete) {
        job->summary.complete = false;
        job->summary.incomplete_why = why;
    }
}

static bool is_active(const struct rb_scan_job *job, struct scan_job_state *state, bool look_at_clock)
{
    if (!state->summary.complete)
        return false;
    if (job->ctx.cancelled && atomic_load_explicit(job->ctx.cancelled, memory_order_relaxed))
        stop_job(state, "cancelled");
    else if (look_at_clock && job->ctx.clock && job->ctx.deadline_ns > 0 && rb_elapsed_ns(job->ctx.clock) > job->ctx.deadline_ns)
        stop_job(state, "the time limit passed");
    return state->summary.complete;
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

/* ---- visiting ---- */

/* The part of a file's hits that belongs to one job, counted in its own patterns. */
static bool take_hits(struct scan_job_state *state, const struct rb_pattern_hit *hits, size_t count, struct rb_scan_file *file)
{
    size_t kept = 0;
    if (count > state->hit_cap) {
        struct rb_pattern_hit *bigger = realloc(state->hits, count * sizeof(*bigger));
        if (!bigger)
            return false;
        state->hits = bigger;
        state->hit_cap = count;
    }
    for (size_t i = 0; i < count; i++) {
        if (hits[i].pattern - state->first_pattern >= state->request.pattern_count)
            continue;
        state->hits[kept] = hits[i];
        state->hits[kept++].pattern -= state->first_pattern;
    }
    file->hits = state->hits;
    file->hit_count = kept;
    return true;
}

/* What job `index` sees of an item. A job with a smaller limit than the others sees the file as too large. */
static struct rb_scan_file file_for(struct scan_job_state *state, const struct scan_batch *batch, const struct scan_item *item,
                                    const struct rb_pattern_misses *misses)
{
    struct rb_scan_file file = item->file;
    if (!file.problem && file.len > state->request.max_file_bytes)
        file.problem = "too_large";
    else if (file.hit_count > 0 && (!batch->hits || !take_hits(state, batch->hits + item->first_hit, item->file.hit_count, &file)))
        file.problem = "unreadable";
    if (file.problem) {
        file.bytes = file.text = NULL;
        file.len = file.text_len = file.hit_count = 0;
        return file;
    }
    file.hits_dropped = misses->dropped;
    file.gave_up = misses->gave_up;
    return file;
}

/* Hands one file to the jobs that want it. */
static void visit(struct engine *engine, const struct scan_batch *batch, size_t index, bool look_at_clock)
{
    const struct scan_item *item = &batch->items[index];
    for (size_t i = 0; i < engine->plan.count; i++) {
        struct rb_scan_job *job = &engine->plan.jobs[i];
        struct scan_job_state *state = &engine->plan.states[i];
        size_t at = index * engine->plan.count + i;
        if (!batch->wants[at] || !is_active(job, state, look_at_clock))
            continue;
        struct rb_scan_file seen = file_for(state, batch, item, &batch->misses[at]);
        count_file(&state->summary, &seen);
        job->kind->scan->visit(&job->ctx, state->state, &seen, job->outcome);
    }
}

static bool any_active(const struct engine *engine)
{
    for (size_t i = 0; i < engine->plan.count; i++)
        if (engine->plan.states[i].summary.complete)
            return true;
    return false;
}

static int visit_batches(struct engine *engine, struct scan_feed *feed, bool *out_early, struct rb_error *err)
{
    struct scan_batch large = {0};
    const struct scan_batch *batch = NULL;
    int code = scan_batch_init(&large, &engine->plan, 1, err);
    for (size_t number = 0; code == 0 && (*out_early = !any_active(engine)) == false && (batch = scan_feed_get(feed, number)); number++) {
        for (size_t i = 0; i < batch->count; i++) {
            if (batch->items[i].wanted && batch->items[i].later) {
                scan_lane_fill_large(&feed->own, &large, batch->items[i].entry);
                visit(engine, &large, 0, true);
            } else if (batch->items[i].wanted) {
                visit(engine, batch, i, i % DEADLINE_STRIDE == 0);
            }
        }
        scan_feed_give_back(feed);
    }
    scan_batch_fini(&large);
    return code;
}

/* All jobs' patterns as one set. */
static int compile_patterns(struct engine *engine, struct rb_error *err)
{
    size_t count = 0, bad = 0;
    for (size_t i = 0; i < engine->plan.count; i++) {
        engine->plan.states[i].first_pattern = count;
        count += engine->plan.states[i].request.pattern_count;
    }
    if (count == 0)
        return 0;
    engine->patterns = calloc(count, sizeof(*engine->patterns)); /* the arena is the listing's by now */
    if (!engine->patterns)
        return rb_error_set(err, RB_ENOMEM, "out of memory while compiling patterns");
    for (size_t i = 0; i < engine->plan.count; i++) {
        const struct scan_job_state *state = &engine->plan.states[i];
        if (state->request.pattern_count > 0)
            memcpy(engine->patterns + state->first_pattern, state->request.patterns,
                   state->request.pattern_count * sizeof(*engine->patterns));
    }
    return rb_pattern_set_new(engine->patterns, count, &engine->plan.set, &bad, err);
}

/* Patterns are compiled while the listing has begun: a large set takes as long as a large index. */
static int visit_all(struct engine *engine, struct rb_error *err)
{
    struct scan_feed *feed = calloc(1, sizeof(*feed));
    bool early = true;
    if (!feed)
        return rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
    scan_feed_init(feed, &engine->plan);
    int code = compile_patterns(engine, err);
    if (code == 0)
        code = scan_feed_start(feed, err);
    if (code == 0)
        code = visit_batches(engine, feed, &early, err);
    int listed = scan_feed_stop(feed, early || code < 0, err);
    free(feed);
    for (size_t i = 0; engine->plan.unreachable > 0 && i < engine->plan.count; i++)
        if (engine->plan.outside_git || engine->plan.states[i].request.untracked)
            stop_job(&engine->plan.states[i], "a folder could not be read");
    return code < 0 ? code : listed;
}

/* ---- preparing ---- */

static int begin_jobs(struct engine *engine, struct rb_error *err)
{
    for (size_t i = 0; i < engine->plan.count; i++) {
        const struct rb_scan_job *job = &engine->plan.jobs[i];
        struct scan_job_state *state = &engine->plan.states[i];
        state->state = rb_arena_alloc(job->ctx.arena, job->kind->scan->state_size ? job->kind->scan->state_size : 1);
        if (!state->state)
            return rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
        state->summary.complete = true;
        job->kind->scan->begin(&job->ctx, state->state, &state->request);
        if (state->request.max_file_bytes == 0)
            state->request.max_file_bytes = DEFAULT_MAX_FILE;
        if (state->request.max_file_bytes > engine->plan.max_file_bytes)
            engine->plan.max_file_bytes = state->request.max_file_bytes;
    }
    return 0;
}

static int run_jobs(struct engine *engine, struct rb_error *err)
{
    int code = begin_jobs(engine, err);
    if (code == 0)
        code = visit_all(engine, err);
    for (size_t i = 0; code == 0 && i < engine->plan.count; i++)
        engine->plan.jobs[i].kind->scan->finish(&engine->plan.jobs[i].ctx, engine->plan.states[i].state, &engine->plan.states[i].summary,
                                                engine->plan.jobs[i].outcome);
    return code;
}

int rb_scan_run(const char *root, struct rb_scan_job *jobs, size_t count, struct rb_error *err)
{
    if (count == 0)
        return 0;
    struct engine engine = {.plan = {.root = root, .jobs = jobs, .count = count}};
    int code = 0;
    engine.plan.states = calloc(count, sizeof(*engine.plan.states));
    engine.plan.arena = rb_arena_new((size_t)256 << 20);
    if (engine.plan.states && engine.plan.arena)
        code = run_jobs(&engine, err);
    else
        code = rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
    for (size_t i = 0; engine.plan.states && i < count; i++)
        free(engine.plan.states[i].hits);
    rb_pattern_set_free(engine.plan.set);
    free(engine.patterns);
    free(engine.plan.states);
    rb_arena_free(engine.plan.arena);
    return code;
}
