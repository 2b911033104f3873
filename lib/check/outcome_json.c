/* The JSON form of an outcome: what the scan helper writes and the daemon reads.
 *
 * The writer gives one object on one line. Text that is not UTF-8 cannot stand in JSON: messages and evidence are written in their escaped
 * form, which is
 * what every renderer would show anyway; a fact is left out, because a path that is not exact must neither join checks nor enter a command.
 * The reader trusts nothing: all members and only these, each of its type, reasons and value names of the kind's closed sets, lists and
 * texts within
 * the same maxima as the builders, which it uses. It leaves `out` as it was initialised when the text is refused. */
#include "runbook/check/outcome.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/base/text.h"
#include "runbook/check/kind.h"

/* All maxima together, every byte as a six-byte escape, and some room. */
#define JSON_MAX     ((size_t)8 * 1024 * 1024)
#define MEMBER_COUNT 10u

/* ---- writing ---- */

static json_t *text_to_json(const char *text)
{
    size_t len = strlen(text);
    if (rb_text_is_utf8(text, len))
        return json_stringn(text, len);
    RB_BUF_AUTO escaped;
    rb_buf_init(&escaped, 8 * len + 8);
    rb_text_escape(&escaped, text, len);
    return escaped.failed ? NULL : json_stringn(rb_buf_str(&escaped), escaped.len);
}

