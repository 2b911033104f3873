/* Records: one allocation for the numbers, one exactly sized allocation for everything that has a pointer.
 *
 * Invariants: a record's body never changes after rb_record_make; clones share it by reference count. A thousand checks must cost a few hundred
 * bytes each, so the body is measured first and then packed, instead of growing an arena with its rest unused. Counts are atomic: the HTTP
 * thread may be the last to let a snapshot, and with it a record, go. */
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "record_private.h"

struct rb_record_body {
    unsigned refs; /* atomic builtins only */
    alignas(max_align_t) unsigned char bytes[];
};

static const char *const state_names[RB_STATE_COUNT] = {
    [RB_STATE_OK] = "ok",     [RB_STATE_WARN] = "warn",       [RB_STATE_FAIL] = "fail",   [RB_STATE_UNKNOWN] = "unknown",
    [RB_STATE_SKIP] = "skip", [RB_STATE_PENDING] = "pending", [RB_STATE_STALE] = "stale",
};

const char *rb_state_name(enum rb_state state)
{
    return (unsigned)state < RB_STATE_COUNT ? state_names[state] : "unknown";
}

/* ---- packing ---- */

/* Hands out aligned pieces; without `bytes` it only measures. */
struct packer {
    unsigned char *bytes;
    size_t used;
};

static void *take(struct packer *packer, size_t size, size_t align)
{
    packer->used = (packer->used + align - 1) / align * align;
    void *piece = packer->bytes ? packer->bytes + packer->used : NULL;
    packer->used += size;
    return piece;
}

static const char *pack_text(struct packer *packer, const char *text)
{
    if (!text)
        return NULL;
    if (text[0] == '\0')
        return "";
    size_t size = strlen(text) + 1;
    char *copy = take(packer, size, 1);
    return copy ? memcpy(copy, text, size) : NULL;
}

static const char **pack_texts(struct packer *packer, const char *const *texts, size_t count)
{
    if (count == 0)
        return NULL;
    const char **copy = take(packer, count * sizeof *copy, alignof(const char *));
    for (size_t i = 0; i < count; i++) {
        const char *text = pack_text(packer, texts[i]);
        if (copy)
            copy[i] = text;
    }
    return copy;
}

static const char *static_value_name(const struct rb_record *record, const struct rb_value *value)
{
    if (value->perfdata || !record->spec || !record->spec->kind)
        return NULL;
    const struct rb_value_def *row = rb_kind_value(rb_kind_of(record->spec->kind), value->name);
    return row ? row->name : NULL;
}

static struct rb_value *pack_values(struct packer *packer, const struct rb_record *from)
{
    if (from->value_count == 0)
        return NULL;
    struct rb_value *copy = take(packer, from->value_count * sizeof *copy, alignof(struct rb_value));
    for (size_t i = 0; i < from->value_count; i++) {
        struct rb_value value = from->values[i];
        const char *name = static_value_name(from, &value);
        value.name = name ? name : pack_text(packer, value.name);
        value.label = pack_text(packer, value.label);
        if (copy)
            copy[i] = value;
    }
    return copy;
}

static struct rb_fact *pack_facts(struct packer *packer, const struct rb_record *from)
{
    if (from->fact_count == 0)
        return NULL;
    struct rb_fact *copy = take(packer, from->fact_count * sizeof *copy, alignof(struct rb_fact));
    for (size_t i = 0; i < from->fact_count; i++) {
        struct rb_fact fact = {.key = pack_text(packer, from->facts[i].key), .value = pack_text(packer, from->facts[i].value)};
        if (copy)
            copy[i] = fact;
    }
    return copy;
}

static struct rb_drift_item pack_item(struct packer *packer, const struct rb_drift_item *from)
{
    struct rb_drift_item item = *from;
    item.id = pack_text(packer, from->id);
    item.key = pack_text(packer, from->key);
    item.old_text = pack_text(packer, from->old_text);
    item.new_text = pack_text(packer, from->new_text);
    item.old_value = pack_text(packer, from->old_value);
    item.new_value = pack_text(packer, from->new_value);
    item.time_note = pack_text(packer, from->time_note);
    item.diff = pack_text(packer, from->diff);
    item.kept_text = pack_text(packer, from->kept_text);
    item.keys.items = pack_texts(packer, from->keys.items, from->keys.count);
    if (from->accepted) {
        struct rb_drift_accepted *accepted = take(packer, sizeof *accepted, alignof(struct rb_drift_accepted));
        struct rb_drift_accepted copy = {.who = pack_text(packer, from->accepted->who),
                                         .why = pack_text(packer, from->accepted->why),
                                         .ref = pack_text(packer, from->accepted->ref),
                                         .until_wall_ns = from->accepted->until_wall_ns};
        if (accepted)
            *accepted = copy;
        item.accepted = accepted;
    }
    return item;
}

