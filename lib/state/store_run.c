/* What happens to a check: a run ends, time passes, the host sleeps.
 *
 * What is shown. `state`, `reason` and `message` are what is decided after hysteresis; `result`, `result_reason` and `result_message` are what the last run said. While a row
 * of runs has not yet changed the state, the last run's words stand first in the evidence ("1 of 2 runs: fail: …").
 *
 * `since`. A state begins when its run ended. A restart or a sleep does not begin it anew: when the first run afterwards gives the same state, `since` stays and nothing is told to
 * the journal. Ordinary staleness is a gap in what is known: the state after it begins with its run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "store_private.h"

#define EVIDENCE_MAX (RB_OUTCOME_MAX_EVIDENCE + 1)
#define SLEEP_MIN_NS RB_NS_PER_S /* less is the difference between two readings of two clocks, or a nap that hurts nobody */

static bool bad(enum rb_state state)
{
    return state == RB_STATE_WARN || state == RB_STATE_FAIL || state == RB_STATE_UNKNOWN;
}

static bool suppresses(enum rb_state state)
{
    return state == RB_STATE_FAIL || state == RB_STATE_STALE;
}

void rb_store_started(struct rb_store *store, size_t index)
{
    struct entry *entry = &store->entries[index];
    entry->last_start_ns = rb_elapsed_ns(store->clock);
    entry->start_asleep_ns = rb_store_asleep_ns(store);
    entry->in_flight = true;
    struct rb_record *record = rb_store_writable(entry);
    if (!record)
        return;
    record->running = true;
    record->next_due_ns = INT64_MAX;
}

/* ---- telling ---- */

static void tell_state(struct rb_store *store, size_t index, enum rb_state from)
{
    const struct rb_record *record = store->entries[index].record;
    rb_journal_append(store->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_STATE,
                                                                 .check = store->plan->checks[index].name,
                                                                 .from = rb_state_name(from),
                                                                 .to = rb_state_name(record->state),
                                                                 .text = record->message});
}

/* The flags of others depend on this check's state only in whether it is failing. */
static void state_changed(struct rb_store *store, enum rb_state from, enum rb_state to, bool quiet)
{
    store->dirty = true;
    if (suppresses(from) != suppresses(to) || bad(from) != bad(to))
        rb_suppress_apply(store);
    rb_store_watch_safety(store, quiet);
}

/* ---- a run ends ---- */

/* One run on its way into a record. */
struct run {
    struct rb_store *store;
    size_t index;
    struct entry *entry;
    const struct rb_check_spec *spec;
    const struct rb_outcome *outcome;
    struct verdict verdict;
    enum rb_state before; /* what was shown */
    enum rb_state known;  /* what was decided before this run */
    bool was_unconfirmed, was_gap;
    unsigned needed;
    bool overslept;
    const char *evidence[EVIDENCE_MAX];
    struct rb_fact facts[RB_OUTCOME_MAX_FACTS];
    char streak_text[RB_OUTCOME_MAX_TEXT + 64];
};

static const char *static_or(const struct rb_check_spec *spec, const char *reason)
{
    const char *known = rb_record_static_reason(spec, reason);
    return known ? known : "internal_error";
}

static void count_run(struct run *run, struct rb_record *content, int64_t started_ns)
{
    int64_t now_ns = rb_elapsed_ns(run->store->clock);
    int64_t took_ns = now_ns - started_ns;
    content->runs++;
    content->failures += run->verdict.result == RB_RESULT_FAIL;
    content->last_completed_ns = now_ns;
    content->last_run_wall_ns = rb_wall_ns(run->store->clock);
    content->duration_s = (double)(took_ns > 0 ? took_ns : 0) / (double)RB_NS_PER_S;
    if (run->verdict.result == RB_RESULT_OK)
        content->last_ok_wall_ns = content->last_run_wall_ns;
    content->running = false;
}

static bool is_kept_after_the_end(const struct rb_fact *fact)
{
    static const char *const keys[] = {RB_FACT_CONTAINER, RB_FACT_SERVICE,    RB_FACT_NEEDS,   RB_FACT_PUBLISH,
                                       RB_FACT_MOUNT,     RB_FACT_MOUNTED_AS, RB_FACT_SCRAPES, RB_FACT_ADDRESS};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(fact->key, keys[i]) == 0)
            return true;
    }
    return false;
}

struct facts {
    const struct rb_fact *items;
    size_t count;
};

/* Facts come in groups: what follows a container belongs to it. The group that begins at `first`, or the part before any container. */
static struct facts group_at(struct facts all, size_t first)
{
    size_t end = first + 1;
    while (end < all.count && strcmp(all.items[end].key, RB_FACT_CONTAINER) != 0)
        end++;
    return (struct facts){all.items + first, end - first};
}

