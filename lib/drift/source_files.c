/* files: the content, type and executable bit of every file that the globs name.
 *
 * One lstat a file and a folder when nothing changed: git's index vouches for tracked files, our cache for the others and for what is in a folder. Once a day everything is read, because stat data can be made to lie.
 * A file that is tracked is compared whether it exists or not; an untracked one unless git ignores it (`ignored: true`: even then). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static struct rb_file_request request_of(struct files_run *run)
{
    const struct rb_drift_collect *collect = run->collect;
    const struct rb_drift_options *options = collect->ctx->options;
    return (struct rb_file_request){.root = collect->ctx->root,
                                    .include = *(const struct rb_strings *)collect->options,
                                    .exclude = options->exclude,
                                    .cancelled = collect->ctx->cancelled,
                                    .known = run->full || !run->old.valid ? NULL : &run->old.listing,
                                    .out_listing = &run->next.listing,
                                    .now_wall_ns = collect->now_wall_ns};
}

/* What git tracks and, unless even ignored files are wanted, what it does not. */
static struct rb_file_request git_request(struct files_run *run)
{
    const struct rb_drift_options *options = run->collect->ctx->options;
    struct rb_file_request request = request_of(run);
    request.tracked = true;
    request.untracked = options->untracked && !options->ignored;
    request.submodules = true;
    request.repositories = true;
    request.out_filters = &run->filters;
    request.out_outside_git = &run->outside_git;
    request.out_index_mtime_ns = &run->index_mtime_ns;
    request.out_tracked = &run->expected;
    request.out_unreachable = &run->unreachable;
    return request;
}

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct rb_file_entry *)left)->path, ((const struct rb_file_entry *)right)->path);
}

