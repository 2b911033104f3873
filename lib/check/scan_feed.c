/* Threads that read and search a little ahead of the one that visits.
 *
 * Invariants: batches are handed out in order and taken in order; a batch is written by the thread it was handed to until `number` says that it is ready, then read by
 * the visiting thread until it is given back; at most SCAN_RING are under way, which bounds memory. A small tree, one processor, or a
 * thread that cannot be started: the visiting thread fills the batches itself, with the same result. */
#include "scan_internal.h"

#include <unistd.h>

enum { WORTH_THREADS = 8 * SCAN_BATCH };

static void *work(void *context)
{
    struct scan_feed *feed = context;
    (void)pthread_mutex_lock(&feed->lock);
    struct scan_lane *lane = &feed->lanes[feed->lane_count++];
    for (;;) {
        while (!feed->stop && feed->next >= feed->taken + SCAN_RING)
            (void)pthread_cond_wait(&feed->changed, &feed->lock);
        size_t number = feed->next;
        if (feed->stop || number * SCAN_BATCH >= feed->plan->entry_count)
            break;
        feed->next++;
        (void)pthread_mutex_unlock(&feed->lock);
        struct scan_batch *batch = &feed->ring[number % SCAN_RING];
        scan_lane_fill(lane, batch, number * SCAN_BATCH);
        (void)pthread_mutex_lock(&feed->lock);
        batch->number = number + 1;
        (void)pthread_cond_broadcast(&feed->changed);
    }
    (void)pthread_mutex_unlock(&feed->lock);
    return NULL;
}

static void start_threads(struct scan_feed *feed, const char *root)
{
    if (feed->plan->entry_count < WORTH_THREADS || sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    for (; feed->ring_size < SCAN_RING; feed->ring_size++)
        if (scan_batch_init(&feed->ring[feed->ring_size], feed->plan, SCAN_BATCH_BYTES, NULL) < 0)
            return;
    for (size_t i = 0; i < SCAN_THREADS; i++)
        if (scan_lane_init(&feed->lanes[i], feed->plan, root, NULL) < 0)
            return;
    for (; feed->thread_count < SCAN_THREADS; feed->thread_count++)
        if (pthread_create(&feed->threads[feed->thread_count], NULL, work, feed) != 0)
            return;
}

int scan_feed_start(struct scan_feed *feed, const struct scan_plan *plan, const char *root, struct rb_error *err)
{
    *feed = (struct scan_feed){.plan = plan};
    int code = scan_lane_init(&feed->own, plan, root, err);
    (void)pthread_mutex_init(&feed->lock, NULL);
    (void)pthread_cond_init(&feed->changed, NULL);
    if (code == 0) {
        code = scan_batch_init(&feed->ring[0], plan, SCAN_BATCH_BYTES, err);
        feed->ring_size = 1;
    }
    if (code == 0)
        start_threads(feed, root);
    return code;
}

struct scan_batch *scan_feed_get(struct scan_feed *feed, size_t number)
{
    if (feed->thread_count == 0) {
        scan_lane_fill(&feed->own, &feed->ring[0], number * SCAN_BATCH);
        return &feed->ring[0];
    }
    struct scan_batch *batch = &feed->ring[number % SCAN_RING];
    (void)pthread_mutex_lock(&feed->lock);
    while (batch->number != number + 1)
        (void)pthread_cond_wait(&feed->changed, &feed->lock);
    (void)pthread_mutex_unlock(&feed->lock);
    return batch;
}

void scan_feed_give_back(struct scan_feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->taken++;
    (void)pthread_cond_broadcast(&feed->changed);
    (void)pthread_mutex_unlock(&feed->lock);
}

void scan_feed_stop(struct scan_feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->stop = true;
    (void)pthread_cond_broadcast(&feed->changed);
    (void)pthread_mutex_unlock(&feed->lock);
    for (size_t i = 0; i < feed->thread_count; i++)
        (void)pthread_join(feed->threads[i], NULL);
    for (size_t i = 0; i < SCAN_THREADS; i++)
        scan_lane_fini(&feed->lanes[i]);
    for (size_t i = 0; i < SCAN_RING; i++)
        scan_batch_fini(&feed->ring[i]);
    scan_lane_fini(&feed->own);
    (void)pthread_cond_destroy(&feed->changed);
    (void)pthread_mutex_destroy(&feed->lock);
}
