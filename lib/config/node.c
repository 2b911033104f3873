/* Nodes: lookup, growth and canonical JSON.
 *
 * Canonical means: equal meaning gives equal bytes. Keys are sorted, plain scalars get the type that the YAML 1.2 core schema (10.3.2) gives
 * them, numbers are printed in one form. Identity digests and the pipe to the scan helper both rest on it. */
#include "runbook/config/node.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loader.h"
#include "runbook/base/digest.h"
#include "runbook/base/units.h"

const struct rb_node *rb_node_get(const struct rb_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->type != RB_NODE_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->keys[i], key) == 0)
            return mapping->items[i];
    return NULL;
}

int rb_node_append(struct rb_arena *arena, struct rb_node *mapping, const char *key, struct rb_mark key_mark, struct rb_node *item)
{
    size_t count = mapping->count;
    const char **keys = rb_arena_array(arena, count + 1, sizeof *keys);
    struct rb_mark *marks = rb_arena_array(arena, count + 1, sizeof *marks);
    struct rb_node **items = rb_arena_array(arena, count + 1, sizeof(struct rb_node *));
    if (keys == NULL || marks == NULL || items == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        keys[i] = mapping->keys[i];
        marks[i] = mapping->key_marks[i];
        items[i] = mapping->items[i];
    }
    keys[count] = key;
    marks[count] = key_mark;
    items[count] = item;
    mapping->keys = keys;
    mapping->key_marks = marks;
    mapping->items = items;
    mapping->count = count + 1;
    return 0;
}

static void add_json_string(struct rb_buf *out, const char *text)
{
    rb_buf_addc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            rb_buf_addc(out, '\\');
            rb_buf_addc(out, (char)*p);
        } else if (*p < 0x20 || *p == 0x7f) {
            rb_buf_addf(out, "\\u%04x", (unsigned)*p);
        } else {
            rb_buf_addc(out, (char)*p);
        }
    }
    rb_buf_addc(out, '"');
}

static bool add_json_int(struct rb_buf *out, const char *text)
{
    int base = 10;
    const char *digits = text;
    if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0o", 2) == 0) {
        base = text[1] == 'x' ? 16 : 8;
        digits = text + 2;
    }
    const char *first = base == 10 && (*digits == '-' || *digits == '+') ? digits + 1 : digits;
    const char *allowed = base == 16 ? "0123456789abcdefABCDEF" : base == 8 ? "01234567" : "0123456789";
    if (*first == '\0' || first[strspn(first, allowed)] != '\0')
        return false;
    errno = 0;
    long long value = strtoll(digits, NULL, base);
    if (errno != 0)
        return false;
    rb_buf_addf(out, "%lld", value);
    return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?  as in YAML 1.2.2, 10.3.2 */
static bool is_core_float(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+');
    size_t whole = strspn(p, "0123456789");
    p += whole;
    size_t fraction = 0;
    if (*p == '.') {
        fraction = strspn(p + 1, "0123456789");
        p += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        size_t exponent = strspn(p, "0123456789");
        if (exponent == 0)
            return false;
        p += exponent;
    }
    return *p == '\0';
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static void add_json_scalar(struct rb_buf *out, const struct rb_node *node)
{
    const char *text = node->scalar;
    if (node->quoted) {
        add_json_string(out, text);
    } else if (is_one_of(text, "true", "True", "TRUE")) {
        rb_buf_adds(out, "true");
    } else if (is_one_of(text, "false", "False", "FALSE")) {
        rb_buf_adds(out, "false");
    } else if (!add_json_int(out, text)) {
        double value = is_core_float(text) ? strtod(text, NULL) : (double)NAN;
        if (isfinite(value))
            rb_double_print(out, value);
        else
            add_json_string(out, text);
    }
}

static void add_secret(struct rb_buf *out, const struct rb_node *node)
{
    char digest[RB_SHA256_HEX];
    rb_sha256_of(node->scalar, strlen(node->scalar), digest);
    rb_buf_addf(out, "\"sha256:%s\"", digest);
}

struct sorted_key {
    const char *key;
    size_t index;
};

static int compare_keys(const void *a, const void *b)
{
    const struct sorted_key *x = a;
    const struct sorted_key *y = b;
    int order = strcmp(x->key, y->key);
    if (order != 0)
        return order;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void add_json_mapping(struct rb_buf *out, const struct rb_node *node, bool with_secrets)
{
    struct sorted_key *order = calloc(node->count + 1, sizeof *order);
    if (order == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        order[i] = (struct sorted_key){.key = node->keys[i], .index = i};
    qsort(order, node->count, sizeof *order, compare_keys);
    rb_buf_addc(out, '{');
    for (size_t i = 0; i < node->count; i++) {
        if (i > 0)
            rb_buf_addc(out, ',');
        add_json_string(out, order[i].key);
        rb_buf_addc(out, ':');
        rb_node_to_json(node->items[order[i].index], with_secrets, out);
    }
    rb_buf_addc(out, '}');
    free(order);
}

void rb_node_to_json(const struct rb_node *node, bool with_secrets, struct rb_buf *out)
{
    if (node == NULL || node->type == RB_NODE_NULL) {
        rb_buf_adds(out, "null");
    } else if (node->type == RB_NODE_MAPPING) {
        add_json_mapping(out, node, with_secrets);
    } else if (node->type == RB_NODE_SEQUENCE) {
        rb_buf_addc(out, '[');
        for (size_t i = 0; i < node->count; i++) {
            if (i > 0)
                rb_buf_addc(out, ',');
            rb_node_to_json(node->items[i], with_secrets, out);
        }
        rb_buf_addc(out, ']');
    } else if (node->secret && !with_secrets) {
        add_secret(out, node);
    } else {
        add_json_scalar(out, node);
    }
}
