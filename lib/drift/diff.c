/* Typed diffs: a document key by key, then every text line by line (libgit2's xdiff). Both sides are masked before the lines are compared, so that no secret can show; a key that
 * names a secret shows only that it changed. Bounded: at most DIFF_MAX_LINES lines and DIFF_MAX_BYTES bytes of result, texts above DIFF_MAX_TEXT are not compared. */
#include "diff.h"

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/drift/fact.h"
#include "value.h"

enum { DOCUMENT_ARENA = 64 << 20, VALUE_COLUMNS = 80, LINE_COLUMNS = 160 };

struct lines {
    struct rb_buf text;
    size_t count;
    size_t dropped;
    unsigned first_line; /* of the first difference on the new side */
};

static void add_line(struct lines *lines, const char *mark, const char *text, size_t len)
{
    if (lines->count >= DIFF_MAX_LINES || lines->text.len > DIFF_MAX_BYTES) {
        lines->dropped++;
        return;
    }
    RB_BUF_AUTO plain;
    rb_buf_init(&plain, 64 * 1024);
    rb_text_escape(&plain, text, len < 4096 ? len : 4096);
    if (lines->count++ > 0)
        rb_buf_addc(&lines->text, '\n');
    rb_buf_adds(&lines->text, mark);
    rb_text_clip(&lines->text, rb_buf_str(&plain), LINE_COLUMNS);
}

/* ---- keys ---- */

static bool parse(const struct diff_sides *sides, bool old_side, struct rb_arena *arena, struct rb_drift_facts *out)
{
    struct rb_doc_node *root = NULL;
    struct rb_doc_problems problems = {0};
    bool lenient = false;
    rb_drift_facts_init(out, arena);
    if (rb_doc_parse(rb_doc_format_of(sides->path), old_side ? sides->old_text : sides->new_text,
                     old_side ? sides->old_len : sides->new_len, &(const struct rb_doc_options){.lenient_json = true, .tree = true}, arena,
                     &root, &lenient, &problems, NULL) < 0)
        return false;
    if (root)
        rb_drift_facts_add_node(out, "", root);
    return rb_drift_facts_finish(out, NULL) == 0;
}

static const char *shown(const char *value, struct rb_buf *out)
{
    rb_buf_reset(out);
    if (!value) {
        rb_buf_adds(out, "(absent)");
    } else if (strncmp(value, "{\"secret\":", 10) == 0) {
        rb_buf_adds(out, RB_REDACTED);
    } else {
        RB_BUF_AUTO masked;
        rb_buf_init(&masked, 2 * RB_DRIFT_VALUE_MAX);
        rb_redact(&masked, value, strlen(value));
        rb_text_clip(out, rb_buf_str(&masked), VALUE_COLUMNS);
    }
    return rb_buf_str(out);
}

struct keys {
    struct lines *lines;
    const char **items;
    size_t count;
    struct rb_arena *arena;
    struct rb_drift_item *item;
};

static void add_key(struct keys *keys, const char *key, const char *old_value, const char *new_value)
{
    RB_BUF_AUTO old_text;
    RB_BUF_AUTO new_text;
    RB_BUF_AUTO line;
    rb_buf_init(&old_text, 4096);
    rb_buf_init(&new_text, 4096);
    rb_buf_init(&line, 32 * 1024);
    rb_buf_addf(&line, "%s: %s -> %s", key, shown(old_value, &old_text), shown(new_value, &new_text));
    add_line(keys->lines, "", rb_buf_str(&line), line.len);
    if (keys->count == 0) {
        keys->item->old_text = rb_arena_printf(keys->arena, "%s = %s", key, rb_buf_str(&old_text));
        keys->item->new_text = rb_arena_printf(keys->arena, "%s = %s", key, rb_buf_str(&new_text));
    }
    if (keys->count < DIFF_MAX_KEYS)
        keys->items[keys->count] = rb_arena_strdup(keys->arena, key);
    keys->count++;
}

