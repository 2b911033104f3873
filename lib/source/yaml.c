/* YAML 1.2 through libfyaml's event stream.
 *
 * Events instead of libfyaml's documents, because those stop at the first duplicate key, let unknown aliases pass, and resolve an alias bomb of seven lines into
 * 758 MB. Here an alias shares the node of its anchor, and what the document would weigh with every alias written out is counted and bounded.
 * Every document of a stream is read. Syntax errors come from libfyaml's collected diagnostics, with their place.
 * Plain scalars are typed by the core schema (YAML 1.2.2, 10.3.2): `yes` and `on` are text. */
#include "doc_build.h"

#include "yaml_scalar.h"

#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ANCHORS = 65536, EXPANSION_FACTOR = 16, EXPANSION_FLOOR = 65536, MAX_COMPLEX_KEY = 4096 };

struct anchor {
    const char *name;
    size_t len;
    struct rb_doc_node *node; /* NULL while the node is still open: an alias to it would be a loop */
    struct doc_size size;
    struct anchor *next; /* of the same bucket */
};

struct level {
    bool key_next; /* of a mapping: a key comes next */
    bool is_key;   /* this node is itself the key of the mapping around it */
    bool merges;   /* a << key was seen */
    struct anchor *anchor;
    struct doc_place place;
};

struct reader {
    struct doc_builder *b;
    struct level levels[RB_DOC_MAX_DEPTH];
    struct anchor **buckets; /* of the current document */
    size_t anchor_count;
    uint64_t merged; /* entries that merge keys copied */
    struct rb_doc_node **documents;
    size_t document_count, document_cap;
    bool refused;
};

enum { BUCKETS = 1024 };

static size_t bucket_of(const struct reader *r, const char *name, size_t len)
{
    /* FNV-1a, started from an address: what a hostile file could prepare differs in every run. */
    uint64_t hash = UINT64_C(14695981039346656037) ^ (uint64_t)(uintptr_t)r->buckets;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(1099511628211);
    return (size_t)((hash ^ (hash >> 29)) % BUCKETS);
}

static struct doc_place token_place(struct fy_token *token, struct doc_place fallback)
{
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    return mark ? (struct doc_place){(unsigned)mark->line + 1, (unsigned)mark->column + 1} : fallback;
}

static void refuse(struct reader *r, struct doc_place place, const char *message)
{
    if (!r->refused)
        doc_problem(r->b, place, "%s", message);
    r->refused = true;
}

static struct anchor *find_anchor(struct reader *r, const char *name, size_t len)
{
    for (struct anchor *a = r->buckets[bucket_of(r, name, len)]; a; a = a->next)
        if (a->len == len && memcmp(a->name, name, len) == 0)
            return a;
    return NULL;
}

/* Remembers the anchor of a node; a later anchor of the same name hides it. */
static struct anchor *define_anchor(struct reader *r, struct fy_token *token, struct doc_place place)
{
    size_t len = 0;
    const char *name = token ? fy_token_get_text(token, &len) : NULL;
    if (!name)
        return NULL;
    if (++r->anchor_count > MAX_ANCHORS) {
        refuse(r, place, "more anchors than 65536 in one document");
        return NULL;
    }
    struct anchor *anchor = rb_arena_alloc(r->b->arena, sizeof(*anchor));
    char *copy = anchor ? rb_arena_strndup(r->b->arena, name, len) : NULL;
    if (!copy) {
        doc_build_fail(r->b, RB_ENOMEM, "out of memory while reading the document");
        return NULL;
    }
    struct anchor **bucket = &r->buckets[bucket_of(r, name, len)];
    *anchor = (struct anchor){.name = copy, .len = len, .next = *bucket};
    *bucket = anchor;
    return anchor;
}

/* A key made of a collection, as text; what is too long to compare stays unique. */
static void print_complex(FILE *out, const struct rb_doc_node *node, unsigned depth)
{
    if (depth > 8 || ftell(out) > MAX_COMPLEX_KEY)
        return;
    if (node->type == RB_DOC_LIST || node->type == RB_DOC_TABLE) {
        fputc(node->type == RB_DOC_LIST ? '[' : '{', out);
        for (size_t i = 0; i < node->count && ftell(out) <= MAX_COMPLEX_KEY; i++) {
            if (node->keys)
                fprintf(out, "%s%s: ", i ? ", " : "", node->keys[i]);
            else
                fputs(i ? ", " : "", out);
            print_complex(out, node->items[i], depth + 1);
        }
        fputc(node->type == RB_DOC_LIST ? ']' : '}', out);
    } else if (node->type == RB_DOC_STRING) {
        fprintf(out, "\"%s\"", node->string);
    } else if (node->string) {
        fputs(node->string, out);
    }
}

