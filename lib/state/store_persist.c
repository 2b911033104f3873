/* The checkpoint: what must survive a restart, in one file that is replaced whole (docs/state-format.md).
 *
 * Written by hand, because every string in it is a name of ours (checks, states, reasons) that needs no quoting; read by jansson, strictly: the text is checked by its CRC,
 * then parsed whole into `struct saved` rows, and only then is the store touched. So damage leaves the store as it was. Times are wall time; those of a wall
 * clock that has since stepped back are brought down to now, because an age below zero is believed by nobody. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/digest.h"
#include "store_private.h"

#define HEADER         "runbookd checks 1\n"
#define HEADER_FAMILY  "runbookd checks "
#define TRAILER        "crc32c "
#define TRAILER_LENGTH (sizeof TRAILER - 1 + 8 + 1)
#define CHECKPOINT_MAX ((size_t)16 << 20)

/* ---- saving ---- */

static void save_history(const struct history *history, struct rb_buf *out)
{
    static const char letters[RB_STATE_COUNT + 1] = "owfuspt";
    for (unsigned i = 0; i < history->count; i++)
        rb_buf_addc(out, letters[history->states[i]]);
}

/* A restored check that did not run yet is saved as what was restored. */
static void save_entry(const struct entry *entry, struct rb_buf *out)
{
    const struct rb_record *record = entry->record;
    rb_buf_addf(out, "{\"name\":\"%s\",\"kind\":\"%s\",\"identity\":\"%s\",\"state\":\"%s\",\"reason\":\"%s\",\"since_ns\":%" PRId64,
                record->spec->name, record->spec->kind ? record->spec->kind->schema.name : "", record->spec->identity,
                rb_state_name(entry->decided), entry->decided_reason, entry->decided_since_wall_ns);
    rb_buf_addf(out,
                ",\"last_run_ns\":%" PRId64 ",\"last_ok_ns\":%" PRId64 ",\"runs\":%" PRIu64 ",\"failures\":%" PRIu64
                ",\"state_changes\":%" PRIu64,
                record->last_run_wall_ns, record->last_ok_wall_ns, record->runs, record->failures, record->state_changes);
    if (record->silenced_until_wall_ns > 0)
        rb_buf_addf(out, ",\"silenced_until_ns\":%" PRId64, record->silenced_until_wall_ns);
    rb_buf_addf(out, ",\"result\":\"%s\",\"streak\":%u,\"streak_worse\":%s,\"flapping\":%s,\"seen_up\":%s,\"history\":\"",
                record->has_result ? rb_result_name(record->result) : "", entry->streak, entry->streak_worse ? "true" : "false",
                record->flapping ? "true" : "false", entry->seen_up ? "true" : "false");
    save_history(&entry->history, out);
    rb_buf_adds(out, "\"}");
}

int rb_store_save(struct rb_store *store, struct rb_buf *out, struct rb_error *err)
{
    size_t start = out->len;
    rb_buf_addf(out, HEADER "{\"saved_ns\":%" PRId64 ",\"checks\":[", rb_wall_ns(store->clock));
    for (size_t i = 0; store->plan && i < store->plan->count; i++) {
        if (i)
            rb_buf_addc(out, ',');
        save_entry(&store->entries[i], out);
    }
    rb_buf_adds(out, "]}\n");
    int rc = rb_buf_check(out, "the checkpoint of checks", err);
    if (rc < 0)
        return rc;
    rb_buf_addf(out, TRAILER "%08" PRIx32 "\n", rb_crc32c(0, out->data + start, out->len - start));
    rc = rb_buf_check(out, "the checkpoint of checks", err);
    if (rc == 0)
        store->dirty = false;
    return rc;
}

/* ---- loading ---- */

struct saved {
    size_t index;
    bool same_identity, has_result, streak_worse, flapping, seen_up;
    enum rb_state state;
    enum rb_result result;
    const char *reason;
    int64_t since_ns, last_run_ns, last_ok_ns, silenced_until_ns;
    uint64_t runs, failures, state_changes;
    unsigned streak;
    struct history history;
};

