/* Key paths: compiled to a row of segments, matched by walking the document once with the set of segments that may come next.
 *
 * The set is a bit mask, as in a simulated automaton: several `**` in one path cost nothing extra and no value is found twice, which plain backtracking does not give. A
 * segment's bit means "the next key or index is compared with this one"; the bit behind the last segment means "this value is a match". Shared nodes (YAML aliases) are
 * walked at each of their places, as their reader would see them; the document's own limits bound that. */
#include "runbook/source/keypath.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/base/glob.h"

enum { MAX_LEVELS = 192, MAX_VISITS = 20000000 };

enum segment_type { SEGMENT_NAME, SEGMENT_PATTERN, SEGMENT_ANY, SEGMENT_INDEX, SEGMENT_DEEP };
struct segment {
    enum segment_type type;
    const char *text; /* NAME and PATTERN; NULL for an index in brackets */
    size_t len;
    size_t index; /* INDEX; a NAME of digits has it too */
    bool has_index;
};

struct rb_keypath {
    size_t count;
    struct segment segments[RB_KEYPATH_MAX_SEGMENTS];
};

/* ---- reading ---- */

struct reader {
    const char *text, *at;
    struct rb_arena *arena;
    struct rb_keypath *path;
    struct rb_error *err;
};

static int fail(const struct reader *r, const char *why)
{
    return rb_error_set(r->err, RB_EINVAL, "key path '%.200s', character %zu: %s", r->text, (size_t)(r->at - r->text) + 1, why);
}

/* A number without sign or leading zero, small enough to be an index. */
static bool read_index(const char *text, size_t len, size_t *out)
{
    size_t value = 0;
    if (len == 0 || len > 9 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (size_t)(text[i] - '0');
    }
    *out = value;
    return true;
}

static int add_segment(struct reader *r, const struct segment *segment)
{
    if (r->path->count == RB_KEYPATH_MAX_SEGMENTS)
        return fail(r, "too many segments (32 at most)");
    r->path->segments[r->path->count++] = *segment;
    return 0;
}

static int read_quoted(struct reader *r)
{
    char text[RB_KEYPATH_MAX_TEXT], quote = *r->at++;
    size_t len = 0;
    for (; *r->at && *r->at != quote; r->at++) {
        if (quote == '"' && *r->at == '\\') {
            r->at++;
            if (*r->at != '"' && *r->at != '\\')
                return fail(r, "only \\\" and \\\\ are escapes in a quoted key");
        }
        text[len++] = *r->at; /* the whole path is shorter than this buffer */
    }
    if (*r->at != quote)
        return fail(r, "the quote is not closed");
    r->at++;
    return add_segment(r, &(struct segment){.type = SEGMENT_NAME, .text = rb_arena_strndup(r->arena, text, len), .len = len});
}

static int read_brackets(struct reader *r)
{
    struct segment segment = {.type = SEGMENT_INDEX};
    size_t len = strcspn(++r->at, "]");
    if (r->at[len] != ']')
        return fail(r, "the bracket is not closed");
    if (len == 1 && *r->at == '*')
        segment.type = SEGMENT_ANY;
    else if (!read_index(r->at, len, &segment.index))
        return fail(r, "brackets hold a number or *; quote a key instead: a.\"key\"");
    segment.has_index = segment.type == SEGMENT_INDEX;
    r->at += len + 1;
    return add_segment(r, &segment);
}

static int read_bare(struct reader *r)
{
    size_t len = strcspn(r->at, ".[]\"'");
    if (len == 0)
        return fail(r, "a segment is empty; quote a key that is empty: \"\"");
    struct segment segment = {.type = SEGMENT_NAME, .text = rb_arena_strndup(r->arena, r->at, len), .len = len};
    if (len == 1 && *r->at == '*')
        segment.type = SEGMENT_ANY;
    else if (len == 2 && strncmp(r->at, "**", 2) == 0)
        segment.type = SEGMENT_DEEP;
    else if (memchr(r->at, '*', len) || memchr(r->at, '?', len))
        segment.type = SEGMENT_PATTERN;
    else
        segment.has_index = read_index(r->at, len, &segment.index);
    if (segment.type == SEGMENT_PATTERN && segment.text && (strstr(segment.text, "**") || rb_glob_check(segment.text, NULL) < 0))
        return fail(r, "this wildcard cannot be used: ** stands alone, other characters of patterns have to be quoted");
    r->at += len;
    return add_segment(r, &segment);
}

