/* The rules that turn what one run says into what is shown: presence, hysteresis, flapping. Pure; every rule has its table in tests/unit/test_store.c.
 *
 * Hysteresis. States rank ok = skip < warn < unknown < fail. A run that ranks worse than the decided state changes it after `fail_after` such runs in a row, one
 * that ranks better after `recover_after`; a run in the other direction, or of the same rank, ends the row. The state entered is that of the last run of the row.
 * So the rule is the same between good and bad and between two bad states. A first result is decided at once when it is good, and after `fail_after` when bad (until
 * then the check stays pending). A check of phase `safety` worsens at once whatever `fail_after` says: a guard that waits is no guard.
 *
 * Flapping, as Nagios Core computes it (base/flapping.c; "Detection and Handling of State Flapping"): of the last 21 results the 20 transitions are weighted linearly from
 * 0.75 (oldest) to 1.25 (newest); flapping begins at 30 % and ends below 20 % (Nagios' built-in service thresholds). skip counts as ok. */
#include <stdio.h>
#include <string.h>

#include "store_private.h"

#define FLAP_START_PERCENT 30.0
#define FLAP_END_PERCENT   20.0

/* ---- presence ---- */

static void decide(struct verdict *out, enum rb_result result, const char *reason, const char *message)
{
    out->result = result;
    out->reason = reason;
    if (message)
        out->message = message;
}

static void judge_optional(const struct rb_outcome *outcome, bool seen_up, struct verdict *out)
{
    if (outcome->sighting == RB_SIGHTING_ENDED || (outcome->sighting == RB_SIGHTING_GONE && !seen_up)) {
        decide(out, RB_RESULT_SKIP, "absent", out->message[0] ? NULL : "not there, and optional");
        return;
    }
    /* A kind that could not look (its engine is down) does not know that it vanished. */
    if (outcome->sighting != RB_SIGHTING_GONE || outcome->result == RB_RESULT_UNKNOWN)
        return;
    bool says_why = outcome->result >= RB_RESULT_WARN;
    (void)snprintf(out->text, sizeof out->text, "was up and vanished%s%.200s", out->message[0] ? ": " : "", out->message);
    decide(out, RB_RESULT_FAIL, says_why ? outcome->reason : "absent", out->text);
}

static void judge_absent(const struct rb_outcome *outcome, struct verdict *out)
{
    if (outcome->sighting == RB_SIGHTING_PRESENT) {
        (void)snprintf(out->text, sizeof out->text, "must be absent, but is there%s%.200s", out->message[0] ? ": " : "", out->message);
        decide(out, RB_RESULT_FAIL, "present", out->text);
    } else if (outcome->sighting != RB_SIGHTING_NONE) {
        decide(out, RB_RESULT_OK, "none", "absent, as it should be");
    }
}

static void remember_sighting(enum rb_sighting sighting, bool *seen_up)
{
    if (sighting == RB_SIGHTING_PRESENT)
        *seen_up = true;
    else if (sighting == RB_SIGHTING_ENDED)
        *seen_up = false;
}

void rb_judge_presence(const struct rb_check_spec *spec, const struct rb_outcome *outcome, bool *seen_up, struct verdict *out)
{
    out->result = outcome->result;
    out->reason = outcome->reason ? outcome->reason : "none";
    out->message = outcome->message ? outcome->message : "";
    out->text[0] = '\0';
    if (spec->presence == RB_PRESENCE_ABSENT)
        judge_absent(outcome, out);
    else if (spec->presence == RB_PRESENCE_OPTIONAL && spec->phase != RB_PHASE_SAFETY)
        judge_optional(outcome, *seen_up, out);
    remember_sighting(outcome->sighting, seen_up);
    /* A guard that did not look has not seen that all is well. */
    if (spec->phase == RB_PHASE_SAFETY && out->result == RB_RESULT_SKIP)
        decide(out, RB_RESULT_UNKNOWN, strcmp(out->reason, "none") == 0 ? "absent" : out->reason,
               out->message[0] ? NULL : "a safety check cannot be skipped");
    if (out->result == RB_RESULT_OK)
        out->reason = "none";
}

enum rb_state rb_judge_state_of(enum rb_result result)
{
    switch (result) {
    case RB_RESULT_SKIP:
        return RB_STATE_SKIP;
    case RB_RESULT_OK:
        return RB_STATE_OK;
    case RB_RESULT_WARN:
        return RB_STATE_WARN;
    case RB_RESULT_FAIL:
        return RB_STATE_FAIL;
    case RB_RESULT_UNKNOWN:
    case RB_RESULT_COUNT:
        break;
    }
    return RB_STATE_UNKNOWN;
}

/* ---- hysteresis ---- */

static unsigned rank(enum rb_state state)
{
    switch (state) {
    case RB_STATE_WARN:
        return 1;
    case RB_STATE_UNKNOWN:
        return 2;
    case RB_STATE_FAIL:
        return 3;
    case RB_STATE_OK:
    case RB_STATE_SKIP:
    case RB_STATE_PENDING:
    case RB_STATE_STALE:
    case RB_STATE_COUNT:
        break;
    }
    return 0;
}

static unsigned runs_needed(const struct rb_check_spec *spec, bool worse)
{
    if (worse && spec->phase == RB_PHASE_SAFETY)
        return 1;
    unsigned needed = worse ? spec->fail_after : spec->recover_after;
    return needed ? needed : 1;
}

bool rb_judge_hysteresis(struct entry *entry, const struct rb_check_spec *spec, enum rb_state state, unsigned *out_needed)
{
    *out_needed = 0;
    /* After a gap nobody knows what was: only a result that agrees with the old state is taken at once. */
    if (entry->gap && entry->decided != RB_STATE_PENDING && rank(state) != rank(entry->decided))
        entry->decided = RB_STATE_PENDING;
    bool worse = rank(state) > rank(entry->decided);
    bool better = rank(state) < rank(entry->decided);
    if (worse || better) {
        entry->streak = entry->streak && entry->streak_worse == worse ? entry->streak + 1 : 1;
        entry->streak_worse = worse;
        unsigned needed = runs_needed(spec, worse);
        if (entry->streak < needed) {
            *out_needed = needed;
            return false;
        }
    }
    entry->streak = 0;
    entry->decided = state;
    return true;
}

/* ---- flapping ---- */

static double changed_percent(const struct history *history)
{
    const double low = 0.75, high = 1.25;
    /* A short history stands at the window's new end; before it nothing changed. */
    unsigned missing = HISTORY_MAX - history->count;
    double changed = 0;
    for (unsigned i = 1; i < history->count; i++) {
        if (history->states[i] != history->states[i - 1])
            changed += (double)(missing + i - 1) * (high - low) / (double)(HISTORY_MAX - 2) + low;
    }
    return changed * 100.0 / (double)(HISTORY_MAX - 1);
}

bool rb_judge_flapping(struct history *history, enum rb_state state, bool flapping)
{
    if (history->count == HISTORY_MAX)
        memmove(history->states, history->states + 1, --history->count);
    history->states[history->count++] = (uint8_t)(state == RB_STATE_SKIP ? RB_STATE_OK : state);
    double percent = changed_percent(history);
    return flapping ? percent >= FLAP_END_PERCENT : percent >= FLAP_START_PERCENT;
}