static bool state_of_name(const char *name, enum rb_state *out)
{
    for (unsigned i = 0; i < RB_STATE_COUNT; i++) {
        if (strcmp(rb_state_name((enum rb_state)i), name) == 0) {
            *out = (enum rb_state)i;
            return i != RB_STATE_STALE;
        }
    }
    return false;
}

static bool result_of_name(const char *name, struct saved *out)
{
    out->has_result = name[0] != '\0';
    for (unsigned i = 0; i < RB_RESULT_COUNT && out->has_result; i++) {
        if (strcmp(rb_result_name((enum rb_result)i), name) == 0) {
            out->result = (enum rb_result)i;
            return true;
        }
    }
    return !out->has_result;
}

static bool history_of_text(const char *text, struct history *out)
{
    static const char letters[] = "owfu";
    size_t len = strlen(text);
    if (len > HISTORY_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char *letter = strchr(letters, text[i]);
        if (!letter)
            return false;
        out->states[i] = (uint8_t)(letter - letters);
    }
    out->count = (unsigned)len;
    return true;
}

static int64_t not_after(json_int_t value, int64_t now_ns)
{
    return value < 0 ? 0 : value > now_ns ? now_ns : (int64_t)value;
}

/* One element of "checks". False when it is not of the format. */
static bool parse_saved(const struct rb_store *store, json_t *item, struct saved *out)
{
    const char *name, *kind, *identity, *state, *reason, *result, *history;
    json_int_t since, last_run, last_ok, runs, failures, changes, streak;
    int worse, flapping, seen_up;
    if (json_unpack(item, "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:b}", "name", &name, "kind", &kind, "identity",
                    &identity, "state", &state, "reason", &reason, "result", &result, "history", &history, "since_ns", &since,
                    "last_run_ns", &last_run, "last_ok_ns", &last_ok, "runs", &runs, "failures", &failures, "state_changes", &changes,
                    "streak", &streak, "streak_worse", &worse, "flapping", &flapping, "seen_up", &seen_up) != 0)
        return false;
    if (!state_of_name(state, &out->state) || !result_of_name(result, out) || !history_of_text(history, &out->history) || runs < 0 ||
        failures < 0 || changes < 0 || streak < 0 || streak > UINT32_MAX)
        return false;
    out->index = rb_store_find(store, name);
    if (out->index == SIZE_MAX)
        return true;
    const struct rb_check_spec *spec = &store->plan->checks[out->index];
    int64_t now_ns = rb_wall_ns(store->clock);
    const char *known = rb_record_static_reason(spec, reason);
    out->reason = known ? known : "internal_error";
    out->same_identity = strcmp(spec->identity, identity) == 0 && (!spec->kind || strcmp(spec->kind->schema.name, kind) == 0);
    out->since_ns = not_after(since, now_ns);
    out->last_run_ns = not_after(last_run, now_ns);
    out->last_ok_ns = not_after(last_ok, now_ns);
    out->runs = (uint64_t)runs;
    out->failures = (uint64_t)failures;
    out->state_changes = (uint64_t)changes;
    out->streak = (unsigned)streak;
    out->streak_worse = worse;
    out->flapping = flapping;
    out->seen_up = seen_up;
    json_int_t silenced = json_integer_value(json_object_get(item, "silenced_until_ns"));
    out->silenced_until_ns = silenced > now_ns ? (int64_t)silenced : 0;
    return true;
}

static void restore_state(struct entry *entry, struct rb_record *record, const struct saved *saved)
{
    entry->decided = saved->state;
    entry->decided_reason = saved->reason;
    entry->decided_since_wall_ns = saved->since_ns;
    entry->streak = saved->streak;
    entry->streak_worse = saved->streak_worse;
    entry->seen_up = saved->seen_up;
    entry->history = saved->history;
    entry->unconfirmed = saved->state != RB_STATE_PENDING;
    record->since_wall_ns = saved->since_ns;
    record->last_run_wall_ns = saved->last_run_ns;
    record->last_ok_wall_ns = saved->last_ok_ns;
    record->has_result = saved->has_result;
    record->result = saved->result;
    record->flapping = saved->flapping;
}

