/* The due heap: one binary heap per execution class, ordered by due time, with each entry's place in it.
 *
 * Invariants: an entry is in its class's heap exactly while `state` is IDLE, so `heap_pos` is meaningful only then; `running` of a class counts its RUNNING entries;
 * due times of periodic entries are `phase_ns` plus a whole number of intervals. Every operation is O(log n) in the size of the class plus O(number of classes), of
 * which there are half a dozen.
 *
 * Why a heap per class: spacing and the limit of running entries block a whole class at once, so the one candidate of a class is always its top, and a class that may
 * not start anything is passed over without looking at its entries. Rounding due times up to a class's beat keeps their order, so the top stays the candidate.
 *
 * First runs: each entry gets a window in which it becomes due, min(interval / 2, 2 s), or longer when its class has so many entries that their spacing alone would
 * take more than half of that. The window is cut into one slot per level of the dependency graph, so that what others depend on goes first; within its slot an entry
 * stands at a hash of its name. An entry's window is never longer than that of what depends on it.
 *
 * Next runs keep the phase: a host that slept for hours does one catch-up run per entry, spread as the class's spacing demands, and then every entry is back on its
 * old, well-spread beat. The beat that would come within half an interval of the last start is left out, so that the catch-up run stays the only one. */
#include "runbook/check/sched.h"

#include <assert.h>
#include <stdlib.h>

#include "runbook/base/clock.h"

#define FIRST_WINDOW_NS (2 * RB_NS_PER_S)
#define MAX_DEPTH       16u /* deeper levels of the dependency graph share the last slot */

enum entry_state { ENTRY_IDLE, ENTRY_RUNNING, ENTRY_PARKED };

struct entry {
    int64_t every_ns; /* 0: manual */
    int64_t phase_ns;
    int64_t due_ns;
    int64_t start_ns; /* of the last run */
    int64_t beat_ns;  /* due time that an inserted run must not take away; 0: none */
    size_t heap_pos;
    unsigned class_id;
    enum entry_state state;
    bool urgent; /* brought forward, until that run has ended: goes before all others of its class and does not wait for the spacing */
};

struct class
{
    int64_t spacing_ns;
    int64_t free_from_ns; /* earliest next start */
    int64_t collect_ns;
    size_t max_running, running;
    size_t *heap; /* entry ids; its part of sched->slots */
    size_t heap_len;
    size_t members; /* periodic entries */
};

struct rb_sched {
    struct entry *entries;
    size_t count;
    struct class *classes;
    size_t class_count;
    size_t *slots;
};

/* ---- heap ---- */

static bool goes_before(const struct rb_sched *sched, size_t a, size_t b)
{
    const struct entry *left = &sched->entries[a], *right = &sched->entries[b];
    if (left->urgent != right->urgent)
        return left->urgent;
    if (left->due_ns != right->due_ns)
        return left->due_ns < right->due_ns;
    return a < b;
}

static void heap_put(struct rb_sched *sched, struct class *class, size_t pos, size_t id)
{
    class->heap[pos] = id;
    sched->entries[id].heap_pos = pos;
}

static void heap_up(struct rb_sched *sched, struct class *class, size_t pos)
{
    size_t id = class->heap[pos];
    while (pos > 0) {
        size_t parent = (pos - 1) / 2;
        if (!goes_before(sched, id, class->heap[parent]))
            break;
        heap_put(sched, class, pos, class->heap[parent]);
        pos = parent;
    }
    heap_put(sched, class, pos, id);
}

static void heap_down(struct rb_sched *sched, struct class *class, size_t pos)
{
    size_t id = class->heap[pos];
    for (;;) {
        size_t child = 2 * pos + 1;
        if (child >= class->heap_len)
            break;
        if (child + 1 < class->heap_len && goes_before(sched, class->heap[child + 1], class->heap[child]))
            child++;
        if (!goes_before(sched, class->heap[child], id))
            break;
        heap_put(sched, class, pos, class->heap[child]);
        pos = child;
    }
    heap_put(sched, class, pos, id);
}

static void heap_insert(struct rb_sched *sched, size_t id)
{
    struct class *class = &sched->classes[sched->entries[id].class_id];
    sched->entries[id].state = ENTRY_IDLE;
    class->heap[class->heap_len++] = id;
    heap_up(sched, class, class->heap_len - 1);
}

static void heap_remove(struct rb_sched *sched, size_t id)
{
    struct class *class = &sched->classes[sched->entries[id].class_id];
    size_t pos = sched->entries[id].heap_pos;
    size_t last = class->heap[--class->heap_len];
    if (last == id)
        return;
    heap_put(sched, class, pos, last);
    heap_up(sched, class, pos);
    heap_down(sched, class, sched->entries[last].heap_pos);
}

/* ---- first runs ---- */

