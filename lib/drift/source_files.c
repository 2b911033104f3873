/* files: the content, type and executable bit of every file that the globs name.
 *
 * One lstat a file and a folder when nothing changed: git's index vouches for tracked files, our cache for the others and for what is in a folder. Once a day everything is read, because stat data can be made to lie.
 * A file that is tracked is compared whether it exists or not; an untracked one unless git ignores it (`ignored: true`: even then). */
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "runbook/check/facts.h"
#include "runbook/check/watch.h"

#define FULL_EVERY_NS (INT64_C(24) * 3600 * RB_NS_PER_S)

static enum rb_drift_collected failed(const struct rb_drift_collect *collect, const char *reason, const struct rb_error *err)
{
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, reason, "%s", err->message);
    return RB_DRIFT_FAILED;
}

static int open_tree(struct files_run *run, struct rb_error *err)
{
    int rc = rb_below_init(&run->below, run->collect->ctx->root, err);
    run->below_open = rc == 0;
    return rc;
}

struct rb_git_view *files_view(struct files_run *run)
{
    const char *root = run->collect->ctx->root;
    if (run->outside_git || run->view_tried)
        return run->view;
    run->view_tried = true;
    if (rb_git_open(root, &run->git, NULL) == 0 && rb_git_workdir(run->git) && rb_git_view_new(run->git, root, &run->view, NULL) < 0)
        run->view = NULL;
    return run->view;
}

static void close_tree(struct files_run *run)
{
    if (run->below_open)
        rb_below_fini(&run->below);
    rb_git_view_free(run->view);
    rb_git_close(run->git);
    run->below_open = false;
    run->view = NULL;
    run->git = NULL;
}

static int list(struct files_run *run, struct rb_file_entry **out, size_t *out_count, struct rb_error *err)
{
    const struct rb_drift_collect *collect = run->collect;
    const struct rb_drift_options *options = collect->ctx->options;
    size_t unreachable = 0;
    struct rb_file_request request = {.root = collect->ctx->root,
                                      .include = *(const struct rb_strings *)collect->options,
                                      .exclude = options->exclude,
                                      .tracked = true,
                                      .untracked = options->untracked && !options->ignored,
                                      .cancelled = collect->ctx->cancelled,
                                      .submodules = true,
                                      .out_outside_git = &run->outside_git,
                                      .out_index_mtime_ns = &run->index_mtime_ns,
                                      .out_unreachable = &unreachable,
                                      .known = run->full || !run->old.valid ? NULL : &run->old.listing,
                                      .out_listing = &run->next.listing,
                                      .now_wall_ns = collect->now_wall_ns};
    int rc = rb_files_list(&request, collect->ctx->arena, out, out_count, err);
    if (rc == 0 && unreachable > 0)
        rb_outcome_evidence(collect->out, "%zu folders could not be read: what is in them is not compared", unreachable);
    return rc;
}

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct rb_file_entry *)left)->path, ((const struct rb_file_entry *)right)->path);
}

/* With `ignored: true`: what a walk without git finds beyond the tracked files. */
static int add_ignored(struct files_run *run, struct rb_file_entry **entries, size_t *count, struct rb_error *err)
{
    const struct rb_drift_collect *collect = run->collect;
    const struct rb_drift_options *options = collect->ctx->options;
    struct rb_file_request request = {.root = collect->ctx->root,
                                      .include = *(const struct rb_strings *)collect->options,
                                      .exclude = options->exclude,
                                      .untracked = true,
                                      .no_git = true,
                                      .cancelled = collect->ctx->cancelled,
                                      .known = run->full || !run->old.valid ? NULL : &run->old.listing,
                                      .out_listing = &run->next.listing,
                                      .now_wall_ns = collect->now_wall_ns};
    struct rb_file_entry *found = NULL;
    size_t found_count = 0;
    int rc = rb_files_list(&request, collect->ctx->arena, &found, &found_count, err);
    if (rc < 0)
        return rc;
    struct rb_file_entry *all = rb_arena_array(collect->ctx->arena, *count + found_count + 1, sizeof *all);
    if (!all)
        return rb_error_set(err, RB_ENOMEM, "no memory for the list of files");
    size_t total = *count;
    if (*count > 0)
        memcpy(all, *entries, *count * sizeof *all);
    for (size_t i = 0; i < found_count; i++)
        if (*count == 0 || !bsearch(&found[i], *entries, *count, sizeof *found, by_path))
            all[total++] = found[i];
    qsort(all, total, sizeof *all, by_path);
    *entries = all;
    *count = total;
    return 0;
}

static void add_fact(struct files_run *run, const struct rb_file_entry *entry, const char *value)
{
    struct rb_drift_facts *facts = run->collect->facts;
    if (facts->count == facts->cap) /* the helper grows the list; the strings are in the arena already */
        return;
    struct rb_drift_fact *fact = &facts->items[facts->count++];
    *fact = (struct rb_drift_fact){.key = entry->path, .value = value};
    if (run->collect->proposing)
        fact->kept_text = files_kept_text(run, entry->path, value);
}