static void add_complex_key(struct reader *r, const struct rb_doc_node *node, struct doc_place place)
{
    char text[MAX_COMPLEX_KEY + 1024];
    FILE *out = fmemopen(text, sizeof(text), "w");
    if (!out) {
        doc_build_fail(r->b, RB_ENOMEM, "out of memory while reading the document");
        return;
    }
    print_complex(out, node, 0);
    long used = ftell(out);
    fclose(out);
    bool whole = used >= 0 && used <= MAX_COMPLEX_KEY;
    size_t len = used < 0 ? 0 : (size_t)used < sizeof(text) ? (size_t)used : sizeof(text) - 1;
    struct doc_key key = {.len = len, .place = place, .kind = whole ? 'c' : 'm'};
    key.text = rb_arena_strndup(r->b->arena, text, len);
    if (key.text)
        doc_build_key(r->b, &key);
    else
        doc_build_fail(r->b, RB_ENOMEM, "out of memory while reading the document");
}

static void add_scalar_key(struct reader *r, const struct rb_doc_node *node, bool merge)
{
    struct doc_key key = {.text = node->string, .len = node->string_len, .place = {node->line, node->column}};
    key.kind = merge ? 'm' : node->type == RB_DOC_STRING ? 's' : 'p';
    doc_build_key(r->b, &key);
}

/* A finished node takes its place: as key or as value of what is around it. */
static void place_node(struct reader *r, struct rb_doc_node *node, struct doc_size size, bool merge)
{
    struct doc_builder *b = r->b;
    if (!node || b->code < 0)
        return;
    if (b->depth > 0 && b->frames[b->depth - 1].table) {
        struct level *level = &r->levels[b->depth - 1];
        level->key_next = !level->key_next;
        if (!level->key_next) {
            level->merges = level->merges || merge;
            if (node->type == RB_DOC_LIST || node->type == RB_DOC_TABLE)
                add_complex_key(r, node, (struct doc_place){node->line, node->column});
            else
                add_scalar_key(r, node, merge);
            return;
        }
    }
    doc_build_value(b, node, size);
}

static void on_alias(struct reader *r, struct fy_token *token)
{
    struct doc_place place = token_place(token, (struct doc_place){1, 2});
    size_t len = 0;
    const char *name = fy_token_get_text(token, &len);
    place.column -= place.column > 1; /* the token begins behind its '*' */
    struct anchor *anchor = name ? find_anchor(r, name, len) : NULL;
    int shown = len > 80 ? 80 : (int)len;
    if (!anchor) {
        doc_problem(r->b, place, "alias *%.*s has no anchor before it", shown, name ? name : "");
        struct rb_doc_node *node = doc_build_scalar(r->b, RB_DOC_NULL, place);
        if (node)
            node->string = "";
        place_node(r, node, (struct doc_size){1, 0}, false);
        return;
    }
    if (!anchor->node) {
        refuse(r, place, "alias to a node that contains it");
        return;
    }
    if (r->b->depth + anchor->size.levels > RB_DOC_MAX_DEPTH) {
        doc_build_fail(r->b, RB_ELIMIT, "line %u, column %u: nested deeper than %d levels", place.line, place.column, RB_DOC_MAX_DEPTH);
        return;
    }
    place_node(r, anchor->node, anchor->size, false);
}

static bool is_merge_key(const struct reader *r, const struct fy_event *event, const char *text, size_t len)
{
    size_t depth = r->b->depth;
    return depth > 0 && r->b->frames[depth - 1].table && r->levels[depth - 1].key_next && len == 2 && memcmp(text, "<<", 2) == 0 &&
           !event->scalar.tag && fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
}

static void on_scalar(struct reader *r, struct fy_event *event, struct doc_place last)
{
    struct doc_place place = token_place(event->scalar.value, token_place(event->scalar.tag, token_place(event->scalar.anchor, last)));
    struct anchor *anchor = define_anchor(r, event->scalar.anchor, place);
    size_t len = 0;
    const char *text = event->scalar.value ? fy_token_get_text(event->scalar.value, &len) : "";
    struct rb_doc_node *node = text ? doc_build_scalar(r->b, RB_DOC_STRING, place) : NULL;
    if (node) {
        node->string = rb_arena_strndup(r->b->arena, text, len);
        node->string_len = len;
    }
    if (!node || !node->string) {
        doc_build_fail(r->b, RB_ENOMEM, "out of memory while reading the document");
        return;
    }
    size_t tag_len = 0;
    const char *tag = event->scalar.tag ? fy_token_get_text(event->scalar.tag, &tag_len) : NULL;
    bool plain = !event->scalar.value || fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
    yaml_scalar_type(node, plain, tag, tag_len);
    if (anchor) {
        anchor->node = node;
        anchor->size = (struct doc_size){1, 0};
    }
    place_node(r, node, (struct doc_size){1, 0}, is_merge_key(r, event, text, len));
}

