/* Threads that list, read and search a little ahead of the one that visits.
 *
 * Invariants: batches are handed out in order and taken in order; a batch is written by the thread it was handed to until `number` says that it is ready, then read by
 * the visiting thread until it is given back; at most four for each thread are under way, which bounds memory. An entry is written before `listed` passes it and never again, so
 * reading begins while the listing still runs. A small tree, one processor, or a
 * thread that cannot be started: the visiting thread lists or fills the batches itself, with the same result. */
#include "scan_internal.h"

#include <stdlib.h>
#include <unistd.h>

enum { WORTH_THREADS = 8 * SCAN_BATCH };

/* How many entries of a batch are known, and whether no more will come. Under the lock. */
static bool is_listed(const struct scan_feed *feed, size_t number, size_t *out_count)
{
    size_t first = number * SCAN_BATCH, known = feed->listed > first ? feed->listed - first : 0;
    *out_count = known < SCAN_BATCH ? known : SCAN_BATCH;
    return feed->list_done || known >= SCAN_BATCH;
}

static void *work(void *context)
{
    struct scan_feed *feed = context;
    (void)pthread_mutex_lock(&feed->lock);
    struct scan_lane *lane = &feed->lanes[feed->lane_count++];
    for (;;) {
        size_t count = 0;
        while (!feed->stop && (feed->next >= feed->taken + feed->ring_size || !is_listed(feed, feed->next, &count)))
            (void)pthread_cond_wait(&feed->room, &feed->lock);
        if (feed->stop || !is_listed(feed, feed->next, &count) || count == 0)
            break;
        size_t number = feed->next++;
        (void)pthread_mutex_unlock(&feed->lock);
        struct scan_batch *batch = &feed->ring[number % feed->ring_size];
        scan_lane_fill(lane, batch, number * SCAN_BATCH, count);
        (void)pthread_mutex_lock(&feed->lock);
        batch->number = number + 1;
        if (number == feed->taken)
            (void)pthread_cond_signal(&feed->ready);
    }
    (void)pthread_mutex_unlock(&feed->lock);
    return NULL;
}

static void end_list(struct scan_feed *feed, int code)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->list_code = code;
    feed->list_done = true;
    (void)pthread_cond_broadcast(&feed->room);
    (void)pthread_cond_broadcast(&feed->ready);
    (void)pthread_mutex_unlock(&feed->lock);
}

static void *list(void *context)
{
    struct scan_feed *feed = context;
    end_list(feed, scan_list(feed, feed->plan, &feed->list_err));
    return NULL;
}

bool scan_feed_publish(struct scan_feed *feed, size_t count)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->listed = count;
    bool goes_on = !feed->stop;
    (void)pthread_cond_signal(&feed->room);
    if (feed->thread_count == 0)
        (void)pthread_cond_signal(&feed->ready);
    (void)pthread_mutex_unlock(&feed->lock);
    return goes_on;
}

/* All that `count` lanes need, before the first of them runs. */
static bool prepare_lanes(struct scan_feed *feed, size_t count)
{
    for (; feed->ring_size < 4 * count; feed->ring_size++)
        if (scan_batch_init(&feed->ring[feed->ring_size], feed->plan, SCAN_BATCH_BYTES, NULL) < 0)
            return false;
    for (size_t i = 0; i < count; i++)
        if (scan_lane_init(&feed->lanes[i], feed->plan, NULL) < 0)
            return false;
    return true;
}

static size_t processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (size_t)count : 1;
}

/* Waits until the tree shows whether it is large enough for threads. */
static void start_lanes(struct scan_feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    while (!feed->list_done && feed->listed < WORTH_THREADS)
        (void)pthread_cond_wait(&feed->ready, &feed->lock);
    bool worth = feed->listed >= WORTH_THREADS;
    (void)pthread_mutex_unlock(&feed->lock);
    size_t count = processors(), started = 0;
    count = count < SCAN_THREADS ? count : SCAN_THREADS;
    if (!worth || count < 2 || !prepare_lanes(feed, count))
        return;
    while (started < count && pthread_create(&feed->threads[started], NULL, work, feed) == 0)
        started++;
    (void)pthread_mutex_lock(&feed->lock);
    feed->thread_count = started;
    (void)pthread_mutex_unlock(&feed->lock);
}

void scan_feed_init(struct scan_feed *feed, struct scan_plan *plan)
{
    *feed = (struct scan_feed){.plan = plan};
    (void)pthread_mutex_init(&feed->lock, NULL);
    (void)pthread_cond_init(&feed->ready, NULL);
    (void)pthread_cond_init(&feed->room, NULL);
    feed->has_lister = processors() > 1 && pthread_create(&feed->lister, NULL, list, feed) == 0;
}

int scan_feed_start(struct scan_feed *feed, struct rb_error *err)
{
    int code = scan_lane_init(&feed->own, feed->plan, err);
    if (code == 0) {
        code = scan_batch_init(&feed->ring[0], feed->plan, SCAN_BATCH_BYTES, err);
        feed->ring_size = 1;
    }
    if (code < 0)
        return code;
    if (!feed->has_lister)
        (void)list(feed);
    start_lanes(feed);
    return 0;
}

struct scan_batch *scan_feed_get(struct scan_feed *feed, size_t number)
{
    size_t count = 0;
    struct scan_batch *batch = &feed->ring[feed->thread_count ? number % feed->ring_size : 0];
    (void)pthread_mutex_lock(&feed->lock);
    while (!is_listed(feed, number, &count) || (count > 0 && feed->thread_count > 0 && batch->number != number + 1))
        (void)pthread_cond_wait(&feed->ready, &feed->lock);
    (void)pthread_mutex_unlock(&feed->lock);
    if (count == 0)
        return NULL;
    if (feed->thread_count == 0)
        scan_lane_fill(&feed->own, batch, number * SCAN_BATCH, count);
    return batch;
}

void scan_feed_give_back(struct scan_feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->taken++;
    (void)pthread_cond_signal(&feed->room);
    (void)pthread_mutex_unlock(&feed->lock);
}

int scan_feed_stop(struct scan_feed *feed, bool early, struct rb_error *err)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->stop = true;
    (void)pthread_cond_broadcast(&feed->room);
    (void)pthread_mutex_unlock(&feed->lock);
    for (size_t i = 0; i < feed->thread_count; i++)
        (void)pthread_join(feed->threads[i], NULL);
    if (feed->has_lister)
        (void)pthread_join(feed->lister, NULL);
    for (size_t i = 0; i < SCAN_THREADS; i++)
        scan_lane_fini(&feed->lanes[i]);
    for (size_t i = 0; i < SCAN_RING; i++)
        scan_batch_fini(&feed->ring[i]);
    scan_lane_fini(&feed->own);
    (void)pthread_cond_destroy(&feed->room);
    (void)pthread_cond_destroy(&feed->ready);
    (void)pthread_mutex_destroy(&feed->lock);
    free(feed->plan->entries);
    feed->plan->entries = NULL;
    if (early || feed->list_code == 0)
        return 0;
    if (err)
        *err = feed->list_err;
    return feed->list_code;
}
