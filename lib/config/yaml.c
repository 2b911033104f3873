/* YAML text to nodes. The only file that knows libfyaml.
 *
 * It listens to libfyaml's events instead of building its documents: depth and number of nodes are bounded before anything is allocated for them, an
 * alias is refused where it stands (a document resolver would let seven lines take 758 MB), and duplicate keys pass, so that the option tables can
 * report all of them. libfyaml takes invalid UTF-8 and ignores every document but the first: both are looked for here. */
#include "loader.h"

#include <assert.h>
#include <libfyaml.h>
#include <string.h>

#include "runbook/base/text.h"

struct cell { /* one child, before its parent knows how many there are */
    struct cell *next;
    const char *key;
    struct rb_mark key_mark;
    struct rb_node *item;
};

struct frame { /* an open sequence or mapping */
    struct rb_node *node;
    struct cell *first, *last;
    const char *key; /* MAPPING: the key that waits for its value */
    struct rb_mark key_mark;
};

struct reader {
    struct rb_loader *loader;
    const struct rb_yaml_source *source;
    struct fy_parser *parser;
    struct fy_diag *diag;
    struct frame frames[RB_NODE_MAX_DEPTH];
    size_t depth;
    struct rb_node *root;
    size_t documents;
    bool failed; /* a diagnostic was added; reading goes on where that is safe */
};

static struct rb_mark mark_of(const struct reader *reader, struct fy_token *token)
{
    const struct fy_mark *place = token != NULL ? fy_token_start_mark(token) : NULL;
    struct rb_mark mark = {.file = reader->source->file};
    if (place != NULL) {
        mark.line = (unsigned)place->line + 1;
        mark.column = (unsigned)place->column + 1;
    }
    return mark;
}

static const char *text_of(struct reader *reader, struct fy_token *token, struct rb_mark mark)
{
    size_t len = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &len) : "";
    if (text == NULL)
        text = "";
    if (memchr(text, '\0', len) != NULL) {
        reader->failed = true;
        rb_diag_add(reader->loader->diags, mark, "the text holds a NUL character; remove it");
        return NULL;
    }
    return rb_arena_strndup(reader->loader->arena, text, len);
}

/* libfyaml reports what it could not read; the first report is the one that matters, the rest follow from it. */
static int report_syntax(struct reader *reader)
{
    void *iterator = NULL;
    struct fy_diag_error *first = fy_diag_errors_iterate(reader->diag, &iterator);
    struct rb_mark mark = {.file = reader->source->file};
    if (first == NULL)
        return rb_diag_add(reader->loader->diags, mark, "not YAML; libfyaml gave no reason");
    mark.line = first->line > 0 ? (unsigned)first->line : 1;
    mark.column = first->column > 0 ? (unsigned)first->column : 1;
    return rb_diag_add(reader->loader->diags, mark, "YAML syntax: %s", first->msg != NULL ? first->msg : "unreadable");
}