/* FNV-1a with a final mix (the one of MurmurHash3): names that differ in one digit land far apart. */
static uint64_t name_hash(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

static int64_t first_window(const struct rb_sched *sched, const struct entry *entry)
{
    const struct class *class = &sched->classes[entry->class_id];
    int64_t window = FIRST_WINDOW_NS;
    if (class->spacing_ns > 0 && (int64_t) class->members > window / (2 * class->spacing_ns))
        window = 2 * class->spacing_ns * (int64_t) class->members;
    return window < entry->every_ns / 2 ? window : entry->every_ns / 2;
}

/* One round over all edges: lifts depths above their dependencies', shrinks windows of dependencies. True when something changed. */
static bool relax(const struct rb_sched_entry *given, size_t count, unsigned *depth, int64_t *window)
{
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < given[i].depends_on_count; k++) {
            size_t dependency = given[i].depends_on[k];
            assert(dependency < count);
            if (depth[i] <= depth[dependency] && depth[i] < MAX_DEPTH) {
                depth[i] = depth[dependency] + 1;
                changed = true;
            }
            if (given[i].every_ns > 0 && window[dependency] > window[i]) {
                window[dependency] = window[i];
                changed = true;
            }
        }
    }
    return changed;
}

static bool place_first_runs(struct rb_sched *sched, const struct rb_sched_entry *given, int64_t now_ns)
{
    unsigned *depth = calloc(sched->count + 1, sizeof *depth);
    int64_t *window = calloc(sched->count + 1, sizeof *window);
    bool have = depth && window;
    for (size_t i = 0; have && i < sched->count; i++)
        window[i] = first_window(sched, &sched->entries[i]);
    for (unsigned round = 0; have && round <= MAX_DEPTH && relax(given, sched->count, depth, window); round++) {
    }
    unsigned levels = 1;
    for (size_t i = 0; have && i < sched->count; i++)
        levels = depth[i] + 1 > levels ? depth[i] + 1 : levels;
    for (size_t i = 0; have && i < sched->count; i++) {
        struct entry *entry = &sched->entries[i];
        if (entry->every_ns == 0)
            continue;
        int64_t slot = window[i] / (int64_t)levels;
        int64_t within = slot > 0 ? (int64_t)(name_hash(given[i].name) % (uint64_t)slot) : 0;
        entry->phase_ns = entry->due_ns = now_ns + slot * (int64_t)depth[i] + within;
        heap_insert(sched, i);
    }
    free(depth);
    free(window);
    return have;
}

/* ---- life ---- */

struct rb_sched *rb_sched_new(const struct rb_sched_entry *entries, size_t count, const struct rb_sched_class *classes, size_t class_count,
                              int64_t now_ns)
{
    struct rb_sched *sched = calloc(1, sizeof *sched);
    if (!sched)
        return NULL;
    sched->count = count;
    sched->class_count = class_count;
    sched->entries = calloc(count + 1, sizeof *sched->entries);
    sched->classes = calloc(class_count + 1, sizeof *sched->classes);
    sched->slots = calloc(count + 1, sizeof *sched->slots);
    if (!sched->entries || !sched->classes || !sched->slots) {
        rb_sched_free(sched);
        return NULL;
    }
    size_t *capacity = calloc(class_count + 1, sizeof *capacity);
    for (size_t i = 0; capacity && i < count; i++) {
        assert(entries[i].class_id < class_count && entries[i].every_ns >= 0);
        sched->entries[i] = (struct entry){.every_ns = entries[i].every_ns, .class_id = entries[i].class_id, .state = ENTRY_PARKED};
        capacity[entries[i].class_id]++;
        sched->classes[entries[i].class_id].members += entries[i].every_ns > 0;
    }
    size_t *slot = sched->slots;
    for (size_t i = 0; capacity && i < class_count; i++) {
        struct class *class = &sched->classes[i];
        class->spacing_ns = classes[i].spacing_ns;
        class->max_running = classes[i].max_running;
        class->collect_ns = classes[i].collect_ns;
        class->free_from_ns = now_ns;
        class->heap = slot;
        slot += capacity[i];
    }
    bool complete = capacity && place_first_runs(sched, entries, now_ns);
    free(capacity);
    if (complete)
        return sched;
    rb_sched_free(sched);
    return NULL;
}

void rb_sched_free(struct rb_sched *sched)
{
    if (!sched)
        return;
    free(sched->slots);
    free(sched->classes);
    free(sched->entries);
    free(sched);
}

/* ---- running ---- */

/* When the class may start its top entry; INT64_MAX when it holds none or runs as many as it may. */
static int64_t class_ready(const struct rb_sched *sched, const struct class *class)
{
    if (class->heap_len == 0 || (class->max_running && class->running >= class->max_running))
        return INT64_MAX;
    const struct entry *top = &sched->entries[class->heap[0]];
    if (top->urgent)
        return top->due_ns;
    int64_t due_ns = top->due_ns;
    if (class->collect_ns > 0)
        due_ns = (due_ns + class->collect_ns - 1) / class->collect_ns * class->collect_ns;
    return due_ns > class->free_from_ns ? due_ns : class->free_from_ns;
}