static int read_segments(struct reader *r)
{
    bool first = true;
    while (*r->at || first) {
        bool bracket = *r->at == '[';
        if (!first && !bracket && *r->at != '.')
            return fail(r, "a '.' is missing between two segments");
        if (!first && !bracket)
            r->at++;
        int code = *r->at == '[' ? read_brackets(r) : *r->at == '"' || *r->at == '\'' ? read_quoted(r) : read_bare(r);
        if (code < 0)
            return code;
        first = false;
    }
    return 0;
}

int rb_keypath_parse(const char *text, struct rb_arena *arena, const struct rb_keypath **out, struct rb_error *err)
{
    if (strlen(text) >= RB_KEYPATH_MAX_TEXT)
        return rb_error_set(err, RB_EINVAL, "a key path of more than %d bytes", RB_KEYPATH_MAX_TEXT - 1);
    struct rb_keypath *path = rb_arena_alloc(arena, sizeof *path);
    struct reader r = {.text = text, .at = text, .arena = arena, .path = path, .err = err};
    int code = path ? read_segments(&r) : 0;
    if (code < 0)
        return code;
    if (!path || rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading a key path");
    *out = path;
    return 0;
}

bool rb_keypath_has_wildcard(const struct rb_keypath *path)
{
    for (size_t i = 0; i < path->count; i++) {
        enum segment_type type = path->segments[i].type;
        if (type == SEGMENT_ANY || type == SEGMENT_DEEP || type == SEGMENT_PATTERN)
            return true;
    }
    return false;
}

/* ---- walking ---- */

typedef uint64_t segment_set;

struct step {        /* how the walk came to a node */
    const char *key; /* NULL: a list item */
    size_t key_len, index;
};

struct walk {
    const struct rb_keypath *path;
    struct rb_arena *arena;
    struct rb_keypath_matches *out;
    size_t cap, max, visits, depth;
    struct step steps[MAX_LEVELS];
    struct rb_error *err;
};

static segment_set bit(size_t position)
{
    return (segment_set)1 << position;
}

/* `**` may stand for no level at all: then the segment behind it is next already. */
static segment_set close_over_deep(const struct rb_keypath *path, segment_set set)
{
    for (size_t i = 0; i < path->count; i++) {
        if ((set & bit(i)) && path->segments[i].type == SEGMENT_DEEP)
            set |= bit(i + 1);
    }
    return set;
}

static bool segment_matches(const struct segment *segment, const struct step *step)
{
    switch (segment->type) {
    case SEGMENT_ANY:
    case SEGMENT_DEEP:
        return true;
    case SEGMENT_INDEX:
        return !step->key && step->index == segment->index;
    case SEGMENT_PATTERN:
        return step->key && strlen(step->key) == step->key_len && rb_glob_match(segment->text, step->key);
    case SEGMENT_NAME:
        break;
    }
    if (!step->key)
        return segment->has_index && step->index == segment->index;
    return step->key_len == segment->len && memcmp(step->key, segment->text, segment->len) == 0;
}

static segment_set advance(const struct rb_keypath *path, segment_set set, const struct step *step)
{
    segment_set next = 0;
    for (size_t i = 0; i < path->count; i++) {
        if (!(set & bit(i)) || !segment_matches(&path->segments[i], step))
            continue;
        next |= path->segments[i].type == SEGMENT_DEEP ? bit(i) : bit(i + 1);
    }
    return close_over_deep(path, next);
}

static void print_key(struct rb_buf *out, const struct step *step)
{
    static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (step->key_len > 0 && strlen(step->key) == step->key_len && strspn(step->key, bare) == step->key_len) {
        rb_buf_adds(out, step->key);
        return;
    }
    rb_buf_addc(out, '"');
    for (size_t i = 0; i < step->key_len; i++) {
        if (step->key[i] == '"' || step->key[i] == '\\')
            rb_buf_addc(out, '\\');
        rb_buf_addc(out, step->key[i]);
    }
    rb_buf_addc(out, '"');
}

static const char *print_path(const struct walk *walk)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, (size_t)64 * 1024);
    for (size_t i = 0; i < walk->depth; i++) {
        const struct step *step = &walk->steps[i];
        if (!step->key) {
            rb_buf_addf(&text, "[%zu]", step->index);
            continue;
        }
        if (i > 0)
            rb_buf_addc(&text, '.');
        print_key(&text, step);
    }
    return rb_arena_strndup(walk->arena, rb_buf_str(&text), text.len);
}

