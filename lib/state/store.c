/* The store: owns the newest record of every check, changes plans, publishes snapshots. Its rules are in judge.c and suppress.c, runs in store_run.c.
 *
 * Invariants: entries[i] belongs to plan->checks[i] and always has a record. A record that a snapshot shares is never written: rb_store_writable puts a
 * clone in its place first (copy on write; only this thread adds references to a store's record, so a count of one cannot grow meanwhile).
 * `generation` starts at the wall clock's milliseconds, so that a reader's ETag from before a restart does not match by chance. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/digest.h"
#include "store_private.h"

#define SNAPSHOT_ARENA_MAX  ((size_t)4 << 20)
#define SAFETY_EVIDENCE_MAX 16u

struct rb_store *rb_store_new(const struct rb_clock *clock, struct rb_journal *journal)
{
    struct rb_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->clock = clock;
    store->journal = journal;
    int64_t wall_ns = rb_wall_ns(clock);
    store->generation = wall_ns > 0 ? (uint64_t)(wall_ns / RB_NS_PER_MS) : 1;
    return store;
}

static void free_entries(struct entry *entries, size_t count)
{
    for (size_t i = 0; entries && i < count; i++) {
        rb_record_unref(entries[i].record);
        free(entries[i].memory);
    }
    free(entries);
}

void rb_store_free(struct rb_store *store)
{
    if (!store)
        return;
    free_entries(store->entries, store->plan ? store->plan->count : 0);
    for (size_t i = 0; i < store->retired_count; i++)
        free(store->retired[i]);
    free(store->retired);
    free(store->order);
    free(store->root_cause);
    rb_plan_unref(store->plan);
    free(store);
}

/* ---- records ---- */

struct rb_record *rb_store_writable(struct entry *entry)
{
    if (__atomic_load_n(&entry->record->refs, __ATOMIC_ACQUIRE) == 1)
        return entry->record;
    struct rb_record *clone = rb_record_clone(entry->record);
    if (!clone)
        return NULL;
    rb_record_unref(entry->record);
    entry->record = clone;
    return clone;
}

static bool same_texts(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        if (strcmp(a[i], b[i]) != 0)
            return false;
    }
    return true;
}

/* Whether a reader would see something else than other clocks and numbers. */
static bool reads_the_same(const struct rb_record *a, const struct rb_record *b)
{
    return a->state == b->state && a->has_result == b->has_result && a->result == b->result && a->flapping == b->flapping &&
           a->streak == b->streak && strcmp(a->reason, b->reason) == 0 && strcmp(a->message, b->message) == 0 &&
           same_texts(a->evidence, a->evidence_count, b->evidence, b->evidence_count) &&
           same_texts(a->hints, a->hint_count, b->hints, b->hint_count);
}

bool rb_store_publish(struct rb_store *store, size_t index, const struct rb_record *content)
{
    struct entry *entry = &store->entries[index];
    struct rb_record *record = rb_record_make(content);
    if (!record)
        return false;
    if (!reads_the_same(entry->record, record))
        store->generation++;
    rb_record_unref(entry->record);
    entry->record = record;
    return true;
}

struct rb_record *rb_store_record_ref(const struct rb_store *store, size_t index)
{
    return rb_record_ref(store->entries[index].record);
}

const struct rb_record *rb_store_record(const struct rb_store *store, size_t index)
{
    return store->entries[index].record;
}

int64_t rb_store_asleep_ns(const struct rb_store *store)
{
    return rb_elapsed_ns(store->clock) - rb_awake_ns(store->clock);
}

void *rb_store_memory(struct rb_store *store, size_t index)
{
    return store->entries[index].memory;
}

int64_t rb_store_last_start(const struct rb_store *store, size_t index)
{
    return store->entries[index].last_start_ns;
}

void rb_store_set_due(struct rb_store *store, size_t index, int64_t due_ns)
{
    if (store->entries[index].record->next_due_ns == due_ns)
        return;
    struct rb_record *record = rb_store_writable(&store->entries[index]);
    if (record)
        record->next_due_ns = due_ns;
}