static void on_open(struct reader *r, bool table, struct fy_token *start, struct fy_token *anchor_token, struct doc_place last)
{
    struct doc_builder *b = r->b;
    bool is_key = b->depth > 0 && b->frames[b->depth - 1].table && r->levels[b->depth - 1].key_next;
    struct doc_place place = token_place(start, token_place(anchor_token, last));
    struct anchor *anchor = define_anchor(r, anchor_token, place);
    doc_build_open(b, table, place);
    if (b->code == 0)
        r->levels[b->depth - 1] = (struct level){.key_next = table, .is_key = is_key, .anchor = anchor, .place = place};
}

static bool has_key(const struct rb_doc_node *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->keys[i], key) == 0)
            return true;
    return false;
}

/* Appends the entries of `from` that `into` lacks; `into` has room. */
static void merge_table(struct reader *r, struct rb_doc_node *into, const struct rb_doc_node *from)
{
    for (size_t i = 0; i < from->count; i++) {
        r->merged += 1 + into->count / 64; /* the search costs too: counted, so that it is bounded */
        if (has_key(into, from->keys[i]))
            continue;
        into->keys[into->count] = from->keys[i];
        into->key_lens[into->count] = from->key_lens[i];
        into->items[into->count++] = from->items[i];
    }
}

static size_t merge_room(const struct rb_doc_node *value)
{
    if (value->type == RB_DOC_TABLE)
        return value->count;
    size_t room = 0;
    for (size_t i = 0; value->type == RB_DOC_LIST && i < value->count; i++)
        room += value->items[i]->type == RB_DOC_TABLE ? value->items[i]->count : 0;
    return room;
}

static uint64_t expansion_limit(const struct reader *r)
{
    return (uint64_t)EXPANSION_FACTOR * r->b->nodes + EXPANSION_FLOOR;
}

/* Replaces the << entries of a table by what they name (yaml.org/type/merge): own keys win, then the earlier of several. */
static void resolve_merges(struct reader *r, struct rb_doc_node *table, struct doc_place place)
{
    size_t room = table->count;
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->keys[i], "<<") == 0)
            room += merge_room(table->items[i]);
    r->merged += room;
    if (r->merged > expansion_limit(r)) {
        refuse(r, place, "merge keys expand the document to more than 16 times its size: refused");
        return;
    }
    struct rb_doc_node result = *table;
    result.keys = rb_arena_array(r->b->arena, room, sizeof(char *));
    result.key_lens = rb_arena_array(r->b->arena, room, sizeof(size_t));
    result.items = rb_arena_array(r->b->arena, room, sizeof(struct rb_doc_node *));
    if (!result.keys || !result.key_lens || !result.items) {
        doc_build_fail(r->b, RB_ENOMEM, "out of memory while reading the document");
        return;
    }
    result.count = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->keys[i], "<<") == 0 && merge_room(table->items[i]) > 0)
            continue;
        result.keys[result.count] = table->keys[i];
        result.key_lens[result.count] = table->key_lens[i];
        result.items[result.count++] = table->items[i];
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct rb_doc_node *value = table->items[i];
        if (strcmp(table->keys[i], "<<") != 0)
            continue;
        if (value->type == RB_DOC_TABLE)
            merge_table(r, &result, value);
        for (size_t j = 0; value->type == RB_DOC_LIST && j < value->count; j++)
            if (value->items[j]->type == RB_DOC_TABLE)
                merge_table(r, &result, value->items[j]);
    }
    *table = result;
}

static void on_close(struct reader *r)
{
    struct doc_builder *b = r->b;
    if (b->depth == 0)
        return;
    struct level level = r->levels[b->depth - 1];
    struct doc_size size;
    struct rb_doc_node *node = doc_build_close(b, &size);
    if (!node)
        return;
    if (level.merges)
        resolve_merges(r, node, level.place);
    if (level.anchor) {
        level.anchor->node = node;
        level.anchor->size = size;
    }
    place_node(r, node, size, false);
}