static const char *nearest_key(const struct walk *walk)
{
    for (size_t i = walk->depth; i > 0; i--) {
        if (walk->steps[i - 1].key)
            return walk->steps[i - 1].key;
    }
    return "";
}

static int add_match(struct walk *walk, const struct rb_doc_node *node)
{
    struct rb_keypath_matches *out = walk->out;
    if (out->count == walk->max)
        return rb_error_set(walk->err, RB_ELIMIT, "more than %zu values match: narrow the key path", walk->max);
    if (out->count == walk->cap) {
        size_t cap = walk->cap ? walk->cap * 2 : 16;
        struct rb_keypath_match *bigger = realloc(out->items, cap * sizeof *bigger);
        if (!bigger)
            return rb_error_set(walk->err, RB_ENOMEM, "out of memory while looking for keys");
        out->items = bigger;
        walk->cap = cap;
    }
    const char *path = print_path(walk);
    if (!path)
        return rb_error_set(walk->err, RB_ENOMEM, "out of memory while looking for keys");
    out->items[out->count++] = (struct rb_keypath_match){.path = path, .key = nearest_key(walk), .node = node};
    return 0;
}

static int visit(struct walk *walk, const struct rb_doc_node *node, segment_set set)
{
    int code = 0;
    if (++walk->visits > MAX_VISITS)
        return rb_error_set(walk->err, RB_ELIMIT, "the document is too large to be searched");
    if (set & bit(walk->path->count))
        code = add_match(walk, node);
    if (node->type != RB_DOC_TABLE && node->type != RB_DOC_LIST)
        return code;
    if (walk->depth == MAX_LEVELS)
        return rb_error_set(walk->err, RB_ELIMIT, "the document is nested too deeply to be searched");
    walk->depth++;
    for (size_t i = 0; i < node->count && code == 0; i++) {
        struct step *step = &walk->steps[walk->depth - 1];
        *step = (struct step){.index = i};
        if (node->type == RB_DOC_TABLE)
            *step = (struct step){.key = node->keys[i], .key_len = node->key_lens[i], .index = i};
        segment_set next = advance(walk->path, set, step);
        if (next)
            code = visit(walk, node->items[i], next);
    }
    walk->depth--;
    return code;
}

int rb_keypath_find(const struct rb_keypath *path, const struct rb_doc_node *root, size_t max, struct rb_arena *arena,
                    struct rb_keypath_matches *out, struct rb_error *err)
{
    *out = (struct rb_keypath_matches){0};
    struct walk *walk = calloc(1, sizeof *walk);
    if (!walk)
        return rb_error_set(err, RB_ENOMEM, "out of memory while looking for keys");
    struct rb_keypath_matches found = {0};
    walk->path = path;
    walk->arena = arena;
    walk->out = &found;
    walk->max = max;
    walk->err = err;
    int code = root ? visit(walk, root, close_over_deep(path, bit(0))) : 0;
    free(walk);
    struct rb_keypath_match *items = code == 0 ? rb_arena_array(arena, found.count + 1, sizeof *items) : NULL;
    if (code == 0 && !items)
        code = rb_error_set(err, RB_ENOMEM, "out of memory while looking for keys");
    if (items && found.count > 0)
        memcpy(items, found.items, found.count * sizeof *items);
    free(found.items);
    if (code == 0)
        *out = (struct rb_keypath_matches){.items = items, .count = found.count};
    return code;
}