static json_t *texts_to_json(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        if (json_array_append_new(list, text_to_json(items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* JSON has no NaN and no infinity: they travel as the words that Prometheus uses. */
static json_t *number_to_json(double number)
{
    if (isfinite(number))
        return json_real(number);
    return json_string(isnan(number) ? "NaN" : number > 0 ? "+Inf" : "-Inf");
}

static json_t *values_to_json(const struct rb_outcome *outcome)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < outcome->value_count; i++) {
        const struct rb_value *value = &outcome->values[i];
        json_t *label = value->label ? text_to_json(value->label) : json_null();
        json_t *row = json_pack("[s, o, o, b]", value->name, label, number_to_json(value->number), value->perfdata ? 1 : 0);
        if (json_array_append_new(list, row) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *facts_to_json(const struct rb_outcome *outcome)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < outcome->fact_count; i++) {
        const struct rb_fact *fact = &outcome->facts[i];
        if (!rb_text_is_utf8(fact->value, strlen(fact->value)))
            continue;
        if (json_array_append_new(list, json_pack("[s, s]", fact->key, fact->value)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int append_bytes(const char *bytes, size_t len, void *arg)
{
    struct rb_buf *out = arg;
    rb_buf_add(out, bytes, len);
    return out->failed ? -1 : 0;
}

int rb_outcome_to_json(const struct rb_outcome *outcome, struct rb_buf *out, struct rb_error *err)
{
    /* json_pack releases what it was given when one of the parts is NULL. */
    json_t *root = json_pack("{s: s, s: s, s: o, s: i, s: o, s: I, s: o, s: o, s: o, s: o}", "result", rb_result_name(outcome->result),
                             "reason", outcome->reason, "message", text_to_json(outcome->message), "sighting", (int)outcome->sighting,
                             "evidence", texts_to_json(outcome->evidence, outcome->evidence_count), "dropped",
                             (json_int_t)outcome->evidence_dropped, "hints", texts_to_json(outcome->hints, outcome->hint_count),
                             "last_words", texts_to_json(outcome->last_words, outcome->last_words_count), "values", values_to_json(outcome),
                             "facts", facts_to_json(outcome));
    if (!root)
        return rb_error_set(err, RB_ENOMEM, "outcome as JSON: out of memory");
    int failed = json_dump_callback(root, append_bytes, out, JSON_COMPACT);
    json_decref(root);
    if (failed && !out->failed)
        return rb_error_set(err, RB_ENOMEM, "outcome as JSON: out of memory");
    return rb_buf_check(out, "outcome as JSON", err);
}

/* ---- reading ---- */

struct reader {
    const struct rb_kind *kind;
    struct rb_outcome *out;
    const char *problem; /* the first one; NULL: fine so far */
};

static void refuse(struct reader *reader, const char *problem)
{
    if (!reader->problem)
        reader->problem = problem;
}

static const char *text_of(struct reader *reader, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) > RB_OUTCOME_MAX_TEXT * 4u) {
        refuse(reader, "a text is missing, not a string or too long");
        return "";
    }
    return json_string_value(value);
}

/* Elements of a list of at most `max`; 0 when it is none. */
static size_t list_length(struct reader *reader, const json_t *list, size_t max)
{
    if (!json_is_array(list) || json_array_size(list) > max) {
        refuse(reader, "a list is missing, not a list or too long");
        return 0;
    }
    return json_array_size(list);
}

static void read_head(struct reader *reader, const json_t *root)
{
    const char *name = text_of(reader, json_object_get(root, "result"));
    enum rb_result result = RB_RESULT_COUNT;
    for (int i = 0; i < RB_RESULT_COUNT; i++) {
        if (strcmp(name, rb_result_name((enum rb_result)i)) == 0)
            result = (enum rb_result)i;
    }
    const char *reason = rb_kind_reason(reader->kind, text_of(reader, json_object_get(root, "reason")));
    const char *message = text_of(reader, json_object_get(root, "message"));
    const json_t *sighting = json_object_get(root, "sighting");
    if (result == RB_RESULT_COUNT || !reason)
        refuse(reader, "result or reason is not one of this kind");
    else if (!json_is_integer(sighting) || json_integer_value(sighting) < 0 || json_integer_value(sighting) > RB_SIGHTING_ENDED)
        refuse(reader, "sighting is out of range");
    else {
        rb_outcome_set(reader->out, result, reason, "%s", message);
        reader->out->sighting = (enum rb_sighting)json_integer_value(sighting);
    }
}

static double number_of(struct reader *reader, const json_t *value)
{
    if (json_is_number(value))
        return json_number_value(value);
    const char *word = text_of(reader, value);
    if (strcmp(word, "+Inf") == 0)
        return HUGE_VAL;
    if (strcmp(word, "-Inf") == 0)
        return -HUGE_VAL;
    if (strcmp(word, "NaN") != 0)
        refuse(reader, "a value is not a number");
    return (double)NAN;
}

static void read_values(struct reader *reader, const json_t *list)
{
    size_t count = list_length(reader, list, RB_OUTCOME_MAX_VALUES);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(list, i);
        if (list_length(reader, row, 4) != 4) {
            refuse(reader, "a value is not a row of four");
            return;
        }
        const char *name = text_of(reader, json_array_get(row, 0));
        const json_t *label_json = json_array_get(row, 1);
        const char *label = json_is_null(label_json) ? NULL : text_of(reader, label_json);
        double number = number_of(reader, json_array_get(row, 2));
        const struct rb_value_def *def = rb_kind_value(reader->kind, name);
        /* Perfdata comes from commands, which do not run in the helper. */
        if (!json_is_false(json_array_get(row, 3)) || !def || !def->label != !label)
            refuse(reader, "a value is not in the kind's table");
        else
            rb_outcome_value(reader->out, def->name, label, number);
    }
}

static void read_facts(struct reader *reader, const json_t *list)
{
    size_t count = list_length(reader, list, RB_OUTCOME_MAX_FACTS);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(list, i);
        if (list_length(reader, row, 2) != 2) {
            refuse(reader, "a fact is not a pair");
            return;
        }
        const char *key = text_of(reader, json_array_get(row, 0));
        rb_outcome_fact(reader->out, key, "%s", text_of(reader, json_array_get(row, 1)));
    }
}

static void read_lists(struct reader *reader, const json_t *root)
{
    const json_t *list = json_object_get(root, "evidence");
    size_t count = list_length(reader, list, RB_OUTCOME_MAX_EVIDENCE);
    for (size_t i = 0; i < count; i++)
        rb_outcome_evidence(reader->out, "%s", text_of(reader, json_array_get(list, i)));
    const json_t *dropped = json_object_get(root, "dropped");
    if (!json_is_integer(dropped) || json_integer_value(dropped) < 0)
        refuse(reader, "dropped is no count");
    else
        reader->out->evidence_dropped = (size_t)json_integer_value(dropped);
    list = json_object_get(root, "hints");
    count = list_length(reader, list, RB_OUTCOME_MAX_HINTS);
    for (size_t i = 0; i < count; i++)
        rb_outcome_hint(reader->out, "%s", text_of(reader, json_array_get(list, i)));
    list = json_object_get(root, "last_words");
    count = list_length(reader, list, RB_OUTCOME_MAX_LAST_WORDS);
    struct rb_buf words;
    rb_buf_init(&words, JSON_MAX);
    for (size_t i = 0; i < count; i++) {
        rb_buf_adds(&words, text_of(reader, json_array_get(list, i)));
        rb_buf_addc(&words, '\n');
    }
    rb_outcome_last_words(reader->out, rb_buf_str(&words), words.len);
    rb_buf_fini(&words);
}

int rb_outcome_from_json(const char *text, size_t len, const struct rb_kind *kind, struct rb_outcome *out, struct rb_error *err)
{
    if (len > JSON_MAX)
        return rb_error_set(err, RB_ELIMIT, "outcome as JSON: %zu bytes, the limit is %zu", len, JSON_MAX);
    json_error_t where;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return rb_error_set(err, RB_EPARSE, "outcome as JSON: byte %d: %s", where.position, where.text);
    struct rb_arena *arena = out->arena;
    struct reader reader = {.kind = kind, .out = out};
    if (!json_is_object(root) || json_object_size(root) != MEMBER_COUNT)
        refuse(&reader, "not an object with the members of an outcome");
    if (!reader.problem) {
        read_head(&reader, root);
        read_lists(&reader, root);
        read_values(&reader, json_object_get(root, "values"));
        read_facts(&reader, json_object_get(root, "facts"));
    }
    json_decref(root);
    if (!reader.problem && !rb_arena_failed(arena))
        return RB_OK;
    rb_outcome_init(out, arena);
    if (!reader.problem)
        return rb_error_set(err, RB_ENOMEM, "outcome as JSON: the run's memory is used up");
    return rb_error_set(err, RB_EPARSE, "outcome as JSON: %s", reader.problem);
}
