/* The comparison: one merge over three sorted lists (base, accepted overlays, facts now).
 *
 * Why overlays and not one list: an acceptance has a person, a reason and perhaps an end; when it ends the base must still be there. */
#include "runbook/drift/compare.h"

#include <stdio.h>
#include <string.h>

#include "runbook/base/digest.h"
#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"

enum { TEXT_COLUMNS = 160 };

struct place {
    const char *key;
    const char *base, *now;                 /* values, NULL: absent */
    const struct rb_drift_overlay *overlay; /* in force, or NULL */
    const struct rb_drift_fact *fact;
};

struct merge {
    const struct rb_drift_comparison *comparison;
    struct rb_arena *arena;
    struct rb_drift_report *out;
    size_t base, overlay, fact; /* next of each list */
    size_t dropped[RB_DRIFT_CHANGE_COUNT];
};

void rb_drift_item_id(const char *check, const char *key, char out[RB_DRIFT_ID])
{
    char hex[RB_SHA256_HEX], text[RB_DRIFT_KEY_MAX + 128];
    int len = snprintf(text, sizeof text, "%s%c%s", check, '\n', key);
    rb_sha256_of(text, len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1, hex);
    memcpy(out, hex, RB_DRIFT_ID - 1);
    out[RB_DRIFT_ID - 1] = '\0';
}

static const char *least(const char *a, const char *b)
{
    if (!a || !b)
        return a ? a : b;
    return strcmp(a, b) <= 0 ? a : b;
}

