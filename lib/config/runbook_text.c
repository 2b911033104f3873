/* The sections that reports quote, read again from the team's files: what stood there when the plan was loaded may be wrong by now, and wrong lines are worse than none.
 *
 * A file is read once for all the checks that name it, and a section copied once for all that share an address. */
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook_internal.h"

#define TEXTS_MAX ((size_t)32 << 20)

static bool is_worth_quoting(const struct rb_runbook_line *line)
{
    struct span text = rb_span_trim((struct span){line->text, line->len});
    bool rule = text.len >= 3 && (strspn(text.text, "-") >= text.len || strspn(text.text, "*") >= text.len);
    return line->kind != RB_RUNBOOK_FENCE && text.len > 0 && !rule;
}

static void add_line(struct rb_buf *section, const struct rb_runbook_line *line)
{
    size_t len = line->len;
    while (len > 0 && strchr(" \t\r", line->text[len - 1]) != NULL && line->text[len - 1] != '\0')
        len--;
    rb_buf_add(section, line->text, len < 4 * RB_RUNBOOK_TEXT_BYTES ? len : 4 * RB_RUNBOOK_TEXT_BYTES);
    rb_buf_adds(section, len > 4 * RB_RUNBOOK_TEXT_BYTES ? "…\n" : "\n");
}

static const char *quoted(const char *line, size_t len, struct rb_arena *arena)
{
    size_t kept = len < RB_RUNBOOK_TEXT_BYTES ? len : RB_RUNBOOK_TEXT_BYTES;
    while (kept > 0 && kept < len && ((unsigned char)line[kept] & 0xC0) == 0x80)
        kept--; /* not inside of a character */
    return rb_arena_printf(arena, "%.*s%s", (int)kept, line, kept < len ? "…" : "");
}

/* The section's first lines, masked as one text: a private key, a value in a block of YAML go over several. */
static size_t quote_lines(const char *section, size_t len, struct rb_arena *arena, const char *lines[RB_RUNBOOK_TEXT_LINES])
{
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, (size_t)1 << 20);
    (void)rb_redact(&masked, section, len);
    size_t count = 0;
    const char *at = rb_buf_str(&masked), *end = at + masked.len;
    while (at < end && count < RB_RUNBOOK_TEXT_LINES && !masked.failed) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline != NULL ? newline : end;
        lines[count] = quoted(at, (size_t)(stop - at), arena);
        count += lines[count] != NULL;
        at = stop + 1;
    }
    return count;
}

static void copy_section(const struct rb_runbook *book, const struct rb_runbook_heading *heading, struct rb_arena *arena,
                         struct rb_runbook_text *out)
{
    unsigned last = rb_runbook_section_end(book, heading);
    const char *lines[RB_RUNBOOK_TEXT_LINES];
    RB_BUF_AUTO section;
    rb_buf_init(&section, (size_t)RB_RUNBOOK_TEXT_LINES * (4 * RB_RUNBOOK_TEXT_BYTES + 8));
    size_t taken = 0;
    for (size_t i = heading->line; i < last && i < book->line_count; i++) {
        if (!is_worth_quoting(&book->lines[i]))
            continue;
        if (taken == RB_RUNBOOK_TEXT_LINES) {
            out->more++;
            continue;
        }
        add_line(&section, &book->lines[i]);
        taken++;
    }
    size_t count = quote_lines(rb_buf_str(&section), section.len, arena, lines);
    out->lines = rb_arena_array(arena, count + 1, sizeof *out->lines);
    if (out->lines == NULL)
        return;
    memcpy(out->lines, lines, count * sizeof *lines);
    out->line_count = count;
    out->line = heading->line;
    out->heading = rb_arena_strdup(arena, heading->text);
    out->state = RB_RUNBOOK_FOUND;
}

/* The texts of all checks from `first` on that name the same file. */
static void read_file(struct rb_runbook_texts *texts, size_t first)
{
    const struct rb_plan *plan = texts->plan;
    const char *file = plan->checks[first].runbook_file, *ignored_file;
    RB_ARENA_AUTO *scratch = rb_arena_new(RB_RUNBOOK_ARENA);
    struct rb_runbook *book = NULL;
    struct rb_error err = {0};
    if (file == NULL)
        return;
    bool readable = scratch != NULL && rb_runbook_read(plan->daemon.root, file, scratch, &book, &err) == 0;
    for (size_t i = first; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        const struct rb_runbook_heading *heading = NULL;
        if (texts->items[i].state != RB_RUNBOOK_NONE || spec->runbook == NULL || spec->runbook_file == NULL ||
            strcmp(spec->runbook_file, file) != 0)
            continue;
        texts->items[i].state = readable ? RB_RUNBOOK_GONE : RB_RUNBOOK_UNREADABLE;
        const char *address = readable ? rb_runbook_split(spec->runbook, scratch, &ignored_file) : NULL;
        if (address != NULL && rb_runbook_find(book, address, scratch, &heading, &err) == 0)
            copy_section(book, heading, texts->arena, &texts->items[i]);
        for (size_t k = i + 1; k < plan->count; k++)
            if (plan->checks[k].runbook != NULL && strcmp(plan->checks[k].runbook, spec->runbook) == 0)
                texts->items[k] = texts->items[i];
    }
}

struct rb_runbook_texts *rb_runbook_texts_read(struct rb_plan *plan)
{
    struct rb_runbook_texts *texts = calloc(1, sizeof *texts);
    if (texts == NULL)
        return NULL;
    texts->refs = 1;
    texts->plan = rb_plan_ref(plan);
    texts->arena = rb_arena_new(TEXTS_MAX);
    texts->items = texts->arena != NULL ? rb_arena_array(texts->arena, plan->count + 1, sizeof *texts->items) : NULL;
    for (size_t i = 0; texts->items != NULL && i < plan->count; i++)
        if (plan->checks[i].runbook_file != NULL && texts->items[i].state == RB_RUNBOOK_NONE)
            read_file(texts, i);
    if (texts->items != NULL)
        return texts;
    rb_runbook_texts_unref(texts);
    return NULL;
}

struct rb_runbook_texts *rb_runbook_texts_ref(struct rb_runbook_texts *texts)
{
    if (texts != NULL)
        (void)__atomic_add_fetch(&texts->refs, 1, __ATOMIC_RELAXED);
    return texts;
}

void rb_runbook_texts_unref(struct rb_runbook_texts *texts)
{
    if (texts == NULL || __atomic_sub_fetch(&texts->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    rb_plan_unref(texts->plan);
    rb_arena_free(texts->arena);
    free(texts);
}