static bool is_told(struct facts facts, const struct rb_fact *fact)
{
    for (size_t i = 0; i < facts.count; i++) {
        if (strcmp(facts.items[i].key, fact->key) == 0 && strcmp(facts.items[i].value, fact->value) == 0)
            return true;
    }
    return false;
}

/* The group that begins with the same container; the part before any container belongs to its like. Empty: there is none. */
static struct facts same_group(struct facts all, struct facts group)
{
    bool container = strcmp(group.items[0].key, RB_FACT_CONTAINER) == 0;
    for (size_t i = 0; i < all.count; i++) {
        bool here = strcmp(all.items[i].key, RB_FACT_CONTAINER) == 0;
        if (container ? here && strcmp(all.items[i].value, group.items[0].value) == 0 : i == 0 && !here)
            return group_at(all, i);
    }
    return (struct facts){0};
}

/* Adds what a group was made of and does not tell any more. */
static void keep_missing(struct rb_fact *out, size_t *count, struct facts before, struct facts now)
{
    for (size_t i = 0; i < before.count && *count < RB_OUTCOME_MAX_FACTS; i++) {
        if (is_kept_after_the_end(&before.items[i]) && !is_told(now, &before.items[i]))
            out[(*count)++] = before.items[i];
    }
}

/* What has gone, or cannot be asked, tells no facts any more; the diagnosis still has to know what it was made of. So a bad run keeps the last good structure. */
static void take_facts(struct run *run, struct rb_record *content)
{
    const struct rb_outcome *outcome = run->outcome;
    const struct facts now = {outcome->facts, outcome->fact_count}, before = {content->facts, content->fact_count};
    size_t count = 0;
    bool bad_run = run->verdict.result == RB_RESULT_FAIL || run->verdict.result == RB_RESULT_UNKNOWN;
    for (size_t i = 0; i < now.count;) {
        struct facts group = group_at(now, i);
        for (size_t k = 0; k < group.count && count < RB_OUTCOME_MAX_FACTS; k++)
            run->facts[count++] = group.items[k];
        if (bad_run)
            keep_missing(run->facts, &count, same_group(before, group), group);
        i += group.count;
    }
    for (size_t i = 0; bad_run && i < before.count;) {
        struct facts group = group_at(before, i);
        if (same_group(now, group).count == 0)
            keep_missing(run->facts, &count, group, (struct facts){0});
        i += group.count;
    }
    content->facts = run->facts;
    content->fact_count = count;
}

static void take_outcome(struct run *run, struct rb_record *content)
{
    const struct rb_outcome *outcome = run->outcome;
    content->spec = run->spec;
    content->has_result = true;
    content->result = run->verdict.result;
    content->result_reason = run->verdict.reason;
    content->result_message = run->verdict.message;
    content->evidence_dropped = outcome->evidence_dropped;
    content->evidence = run->evidence;
    content->evidence_count = 0;
    for (size_t i = 0; i < outcome->evidence_count && i < RB_OUTCOME_MAX_EVIDENCE; i++)
        run->evidence[content->evidence_count++] = outcome->evidence[i];
    content->last_words = outcome->last_words;
    content->last_words_count = outcome->last_words_count;
    content->values = outcome->values;
    content->value_count = outcome->value_count;
    take_facts(run, content);
    content->drift = outcome->drift;
}

static void show_streak(struct run *run, struct rb_record *content)
{
    content->streak = run->needed ? run->entry->streak : 0;
    content->streak_needed = run->needed;
    if (!run->needed)
        return;
    (void)snprintf(run->streak_text, sizeof run->streak_text, "%u of %u runs: %s%s%s", run->entry->streak, run->needed,
                   rb_result_name(run->verdict.result), run->verdict.message[0] ? ": " : "", run->verdict.message);
    memmove(run->evidence + 1, run->evidence, content->evidence_count * sizeof *run->evidence);
    run->evidence[0] = run->streak_text;
    content->evidence_count++;
}

/* State, reason, message and since after a run that hysteresis let through, or held. */
static void show_decided(struct run *run, struct rb_record *content, bool applied)
{
    struct entry *entry = run->entry;
    const struct rb_record *old = entry->record;
    content->state = entry->decided;
    if (applied) {
        bool goes_on = entry->decided == run->known && !run->was_gap;
        if (!goes_on)
            entry->decided_since_wall_ns = content->last_run_wall_ns;
        content->reason = run->verdict.reason;
        content->message = run->verdict.message;
        entry->decided_reason = static_or(run->spec, run->verdict.reason);
    } else if (entry->decided == RB_STATE_PENDING) {
        entry->decided_since_wall_ns = old->state == RB_STATE_PENDING ? old->since_wall_ns : content->last_run_wall_ns;
        content->reason = "pending";
        content->message = run->verdict.message;
    } else {
        bool shown = old->state == entry->decided;
        content->reason = shown ? old->reason : entry->decided_reason;
        content->message = shown ? old->message : run->verdict.message;
    }
    content->since_wall_ns = entry->decided_since_wall_ns;
}

