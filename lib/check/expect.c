/* Expected values against found ones, typed: one reading of the configuration's scalar serves comparison and print.
 *
 * Pure. Levels are bounded by the configuration's own depth, since the walk follows the expected side. */
#include "runbook/check/expect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"

enum { SHOWN_COLUMNS = 80, MAX_VALUE = 64 << 20 };

static bool is_word(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

/* A plain scalar of the configuration as a number, by YAML's core schema. */
static bool read_number(const char *text, double *out)
{
    char *end;
    if (!*text || !strchr("+-.0123456789", *text) || strpbrk(text, "xXpPnN"))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

bool rb_expect_number(const struct rb_doc_node *value, double *out)
{
    if (value->type == RB_DOC_INT)
        *out = (double)value->integer;
    else if (value->type == RB_DOC_FLOAT)
        *out = value->number;
    return value->type == RB_DOC_INT || value->type == RB_DOC_FLOAT;
}

static bool text_equals(const struct rb_doc_node *value, const char *text)
{
    return (value->type == RB_DOC_STRING || value->type == RB_DOC_DATETIME) && strlen(text) == value->string_len &&
           memcmp(text, value->string, value->string_len) == 0;
}

static bool scalar_equals(const struct rb_node *wanted, const struct rb_doc_node *value)
{
    const char *text = wanted->scalar;
    double number, found;
    int64_t integer;
    if (wanted->quoted)
        return text_equals(value, text);
    if (is_word(text, "true", "True", "TRUE"))
        return value->type == RB_DOC_BOOL && value->boolean;
    if (is_word(text, "false", "False", "FALSE"))
        return value->type == RB_DOC_BOOL && !value->boolean;
    if (*text == '\0' || strcmp(text, "~") == 0 || is_word(text, "null", "Null", "NULL"))
        return value->type == RB_DOC_NULL;
    if (value->type == RB_DOC_INT && rb_int_parse(text, &integer, NULL) == 0)
        return value->integer == integer; /* a double would round above 2^53 */
    if (read_number(text, &number))
        return rb_expect_number(value, &found) && !(found < number) && !(found > number);
    return text_equals(value, text);
}

bool rb_expect_equals(const struct rb_node *wanted, const struct rb_doc_node *value)
{
    if (wanted->type == RB_NODE_NULL)
        return value->type == RB_DOC_NULL;
    if (wanted->type == RB_NODE_SCALAR)
        return scalar_equals(wanted, value);
    bool list = wanted->type == RB_NODE_SEQUENCE;
    if (value->type != (list ? RB_DOC_LIST : RB_DOC_TABLE) || value->count != wanted->count)
        return false;
    for (size_t i = 0; i < wanted->count; i++) {
        const struct rb_doc_node *item = list ? value->items[i] : rb_doc_get(value, wanted->keys[i]);
        if (!item || !rb_expect_equals(wanted->items[i], item))
            return false;
    }
    return true;
}

bool rb_expect_one_of(const struct rb_node *list, const struct rb_doc_node *value)
{
    for (size_t i = 0; i < list->count; i++) {
        if (rb_expect_equals(list->items[i], value))
            return true;
    }
    return false;
}

static void add_masked(struct rb_buf *out, const char *text, size_t len)
{
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, MAX_VALUE);
    RB_BUF_AUTO plain;
    rb_buf_init(&plain, MAX_VALUE);
    (void)rb_redact(&masked, text, len);
    rb_text_escape(&plain, rb_buf_str(&masked), masked.len);
    rb_text_clip(out, rb_buf_str(&plain), SHOWN_COLUMNS);
}

void rb_expect_print_value(struct rb_buf *out, const struct rb_doc_node *value)
{
    switch (value->type) {
    case RB_DOC_NULL:
        rb_buf_adds(out, "null");
        break;
    case RB_DOC_BOOL:
        rb_buf_adds(out, value->boolean ? "true" : "false");
        break;
    case RB_DOC_INT:
        rb_buf_addf(out, "%lld", (long long)value->integer);
        break;
    case RB_DOC_FLOAT:
        rb_double_print(out, value->number);
        break;
    case RB_DOC_STRING:
        rb_buf_addc(out, '"');
        add_masked(out, value->string, value->string_len);
        rb_buf_addc(out, '"');
        break;
    case RB_DOC_DATETIME:
        add_masked(out, value->string, value->string_len);
        break;
    case RB_DOC_LIST:
        rb_buf_addf(out, "a list of %zu", value->count);
        break;
    case RB_DOC_TABLE:
        rb_buf_addf(out, "a table of %zu keys", value->count);
        break;
    }
}

/* The configuration's value as it would stand in a file: a text that could be read as something else keeps its quotes. */
void rb_expect_print_wanted(struct rb_buf *out, const struct rb_node *wanted)
{
    double number;
    if (wanted->type == RB_NODE_NULL) {
        rb_buf_adds(out, "null");
    } else if (wanted->type == RB_NODE_SCALAR) {
        const char *text = wanted->scalar;
        bool bare = !wanted->quoted && (is_word(text, "true", "True", "TRUE") || is_word(text, "false", "False", "FALSE") ||
                                        is_word(text, "null", "Null", "NULL") || read_number(text, &number));
        rb_buf_adds(out, bare ? "" : "\"");
        if (wanted->secret)
            rb_buf_adds(out, RB_REDACTED);
        else
            add_masked(out, text, strlen(text));
        rb_buf_adds(out, bare ? "" : "\"");
    } else {
        bool list = wanted->type == RB_NODE_SEQUENCE;
        rb_buf_addc(out, list ? '[' : '{');
        for (size_t i = 0; i < wanted->count; i++) {
            rb_buf_addf(out, "%s%s%s", i ? ", " : "", list ? "" : wanted->keys[i], list ? "" : ": ");
            rb_expect_print_wanted(out, wanted->items[i]);
        }
        rb_buf_addc(out, list ? ']' : '}');
    }
}
