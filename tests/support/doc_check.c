/* Parses documents with the code that the `syntax` kind uses and prints what it saw, one JSON object a line: for comparison with independent parsers.
 *
 * usage: doc_check toml|yaml|json|auto FILE...     ("auto": by file name)
 * {"file": F, "valid": true, "value": <tagged as toml-test does: {"type": T, "value": text}>} or
 * {"file": F, "valid": false, "problems": [{"line", "column", "message"}]} or {"file": F, "valid": null, "error": text} */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/source/document.h"

static json_t *tagged(const char *type, const char *text, size_t len)
{
    return json_pack("{s:s, s:s%}", "type", type, "value", text, len);
}

static const char *datetime_type(const char *text)
{
    if (text[0] && text[1] && text[2] == ':')
        return "time-local";
    const char *time = strpbrk(text, "Tt ");
    if (!time)
        return "date-local";
    return strpbrk(time, "Zz+-") ? "datetime" : "datetime-local";
}

static json_t *convert(const struct rb_doc_node *node);

static json_t *convert_children(const struct rb_doc_node *node)
{
    json_t *out = node->type == RB_DOC_TABLE ? json_object() : json_array();
    for (size_t i = 0; i < node->count; i++) {
        if (node->type == RB_DOC_TABLE)
            json_object_setn_new(out, node->keys[i], node->key_lens[i], convert(node->items[i]));
        else
            json_array_append_new(out, convert(node->items[i]));
    }
    return out;
}

static json_t *convert(const struct rb_doc_node *node)
{
    char text[64];
    switch (node->type) {
    case RB_DOC_TABLE:
    case RB_DOC_LIST:
        return convert_children(node);
    case RB_DOC_NULL:
        return json_null();
    case RB_DOC_BOOL:
        return tagged("bool", node->boolean ? "true" : "false", node->boolean ? 4 : 5);
    case RB_DOC_INT:
        snprintf(text, sizeof(text), "%lld", (long long)node->integer);
        return tagged("integer", text, strlen(text));
    case RB_DOC_FLOAT:
        snprintf(text, sizeof(text), "%.17g", node->number);
        return tagged("float", isnan(node->number) ? "nan" : text, isnan(node->number) ? 3 : strlen(text));
    case RB_DOC_STRING:
        return tagged("string", node->string, node->string_len);
    case RB_DOC_DATETIME:
        return tagged(datetime_type(node->string), node->string, node->string_len);
    }
    return NULL;
}

static char *read_all(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t len = 0, cap = 0, got = 1;
    while (file && got > 0) {
        if (cap - len < 65536) {
            cap = cap * 2 + 131072;
            char *bigger = realloc(bytes, cap);
            if (!bigger)
                abort();
            bytes = bigger;
        }
        got = fread(bytes + len, 1, 65536, file);
        len += got;
    }
    if (file)
        fclose(file);
    *out_len = len;
    return bytes;
}

static json_t *describe(enum rb_doc_format format, const char *path)
{
    size_t len;
    char *bytes = read_all(path, &len);
    if (!bytes)
        return json_pack("{s:s, s:n, s:s}", "file", path, "valid", "error", "cannot be read");
    RB_ARENA_AUTO *arena = rb_arena_new((size_t)1 << 30);
    struct rb_doc_options options = {.tree = true};
    struct rb_doc_node *root = NULL;
    struct rb_doc_problems problems;
    struct rb_error err = {0};
    int code = rb_doc_parse(format, bytes, len, &options, arena, &root, NULL, &problems, &err);
    free(bytes);
    if (code == 0)
        return json_pack("{s:s, s:b, s:o}", "file", path, "valid", 1, "value", convert(root));
    if (code != RB_EPARSE)
        return json_pack("{s:s, s:n, s:s}", "file", path, "valid", "error", err.message);
    json_t *list = json_array();
    for (size_t i = 0; i < problems.count; i++)
        json_array_append_new(list, json_pack("{s:i, s:i, s:s}", "line", (int)problems.items[i].line, "column",
                                              (int)problems.items[i].column, "message", problems.items[i].message));
    return json_pack("{s:s, s:b, s:o}", "file", path, "valid", 0, "problems", list);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: doc_check toml|yaml|json|auto FILE...\n");
        return 64;
    }
    for (int i = 2; i < argc; i++) {
        enum rb_doc_format format = rb_doc_format_of(argv[i]);
        for (int f = RB_DOC_TOML; f < RB_DOC_UNKNOWN; f++)
            if (strcmp(argv[1], rb_doc_format_name((enum rb_doc_format)f)) == 0)
                format = (enum rb_doc_format)f;
        json_t *line = describe(format, argv[i]);
        if (!line || json_dumpf(line, stdout, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
            return 1;
        putchar('\n');
        json_decref(line);
    }
    return 0;
}