static bool next_place(struct merge *merge, struct place *out)
{
    const struct rb_drift_baseline *baseline = merge->comparison->baseline;
    const struct rb_drift_facts *facts = merge->comparison->facts;
    const struct rb_drift_fact *base = merge->base < baseline->facts.count ? &baseline->facts.items[merge->base] : NULL;
    const struct rb_drift_overlay *overlay = merge->overlay < baseline->overlay_count ? &baseline->overlays[merge->overlay] : NULL;
    const struct rb_drift_fact *fact = merge->fact < facts->count ? &facts->items[merge->fact] : NULL;
    const char *key = least(least(base ? base->key : NULL, overlay ? overlay->key : NULL), fact ? fact->key : NULL);
    if (!key)
        return false;
    *out = (struct place){.key = key};
    if (base && strcmp(base->key, key) == 0) {
        out->base = base->value;
        merge->base++;
    }
    if (overlay && strcmp(overlay->key, key) == 0) {
        int64_t until = overlay->accepted.until_wall_ns;
        out->overlay = until == 0 || merge->comparison->now_wall_ns < until ? overlay : NULL;
        merge->overlay++;
    }
    if (fact && strcmp(fact->key, key) == 0) {
        out->fact = fact;
        out->now = fact->value;
        merge->fact++;
    }
    return true;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* True when a rule that is not over leaves the key out. Marks what was used. */
static bool is_ignored(const struct rb_drift_comparison *comparison, const char *key)
{
    bool ignored = false;
    for (size_t i = 0; i < comparison->ignore_count; i++) {
        const struct rb_drift_ignore *rule = &comparison->ignore[i];
        if (!rb_glob_match(rule->key, key))
            continue;
        comparison->out_use[i].used = true;
        ignored |= !comparison->out_use[i].expired;
    }
    return ignored;
}

static enum rb_drift_change change_of(const char *old, const char *now)
{
    return !old ? RB_DRIFT_ADDED : !now ? RB_DRIFT_REMOVED : RB_DRIFT_CHANGED;
}

static struct rb_drift_item *take_item(struct merge *merge, enum rb_drift_change change, bool open)
{
    struct rb_drift_report *out = merge->out;
    size_t places = open ? RB_DRIFT_MAX_ITEMS : RB_DRIFT_MAX_ITEMS / 2; /* what is accepted never crowds out what is open */
    if (out->item_count < places)
        return &out->items[out->item_count++];
    out->items_dropped++;
    if (open)
        merge->dropped[change]++;
    return NULL;
}

static void add_item(struct merge *merge, const struct place *place, const char *old, const struct rb_drift_overlay *accepted)
{
    enum rb_drift_change change = change_of(old, place->now);
    struct rb_drift_item *item = take_item(merge, change, !accepted);
    if (!item)
        return;
    char id[RB_DRIFT_ID];
    rb_drift_item_id(merge->comparison->baseline->check, place->key, id);
    *item = (struct rb_drift_item){.id = rb_arena_strdup(merge->arena, id),
                                   .key = place->key,
                                   .change = change,
                                   .old_value = old,
                                   .new_value = place->now,
                                   .accepted = accepted ? &accepted->accepted : NULL};
    if (place->fact) {
        item->changed_wall_ns = place->fact->changed_wall_ns;
        item->time_note = place->fact->time_note;
        item->kept_text = place->fact->kept_text;
    }
}

static void judge(struct merge *merge, const struct place *place)
{
    const struct rb_drift_overlay *overlay = place->overlay;
    if (!overlay) {
        if (!same(place->base, place->now))
            add_item(merge, place, place->base, NULL);
    } else if (same(overlay->value, place->now)) {
        if (!same(place->base, place->now))
            add_item(merge, place, place->base, overlay);
    } else if (overlay->accepted.until_wall_ns == 0 || !same(place->base, place->now)) {
        add_item(merge, place, overlay->value, NULL);
    }
}

int rb_drift_compare(const struct rb_drift_comparison *comparison, struct rb_arena *arena, struct rb_drift_report *out,
                     struct rb_error *err)
{
    struct merge merge = {.comparison = comparison, .arena = arena, .out = out};
    out->items = rb_arena_array(arena, RB_DRIFT_MAX_ITEMS, sizeof *out->items);
    if (!out->items)
        return rb_error_set(err, RB_ENOMEM, "no memory for the comparison");
    for (size_t i = 0; i < comparison->ignore_count; i++) {
        int64_t until = comparison->ignore[i].until_wall_ns;
        comparison->out_use[i] = (struct rb_drift_ignore_use){.expired = until != 0 && comparison->now_wall_ns >= until};
    }
    for (struct place place; next_place(&merge, &place);)
        if (!is_ignored(comparison, place.key) && (!place.fact || place.fact->value))
            judge(&merge, &place);
    out->baseline_wall_ns = comparison->baseline->wall_ns;
    out->facts = comparison->facts->count;
    for (int change = 0; change < RB_DRIFT_CHANGE_COUNT; change++)
        out->open[change][RB_DRIFT_CLASS_NONE] = merge.dropped[change];
    return rb_arena_failed(arena) ? rb_error_set(err, RB_ENOMEM, "no memory for the comparison") : 0;
}

void rb_drift_count(struct rb_drift_report *report)
{
    for (size_t i = 0; i < report->item_count; i++) {
        const struct rb_drift_item *item = &report->items[i];
        if (!item->accepted)
            report->open[item->change][item->item_class]++;
    }
}

static const char *text_of(const char *value, struct rb_arena *arena)
{
    if (!value)
        return NULL;
    RB_BUF_AUTO masked;
    RB_BUF_AUTO clipped;
    rb_buf_init(&masked, 4 * RB_DRIFT_VALUE_MAX);
    rb_buf_init(&clipped, 4096);
    if (strncmp(value, "{\"secret\":", 10) == 0)
        rb_buf_adds(&masked, RB_REDACTED);
    else
        rb_redact(&masked, value, strlen(value));
    rb_text_clip(&clipped, rb_buf_str(&masked), TEXT_COLUMNS);
    return rb_arena_strdup(arena, rb_buf_str(&clipped));
}

void rb_drift_default_texts(struct rb_drift_report *report, struct rb_arena *arena)
{
    for (size_t i = 0; i < report->item_count; i++) {
        struct rb_drift_item *item = &report->items[i];
        if (!item->old_text)
            item->old_text = text_of(item->old_value, arena);
        if (!item->new_text)
            item->new_text = text_of(item->new_value, arena);
    }
}