bool rb_store_all_ran(const struct rb_store *store)
{
    for (size_t i = 0; store->plan && i < store->plan->count; i++) {
        const struct rb_check_spec *spec = &store->plan->checks[i];
        if (!spec->manual && !spec->untrusted && !store->entries[i].completed_once)
            return false;
    }
    return true;
}

int rb_store_silence(struct rb_store *store, size_t index, int64_t until_wall_ns, struct rb_error *err)
{
    const struct rb_check_spec *spec = &store->plan->checks[index];
    if (spec->phase == RB_PHASE_SAFETY)
        return rb_error_set(err, RB_EPERM, "%s is a check of phase safety: it can never be silenced", spec->name);
    struct rb_record *record = rb_store_writable(&store->entries[index]);
    if (!record)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    record->silenced_until_wall_ns = until_wall_ns;
    store->generation++;
    store->dirty = true;
    return 0;
}

bool rb_store_dirty(const struct rb_store *store)
{
    return store->dirty;
}

size_t rb_store_find(const struct rb_store *store, const char *name)
{
    for (size_t i = 0; store->plan && i < store->plan->count; i++) {
        if (strcmp(store->plan->checks[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* ---- plans ---- */

static struct rb_record first_record(const struct rb_check_spec *spec)
{
    struct rb_record record = {.spec = spec,
                               .state = RB_STATE_PENDING,
                               .reason = "pending",
                               .message = "not run yet",
                               .last_completed_ns = INT64_MIN,
                               .next_due_ns = INT64_MAX,
                               .duration_s = (double)NAN};
    if (spec->untrusted) {
        record.state = RB_STATE_UNKNOWN;
        record.result = RB_RESULT_UNKNOWN;
        record.reason = record.result_reason = "untrusted";
        record.message = record.result_message =
            "starts programs, and its configuration file is not trusted: read the file, then run `runbookd trust`";
        record.has_result = true;
    }
    return record;
}

static size_t memory_size(const struct rb_check_spec *spec)
{
    return spec->kind ? rb_kind_of(spec->kind)->memory_size : 0;
}

/* The record's texts again, with the configuration's hints of the new plan behind the kind's. */
static struct rb_record *record_for(struct rb_record *content, size_t kind_hints)
{
    const struct rb_strings *configured = &content->spec->hints;
    const char **hints = calloc(kind_hints + configured->count + 1, sizeof *hints);
    if (!hints)
        return NULL;
    for (size_t i = 0; i < kind_hints; i++)
        hints[i] = content->hints[i];
    for (size_t i = 0; i < configured->count; i++)
        hints[kind_hints + i] = configured->items[i];
    content->hints = hints;
    content->hint_count = kind_hints + configured->count;
    struct rb_record *record = rb_record_make(content);
    free(hints);
    return record;
}

static bool begin_entry(const struct rb_store *store, struct entry *entry, const struct rb_check_spec *spec, const struct entry *counted)
{
    struct rb_record content = first_record(spec);
    if (spec->untrusted)
        content.since_wall_ns = rb_wall_ns(store->clock);
    if (counted) {
        content.runs = counted->record->runs;
        content.silenced_until_wall_ns = spec->phase == RB_PHASE_SAFETY ? 0 : counted->record->silenced_until_wall_ns;
        content.failures = counted->record->failures;
        content.state_changes = counted->record->state_changes;
    }
    *entry = (struct entry){.last_start_ns = INT64_MIN,
                            .waiting_since_ns = rb_elapsed_ns(store->clock),
                            .asleep_ns = rb_store_asleep_ns(store),
                            .decided = RB_STATE_PENDING,
                            .decided_reason = "pending"};
    entry->record = record_for(&content, 0);
    size_t size = memory_size(spec);
    entry->memory = size ? calloc(1, size) : NULL;
    return entry->record && (!size || entry->memory);
}

/* The entry of an unchanged check under its new spec; the memory moves only when all went well (rb_store_set_plan). */
static bool keep_entry(struct entry *entry, const struct rb_check_spec *spec, const struct entry *old)
{
    *entry = *old;
    entry->memory = NULL;
    struct rb_record content = rb_record_content(old->record);
    content.spec = spec;
    content.suppressed = false;
    content.suppressed_by = NULL;
    entry->record = record_for(&content, old->kind_hints);
    return entry->record != NULL;
}

static bool same_check(const struct rb_check_spec *a, const struct rb_check_spec *b)
{
    bool same_kind = a->kind == b->kind || (a->kind && b->kind && strcmp(a->kind->schema.name, b->kind->schema.name) == 0);
    return same_kind && strcmp(a->identity, b->identity) == 0 && a->untrusted == b->untrusted;
}

struct named {
    const char *name;
    size_t index;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* The old plan's checks sorted by name; `*out` is NULL when memory is out. */
static void sorted_names(const struct rb_plan *plan, struct named **out, size_t *out_count)
{
    *out_count = plan ? plan->count : 0;
    *out = calloc(*out_count + 1, sizeof **out);
    if (!*out)
        return;
    for (size_t i = 0; i < *out_count; i++)
        (*out)[i] = (struct named){.name = plan->checks[i].name, .index = i};
    qsort(*out, *out_count, sizeof **out, by_name);
}

/* Builds the new entries; kept[i] is the old index whose state moved, or SIZE_MAX. */
static bool build_entries(struct rb_store *store, const struct rb_plan *plan, struct entry *entries, size_t *kept)
{
    struct named *names;
    size_t name_count;
    sorted_names(store->plan, &names, &name_count);
    if (!names)
        return false;
    bool built = true;
    for (size_t i = 0; i < plan->count && built; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        const struct named *found = bsearch(&(struct named){.name = spec->name}, names, name_count, sizeof *names, by_name);
        const struct entry *old = found ? &store->entries[found->index] : NULL;
        bool keep = old && same_check(old->record->spec, spec);
        kept[i] = keep ? found->index : SIZE_MAX;
        built = keep ? keep_entry(&entries[i], spec, old) : begin_entry(store, &entries[i], spec, old);
    }
    free(names);
    return built;
}

/* Memories follow the checks that stayed; one that a run may still use is kept until the store ends. */
static bool move_memories(struct rb_store *store, size_t new_count, struct entry *entries, const size_t *kept)
{
    size_t old_count = store->plan ? store->plan->count : 0;
    if (old_count) {
        void **grown = realloc(store->retired, (store->retired_count + old_count) * sizeof *grown);
        if (!grown)
            return false;
        store->retired = grown;
    }
    for (size_t i = 0; i < new_count; i++) {
        if (kept[i] == SIZE_MAX)
            continue;
        entries[i].memory = store->entries[kept[i]].memory;
        store->entries[kept[i]].memory = NULL;
    }
    for (size_t i = 0; i < old_count; i++) {
        if (!store->entries[i].in_flight || !store->entries[i].memory)
            continue;
        store->retired[store->retired_count++] = store->entries[i].memory;
        store->entries[i].memory = NULL;
    }
    return true;
}

static void install_plan(struct rb_store *store, struct rb_plan *plan, struct entry *entries, size_t *order, size_t *root_cause)
{
    free_entries(store->entries, store->plan ? store->plan->count : 0);
    free(store->order);
    free(store->root_cause);
    rb_plan_unref(store->plan);
    store->plan = rb_plan_ref(plan);
    store->entries = entries;
    store->order = order;
    store->root_cause = root_cause;
    store->generation++;
    store->dirty = true;
}

int rb_store_set_plan(struct rb_store *store, struct rb_plan *plan, struct rb_error *err)
{
    struct entry *entries = calloc(plan->count + 1, sizeof *entries);
    size_t *kept = calloc(plan->count + 1, sizeof *kept);
    size_t *order = calloc(plan->count + 1, sizeof *order);
    size_t *root_cause = calloc(plan->count + 1, sizeof *root_cause);
    struct rb_store probe = {.plan = plan, .order = order};
    bool ready = entries && kept && order && root_cause && build_entries(store, plan, entries, kept) && rb_suppress_order(&probe) &&
                 move_memories(store, plan->count, entries, kept);
    free(kept);
    if (!ready) {
        free_entries(entries, plan->count);
        free(order);
        free(root_cause);
        return rb_error_set(err, RB_ENOMEM, "not enough memory for the state of %zu checks", plan->count);
    }
    install_plan(store, plan, entries, order, root_cause);
    rb_suppress_apply(store);
    rb_store_watch_safety(store, false);
    return 0;
}

/* ---- safety ---- */

static enum rb_safety safety_now(const struct rb_store *store)
{
    enum rb_safety safety = RB_SAFETY_NONE;
    for (size_t i = 0; store->plan && i < store->plan->count; i++) {
        if (store->plan->checks[i].phase == RB_PHASE_SAFETY)
            safety = rb_safety_worse(safety, store->entries[i].record->state);
    }
    return safety;
}

static void tell_safety(struct rb_store *store, enum rb_safety safety)
{
    char text[96];
    (void)snprintf(text, sizeof text, "safety: %s, was %s", rb_safety_name(safety), rb_safety_name(store->safety_told));
    rb_journal_append(store->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_SAFETY,
                                                                 .from = rb_safety_name(store->safety_told),
                                                                 .to = rb_safety_name(safety),
                                                                 .text = text});
}

void rb_store_watch_safety(struct rb_store *store, bool quiet)
{
    enum rb_safety safety = safety_now(store);
    if (safety == store->safety)
        return;
    store->safety = safety;
    store->generation++;
    /* Being unknown until every guard ran once is no event, and neither is the first "held". */
    bool first = store->safety_told == RB_SAFETY_NONE && safety != RB_SAFETY_VIOLATED;
    if (quiet || safety == store->safety_told || (first && safety == RB_SAFETY_UNKNOWN))
        return;
    if (!first)
        tell_safety(store, safety);
    store->safety_told = safety;
}

/* What a guard that holds has looked at speaks for itself ("58 keys in 7 files"); any other line begins with the check's name. */
static const char *safety_line(const struct rb_record *record, struct rb_arena *arena)
{
    const char *message = record->message[0] ? record->message : rb_state_name(record->state);
    if (record->state == RB_STATE_OK && record->message[0])
        return rb_arena_strdup(arena, message);
    return rb_arena_printf(arena, "%s: %s", record->spec->name, message);
}

/* One line for each check that makes safety what it is, those without a blemish first. */
static void add_safety_evidence(struct rb_snapshot *snapshot)
{
    const char **lines = rb_arena_array(snapshot->arena, SAFETY_EVIDENCE_MAX + 1, sizeof *lines);
    size_t more = 0;
    for (size_t i = 0; lines && snapshot->count && i < 2 * snapshot->count; i++) {
        const struct rb_record *record = snapshot->records[i % snapshot->count];
        bool flawless = record->state == RB_STATE_OK;
        if (record->spec->phase != RB_PHASE_SAFETY || rb_safety_worse(RB_SAFETY_NONE, record->state) != snapshot->safety ||
            flawless != (i < snapshot->count))
            continue;
        if (snapshot->safety_evidence_count == SAFETY_EVIDENCE_MAX)
            more++;
        else
            lines[snapshot->safety_evidence_count++] = safety_line(record, snapshot->arena);
    }
    if (more)
        lines[snapshot->safety_evidence_count++] = rb_arena_printf(snapshot->arena, "and %zu more", more);
    snapshot->safety_evidence = lines;
}

/* ---- snapshots ---- */

static bool add_records(const struct rb_store *store, struct rb_snapshot *snapshot)
{
    size_t count = store->plan ? store->plan->count : 0;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is an array of pointers */
    snapshot->records = rb_arena_array(snapshot->arena, count + 1, sizeof *snapshot->records);
    if (!snapshot->records)
        return false;
    for (size_t i = 0; i < count; i++)
        snapshot->records[i] = rb_record_ref(store->entries[i].record);
    snapshot->count = count;
    return true;
}

static bool add_timeline(const struct rb_store *store, struct rb_snapshot_owned *owned)
{
    struct rb_snapshot *snapshot = &owned->snapshot;
    size_t max = rb_journal_ring_count(store->journal);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is an array of pointers */
    owned->entries = rb_arena_array(snapshot->arena, max + 1, sizeof *owned->entries);
    if (!owned->entries)
        return false;
    snapshot->timeline_count = rb_journal_recent(store->journal, owned->entries, max);
    snapshot->timeline = (const struct rb_event_entry *const *)(const void *)owned->entries;
    return true;
}

static void copy_extra(struct rb_snapshot *snapshot, const struct rb_snapshot_extra *extra)
{
    struct rb_arena *arena = snapshot->arena;
    snapshot->start_wall_ns = extra->start_wall_ns;
    snapshot->start_elapsed_ns = extra->start_elapsed_ns;
    snapshot->ready = extra->ready;
    snapshot->host = rb_arena_strdup(arena, extra->host ? extra->host : "");
    snapshot->os = rb_arena_strdup(arena, extra->os ? extra->os : "");
    snapshot->repo = (struct rb_repo_facts){.branch = rb_arena_strdup(arena, extra->repo.branch),
                                            .commit = rb_arena_strdup(arena, extra->repo.commit),
                                            .subject = rb_arena_strdup(arena, extra->repo.subject),
                                            .worktree = rb_arena_strdup(arena, extra->repo.worktree)};
    snapshot->runbooks = rb_runbook_texts_ref(extra->runbooks);
    snapshot->config = extra->config;
    snapshot->config.error = rb_arena_strdup(arena, extra->config.error);
    snapshot->self = extra->self;
    struct rb_incident_brief *incidents = rb_arena_array(arena, extra->incident_count + 1, sizeof *incidents);
    for (size_t i = 0; incidents && i < extra->incident_count; i++) {
        incidents[i] = extra->incidents[i];
        incidents[i].id = rb_arena_strdup(arena, extra->incidents[i].id);
        incidents[i].title = rb_arena_strdup(arena, extra->incidents[i].title);
        incidents[i].severity = rb_arena_strdup(arena, extra->incidents[i].severity);
    }
    snapshot->incidents = incidents;
    snapshot->incident_count = incidents ? extra->incident_count : 0;
}

static uint64_t add_to_digest(uint64_t digest, const char *text)
{
    return (digest << 7 | digest >> 57) ^ (text ? rb_crc32c(1, text, strlen(text)) : 0x5bd1e995u);
}

/* The generation also follows what the app tells: configuration status, repository, readiness. */
static void follow_extra(struct rb_store *store, const struct rb_snapshot_extra *extra)
{
    uint64_t digest = add_to_digest((uint64_t)extra->config.last_success_wall_ns, extra->config.error);
    digest = add_to_digest(digest + extra->config.last_reload_successful, extra->repo.branch);
    digest = add_to_digest(add_to_digest(digest, extra->repo.commit), extra->repo.worktree);
    digest = add_to_digest(digest + extra->incidents_version, NULL);
    if (digest != store->config_digest || extra->ready != store->ready)
        store->generation++;
    store->config_digest = digest;
    store->ready = extra->ready;
}

struct rb_snapshot *rb_store_snapshot(struct rb_store *store, const struct rb_snapshot_extra *extra)
{
    struct rb_snapshot_owned *owned = calloc(1, sizeof *owned);
    if (!owned)
        return NULL;
    struct rb_snapshot *snapshot = &owned->snapshot;
    snapshot->refs = 1;
    follow_extra(store, extra);
    snapshot->generation = store->generation;
    snapshot->plan = store->plan ? rb_plan_ref(store->plan) : NULL;
    snapshot->wall_ns = rb_wall_ns(store->clock);
    snapshot->elapsed_ns = rb_elapsed_ns(store->clock);
    snapshot->safety = safety_now(store);
    snapshot->arena = rb_arena_new(SNAPSHOT_ARENA_MAX);
    bool built = snapshot->arena && add_records(store, snapshot) && add_timeline(store, owned);
    if (built) {
        copy_extra(snapshot, extra);
        add_safety_evidence(snapshot);
    }
    if (!built || rb_arena_failed(snapshot->arena)) {
        rb_snapshot_unref(snapshot);
        return NULL;
    }
    return snapshot;
}