static void on_document_start(struct reader *r)
{
    memset(r->buckets, 0, BUCKETS * sizeof(struct anchor *));
    r->anchor_count = 0;
    r->b->root = NULL;
}

static void on_document_end(struct reader *r)
{
    struct doc_builder *b = r->b;
    if (!b->root || b->code < 0)
        return;
    if (b->root_size.nodes > expansion_limit(r)) {
        refuse(r, (struct doc_place){b->root->line, b->root->column},
               "aliases expand the document to more than 16 times its size: refused");
        return;
    }
    if (r->document_count == r->document_cap) {
        size_t cap = r->document_cap ? r->document_cap * 2 : 8;
        struct rb_doc_node **bigger = rb_arena_array(b->arena, cap, sizeof(struct rb_doc_node *));
        if (!bigger) {
            doc_build_fail(b, RB_ENOMEM, "out of memory while reading the document");
            return;
        }
        for (size_t i = 0; i < r->document_count; i++)
            bigger[i] = r->documents[i];
        r->documents = bigger;
        r->document_cap = cap;
    }
    r->documents[r->document_count++] = b->root;
}

static void on_event(struct reader *r, struct fy_event *event, struct doc_place last)
{
    switch (event->type) {
    case FYET_DOCUMENT_START:
        on_document_start(r);
        break;
    case FYET_DOCUMENT_END:
        on_document_end(r);
        break;
    case FYET_ALIAS:
        on_alias(r, event->alias.anchor);
        break;
    case FYET_SCALAR:
        on_scalar(r, event, last);
        break;
    case FYET_MAPPING_START:
        on_open(r, true, event->mapping_start.mapping_start, event->mapping_start.anchor, last);
        break;
    case FYET_SEQUENCE_START:
        on_open(r, false, event->sequence_start.sequence_start, event->sequence_start.anchor, last);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        on_close(r);
        break;
    default:
        break;
    }
}

/* libfyaml's own complaints become problems. */
static void collect_errors(struct doc_builder *b, struct fy_diag *diag)
{
    void *previous = NULL;
    struct fy_diag_error *error;
    while ((error = fy_diag_errors_iterate(diag, &previous)) != NULL) {
        struct doc_place place = {error->line > 0 ? (unsigned)error->line : 1, error->column > 0 ? (unsigned)error->column : 1};
        doc_problem(b, place, "%s", error->msg ? error->msg : "syntax error");
    }
}

static void read_events(struct reader *r, struct fy_parser *parser)
{
    struct doc_place last = {1, 1};
    struct fy_event *event;
    while (!r->refused && r->b->code == 0 && (event = fy_parser_parse(parser)) != NULL) {
        on_event(r, event, last);
        if (event->type == FYET_SCALAR)
            last = token_place(event->scalar.value, last);
        fy_parser_event_free(parser, event);
    }
}

/* The tree of the whole stream: the one document, a list of several, or null for none. */
static void finish(struct reader *r)
{
    struct doc_builder *b = r->b;
    if (r->document_count == 1) {
        b->root = r->documents[0];
        return;
    }
    b->root = doc_build_scalar(b, r->document_count ? RB_DOC_LIST : RB_DOC_NULL, (struct doc_place){1, 1});
    if (b->root) {
        b->root->items = r->documents;
        b->root->count = r->document_count;
    }
}

void doc_parse_yaml(struct doc_builder *b, const char *bytes, size_t len)
{
    struct reader *r = rb_arena_alloc(b->arena, sizeof(*r));
    struct anchor **buckets = r ? rb_arena_array(b->arena, BUCKETS, sizeof(struct anchor *)) : NULL;
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    struct fy_diag *diag = buckets ? fy_diag_create(&diag_cfg) : NULL;
    if (!diag) {
        doc_build_fail(b, RB_ENOMEM, "out of memory while reading the document");
        return;
    }
    r->b = b;
    r->buckets = buckets;
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_AUTO,
                                     .diag = diag};
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (parser && fy_parser_set_string(parser, bytes, len) == 0) {
        read_events(r, parser);
        bool broken = fy_parser_get_stream_error(parser) || fy_diag_got_error(diag);
        size_t before = b->problems->count;
        collect_errors(b, diag);
        if (broken && b->problems->count == before && !r->refused && b->code == 0)
            doc_problem(b, (struct doc_place){1, 1}, "not valid YAML");
        finish(r);
    } else {
        doc_build_fail(b, RB_ENOMEM, "out of memory while reading the document");
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
}