static bool is_null_text(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

static struct rb_node *new_node(struct reader *reader, enum rb_node_type type, struct rb_mark mark)
{
    if (++reader->loader->nodes > RB_NODE_MAX_COUNT) {
        reader->failed = true;
        rb_diag_add(reader->loader->diags, mark, "the configuration has more than %u values; split it", RB_NODE_MAX_COUNT);
        return NULL;
    }
    struct rb_node *node = rb_arena_alloc(reader->loader->arena, sizeof *node);
    if (node != NULL) {
        node->type = type;
        node->mark = mark;
    }
    return node;
}

static int refuse_merge_key(struct reader *reader, const char *key, struct rb_mark mark)
{
    if (strcmp(key, "<<") != 0)
        return 0;
    reader->failed = true;
    return rb_diag_add(reader->loader->diags, mark, "merge keys (<<) are not supported; put common options under 'defaults'");
}

/* Hands a finished value to whatever waits for it. */
static int place_node(struct reader *reader, struct rb_node *node)
{
    if (reader->depth == 0) {
        reader->root = node;
        return 0;
    }
    struct frame *frame = &reader->frames[reader->depth - 1];
    struct cell *cell = rb_arena_alloc(reader->loader->arena, sizeof *cell);
    if (cell == NULL)
        return RB_ENOMEM;
    cell->item = node;
    cell->key = frame->key;
    cell->key_mark = frame->key_mark;
    frame->key = NULL;
    if (frame->last != NULL)
        frame->last->next = cell;
    else
        frame->first = cell;
    frame->last = cell;
    frame->node->count++;
    return 0;
}

static bool wants_key(const struct reader *reader)
{
    if (reader->depth == 0)
        return false;
    const struct frame *frame = &reader->frames[reader->depth - 1];
    return frame->node->type == RB_NODE_MAPPING && frame->key == NULL;
}

/* True when the tag is `!file`; any other tag is refused. */
static int read_tag(struct reader *reader, struct fy_token *tag, bool *out_is_file)
{
    *out_is_file = false;
    if (tag == NULL)
        return 0;
    const char *handle = fy_tag_token_handle0(tag);
    const char *suffix = fy_tag_token_suffix0(tag);
    if (handle != NULL && suffix != NULL && strcmp(handle, "!") == 0 && strcmp(suffix, "file") == 0) {
        *out_is_file = true;
        return 0;
    }
    reader->failed = true;
    return rb_diag_add(reader->loader->diags, mark_of(reader, tag),
                       "tag '%s%s' is not known; the only one is '!file PATH', which reads a secret", handle != NULL ? handle : "!",
                       suffix != NULL ? suffix : "");
}

static int refuse_anchor(struct reader *reader, struct fy_token *anchor)
{
    if (anchor == NULL)
        return 0;
    reader->failed = true;
    return rb_diag_add(reader->loader->diags, mark_of(reader, anchor),
                       "anchors and aliases are not supported; repeat the value or use 'defaults'");
}

static bool is_plain(struct fy_token *token)
{
    return token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
}

static int read_key(struct reader *reader, struct fy_token *token, struct rb_mark mark)
{
    const char *key = text_of(reader, token, mark);
    if (key == NULL)
        return RB_ECONFIG;
    struct frame *frame = &reader->frames[reader->depth - 1];
    frame->key = key;
    frame->key_mark = mark;
    (void)refuse_merge_key(reader, key, mark);
    return 0;
}

static int read_value(struct reader *reader, struct fy_token *token, struct rb_mark mark, bool is_file)
{
    struct rb_node *node = new_node(reader, RB_NODE_SCALAR, mark);
    if (node == NULL)
        return RB_ECONFIG;
    node->scalar = text_of(reader, token, mark);
    if (node->scalar == NULL)
        return RB_ECONFIG;
    node->quoted = !is_plain(token);
    if (!node->quoted && !is_file && is_null_text(node->scalar))
        node->type = RB_NODE_NULL;
    else if (rb_config_expand(reader->loader, node) < 0 ||
             (is_file && rb_config_read_secret(reader->loader, reader->source->dir, node) < 0))
        node->invalid = true;
    reader->failed = reader->failed || node->invalid;
    return place_node(reader, node);
}

static int on_scalar(struct reader *reader, const struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    bool is_file = false;
    (void)refuse_anchor(reader, event->scalar.anchor);
    (void)read_tag(reader, event->scalar.tag, &is_file);
    struct rb_mark mark = mark_of(reader, token);
    if (mark.line == 0 && reader->depth > 0)
        mark = reader->frames[reader->depth - 1].key != NULL ? reader->frames[reader->depth - 1].key_mark
                                                             : reader->frames[reader->depth - 1].node->mark;
    return wants_key(reader) ? read_key(reader, token, mark) : read_value(reader, token, mark, is_file);
}

/* Reading goes on with an invalid value in its place, so that what follows is checked too. */
static int on_alias(struct reader *reader, const struct fy_event *event)
{
    struct rb_mark mark = mark_of(reader, event->alias.anchor);
    (void)refuse_anchor(reader, event->alias.anchor);
    if (wants_key(reader)) {
        struct frame *frame = &reader->frames[reader->depth - 1];
        frame->key = "*alias";
        frame->key_mark = mark;
        return 0;
    }
    struct rb_node *node = new_node(reader, RB_NODE_NULL, mark);
    if (node == NULL)
        return RB_ECONFIG;
    node->invalid = true;
    return place_node(reader, node);
}

static int open_frame(struct reader *reader, enum rb_node_type type, struct fy_token *start)
{
    struct rb_mark mark = mark_of(reader, start);
    if (mark.line == 0 && reader->depth > 0)
        mark = reader->frames[reader->depth - 1].key_mark;
    if (wants_key(reader))
        return rb_diag_add(reader->loader->diags, mark, "a key must be plain text, not a list or a mapping");
    if (reader->depth == RB_NODE_MAX_DEPTH)
        return rb_diag_add(reader->loader->diags, mark, "nested deeper than %d levels", RB_NODE_MAX_DEPTH);
    struct rb_node *node = new_node(reader, type, mark);
    if (node == NULL)
        return RB_ECONFIG;
    reader->frames[reader->depth++] = (struct frame){.node = node};
    return 0;
}

static int close_frame(struct reader *reader)
{
    struct frame *frame = &reader->frames[--reader->depth];
    struct rb_node *node = frame->node;
    assert(node != NULL); /* libfyaml ends only what it began */
    struct rb_arena *arena = reader->loader->arena;
    size_t count = node->count;
    bool mapping = node->type == RB_NODE_MAPPING;
    node->items = rb_arena_array(arena, count + 1, sizeof(struct rb_node *));
    node->keys = mapping ? rb_arena_array(arena, count + 1, sizeof *node->keys) : NULL;
    node->key_marks = mapping ? rb_arena_array(arena, count + 1, sizeof *node->key_marks) : NULL;
    if (rb_arena_failed(arena))
        return RB_ENOMEM;
    size_t at = 0;
    for (const struct cell *cell = frame->first; cell != NULL; cell = cell->next, at++) {
        node->items[at] = cell->item;
        if (mapping) {
            node->keys[at] = cell->key;
            node->key_marks[at] = cell->key_mark;
        }
    }
    return place_node(reader, node);
}

static int on_collection(struct reader *reader, const struct fy_event *event, enum rb_node_type type)
{
    bool mapping = type == RB_NODE_MAPPING;
    bool is_file = false;
    struct fy_token *tag = mapping ? event->mapping_start.tag : event->sequence_start.tag;
    (void)refuse_anchor(reader, mapping ? event->mapping_start.anchor : event->sequence_start.anchor);
    (void)read_tag(reader, tag, &is_file);
    if (is_file) {
        reader->failed = true;
        rb_diag_add(reader->loader->diags, mark_of(reader, tag), "!file wants one path");
    }
    return open_frame(reader, type, mapping ? event->mapping_start.mapping_start : event->sequence_start.sequence_start);
}

static int on_document(struct reader *reader, const struct fy_event *event)
{
    if (reader->documents++ == 0)
        return 0;
    return rb_diag_add(reader->loader->diags, mark_of(reader, event->document_start.document_start),
                       "a second YAML document begins here; a configuration file holds one");
}

static int on_event(struct reader *reader, const struct fy_event *event)
{
    switch (event->type) {
    case FYET_DOCUMENT_START:
        return on_document(reader, event);
    case FYET_SCALAR:
        return on_scalar(reader, event);
    case FYET_ALIAS:
        return on_alias(reader, event);
    case FYET_SEQUENCE_START:
        return on_collection(reader, event, RB_NODE_SEQUENCE);
    case FYET_MAPPING_START:
        return on_collection(reader, event, RB_NODE_MAPPING);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        return close_frame(reader);
    default:
        return 0;
    }
}

static int read_events(struct reader *reader)
{
    struct fy_event *event;
    while ((event = fy_parser_parse(reader->parser)) != NULL) {
        int rc = on_event(reader, event);
        fy_parser_event_free(reader->parser, event);
        if (rc < 0)
            return rc;
    }
    return fy_parser_get_stream_error(reader->parser) ? report_syntax(reader) : 0;
}

/* Bytes of the valid UTF-8 character at `text`, or 0. */
static size_t utf8_step(const char *text, size_t len)
{
    for (size_t n = 1; n <= 4 && n <= len; n++)
        if (rb_text_is_utf8(text, n))
            return n;
    return 0;
}

static bool is_forbidden_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

/* A character never spans lines in UTF-8, so that the place of the first bad byte needs no state. */
static int check_bytes(struct reader *reader)
{
    struct rb_mark mark = {.file = reader->source->file, .line = 1, .column = 1};
    const char *text = reader->source->text;
    size_t left = reader->source->len;
    while (left > 0) {
        size_t step = (unsigned char)*text < 0x80 ? 1 : utf8_step(text, left);
        if (step == 0)
            return rb_diag_add(reader->loader->diags, mark, "byte 0x%02x is not valid UTF-8; save the file as UTF-8",
                               (unsigned)(unsigned char)*text);
        if (is_forbidden_control(*text))
            return rb_diag_add(reader->loader->diags, mark, "control character 0x%02x; remove it", (unsigned)(unsigned char)*text);
        mark.column++;
        if (*text == '\n') {
            mark.line++;
            mark.column = 1;
        }
        text += step;
        left -= step;
    }
    return 0;
}

static int start_parser(struct reader *reader)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.colorize = false;
    reader->diag = fy_diag_create(&diag_config);
    if (reader->diag == NULL)
        return RB_ENOMEM;
    fy_diag_set_collect_errors(reader->diag, true);
    struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_ALLOW_DUPLICATE_KEYS, .diag = reader->diag};
    reader->parser = fy_parser_create(&config);
    if (reader->parser == NULL || fy_parser_set_string(reader->parser, reader->source->text, reader->source->len) != 0)
        return RB_ENOMEM;
    return 0;
}

