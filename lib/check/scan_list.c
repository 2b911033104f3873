/* The listing that feeds a scan: what every job wants, all globs together, or everything when one job asks for everything.
 *
 * Invariants: runs on one thread, once; entries are appended to an array that never moves, and whoever reads it learns through scan_feed_publish how far it is filled.
 * A listing that fails fails the whole scan: half a list must never look like the tree. */
#include "scan_internal.h"

#include <stdlib.h>

struct listing {
    struct scan_feed *feed;
    struct scan_plan *plan;
    size_t count;
};

static int add(void *ctx, const struct rb_file_entry *entry, struct rb_error *err)
{
    struct listing *listing = ctx;
    listing->plan->entries[listing->count++] = *entry; /* the request's max_entries is the array's size */
    if (listing->count % SCAN_BATCH == 0 && !scan_feed_publish(listing->feed, listing->count))
        return rb_error_set(err, RB_ETIMEOUT, "the scan ended while files were listed");
    return 0;
}

static int fill_request(const struct scan_plan *plan, struct rb_arena *arena, struct rb_file_request *out, struct rb_error *err)
{
    size_t globs = 0, at = 0;
    bool everything = false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_scan_request *wanted = &plan->states[i].request;
        out->tracked = out->tracked || wanted->tracked;
        out->untracked = out->untracked || wanted->untracked;
        everything = everything || wanted->include.count == 0;
        globs += wanted->include.count;
    }
    const char **include = rb_arena_array(arena, globs + 1, sizeof(char *));
    if (!include)
        return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->states[i].request.include.count; j++)
            include[at++] = plan->states[i].request.include.items[j];
    out->include = (struct rb_strings){include, everything ? 0 : globs};
    if (plan->count == 1)
        out->exclude = plan->states[0].request.exclude;
    return 0;
}

int scan_list(struct scan_feed *feed, struct scan_plan *plan, struct rb_error *err)
{
    struct listing listing = {.feed = feed, .plan = plan};
    struct rb_file_request request = {.root = plan->root,
                                      .max_entries = RB_FILES_MAX_ENTRIES,
                                      .cancelled = plan->jobs[0].ctx.cancelled,
                                      .out_unreachable = &plan->unreachable,
                                      .out_outside_git = &plan->outside_git,
                                      .out_index_mtime_ns = &plan->index_mtime_ns};
    plan->entries = malloc(RB_FILES_MAX_ENTRIES * sizeof(*plan->entries)); /* what is not used stays untouched */
    int code = plan->entries ? fill_request(plan, plan->arena, &request, err)
                             : rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    if (code == 0)
        code = rb_files_each(&request, plan->arena, add, &listing, err);
    if (code == 0)
        (void)scan_feed_publish(feed, listing.count);
    return code;
}
