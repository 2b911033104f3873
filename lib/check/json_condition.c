/* Conditions on JSON values. One reading of the configuration's scalar serves equality and comparison, so that `3`, '>= 3' and [3, 4] agree on what 3 is.
 *
 * Comparison is typed: the number 3 is not the string "3". A silent conversion would call an API healthy that changed its shape. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/check/match.h"

enum { MAX_SHOWN = 120, MAX_TOKEN = 512 };

enum scalar_type { IS_NULL, IS_BOOL, IS_NUMBER, IS_STRING };
struct scalar {
    enum scalar_type type;
    bool boolean;
    double number;
    const char *text;
};

enum operator{ OP_EQUAL, OP_NOT_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_MATCHES };
static const struct {
    const char *sign;
    enum operator op;
} operators[] = {{"<=", OP_LESS_EQUAL}, {">=", OP_GREATER_EQUAL}, {"!=", OP_NOT_EQUAL}, {"==", OP_EQUAL},
                 {"=~", OP_MATCHES},    {"<", OP_LESS},           {">", OP_GREATER}};

/* ---- pointers (RFC 6901) ---- */

static bool read_token(const char **at, char out[MAX_TOKEN])
{
    size_t len = 0;
    const char *p = *at + 1;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~') {
            p++;
            if (*p != '0' && *p != '1')
                return false;
            c = *p == '0' ? '~' : '/';
        }
        if (len + 1 >= MAX_TOKEN)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    *at = p;
    return true;
}

static const json_t *array_item(const json_t *array, const char *token)
{
    int64_t index;
    struct rb_error err;
    bool leading_zero = token[0] == '0' && token[1] != '\0';
    if (token[0] < '0' || token[0] > '9' || leading_zero || rb_int_parse(token, &index, &err) != 0)
        return NULL;
    return json_array_get(array, (size_t)index);
}

const json_t *rb_json_pointer(const json_t *document, const char *pointer)
{
    char token[MAX_TOKEN];
    while (document && *pointer) {
        if (*pointer != '/' || !read_token(&pointer, token))
            return NULL;
        if (json_is_object(document))
            document = json_object_get(document, token);
        else
            document = json_is_array(document) ? array_item(document, token) : NULL;
    }
    return document;
}

/* ---- scalars ---- */

static bool read_number(const char *text, double *out)
{
    char *end;
    if (!*text || !strchr("+-.0123456789", *text) || strpbrk(text, "xXpPnN"))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static struct scalar read_scalar(const char *text, bool quoted)
{
    struct scalar scalar = {.type = IS_STRING, .text = text};
    if (quoted)
        return scalar;
    if (*text == '\0' || strcmp(text, "~") == 0 || one_of(text, "null", "Null", "NULL"))
        scalar.type = IS_NULL;
    else if (one_of(text, "true", "True", "TRUE"))
        scalar = (struct scalar){.type = IS_BOOL, .boolean = true, .text = text};
    else if (one_of(text, "false", "False", "FALSE"))
        scalar.type = IS_BOOL;
    else if (read_number(text, &scalar.number))
        scalar.type = IS_NUMBER;
    return scalar;
}

static bool equals(const struct scalar *wanted, const json_t *value)
{
    switch (wanted->type) {
    case IS_NULL:
        return json_is_null(value);
    case IS_BOOL:
        return json_is_boolean(value) && json_is_true(value) == wanted->boolean;
    case IS_NUMBER:
        return json_is_number(value) && !(json_number_value(value) < wanted->number) && !(json_number_value(value) > wanted->number);
    case IS_STRING:
        return json_is_string(value) && json_string_length(value) == strlen(wanted->text) &&
               memcmp(json_string_value(value), wanted->text, strlen(wanted->text)) == 0;
    }
    return false;
}

static enum operator read_operator(const char **text, bool *out_given)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        size_t len = strlen(operators[i].sign);
        if (strncmp(*text, operators[i].sign, len) != 0 ||
            ((*text)[len] != ' ' && operators[i].op != OP_MATCHES && ((*text)[len] < '0' || (*text)[len] > '9')))
            continue;
        *text += len;
        while (**text == ' ')
            (*text)++;
        *out_given = true;
        return operators[i].op;
    }
    *out_given = false;
    return OP_EQUAL;
}

static bool compares(enum operator op, const struct scalar *wanted, const json_t *value)
{
    if (!json_is_number(value) || wanted->type != IS_NUMBER)
        return false;
    double have = json_number_value(value);
    switch (op) {
    case OP_LESS:
        return have < wanted->number;
    case OP_LESS_EQUAL:
        return have <= wanted->number;
    case OP_GREATER:
        return have > wanted->number;
    default:
        return have >= wanted->number;
    }
}

/* ---- texts ---- */