/* A bad result of a run that spanned a sleep accuses nobody: the check waits for its catch-up run, as after rb_store_slept. */
static void show_oversleep(struct run *run, struct rb_record *content)
{
    const struct rb_record *old = run->entry->record;
    content->state = old->state;
    content->reason = old->reason;
    content->message = old->message;
    if (old->state == RB_STATE_STALE || old->state == RB_STATE_PENDING)
        return;
    content->state = RB_STATE_STALE;
    content->reason = "stale";
    content->message = "the host slept during the run; waits for its next run";
    content->since_wall_ns = content->last_run_wall_ns;
    run->entry->unconfirmed = true;
}

/* Whether the change is one that people count: not the first good result, not a return to what was before a restart or a sleep. */
static bool told_change(const struct run *run, enum rb_state now)
{
    enum rb_state from = run->was_unconfirmed ? run->known : run->before;
    if (from == now)
        return false;
    return from != RB_STATE_PENDING || bad(now);
}

static void judge(struct run *run, struct rb_record *content)
{
    struct entry *entry = run->entry;
    enum rb_state state = rb_judge_state_of(run->verdict.result);
    content->flapping = rb_judge_flapping(&entry->history, state, entry->record->flapping);
    if (run->overslept) {
        show_oversleep(run, content);
        return;
    }
    bool applied = rb_judge_hysteresis(entry, run->spec, state, &run->needed);
    show_decided(run, content, applied);
    show_streak(run, content);
    entry->unconfirmed = false;
    entry->gap = false;
    content->state_changes += told_change(run, content->state) && run->known != RB_STATE_PENDING;
}

/* The kind's hints, then the configuration's. `*out_list` is NULL when memory is out: then there are none. */
static void take_hints(struct run *run, struct rb_record *content, const char ***out_list)
{
    size_t own = run->outcome->hint_count, configured = run->spec->hints.count;
    *out_list = calloc(own + configured + 1, sizeof **out_list);
    content->hints = *out_list;
    content->hint_count = *out_list ? own + configured : 0;
    if (!*out_list)
        return;
    for (size_t i = 0; i < own; i++)
        (*out_list)[i] = run->outcome->hints[i];
    for (size_t i = 0; i < configured; i++)
        (*out_list)[own + i] = run->spec->hints.items[i];
    run->entry->kind_hints = own;
}

bool rb_store_completed(struct rb_store *store, size_t index, const struct rb_outcome *outcome, int64_t started_ns)
{
    struct entry *entry = &store->entries[index];
    struct run run = {.store = store,
                      .index = index,
                      .entry = entry,
                      .spec = &store->plan->checks[index],
                      .outcome = outcome,
                      .before = entry->record->state,
                      .known = entry->decided,
                      .was_unconfirmed = entry->unconfirmed,
                      .was_gap = entry->gap};
    rb_judge_presence(run.spec, outcome, &entry->seen_up, &run.verdict);
    int64_t asleep_ns = rb_store_asleep_ns(store);
    run.overslept = entry->in_flight && asleep_ns - entry->start_asleep_ns > SLEEP_MIN_NS && bad(rb_judge_state_of(run.verdict.result));
    entry->asleep_ns = asleep_ns;
    entry->in_flight = false;
    entry->completed_once = true;
    store->dirty = true;

    struct rb_record content = rb_record_content(entry->record);
    count_run(&run, &content, started_ns);
    take_outcome(&run, &content);
    judge(&run, &content);
    const char **hints;
    take_hints(&run, &content, &hints);
    bool published = rb_store_publish(store, index, &content);
    free(hints);
    /* Without memory the old record stays; nothing refreshes it, so it becomes stale: never wrongly green. */
    if (!published || content.state == run.before)
        return false;
    if (!run.overslept && told_change(&run, content.state))
        tell_state(store, index, run.was_unconfirmed ? run.known : run.before);
    state_changed(store, run.before, content.state, run.overslept);
    return true;
}

/* ---- time passes ---- */

static void make_stale(struct rb_store *store, size_t index, const char *message)
{
    struct entry *entry = &store->entries[index];
    struct rb_record content = rb_record_content(entry->record);
    content.state = RB_STATE_STALE;
    content.reason = "stale";
    content.message = message;
    content.since_wall_ns = rb_wall_ns(store->clock);
    content.streak = content.streak_needed = 0;
    if (!rb_store_publish(store, index, &content)) {
        /* Staleness must show even without memory for the words. */
        struct rb_record *record = rb_store_writable(entry);
        if (!record)
            return;
        record->state = RB_STATE_STALE;
        record->reason = "stale";
    }
    entry->streak = 0;
}

