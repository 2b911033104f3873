/* Facts: a growing list in an arena, sorted once.
 *
 * Invariants: values are canonical JSON (RFC 8259; strings escape only what must be, so that equal texts give equal bytes); after finish() keys are unique and in byte
 * order, which is git's order of paths too. A value whose key names a secret never enters: its SHA-256 stands for it, enough to see that it changed. */
#include "runbook/drift/fact.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/digest.h"
#include "runbook/base/redact.h"
#include "runbook/base/units.h"
#include "value.h"

void rb_drift_facts_init(struct rb_drift_facts *facts, struct rb_arena *arena)
{
    *facts = (struct rb_drift_facts){.arena = arena};
}

static bool grow(struct rb_drift_facts *facts)
{
    if (facts->count < facts->cap)
        return true;
    size_t cap = facts->cap ? facts->cap * 2 : 64;
    struct rb_drift_fact *bigger = rb_arena_array(facts->arena, cap, sizeof *bigger);
    if (!bigger)
        return false;
    if (facts->count > 0)
        memcpy(bigger, facts->items, facts->count * sizeof *bigger);
    facts->items = bigger;
    facts->cap = cap;
    return true;
}

struct rb_drift_fact *rb_drift_facts_add(struct rb_drift_facts *facts, const char *key, const char *value)
{
    size_t key_len = strlen(key), value_len = strlen(value);
    if (facts->count >= RB_DRIFT_MAX_FACTS || key_len > RB_DRIFT_KEY_MAX || value_len > RB_DRIFT_VALUE_MAX) {
        facts->too_many = true;
        return NULL;
    }
    if (!grow(facts))
        return NULL;
    struct rb_drift_fact *fact = &facts->items[facts->count];
    *fact = (struct rb_drift_fact){.key = rb_arena_strndup(facts->arena, key, key_len),
                                   .value = rb_arena_strndup(facts->arena, value, value_len)};
    if (!fact->key || !fact->value)
        return NULL;
    facts->sorted = false;
    facts->count++;
    return fact;
}

void rb_drift_value_string(struct rb_buf *out, const char *text, size_t len)
{
    rb_buf_addc(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            rb_buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            rb_buf_addf(out, "\\u%04x", c);
        else
            rb_buf_addc(out, (char)c);
    }
    rb_buf_addc(out, '"');
}

void rb_drift_value_secret(struct rb_buf *out, const char *text, size_t len)
{
    char hex[RB_SHA256_HEX];
    rb_sha256_of(text, len, hex);
    rb_buf_addf(out, "{\"secret\":\"sha256:%.16s\"}", hex);
}

struct rb_drift_fact *rb_drift_facts_add_text(struct rb_drift_facts *facts, const char *key, const char *text)
{
    RB_BUF_AUTO value;
    rb_buf_init(&value, RB_DRIFT_VALUE_MAX);
    if (rb_redact_key_is_secret(rb_drift_last_segment(key)))
        rb_drift_value_secret(&value, text, strlen(text));
    else
        rb_drift_value_string(&value, text, strlen(text));
    if (value.failed) {
        rb_buf_reset(&value);
        rb_drift_value_secret(&value, text, strlen(text)); /* too long to keep: its digest tells that it changed */
    }
    return rb_drift_facts_add(facts, key, rb_buf_str(&value));
}

void rb_drift_facts_add_unknown(struct rb_drift_facts *facts, const char *key)
{
    struct rb_drift_fact *fact = rb_drift_facts_add(facts, key, "");
    if (fact)
        fact->value = NULL;
}

struct rb_drift_fact *rb_drift_facts_add_number(struct rb_drift_facts *facts, const char *key, double number)
{
    RB_BUF_AUTO value;
    rb_buf_init(&value, 64);
    if (isfinite(number))
        rb_double_print(&value, number);
    else
        rb_buf_adds(&value, "null");
    return rb_drift_facts_add(facts, key, rb_buf_str(&value));
}

static int compare_facts(const void *left, const void *right)
{
    const struct rb_drift_fact *a = left, *b = right;
    int order = strcmp(a->key, b->key);
    return order != 0 || !a->value || !b->value ? order : strcmp(a->value, b->value); /* a key sought has no value */
}

/* Most sources add in order: then it costs one pass. */
static void sort_facts(struct rb_drift_facts *facts)
{
    bool ordered = true;
    for (size_t i = 1; i < facts->count && ordered; i++)
        ordered = strcmp(facts->items[i - 1].key, facts->items[i].key) < 0;
    if (ordered)
        return;
    qsort(facts->items, facts->count, sizeof *facts->items, compare_facts);
    size_t kept = 1;
    for (size_t i = 1; i < facts->count; i++)
        if (strcmp(facts->items[kept - 1].key, facts->items[i].key) != 0)
            facts->items[kept++] = facts->items[i];
    facts->count = kept;
}

int rb_drift_facts_finish(struct rb_drift_facts *facts, struct rb_error *err)
{
    if (facts->too_many)
        return rb_error_set(err, RB_ELIMIT, "more than %d facts, or one above its size limit: narrow the check", RB_DRIFT_MAX_FACTS);
    if (rb_arena_failed(facts->arena))
        return rb_error_set(err, RB_ENOMEM, "no memory for the facts: narrow the check");
    if (facts->count > 0)
        sort_facts(facts);
    facts->sorted = true;
    return 0;
}

const struct rb_drift_fact *rb_drift_facts_find(const struct rb_drift_facts *facts, const char *key)
{
    const struct rb_drift_fact wanted = {.key = key};
    return facts->count > 0 ? bsearch(&wanted, facts->items, facts->count, sizeof wanted, compare_facts) : NULL;
}