static void stop_parser(struct reader *reader)
{
    if (reader->parser != NULL)
        fy_parser_destroy(reader->parser);
    if (reader->diag != NULL)
        fy_diag_destroy(reader->diag);
}

int rb_yaml_read(struct rb_loader *loader, const struct rb_yaml_source *source, struct rb_node **out)
{
    struct reader reader = {.loader = loader, .source = source};
    struct rb_mark whole = {.file = source->file};
    loader->bytes += source->len;
    if (loader->bytes > RB_CONFIG_MAX_BYTES)
        return rb_diag_add(loader->diags, whole, "the configuration is larger than %u MiB", RB_CONFIG_MAX_BYTES >> 20);
    int rc = check_bytes(&reader);
    if (rc < 0)
        return rc;
    rc = start_parser(&reader);
    if (rc == 0)
        rc = read_events(&reader);
    stop_parser(&reader);
    if (rc == RB_ENOMEM || rb_arena_failed(loader->arena))
        return rb_diag_add(loader->diags, whole, "out of memory while reading the configuration");
    if (rc < 0)
        return RB_ECONFIG;
    if (reader.root == NULL)
        return rb_diag_add(loader->diags, (struct rb_mark){source->file, 1, 1},
                           "the file is empty; `runbookd init` writes one to begin with");
    *out = reader.root;
    return reader.failed ? RB_ECONFIG : 0;
}