static bool may_be_stale(const struct rb_store *store, size_t index)
{
    const struct rb_check_spec *spec = &store->plan->checks[index];
    return !spec->manual && !spec->untrusted && store->entries[index].record->state != RB_STATE_STALE;
}

static void stale_message(const struct entry *entry, int64_t age_ns, char *out, size_t out_size)
{
    RB_BUF_AUTO age;
    rb_buf_init(&age, 64);
    rb_duration_print(&age, age_ns / RB_NS_PER_MS);
    const struct rb_record *record = entry->record;
    bool ran = record->last_completed_ns != INT64_MIN;
    (void)snprintf(out, out_size, "no result for %s%s%.1024s", rb_buf_str(&age), ran && record->message[0] ? "; the last was: " : "",
                   ran ? record->message : "");
}

/* Stale as after a sleep: what was decided is only unconfirmed, and the journal learns of the sleep, not of each check. */
static void make_stale_quietly(struct rb_store *store, size_t index, const char *message)
{
    struct entry *entry = &store->entries[index];
    /* What never ran has nothing to distrust: it only waits anew. */
    if (entry->record->state == RB_STATE_PENDING) {
        entry->waiting_since_ns = rb_elapsed_ns(store->clock);
        entry->asleep_ns = rb_store_asleep_ns(store);
        return;
    }
    make_stale(store, index, message);
    entry->unconfirmed = true;
}

static void make_stale_aloud(struct rb_store *store, size_t index, int64_t age_ns)
{
    struct entry *entry = &store->entries[index];
    enum rb_state before = entry->record->state;
    char message[1200];
    stale_message(entry, age_ns, message, sizeof message);
    make_stale(store, index, message);
    entry->gap = true;
    entry->unconfirmed = false;
    struct rb_record *record = rb_store_writable(entry);
    if (record && before != RB_STATE_PENDING)
        record->state_changes++;
    tell_state(store, index, before);
}

enum overdue { OVERDUE_NO, OVERDUE_SLEPT, OVERDUE_YES };

static enum overdue tick_entry(struct rb_store *store, size_t index, int64_t now_ns, int64_t asleep_ns)
{
    struct entry *entry = &store->entries[index];
    int64_t last_ns = entry->record->last_completed_ns;
    int64_t from_ns = last_ns != INT64_MIN && last_ns > entry->waiting_since_ns ? last_ns : entry->waiting_since_ns;
    int64_t limit_ns = rb_stale_after_ns(&store->plan->checks[index]);
    if (!may_be_stale(store, index) || now_ns - from_ns <= limit_ns)
        return OVERDUE_NO;
    /* A tick may come between the waking and rb_store_slept: then it is the sleep that made the result old. */
    int64_t slept_ns = asleep_ns - entry->asleep_ns;
    if (slept_ns > SLEEP_MIN_NS && now_ns - from_ns - slept_ns <= limit_ns) {
        make_stale_quietly(store, index, "the host slept; waits for its next run");
        return OVERDUE_SLEPT;
    }
    make_stale_aloud(store, index, now_ns - from_ns);
    return OVERDUE_YES;
}

bool rb_store_tick(struct rb_store *store)
{
    if (!store->plan)
        return false;
    int64_t now_ns = rb_elapsed_ns(store->clock), asleep_ns = rb_store_asleep_ns(store);
    bool any = false, aloud = false;
    for (size_t i = 0; i < store->plan->count; i++) {
        enum overdue overdue = tick_entry(store, i, now_ns, asleep_ns);
        any = any || overdue != OVERDUE_NO;
        aloud = aloud || overdue == OVERDUE_YES;
    }
    if (any)
        state_changed(store, RB_STATE_OK, RB_STATE_STALE, !aloud);
    return any;
}

void rb_store_slept(struct rb_store *store, int64_t slept_ns)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 128);
    rb_buf_adds(&text, "host slept ");
    rb_duration_print(&text, slept_ns / RB_NS_PER_MS);
    rb_journal_append(store->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_SLEEP, .text = rb_buf_str(&text)});
    rb_buf_adds(&text, "; waits for its next run");
    int64_t asleep_ns = rb_store_asleep_ns(store);
    for (size_t i = 0; store->plan && i < store->plan->count; i++) {
        /* A result that came after the waking, but before this call, stands. */
        if (may_be_stale(store, i) && asleep_ns - store->entries[i].asleep_ns > slept_ns / 2)
            make_stale_quietly(store, i, rb_buf_str(&text));
    }
    state_changed(store, RB_STATE_OK, RB_STATE_STALE, true);
}