static int observe_all(struct files_run *run, const struct rb_file_entry *entries, size_t count, struct rb_error *err)
{
    const struct rb_check_ctx *ctx = run->collect->ctx;
    struct rb_drift_facts *facts = run->collect->facts;
    const char **untracked = rb_arena_array(ctx->arena, count + 1, sizeof *untracked);
    facts->items = rb_arena_array(ctx->arena, count + 1, sizeof *facts->items);
    facts->cap = count + 1;
    if (!untracked || !facts->items)
        return rb_error_set(err, RB_ENOMEM, "no memory for the facts of %zu files", count);
    for (size_t i = 0; i < count; i++) {
        if (atomic_load_explicit(ctx->cancelled, memory_order_relaxed))
            return rb_error_set(err, RB_ETIMEOUT, "after %zu of %zu files: give the check more time or narrow its globs", i, count);
        const char *value = files_observe(run, &entries[i]);
        if (!entries[i].tracked)
            untracked[run->untracked.count++] = entries[i].path;
        if (value)
            add_fact(run, &entries[i], value);
    }
    run->untracked.items = untracked;
    return 0;
}

static void tell_limits(const struct files_run *run)
{
    struct rb_outcome *out = run->collect->out;
    const struct rb_drift_options *options = run->collect->ctx->options;
    if (run->oversized > 0)
        rb_outcome_evidence(out, "%zu files above %lld MiB are compared by size only (max_file)", run->oversized,
                            (long long)(options->max_file >> 20));
    if (run->unverified > 0)
        rb_outcome_evidence(out, "%zu files have an external filter, which is never run: compared by stat data and size only",
                            run->unverified);
    if (run->unreadable > 0)
        rb_outcome_evidence(out, "%zu files cannot be read by this user: their content is not compared", run->unreadable);
    if (run->unstable > 0)
        rb_outcome_evidence(out, "%zu files changed while they were read: looked at again next time", run->unstable);
}

static int collect_files(struct files_run *run, struct rb_error *err)
{
    const struct rb_drift_collect *collect = run->collect;
    const struct rb_drift_options *options = collect->ctx->options;
    struct rb_file_entry *entries = NULL;
    size_t count = 0;
    files_cache_read(collect->ctx->state_dir, collect->ctx->spec->name, collect->ctx->arena, &run->old);
    run->full = run->old.valid && collect->now_wall_ns - run->old.full_wall_ns > FULL_EVERY_NS;
    run->next.observed_wall_ns = collect->now_wall_ns;
    run->next.full_wall_ns = run->full || !run->old.valid ? collect->now_wall_ns : run->old.full_wall_ns;
    run->dirty = run->full || !run->old.valid;
    int rc = open_tree(run, err);
    if (rc == 0)
        rc = list(run, &entries, &count, err);
    if (rc == 0 && options->ignored && options->untracked)
        rc = add_ignored(run, &entries, &count, err);
    run->dirty |= run->next.listing.changed;
    return rc == 0 ? observe_all(run, entries, count, err) : rc;
}

static enum rb_drift_collected collect(const struct rb_drift_collect *collect)
{
    struct files_run *run = collect->state;
    struct rb_error err = {0};
    run->collect = collect;
    run->below = (struct rb_below){.root_fd = -1, .dir_fd = -1};
    int rc = collect_files(run, &err);
    if (rc < 0) {
        close_tree(run);
        return failed(collect,
                      rc == RB_ETIMEOUT ? "incomplete"
                      : rc == RB_ELIMIT ? "too_many"
                      : rc == RB_EPERM  ? "not_permitted"
                                        : "unreadable",
                      &err);
    }
    tell_limits(run);
    if (collect->proposing)
        close_tree(run); /* nothing will be explained */
    return RB_DRIFT_COLLECTED;
}

/* The cache as the next run should find it. */
static void give_cache(struct files_run *run)
{
    const struct rb_drift_collect *collect = run->collect;
    if (!run->dirty && run->next.seen_count == run->old.seen_count && run->next.file_count == run->old.file_count)
        return;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    int rc = files_cache_encode(&run->next, &text, NULL);
    if (rc < 0 && run->next.listing.key) {
        run->next.listing.key = NULL;
        rb_buf_reset(&text);
        rc = files_cache_encode(&run->next, &text, NULL);
    }
    if (rc < 0)
        return; /* only costs time again */
    collect->report->cache = rb_arena_strndup(collect->ctx->arena, text.data, text.len);
    collect->report->cache_len = collect->report->cache ? text.len : 0;
}

static void explain(const struct rb_drift_collect *collect, struct rb_drift_item *items, size_t count,
                    const char *(*kept)(const void *baseline, const char *key), const void *baseline)
{
    struct files_run *run = collect->state;
    run->collect = collect;
    files_explain(run, items, count, kept, baseline);
    for (size_t i = 0; i < count; i++)
        if (!items[i].accepted)
            rb_outcome_fact(collect->out, RB_FACT_FILE, "%s", items[i].key);
    give_cache(run);
    close_tree(run);
}

/* A commit changes no file and yet the class of what differs: HEAD counts too. */
static void watches(const void *options, const struct rb_drift_options *all, struct rb_watch_sink *sink)
{
    rb_watch_globs(sink, *(const struct rb_strings *)options, all->exclude, all->ignored);
    rb_watch_git(sink);
}

const struct rb_drift_source rb_drift_source_files = {
    .name = "files", .state_size = sizeof(struct files_run), .collect = collect, .explain = explain, .watches = watches};