int64_t rb_sched_next(const struct rb_sched *sched, int64_t now_ns)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < sched->class_count; i++) {
        int64_t ready = class_ready(sched, &sched->classes[i]);
        next = ready < next ? ready : next;
    }
    return next <= now_ns ? 0 : next;
}

bool rb_sched_pop(struct rb_sched *sched, int64_t now_ns, size_t *out_id, int64_t *out_late_ns)
{
    struct class *best = NULL;
    for (size_t i = 0; i < sched->class_count; i++) {
        struct class *class = &sched->classes[i];
        if (class_ready(sched, class) <= now_ns && (!best || goes_before(sched, class->heap[0], best->heap[0])))
            best = class;
    }
    if (!best)
        return false;
    size_t id = best->heap[0];
    struct entry *entry = &sched->entries[id];
    heap_remove(sched, id);
    entry->state = ENTRY_RUNNING;
    entry->start_ns = now_ns;
    best->running++;
    best->free_from_ns = now_ns + best->spacing_ns;
    *out_id = id;
    *out_late_ns = now_ns - entry->due_ns;
    return true;
}

/* The first beat after `now_ns` that leaves at least half an interval to the last start. */
static int64_t next_beat(const struct entry *entry, int64_t now_ns)
{
    int64_t earliest = entry->start_ns + entry->every_ns / 2;
    if (earliest <= now_ns)
        earliest = now_ns + 1;
    if (entry->phase_ns >= earliest)
        return entry->phase_ns;
    int64_t beats = (earliest - entry->phase_ns + entry->every_ns - 1) / entry->every_ns;
    return entry->phase_ns + beats * entry->every_ns;
}

void rb_sched_done(struct rb_sched *sched, size_t id, int64_t now_ns)
{
    assert(id < sched->count && sched->entries[id].state == ENTRY_RUNNING);
    struct entry *entry = &sched->entries[id];
    sched->classes[entry->class_id].running--;
    entry->urgent = false;
    if (entry->every_ns == 0) {
        entry->state = ENTRY_PARKED;
        return;
    }
    entry->due_ns = entry->beat_ns > now_ns ? entry->beat_ns : next_beat(entry, now_ns);
    entry->beat_ns = 0;
    heap_insert(sched, id);
}

bool rb_sched_insert(struct rb_sched *sched, size_t id, int64_t now_ns)
{
    assert(id < sched->count);
    struct entry *entry = &sched->entries[id];
    if (entry->state == ENTRY_RUNNING)
        return false;
    if (entry->state == ENTRY_PARKED || entry->due_ns <= now_ns)
        return true;
    heap_remove(sched, id);
    entry->beat_ns = entry->due_ns;
    entry->due_ns = now_ns;
    heap_insert(sched, id);
    return true;
}

bool rb_sched_bring_forward(struct rb_sched *sched, size_t id, int64_t now_ns)
{
    assert(id < sched->count);
    struct entry *entry = &sched->entries[id];
    if (entry->state == ENTRY_RUNNING)
        return false;
    if (entry->state == ENTRY_IDLE)
        heap_remove(sched, id);
    if (entry->state == ENTRY_PARKED || entry->due_ns > now_ns)
        entry->due_ns = now_ns;
    entry->urgent = true;
    heap_insert(sched, id);
    return true;
}

void rb_sched_resume(struct rb_sched *sched, size_t id, int64_t last_start_ns, int64_t now_ns)
{
    assert(id < sched->count);
    struct entry *entry = &sched->entries[id];
    int64_t due_ns = last_start_ns + entry->every_ns;
    /* What is overdue keeps its jittered first run: a reload after a long pause must not start everything in the same instant. */
    if (entry->state != ENTRY_IDLE || entry->every_ns == 0 || due_ns <= now_ns)
        return;
    heap_remove(sched, id);
    entry->start_ns = last_start_ns;
    entry->beat_ns = 0;
    entry->phase_ns = entry->due_ns = due_ns;
    heap_insert(sched, id);
}

bool rb_sched_urgent(const struct rb_sched *sched, size_t id)
{
    assert(id < sched->count);
    return sched->entries[id].urgent;
}

bool rb_sched_running(const struct rb_sched *sched, size_t id)
{
    assert(id < sched->count);
    return sched->entries[id].state == ENTRY_RUNNING;
}

int64_t rb_sched_due(const struct rb_sched *sched, size_t id)
{
    assert(id < sched->count);
    return sched->entries[id].state == ENTRY_IDLE ? sched->entries[id].due_ns : INT64_MAX;
}