static const struct rb_drift_report *pack_drift(struct packer *packer, const struct rb_drift_report *from)
{
    if (!from)
        return NULL;
    struct rb_drift_report *report = take(packer, sizeof *report, alignof(struct rb_drift_report));
    struct rb_drift_item *items = from->item_count ? take(packer, from->item_count * sizeof *items, alignof(struct rb_drift_item)) : NULL;
    for (size_t i = 0; i < from->item_count; i++) {
        struct rb_drift_item item = pack_item(packer, &from->items[i]);
        if (items)
            items[i] = item;
    }
    if (report) {
        *report = *from;
        report->items = items;
        report->proposal = report->cache = NULL; /* the daemon's, and written by now */
        report->proposal_len = report->cache_len = 0;
    }
    return report;
}

static const char *pack_reason(struct packer *packer, const struct rb_record *from, const char *reason)
{
    const char *known = reason ? rb_record_static_reason(from->spec, reason) : NULL;
    return known ? known : pack_text(packer, reason);
}

static void pack(struct packer *packer, const struct rb_record *from, struct rb_record *to)
{
    *to = *from;
    to->reason = pack_reason(packer, from, from->reason ? from->reason : "none");
    to->result_reason = pack_reason(packer, from, from->result_reason);
    to->message = pack_text(packer, from->message ? from->message : "");
    bool same = from->result_message && from->message && strcmp(from->result_message, from->message) == 0;
    to->result_message = same ? to->message : pack_text(packer, from->result_message);
    to->evidence = pack_texts(packer, from->evidence, from->evidence_count);
    to->hints = pack_texts(packer, from->hints, from->hint_count);
    to->last_words = pack_texts(packer, from->last_words, from->last_words_count);
    to->values = pack_values(packer, from);
    to->facts = pack_facts(packer, from);
    to->drift = pack_drift(packer, from->drift);
}

/* ---- life ---- */

const char *rb_record_static_reason(const struct rb_check_spec *spec, const char *reason)
{
    /* What the store itself says; a kind need not know them. */
    static const char *const own[] = {"none", "pending", "stale", "present", "absent", "untrusted"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcmp(own[i], reason) == 0)
            return own[i];
    }
    return spec && spec->kind ? rb_kind_reason(rb_kind_of(spec->kind), reason) : NULL;
}

struct rb_record rb_record_content(const struct rb_record *record)
{
    struct rb_record content = {.refs = 0};
    const size_t skip = offsetof(struct rb_record, arena);
    memcpy((unsigned char *)&content + skip, (const unsigned char *)record + skip, sizeof content - skip);
    return content;
}

struct rb_record *rb_record_make(const struct rb_record *from)
{
    struct rb_record *record = malloc(sizeof *record);
    if (!record)
        return NULL;
    struct packer packer = {0};
    pack(&packer, from, record);
    struct rb_record_body *body = malloc(sizeof *body + packer.used);
    if (!body) {
        free(record);
        return NULL;
    }
    body->refs = 1;
    packer = (struct packer){.bytes = body->bytes};
    pack(&packer, from, record);
    record->refs = 1;
    record->arena = NULL;
    record->body = body;
    return record;
}

struct rb_record *rb_record_clone(const struct rb_record *record)
{
    struct rb_record *clone = malloc(sizeof *clone);
    if (!clone)
        return NULL;
    *clone = rb_record_content(record);
    clone->refs = 1;
    clone->arena = NULL;
    if (clone->body)
        (void)__atomic_add_fetch(&clone->body->refs, 1, __ATOMIC_RELAXED);
    return clone;
}

struct rb_record *rb_record_ref(struct rb_record *record)
{
    (void)__atomic_add_fetch(&record->refs, 1, __ATOMIC_RELAXED);
    return record;
}

void rb_record_unref(struct rb_record *record)
{
    if (!record || __atomic_sub_fetch(&record->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (record->body && __atomic_sub_fetch(&record->body->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(record->body);
    rb_arena_free(record->arena);
    free(record);
}