/* With `ignored: true`: what a walk without git finds beyond the tracked files. */
static int add_ignored(struct files_run *run, struct rb_file_entry **entries, size_t *count, struct rb_error *err)
{
    struct rb_arena *arena = run->collect->ctx->arena;
    struct rb_file_request request = request_of(run);
    request.untracked = true;
    request.no_git = true;
    struct rb_file_entry *found = NULL;
    size_t found_count = 0;
    int rc = rb_files_list(&request, arena, &found, &found_count, err);
    if (rc < 0)
        return rc;
    struct rb_file_entry *all = rb_arena_array(arena, *count + found_count + 1, sizeof *all);
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

/* A list in the arena of twice the length; NULL when memory is out. */
static void *longer(struct files_run *run, const void *items, size_t count, size_t *cap, size_t size)
{
    size_t more = *cap ? *cap * 2 : run->expected + 64;
    void *bigger = rb_arena_array(run->collect->ctx->arena, more, size);
    if (bigger && count > 0)
        memcpy(bigger, items, count * size);
    *cap = more;
    return bigger;
}

static bool add_fact(struct files_run *run, const struct rb_file_entry *entry, const char *value)
{
    struct rb_drift_facts *facts = run->collect->facts;
    if (facts->count == facts->cap) /* the strings are in the arena already */
        facts->items = longer(run, facts->items, facts->count, &facts->cap, sizeof *facts->items);
    if (!facts->items)
        return false;
    struct rb_drift_fact *fact = &facts->items[facts->count++];
    *fact = (struct rb_drift_fact){.key = entry->path, .value = value};
    if (run->collect->proposing)
        fact->kept_text = files_kept_text(run, entry->path, entry, value);
    return true;
}

static bool add_untracked(struct files_run *run, const char *path)
{
    if (run->untracked_count == run->untracked_cap)
        run->untracked = longer(run, run->untracked, run->untracked_count, &run->untracked_cap, sizeof *run->untracked);
    if (!run->untracked)
        return false;
    run->untracked[run->untracked_count++] = path;
    return true;
}

/* Observes a file as soon as it is listed: the list itself is not needed. */
static int observe_entry(void *ctx, const struct rb_file_entry *entry, struct rb_error *err)
{
    struct files_run *run = ctx;
    size_t done = run->collect->facts->count;
    if (atomic_load_explicit(run->collect->ctx->cancelled, memory_order_relaxed))
        return rb_error_set(err, RB_ETIMEOUT, "after %zu files: give the check more time or narrow its globs", done);
    const char *value = files_observe(run, entry);
    bool ok = (entry->tracked || add_untracked(run, entry->path)) && (!value || add_fact(run, entry, value));
    return ok ? 0 : rb_error_set(err, RB_ENOMEM, "no memory for the facts of %zu files", done);
}

/* All entries first, since two listings are merged. */
static int observe_ignored_too(struct files_run *run, struct rb_error *err)
{
    struct rb_file_request request = git_request(run);
    struct rb_file_entry *entries = NULL;
    size_t count = 0;
    int rc = rb_files_list(&request, run->collect->ctx->arena, &entries, &count, err);
    if (rc == 0)
        rc = add_ignored(run, &entries, &count, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = observe_entry(run, &entries[i], err);
    return rc;
}

/* Whether a folder on the way to `path` does not say what it holds. */
static bool is_closed(struct files_run *run, const char *path)
{
    char dir[RB_DRIFT_KEY_MAX + 1];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int fd = rb_below_open(&run->below, dir, O_RDONLY | O_DIRECTORY);
        *slash = '/';
        if (fd == -EACCES || fd == -EPERM)
            return true;
        if (fd < 0)
            return false;
        close(fd);
    }
    return false;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int by_key(const void *left, const void *right)
{
    return strcmp(((const struct files_cached *)left)->key, ((const struct files_cached *)right)->key);
}

/* What was accepted and lies in a folder that cannot be listed now is not gone because of that: it is looked at by its name. */
static int observe_closed(struct files_run *run, struct rb_error *err)
{
    const struct rb_drift_facts *base = run->collect->base, listed = *run->collect->facts;
    int rc = 0;
    for (size_t i = 0; base && run->unreachable > 0 && i < base->count && rc == 0; i++)
        if (!rb_drift_facts_find(&listed, base->items[i].key) && is_closed(run, base->items[i].key))
            rc = observe_entry(run, &(struct rb_file_entry){.path = base->items[i].key}, err);
    if (run->collect->facts->count > listed.count) {
        qsort(run->untracked, run->untracked_count, sizeof *run->untracked, by_name);
        if (run->next.file_count > 0)
            qsort(run->next.files, run->next.file_count, sizeof *run->next.files, by_key);
    }
    return rc;
}

static void tell_limits(const struct files_run *run)
{
    struct rb_outcome *out = run->collect->out;
    const struct rb_drift_options *options = run->collect->ctx->options;
    if (run->oversized > 0)
        rb_outcome_evidence(out, "%zu files above %lld MiB are compared by size only (max_file)", run->oversized,
                            (long long)(options->max_file >> 20));
    if (run->unverified > 0)
        rb_outcome_evidence(out, "%zu files have an external filter, which is never run: compared as they lie there, not as git has them",
                            run->unverified);
    if (run->left_out > 0)
        rb_outcome_evidence(out, "%zu files are left out by the sparse checkout: taken as the index has them", run->left_out);
    if (run->unreadable > 0)
        rb_outcome_evidence(out, "%zu files cannot be read by this user: their content is not compared", run->unreadable);
    if (run->unstable > 0)
        rb_outcome_evidence(out, "%zu files changed while they were read: looked at again next time", run->unstable);
}

static int collect_files(struct files_run *run, struct rb_error *err)
{
    const struct rb_drift_collect *collect = run->collect;
    const struct rb_drift_options *options = collect->ctx->options;
    files_cache_read(collect->ctx->state_dir, collect->ctx->spec->name, collect->ctx->arena, &run->old);
    run->full = run->old.valid && collect->now_wall_ns - run->old.full_wall_ns > FULL_EVERY_NS;
    run->next.observed_wall_ns = collect->now_wall_ns;
    run->next.full_wall_ns = run->full || !run->old.valid ? collect->now_wall_ns : run->old.full_wall_ns;
    run->dirty = run->full || !run->old.valid;
    int rc = open_tree(run, err);
    if (rc < 0)
        return rc;
    struct rb_file_request request = git_request(run);
    rc = options->ignored && options->untracked ? observe_ignored_too(run, err)
                                                : rb_files_each(&request, collect->ctx->arena, observe_entry, run, err);
    if (rc == 0)
        rc = observe_closed(run, err);
    run->dirty |= run->next.listing.changed;
    if (rc == 0 && run->unreachable > 0)
        rb_outcome_evidence(collect->out, "%zu folders could not be read: what is in them is not compared", run->unreachable);
    return rc;
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
