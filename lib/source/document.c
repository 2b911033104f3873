/* One entrance for the three document formats: limits, encoding and choice of the parser; then the look-ups in the tree.
 *
 * Encoding is checked here, once, because libfyaml accepts invalid UTF-8 and every place counts characters. A check without a tree works in an arena of
 * its own, so that the caller's holds nothing but the problems. */
#include "runbook/source/document.h"

#include "toml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_MAX = 512 << 20 };

const char *rb_doc_format_name(enum rb_doc_format format)
{
    switch (format) {
    case RB_DOC_TOML:
        return "toml";
    case RB_DOC_YAML:
        return "yaml";
    case RB_DOC_JSON:
        return "json";
    case RB_DOC_UNKNOWN:
        break;
    }
    return "unknown";
}

static bool ends_with_nocase(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    if (len < end_len)
        return false;
    for (size_t i = 0; i < end_len; i++) {
        char c = text[len - end_len + i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != end[i])
            return false;
    }
    return true;
}

enum rb_doc_format rb_doc_format_of(const char *path)
{
    static const struct {
        const char *end;
        bool whole_name;
        enum rb_doc_format format;
    } rows[] = {
        {".toml", false, RB_DOC_TOML},       {"uv.lock", true, RB_DOC_TOML},       {"poetry.lock", true, RB_DOC_TOML},
        {"cargo.lock", true, RB_DOC_TOML},   {"pdm.lock", true, RB_DOC_TOML},      {"pipfile", true, RB_DOC_TOML},
        {".yml", false, RB_DOC_YAML},        {".yaml", false, RB_DOC_YAML},        {".clang-format", true, RB_DOC_YAML},
        {".clang-tidy", true, RB_DOC_YAML},  {".json", false, RB_DOC_JSON},        {".jsonc", false, RB_DOC_JSON},
        {".ipynb", false, RB_DOC_JSON},      {".geojson", false, RB_DOC_JSON},     {".webmanifest", false, RB_DOC_JSON},
        {"pipfile.lock", true, RB_DOC_JSON}, {"composer.lock", true, RB_DOC_JSON}, {"flake.lock", true, RB_DOC_JSON},
    };
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (ends_with_nocase(name, rows[i].end) && (!rows[i].whole_name || strlen(name) == strlen(rows[i].end)))
            return rows[i].format;
    return RB_DOC_UNKNOWN;
}

/* Length of the valid UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate, at most U+10FFFF), or 0. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool outside = (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF4 && p[1] > 0x8F);
    return len > 1 && (overlong || outside) ? 0 : len;
}

/* Reports the first byte that cannot stand in any document: not UTF-8, or NUL. */
static void check_encoding(struct doc_builder *b, const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    size_t at = 0;
    while (at < len) {
        size_t step = p[at] == 0 ? 0 : utf8_length(p + at, len - at);
        if (step == 0)
            break;
        at += step;
    }
    if (at == len)
        return;
    struct doc_cursor cursor;
    doc_cursor_init(&cursor, bytes);
    bool wide = len >= 2 && ((p[0] == 0xFF && p[1] == 0xFE) || (p[0] == 0xFE && p[1] == 0xFF));
    if (p[at] == 0)
        doc_problem(b, doc_cursor_at(&cursor, at), "NUL byte");
    else
        doc_problem(b, doc_cursor_at(&cursor, at), "%s", wide ? "UTF-16, not UTF-8" : "not valid UTF-8");
}

static void parse_toml(struct doc_builder *b, const char *bytes, size_t len)
{
    char message[512];
    struct doc_place place;
    int code = doc_parse_toml(bytes, len, b->tree ? b->arena : NULL, &b->root, &place, message, sizeof(message));
    if (code == RB_EPARSE)
        doc_problem(b, place, "%s", message);
    else if (code < 0)
        doc_build_fail(b, code, "line %u: %s", place.line, message);
}

static int compare_problems(const void *left, const void *right)
{
    const struct rb_doc_problem *a = left, *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->column < b->column ? -1 : a->column > b->column;
}

