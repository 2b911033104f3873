/* Suppression: which bad checks are only the consequence of a failing dependency. A flag beside the state, never instead of it.
 *
 * A dependency counts as failing when it is `fail` or `stale`. A check in warn, unknown or fail with such a dependency, direct or through others, is suppressed by
 * the root: the failing one that has no failing dependency itself. A stale check is never suppressed (being late is our own trouble), nor is one of phase
 * safety. One pass in dependency order: O(checks + edges), no recursion. */
#include <stdlib.h>

#include "store_private.h"

/* Kahn's algorithm over reversed edges kept as linked lists in two arrays. */
struct sorter {
    size_t *waiting_for; /* per check: dependencies not yet placed */
    size_t *first;       /* per check: its first outgoing edge, or SIZE_MAX */
    size_t *next;        /* per edge */
    size_t *dependent;   /* per edge: who depends */
};

static void sorter_link(struct sorter *sorter, const struct rb_plan *plan)
{
    size_t edge = 0;
    for (size_t i = 0; i < plan->count; i++)
        sorter->first[i] = SIZE_MAX;
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        sorter->waiting_for[i] = spec->depends_on_count;
        for (size_t d = 0; d < spec->depends_on_count; d++, edge++) {
            sorter->dependent[edge] = i;
            sorter->next[edge] = sorter->first[spec->depends_on[d]];
            sorter->first[spec->depends_on[d]] = edge;
        }
    }
}

static size_t sorter_run(struct sorter *sorter, size_t count, size_t *order)
{
    size_t placed = 0;
    for (size_t i = 0; i < count; i++) {
        if (sorter->waiting_for[i] == 0)
            order[placed++] = i;
    }
    for (size_t done = 0; done < placed; done++) {
        for (size_t edge = sorter->first[order[done]]; edge != SIZE_MAX; edge = sorter->next[edge]) {
            size_t dependent = sorter->dependent[edge];
            if (--sorter->waiting_for[dependent] == 0)
                order[placed++] = dependent;
        }
    }
    return placed;
}

bool rb_suppress_order(struct rb_store *store)
{
    const struct rb_plan *plan = store->plan;
    size_t edges = 0;
    for (size_t i = 0; i < plan->count; i++)
        edges += plan->checks[i].depends_on_count;
    size_t *scratch = calloc(2 * plan->count + 2 * edges + 1, sizeof *scratch);
    if (!scratch)
        return false;
    struct sorter sorter = {.waiting_for = scratch,
                            .first = scratch + plan->count,
                            .next = scratch + 2 * plan->count,
                            .dependent = scratch + 2 * plan->count + edges};
    sorter_link(&sorter, plan);
    size_t placed = sorter_run(&sorter, plan->count, store->order);
    for (size_t i = 0; i < plan->count && placed < plan->count; i++) {
        if (sorter.waiting_for[i] != 0)
            store->order[placed++] = i;
    }
    free(scratch);
    return true;
}

static bool failing(const struct rb_record *record)
{
    return record->state == RB_STATE_FAIL || record->state == RB_STATE_STALE;
}

static bool may_be_suppressed(const struct rb_record *record)
{
    bool bad = record->state == RB_STATE_WARN || record->state == RB_STATE_UNKNOWN || record->state == RB_STATE_FAIL;
    return bad && record->spec->phase != RB_PHASE_SAFETY;
}

static size_t root_of(const struct rb_store *store, size_t index)
{
    const struct rb_check_spec *spec = &store->plan->checks[index];
    for (size_t d = 0; d < spec->depends_on_count; d++) {
        size_t dependency = spec->depends_on[d];
        if (store->root_cause[dependency] != SIZE_MAX)
            return store->root_cause[dependency];
        if (failing(store->entries[dependency].record))
            return dependency;
    }
    return SIZE_MAX;
}

static void set_flag(struct rb_store *store, size_t index, size_t root)
{
    const struct rb_record *record = store->entries[index].record;
    const char *by = root != SIZE_MAX && may_be_suppressed(record) ? store->plan->checks[root].name : NULL;
    if (record->suppressed_by == by)
        return;
    struct rb_record *writable = rb_store_writable(&store->entries[index]);
    if (!writable)
        return;
    writable->suppressed_by = by;
    writable->suppressed = by != NULL;
    store->generation++;
}

void rb_suppress_apply(struct rb_store *store)
{
    for (size_t i = 0; i < store->plan->count; i++)
        store->root_cause[i] = SIZE_MAX;
    for (size_t i = 0; i < store->plan->count; i++)
        store->root_cause[store->order[i]] = root_of(store, store->order[i]);
    for (size_t i = 0; i < store->plan->count; i++)
        set_flag(store, i, store->root_cause[i]);
}