static bool restore(struct rb_store *store, const struct saved *saved)
{
    struct entry *entry = &store->entries[saved->index];
    struct rb_record content = rb_record_content(entry->record);
    char message[96];
    content.runs += saved->runs;
    content.failures += saved->failures;
    content.state_changes += saved->state_changes;
    content.silenced_until_wall_ns = content.spec->phase == RB_PHASE_SAFETY ? 0 : saved->silenced_until_ns;
    if (saved->same_identity && content.state == RB_STATE_PENDING && !entry->completed_once) {
        restore_state(entry, &content, saved);
        (void)snprintf(message, sizeof message, "%s before the restart; not run since", rb_state_name(saved->state));
        content.message = saved->state == RB_STATE_PENDING ? content.message : message;
    }
    return rb_store_publish(store, saved->index, &content);
}

/* Safety as it was when the checkpoint was written: the journal knows of that one already. */
static void restore_safety(struct rb_store *store)
{
    enum rb_safety safety = RB_SAFETY_NONE;
    for (size_t i = 0; i < store->plan->count; i++) {
        if (store->plan->checks[i].phase == RB_PHASE_SAFETY)
            safety = rb_safety_worse(safety, store->entries[i].decided);
    }
    store->safety_told = safety;
}

static int load_json(struct rb_store *store, json_t *root, struct rb_error *err)
{
    json_t *checks = json_object_get(root, "checks");
    size_t count = json_array_size(checks);
    struct saved *rows = calloc(count + 1, sizeof *rows);
    if (!rows)
        return rb_error_set(err, RB_ENOMEM, "not enough memory to restore %zu checks", count);
    int rc = json_is_array(checks) ? 0 : rb_error_set(err, RB_ECORRUPT, "the checkpoint of checks has no list of checks");
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (!parse_saved(store, json_array_get(checks, i), &rows[i]))
            rc = rb_error_set(err, RB_ECORRUPT, "the checkpoint of checks has a row that is not of its format (number %zu)", i + 1);
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (rows[i].index != SIZE_MAX && !restore(store, &rows[i]))
            rc = rb_error_set(err, RB_ENOMEM, "not enough memory to restore the state of all checks");
    }
    if (rc == 0)
        restore_safety(store);
    free(rows);
    return rc;
}

/* Header, length and checksum; `*out_body_len` is where the trailer begins. */
static int check_frame(const char *text, size_t len, size_t *out_body_len, struct rb_error *err)
{
    size_t header = sizeof HEADER - 1, family = sizeof HEADER_FAMILY - 1;
    if (len < header || memcmp(text, HEADER_FAMILY, family) != 0)
        return rb_error_set(err, RB_ECORRUPT, "not a checkpoint of checks, or cut off");
    if (memcmp(text, HEADER, header) != 0)
        return rb_error_set(err, RB_EUNSUPPORTED,
                            "the checkpoint of checks is of another version of runbookd; run that one, or move the file away");
    if (len > CHECKPOINT_MAX || len < header + TRAILER_LENGTH)
        return rb_error_set(err, RB_ECORRUPT, "the checkpoint of checks has %zu bytes: cut off, or not ours", len);
    *out_body_len = len - TRAILER_LENGTH;
    char expected[TRAILER_LENGTH + 1];
    (void)snprintf(expected, sizeof expected, TRAILER "%08" PRIx32 "\n", rb_crc32c(0, text, *out_body_len));
    if (memcmp(text + *out_body_len, expected, TRAILER_LENGTH) != 0)
        return rb_error_set(err, RB_ECORRUPT, "the checkpoint of checks does not match its checksum");
    return 0;
}

int rb_store_load(struct rb_store *store, const char *text, size_t len, struct rb_error *err)
{
    size_t body_len = 0;
    int rc = check_frame(text, len, &body_len, err);
    if (rc < 0)
        return rc;
    if (!store->plan)
        return rb_error_set(err, RB_EINVAL, "a checkpoint is restored into a plan; set the plan first");
    size_t header = sizeof HEADER - 1;
    json_error_t json_error;
    json_t *root = json_loadb(text + header, body_len - header, JSON_REJECT_DUPLICATES, &json_error);
    if (!root)
        return rb_error_set(err, RB_ECORRUPT, "the checkpoint of checks is not JSON: %s", json_error.text);
    rc = load_json(store, root, err);
    json_decref(root);
    return rc;
}