static void run_parser(struct doc_builder *b, enum rb_doc_format format, const char *bytes, size_t len, bool lenient, bool *out_lenient)
{
    check_encoding(b, bytes, len);
    if (b->problems->count > 0)
        return;
    if (format == RB_DOC_TOML) {
        parse_toml(b, bytes, len);
    } else if (format == RB_DOC_YAML) {
        b->tree = true; /* keys may be collections: even a check needs the nodes */
        doc_parse_yaml(b, bytes, len);
    } else {
        doc_parse_json(b, bytes, len, lenient, out_lenient);
    }
}

int rb_doc_parse(enum rb_doc_format format, const char *bytes, size_t len, const struct rb_doc_options *options, struct rb_arena *arena,
                 struct rb_doc_node **out_root, bool *out_lenient, struct rb_doc_problems *problems, struct rb_error *err)
{
    struct rb_doc_problems local;
    if (!problems)
        problems = &local;
    *problems = (struct rb_doc_problems){0};
    if (out_lenient)
        *out_lenient = false;
    if (format == RB_DOC_UNKNOWN)
        return rb_error_set(err, RB_EINVAL, "the file name tells no format (TOML, YAML or JSON)");
    if (len > RB_DOC_MAX_BYTES)
        return rb_error_set(err, RB_ELIMIT, "the document is larger than 64 MiB");
    bool tree = options && options->tree && out_root;
    RB_ARENA_AUTO *scratch = tree ? NULL : rb_arena_new(SCRATCH_MAX);
    struct doc_builder *b = tree || scratch ? malloc(sizeof(*b)) : NULL;
    if (!b)
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading the document");
    doc_build_init(b, tree ? arena : scratch, arena, tree, problems, err);
    run_parser(b, format, bytes ? bytes : "", len, options && options->lenient_json, out_lenient);
    int code = b->code;
    struct rb_doc_node *root = b->root;
    doc_build_fini(b);
    free(b);
    if (code < 0)
        return code;
    if (problems->count > 0) {
        qsort(problems->items, problems->count, sizeof(problems->items[0]), compare_problems);
        return rb_error_set(err, RB_EPARSE, "line %u, column %u: %s", problems->items[0].line, problems->items[0].column,
                            problems->items[0].message);
    }
    if (tree)
        *out_root = root;
    return 0;
}

const struct rb_doc_node *rb_doc_get(const struct rb_doc_node *table, const char *key)
{
    if (!table || table->type != RB_DOC_TABLE)
        return NULL;
    size_t len = strlen(key);
    for (size_t i = 0; i < table->count; i++)
        if (table->key_lens[i] == len && memcmp(table->keys[i], key, len) == 0)
            return table->items[i];
    return NULL;
}

/* True when `key` equals the pointer's token of `len` bytes, with ~1 for '/' and ~0 for '~'. */
static bool token_matches(const char *token, size_t len, const char *key)
{
    for (size_t i = 0; i < len; i++, key++) {
        char c = token[i];
        if (c == '~') {
            i++;
            if (i == len || (token[i] != '0' && token[i] != '1'))
                return false;
            c = token[i] == '1' ? '/' : '~';
        }
        if (*key != c)
            return false;
    }
    return *key == '\0';
}

static const struct rb_doc_node *pointer_step(const struct rb_doc_node *node, const char *token, size_t len)
{
    if (node->type == RB_DOC_TABLE) {
        for (size_t i = 0; i < node->count; i++)
            if (token_matches(token, len, node->keys[i]))
                return node->items[i];
        return NULL;
    }
    if (node->type != RB_DOC_LIST || len == 0 || len > 9 || (len > 1 && token[0] == '0'))
        return NULL;
    size_t index = 0;
    for (size_t i = 0; i < len; i++) {
        if (token[i] < '0' || token[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(token[i] - '0');
    }
    return index < node->count ? node->items[index] : NULL;
}

const struct rb_doc_node *rb_doc_pointer(const struct rb_doc_node *root, const char *pointer)
{
    while (root && *pointer) {
        if (*pointer != '/')
            return NULL;
        size_t len = strcspn(++pointer, "/");
        root = pointer_step(root, pointer, len);
        pointer += len;
    }
    return root;
}
