/* Building an outcome.
 *
 * Invariants: every array's capacity is a function of its count (the next power of two, at least ARRAY_FIRST), so the struct needs no
 * capacity fields;
 * arrays and texts live in the run's arena and are never freed one by one; each list stops at its stated maximum. A pair of value name and
 * label occurs once: two samples of one series would make a scrape invalid, so the later number replaces the earlier.
 *
 * Builders ignore an exhausted arena on purpose: its `failed` flag stays set and the runner looks at it once, when the run ends. */
#include "runbook/check/outcome.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/base/redact.h"
#include "runbook/check/facts.h"

#define ARRAY_FIRST          4u
#define LAST_WORDS_LOOKED_AT ((size_t)256 * 1024) /* bytes from the end */

static const char *const result_names[RB_RESULT_COUNT] = {
    [RB_RESULT_SKIP] = "skip", [RB_RESULT_OK] = "ok", [RB_RESULT_WARN] = "warn", [RB_RESULT_UNKNOWN] = "unknown", [RB_RESULT_FAIL] = "fail",
};

const char *rb_result_name(enum rb_result result)
{
    assert((unsigned)result < RB_RESULT_COUNT);
    return result_names[result];
}

void rb_outcome_init(struct rb_outcome *outcome, struct rb_arena *arena)
{
    *outcome = (struct rb_outcome){.arena = arena, .result = RB_RESULT_OK, .reason = "none", .message = ""};
}

/* ---- text ---- */