static const char *show(const json_t *value, bool secret, struct rb_arena *arena)
{
    if (secret)
        return RB_REDACTED;
    if (json_is_object(value))
        return "an object";
    if (json_is_array(value))
        return rb_arena_printf(arena, "a list of %zu", json_array_size(value));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    RB_BUF_AUTO clean, clipped;
    rb_buf_init(&clean, 64 * 1024);
    rb_buf_init(&clipped, 4 * MAX_SHOWN);
    rb_redact(&clean, text ? text : "?", text ? strlen(text) : 1);
    rb_text_clip(&clipped, rb_buf_str(&clean), MAX_SHOWN);
    free(text);
    return rb_arena_strdup(arena, rb_buf_str(&clipped));
}

static const char *wanted_text(const struct rb_node *condition, struct rb_arena *arena)
{
    const char *text = condition->scalar ? condition->scalar : "null";
    if (condition->secret)
        return RB_REDACTED;
    bool given;
    const char *rest = text;
    (void)read_operator(&rest, &given);
    struct scalar scalar = read_scalar(text, condition->quoted);
    return scalar.type == IS_STRING && !given ? rb_arena_printf(arena, "\"%s\"", text) : rb_arena_strdup(arena, text);
}

static bool scalar_holds(const struct rb_node *condition, const json_t *value)
{
    bool given;
    const char *text = condition->scalar ? condition->scalar : "";
    enum operator op = read_operator(&text, &given);
    /* After an operator the quotes belong to YAML, not to the value. */
    struct scalar wanted = read_scalar(text, condition->quoted && !given);
    switch (op) {
    case OP_EQUAL:
        return equals(&wanted, value);
    case OP_NOT_EQUAL:
        return !equals(&wanted, value);
    case OP_MATCHES:
        return json_is_string(value) && rb_match_regex(text, json_string_value(value), json_string_length(value), NULL) == RB_MATCH_YES;
    default:
        return compares(op, &wanted, value);
    }
}

static const char *judge_list(const struct rb_node *condition, const json_t *value, bool secret, struct rb_arena *arena)
{
    for (size_t i = 0; i < condition->count; i++) {
        if (scalar_holds(condition->items[i], value))
            return NULL;
    }
    return rb_arena_printf(arena, "is %s, wanted one of %zu values", show(value, secret, arena), condition->count);
}

static const char *judge_exists(const struct rb_node *condition, const json_t *value)
{
    const struct rb_node *exists = rb_node_get(condition, "exists");
    bool wanted = exists && exists->scalar && strcmp(exists->scalar, "false") != 0;
    if ((value != NULL) == wanted)
        return NULL;
    return wanted ? "is missing" : "is there, but must not be";
}

const char *rb_json_condition(const struct rb_node *condition, const json_t *value, bool secret, struct rb_arena *arena)
{
    static const struct rb_node null_node = {.type = RB_NODE_SCALAR, .scalar = ""};
    if (condition->type == RB_NODE_MAPPING)
        return judge_exists(condition, value);
    if (!value)
        return "is missing";
    if (condition->type == RB_NODE_SEQUENCE)
        return judge_list(condition, value, secret, arena);
    if (condition->type == RB_NODE_NULL)
        condition = &null_node;
    if (scalar_holds(condition, value))
        return NULL;
    const char *wanted = condition == &null_node ? "null" : wanted_text(condition, arena);
    const char *why = rb_arena_printf(arena, "is %s, wanted %s", show(value, secret, arena), wanted);
    return why ? why : "does not hold";
}

static const char *check_scalar(const struct rb_node *condition)
{
    bool given;
    const char *text = condition->scalar ? condition->scalar : "";
    enum operator op = read_operator(&text, &given);
    struct scalar wanted = read_scalar(text, false);
    if (given && op >= OP_LESS && op <= OP_GREATER_EQUAL && wanted.type != IS_NUMBER)
        return "a comparison needs a number after its sign, like '>= 3'";
    if (op == OP_MATCHES && rb_match_regex(text, "", 0, NULL) == RB_MATCH_GAVE_UP)
        return "the text after =~ is not a valid regular expression";
    return NULL;
}

const char *rb_json_condition_check(const struct rb_node *condition)
{
    if (condition->type == RB_NODE_NULL)
        return NULL;
    if (condition->type == RB_NODE_SCALAR)
        return check_scalar(condition);
    if (condition->type == RB_NODE_MAPPING) {
        const struct rb_node *exists = condition->count == 1 ? rb_node_get(condition, "exists") : NULL;
        bool fine = exists && exists->scalar && (strcmp(exists->scalar, "true") == 0 || strcmp(exists->scalar, "false") == 0);
        return fine ? NULL : "a mapping here may only be {exists: true} or {exists: false}";
    }
    for (size_t i = 0; i < condition->count; i++) {
        const char *why = condition->items[i]->type == RB_NODE_SCALAR ? check_scalar(condition->items[i])
                                                                      : "a list of values may hold only plain values";
        if (why)
            return why;
    }
    return condition->count > 0 ? NULL : "an empty list can never hold";
}
