/* What the files of the scan engine share: the plan of one pass, and the batches in which files are read and searched. */
#ifndef RUNBOOK_LIB_CHECK_SCAN_INTERNAL_H
#define RUNBOOK_LIB_CHECK_SCAN_INTERNAL_H

#include <pthread.h>

#include "runbook/check/scan.h"
#include "runbook/source/files.h"

enum { SCAN_BATCH = 64, SCAN_THREADS = 8, SCAN_RING = 4 * SCAN_THREADS, SCAN_BATCH_BYTES = 4 << 20 };

struct scan_job_state {
    struct rb_scan_request request;
    struct rb_scan_summary summary;
    void *state;
    size_t first_pattern;        /* of the request's in the set of all */
    struct rb_pattern_hit *hits; /* scratch: this job's share of one file's hits */
    size_t hit_cap;
};

/* Read-only while lanes work, but for what the listing writes before it publishes. */
struct scan_plan {
    const char *root;
    struct rb_scan_job *jobs;
    struct scan_job_state *states;
    size_t count;
    struct rb_pattern_set *set; /* NULL without patterns */
    size_t max_file_bytes;      /* the largest of all requests */
    struct rb_arena *arena;     /* the listing's while it runs */
    /* the listing's results */
    struct rb_file_entry *entries;
    bool outside_git;       /* then nothing is tracked, and the tree itself is what there is to scan */
    int64_t index_mtime_ns; /* when git's index was written */
    size_t unreachable;     /* folders; read it when the listing is over */
};

/* One file as read and searched. Its bytes and hits lie in the batch. */
struct scan_item {
    struct rb_scan_file file;
    const struct rb_file_entry *entry;
    size_t first_hit;
    bool wanted; /* by some job */
    bool later;  /* too large for the batch's buffer: read it when its turn has come */
};
struct scan_batch {
    struct scan_item items[SCAN_BATCH];
    size_t count;
    char *bytes;
    size_t cap, used, touched;   /* touched: the most that was ever used; it is wiped at the end */
    struct rb_pattern_hit *hits; /* `pattern` counts in the set of all */
    size_t hit_count, hit_cap;
    bool *wants;                      /* [item * jobs + job] */
    struct rb_pattern_misses *misses; /* the same shape */
    size_t number;                    /* of the batch that it holds, from 1; 0: none */
};

/* One reader: its own descriptors, its own scanner. */
struct scan_lane {
    const struct scan_plan *plan;
    struct rb_below below;
    struct rb_pattern_scanner *scanner;
    bool *wanted_patterns;
    unsigned doubt, doubt_step; /* files to read before the index's stat data is trusted again; what the next disappointment adds */
};
int scan_lane_init(struct scan_lane *lane, const struct scan_plan *plan, struct rb_error *err) RB_MUST_CHECK;
void scan_lane_fini(struct scan_lane *lane);
/* RB_ENOMEM. `cap`: bytes of the buffer. */
int scan_batch_init(struct scan_batch *batch, const struct scan_plan *plan, size_t cap, struct rb_error *err) RB_MUST_CHECK;
void scan_batch_fini(struct scan_batch *batch);
/* Reads and searches the `count` entries from `first` on. */
void scan_lane_fill(struct scan_lane *lane, struct scan_batch *batch, size_t first, size_t count);
/* Reads and searches one item that was left for later, into a batch of its own whose buffer grows. */
void scan_lane_fill_large(struct scan_lane *lane, struct scan_batch *batch, const struct rb_file_entry *entry);

/* Batches in the order of paths, listed and filled by threads that run a little ahead where that pays, else by the caller. */
struct scan_feed {
    struct scan_plan *plan;
    struct scan_lane own; /* of the thread that visits */
    struct scan_lane lanes[SCAN_THREADS];
    struct scan_batch ring[SCAN_RING];
    size_t ring_size; /* batches prepared: as many may be under way */
    pthread_t threads[SCAN_THREADS], lister;
    size_t thread_count, lane_count;
    bool has_lister;
    pthread_mutex_t lock;
    pthread_cond_t ready; /* for the visiting thread: a batch, or more of the list */
    pthread_cond_t room;  /* for lanes: a free batch, or more of the list */
    size_t next, taken;   /* batches handed to threads; batches given back */
    size_t listed;        /* entries that are there */
    bool list_done, stop;
    int list_code; /* of the whole listing, with its error */
    struct rb_error list_err;
};
/* Begins to list, where there is a second processor; needs only the plan's requests. */
void scan_feed_init(struct scan_feed *feed, struct scan_plan *plan);
/* Begins to read and search: the plan's patterns are compiled by now. */
int scan_feed_start(struct scan_feed *feed, struct rb_error *err) RB_MUST_CHECK;
/* The batch with this number (from 0), NULL after the last; give it back before the next. */
struct scan_batch *scan_feed_get(struct scan_feed *feed, size_t number);
void scan_feed_give_back(struct scan_feed *feed);
/* Ends all threads and frees everything; also without a start, or after one that failed. Returns how the listing ended, unless nobody waited for it (`early`). */
int scan_feed_stop(struct scan_feed *feed, bool early, struct rb_error *err) RB_MUST_CHECK;

/* scan_list.c: lists into plan->entries. scan_feed_publish says how many there are; false: nobody wants more. */
int scan_list(struct scan_feed *feed, struct scan_plan *plan, struct rb_error *err) RB_MUST_CHECK;
bool scan_feed_publish(struct scan_feed *feed, size_t count);

#endif