/* Length of at most `max` bytes of text that does not end inside a UTF-8 sequence. */
static size_t clipped_length(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    size_t end = max;
    while (end > max - 3 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    return ((unsigned char)text[end] & 0xC0) == 0x80 ? max : end;
}

/* Formats into the arena, at most RB_OUTCOME_MAX_TEXT bytes; NULL when the arena is exhausted. */
static RB_PRINTF(2, 0) const char *format(struct rb_outcome *outcome, const char *fmt, va_list args)
{
    /* Four bytes more than are kept, so that the cut can see the whole last character. */
    char text[RB_OUTCOME_MAX_TEXT + 4];
    int written = vsnprintf(text, sizeof text, fmt, args);
    if (written < 0)
        return NULL;
    size_t len = (size_t)written < sizeof text ? (size_t)written : sizeof text - 1;
    return rb_arena_strndup(outcome->arena, text, clipped_length(text, len, RB_OUTCOME_MAX_TEXT));
}

static void set_message(struct rb_outcome *outcome, const char *text)
{
    outcome->message = text ? text : "";
}

/* ---- lists ---- */

/* `items` with room for one more; NULL when the arena is exhausted. */
static void *grow(struct rb_arena *arena, void *items, size_t count, size_t size)
{
    bool full = count == 0 || (count >= ARRAY_FIRST && (count & (count - 1)) == 0);
    if (!full)
        return items;
    void *grown = rb_arena_array(arena, count ? 2 * count : ARRAY_FIRST, size);
    if (grown && count)
        memcpy(grown, items, count * size);
    return grown;
}

static void add_text(struct rb_outcome *outcome, const char ***list, size_t *count, const char *text)
{
    const char **grown = text ? grow(outcome->arena, *list, *count, sizeof *grown) : NULL;
    if (!grown)
        return;
    *list = grown;
    grown[(*count)++] = text;
}

static void add_evidence(struct rb_outcome *outcome, const char *text)
{
    if (outcome->evidence_count == RB_OUTCOME_MAX_EVIDENCE)
        outcome->evidence_dropped++;
    else
        add_text(outcome, &outcome->evidence, &outcome->evidence_count, text);
}

/* ---- result ---- */

static void replace(struct rb_outcome *outcome, enum rb_result result, const char *reason, const char *text)
{
    outcome->result = result;
    outcome->reason = result == RB_RESULT_OK ? "none" : reason;
    set_message(outcome, text);
}

void rb_outcome_set(struct rb_outcome *outcome, enum rb_result result, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    replace(outcome, result, reason, format(outcome, fmt, args));
    va_end(args);
}

void rb_outcome_raise(struct rb_outcome *outcome, enum rb_result result, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = format(outcome, fmt, args);
    va_end(args);
    if (result <= outcome->result) {
        add_evidence(outcome, text);
        return;
    }
    /* The lesser finding is not lost: it moves into the evidence. */
    if (outcome->result > RB_RESULT_OK && outcome->message[0])
        add_evidence(outcome, outcome->message);
    replace(outcome, result, reason, text);
}

void rb_outcome_say(struct rb_outcome *outcome, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = format(outcome, fmt, args);
    va_end(args);
    if (outcome->result > RB_RESULT_OK)
        add_evidence(outcome, text);
    else
        set_message(outcome, text);
}

void rb_outcome_evidence(struct rb_outcome *outcome, const char *fmt, ...)
{
    if (outcome->evidence_count == RB_OUTCOME_MAX_EVIDENCE) {
        outcome->evidence_dropped++;
        return;
    }
    va_list args;
    va_start(args, fmt);
    add_evidence(outcome, format(outcome, fmt, args));
    va_end(args);
}

void rb_outcome_hint(struct rb_outcome *outcome, const char *fmt, ...)
{
    if (outcome->hint_count == RB_OUTCOME_MAX_HINTS)
        return;
    va_list args;
    va_start(args, fmt);
    add_text(outcome, &outcome->hints, &outcome->hint_count, format(outcome, fmt, args));
    va_end(args);
}

/* ---- values and facts ---- */

static bool same_label(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void add_value(struct rb_outcome *outcome, const struct rb_value *value, size_t max_of_kind)
{
    size_t alike = 0;
    for (size_t i = 0; i < outcome->value_count; i++) {
        struct rb_value *other = &outcome->values[i];
        bool same_name = other->perfdata == value->perfdata && strcmp(other->name, value->name) == 0;
        if (same_name && same_label(other->label, value->label)) {
            other->number = value->number;
            return;
        }
        alike += value->perfdata ? other->perfdata : same_name;
    }
    if (alike >= max_of_kind || outcome->value_count == RB_OUTCOME_MAX_VALUES)
        return;
    struct rb_value *grown = grow(outcome->arena, outcome->values, outcome->value_count, sizeof *grown);
    if (!grown)
        return;
    struct rb_value kept = *value;
    kept.name = rb_arena_strdup(outcome->arena, value->name);
    kept.label = rb_arena_strdup(outcome->arena, value->label);
    if (!kept.name || (value->label && !kept.label))
        return;
    outcome->values = grown;
    grown[outcome->value_count++] = kept;
}

void rb_outcome_value(struct rb_outcome *outcome, const char *name, const char *label, double number)
{
    add_value(outcome, &(struct rb_value){.name = name, .label = label, .number = number}, RB_OUTCOME_MAX_LABELS);
}

void rb_outcome_perfdata(struct rb_outcome *outcome, const char *unit, const char *label, double number)
{
    add_value(outcome, &(struct rb_value){.name = unit, .label = label, .number = number, .perfdata = true}, RB_OUTCOME_MAX_PERFDATA);
}

void rb_outcome_fact(struct rb_outcome *outcome, const char *key, const char *fmt, ...)
{
    if (outcome->fact_count == RB_OUTCOME_MAX_FACTS)
        return;
    va_list args;
    va_start(args, fmt);
    const char *value = format(outcome, fmt, args);
    va_end(args);
    /* What follows a container belongs to it: two containers may well share a mount. */
    bool container = strcmp(key, RB_FACT_CONTAINER) == 0;
    for (size_t i = outcome->fact_count; value && i-- > 0;) {
        if (strcmp(outcome->facts[i].key, key) == 0 && strcmp(outcome->facts[i].value, value) == 0)
            return;
        if (!container && strcmp(outcome->facts[i].key, RB_FACT_CONTAINER) == 0)
            break;
    }
    const char *kept_key = rb_arena_strdup(outcome->arena, key);
    struct rb_fact *grown = grow(outcome->arena, outcome->facts, outcome->fact_count, sizeof *grown);
    if (!value || !kept_key || !grown)
        return;
    outcome->facts = grown;
    grown[outcome->fact_count++] = (struct rb_fact){.key = kept_key, .value = value};
}

/* ---- last words ---- */

static size_t trimmed(const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    return len;
}

/* Start of the text that holds the last RB_OUTCOME_MAX_LAST_WORDS lines with anything on them. */
static size_t last_lines_start(const char *text, size_t len)
{
    size_t lines = 0, end = len;
    while (end > 0) {
        size_t start = end;
        while (start > 0 && text[start - 1] != '\n')
            start--;
        if (trimmed(text + start, end - start) > 0 && ++lines == RB_OUTCOME_MAX_LAST_WORDS)
            return start;
        end = start > 0 ? start - 1 : 0;
    }
    return 0;
}

static void keep_line(struct rb_outcome *outcome, const char *line, size_t len)
{
    len = clipped_length(line, len, RB_OUTCOME_MAX_TEXT);
    if (len > 0 && outcome->last_words_count < RB_OUTCOME_MAX_LAST_WORDS)
        add_text(outcome, &outcome->last_words, &outcome->last_words_count, rb_arena_strndup(outcome->arena, line, len));
}

void rb_outcome_last_words(struct rb_outcome *outcome, const char *text, size_t len)
{
    if (len == 0)
        return;
    outcome->last_words = NULL;
    outcome->last_words_count = 0;
    if (len > LAST_WORDS_LOOKED_AT) {
        /* From a line's start: half of "password=…" would no longer be recognised. */
        const char *from = memchr(text + len - LAST_WORDS_LOOKED_AT, '\n', LAST_WORDS_LOOKED_AT);
        if (!from)
            return;
        len -= (size_t)(from + 1 - text);
        text = from + 1;
    }
    /* Redacted as one text, because a private key block spans lines; only then is it cut down. */
    RB_BUF_AUTO clean;
    rb_buf_init(&clean, 4 * LAST_WORDS_LOOKED_AT);
    (void)rb_redact(&clean, text, len);
    if (clean.failed)
        return;
    const char *line = rb_buf_str(&clean) + last_lines_start(rb_buf_str(&clean), clean.len);
    const char *end = rb_buf_str(&clean) + clean.len;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        keep_line(outcome, line, trimmed(line, (size_t)(stop - line)));
        line = stop + 1;
    }
}