static void merge_keys(struct keys *keys, const struct rb_drift_facts *old_facts, const struct rb_drift_facts *new_facts)
{
    size_t i = 0, k = 0;
    while (i < old_facts->count || k < new_facts->count) {
        int order = i == old_facts->count ? 1 : k == new_facts->count ? -1 : strcmp(old_facts->items[i].key, new_facts->items[k].key);
        const struct rb_drift_fact *old_fact = order <= 0 ? &old_facts->items[i++] : NULL;
        const struct rb_drift_fact *new_fact = order >= 0 ? &new_facts->items[k++] : NULL;
        if (!old_fact || !new_fact || strcmp(old_fact->value, new_fact->value) != 0)
            add_key(keys, old_fact ? old_fact->key : new_fact->key, old_fact ? old_fact->value : NULL, new_fact ? new_fact->value : NULL);
    }
}

static void diff_keys(const struct diff_sides *sides, struct rb_arena *arena, struct lines *lines, struct rb_drift_item *item)
{
    if (rb_doc_format_of(sides->path) == RB_DOC_UNKNOWN)
        return;
    struct rb_arena *documents = rb_arena_new(DOCUMENT_ARENA);
    struct rb_drift_facts old_facts, new_facts;
    struct keys keys = {.lines = lines, .arena = arena, .item = item, .items = rb_arena_array(arena, DIFF_MAX_KEYS + 1, sizeof(char *))};
    if (documents && keys.items && parse(sides, true, documents, &old_facts) && parse(sides, false, documents, &new_facts)) {
        merge_keys(&keys, &old_facts, &new_facts);
        item->keys_known = keys.count <= DIFF_MAX_KEYS;
        item->keys = (struct rb_strings){keys.items, keys.count < DIFF_MAX_KEYS ? keys.count : DIFF_MAX_KEYS};
        if (keys.count != 1)
            item->old_text = item->new_text = NULL;
        if (keys.count == 0)
            add_line(lines, "", "no value changed, only its writing (comments, order or blanks)", 61);
    }
    rb_arena_free(documents);
}

/* ---- lines ---- */

static int on_line(const git_diff_delta *delta, const git_diff_hunk *hunk, const git_diff_line *line, void *ctx)
{
    struct lines *lines = ctx;
    (void)delta;
    (void)hunk;
    if (line->origin != GIT_DIFF_LINE_ADDITION && line->origin != GIT_DIFF_LINE_DELETION)
        return 0;
    if (lines->first_line == 0)
        lines->first_line = (unsigned)(line->new_lineno > 0 ? line->new_lineno : line->old_lineno > 0 ? line->old_lineno : 1);
    size_t len = line->content_len;
    while (len > 0 && (line->content[len - 1] == '\n' || line->content[len - 1] == '\r'))
        len--;
    add_line(lines, line->origin == GIT_DIFF_LINE_ADDITION ? "+ " : "- ", line->content, len);
    return 0;
}

static bool is_text(const char *text, size_t len)
{
    return memchr(text, '\0', len) == NULL && rb_text_is_utf8(text, len);
}

static void diff_lines(const struct diff_sides *sides, struct lines *lines)
{
    if (!is_text(sides->old_text, sides->old_len) || !is_text(sides->new_text, sides->new_len))
        return;
    RB_BUF_AUTO old_text;
    RB_BUF_AUTO new_text;
    rb_buf_init(&old_text, 2 * DIFF_MAX_TEXT);
    rb_buf_init(&new_text, 2 * DIFF_MAX_TEXT);
    rb_redact(&old_text, sides->old_text, sides->old_len);
    rb_redact(&new_text, sides->new_text, sides->new_len);
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    options.context_lines = 0;
    if (git_libgit2_init() > 0)
        (void)git_diff_buffers(rb_buf_str(&old_text), old_text.len, NULL, rb_buf_str(&new_text), new_text.len, NULL, &options, NULL, NULL,
                               NULL, on_line, lines);
}

void diff_documents_and_lines(const struct diff_sides *sides, struct rb_arena *arena, struct rb_drift_item *item)
{
    struct lines lines = {0};
    rb_buf_init(&lines.text, DIFF_MAX_BYTES + 4096);
    diff_keys(sides, arena, &lines, item);
    diff_lines(sides, &lines);
    if (lines.dropped > 0)
        rb_buf_addf(&lines.text, "\n(%zu more lines)", lines.dropped);
    if (lines.text.len > 0 && !lines.text.failed)
        item->diff = rb_arena_strdup(arena, rb_buf_str(&lines.text));
    item->line = lines.first_line;
    rb_buf_fini(&lines.text);
}
