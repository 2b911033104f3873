/* The outline of a runbook: which lines are prose, fences and code, and where its headings are.
 *
 * Headings as CommonMark 0.30, 4.2 (ATX) and 4.3 (setext), outside of fenced code, where most lines that begin with '#' are shell comments. Many runbooks write their steps
 * otherwise: a line that is bold as a whole, and a numbered comment in code ("# 2) Dependency drift"), count as headings below the six of Markdown. */
#include <ctype.h>
#include <string.h>

#include "runbook_internal.h"

#define BOLD_LEVEL 7u

struct outline {
    struct rb_runbook *book;
    struct rb_arena *arena;
    struct span fence;    /* the opening fence while inside of code */
    struct span previous; /* the line before, for setext headings */
};

struct span rb_span_trim(struct span span)
{
    while (span.len > 0 && strchr(" \t\r", span.text[0]) != NULL) {
        span.text++;
        span.len--;
    }
    while (span.len > 0 && strchr(" \t\r", span.text[span.len - 1]) != NULL)
        span.len--;
    return span;
}

static size_t run_length(struct span span, char c)
{
    size_t n = 0;
    while (n < span.len && span.text[n] == c)
        n++;
    return n;
}

/* CommonMark 4.5: a fence is three or more of one character; what closes it is at least as long and has nothing behind it. */
static enum rb_runbook_line_kind kind_of(struct outline *outline, struct span line)
{
    size_t backticks = run_length(line, '`'), tildes = run_length(line, '~');
    size_t run = backticks > tildes ? backticks : tildes;
    if (outline->fence.len == 0) {
        if (run < 3 || (backticks > 0 && memchr(line.text + run, '`', line.len - run) != NULL))
            return RB_RUNBOOK_PROSE;
        outline->fence = (struct span){line.text, run};
        return RB_RUNBOOK_FENCE;
    }
    if (run < outline->fence.len || line.text[0] != outline->fence.text[0] || run != line.len)
        return RB_RUNBOOK_CODE;
    outline->fence.len = 0;
    return RB_RUNBOOK_FENCE;
}

static void add_heading(struct outline *outline, unsigned level, size_t line, struct span text)
{
    struct rb_runbook *book = outline->book;
    if (book->heading_count == RB_RUNBOOK_MAX_HEADINGS || text.len == 0)
        return;
    const char *copy = rb_arena_strndup(outline->arena, text.text, text.len);
    if (copy != NULL)
        book->headings[book->heading_count++] = (struct rb_runbook_heading){.level = level, .line = (unsigned)line, .text = copy};
}

/* The text between the markers of a line such as "**2) Mitigation**"; empty when it is not one. */
static struct span bold_text(struct span line)
{
    while (line.len > 0 && line.text[line.len - 1] == ':')
        line.len--;
    if (line.len < 5 || memcmp(line.text, "**", 2) != 0 || memcmp(line.text + line.len - 2, "**", 2) != 0)
        return (struct span){NULL, 0};
    struct span inner = {line.text + 2, line.len - 4};
    for (size_t i = 0; i + 1 < inner.len; i++)
        if (inner.text[i] == '*' && inner.text[i + 1] == '*')
            return (struct span){NULL, 0};
    return rb_span_trim(inner);
}

/* "# 2) Dependency drift", "# 2. Dependency drift": the text from its number on. */
static struct span numbered_comment(struct span line)
{
    struct span text = rb_span_trim((struct span){line.text + run_length(line, '#'), line.len - run_length(line, '#')});
    size_t digits = 0;
    while (digits < text.len && isdigit((unsigned char)text.text[digits]))
        digits++;
    bool numbered = line.len > 0 && line.text[0] == '#' && digits > 0 && digits <= 3 && digits + 2 < text.len &&
                    strchr(").", text.text[digits]) != NULL && text.text[digits + 1] == ' ';
    return numbered ? text : (struct span){NULL, 0};
}

static void read_prose(struct outline *outline, struct span line, size_t number)
{
    struct span previous = outline->previous;
    outline->previous = (struct span){NULL, 0};
    if (line.len == 0)
        return;
    size_t hashes = run_length(line, '#');
    if (hashes >= 1 && hashes <= 6 && (hashes == line.len || line.text[hashes] == ' ' || line.text[hashes] == '\t')) {
        struct span text = rb_span_trim((struct span){line.text + hashes, line.len - hashes});
        while (text.len > 0 && text.text[text.len - 1] == '#')
            text.len--;
        add_heading(outline, (unsigned)hashes, number, rb_span_trim(text));
    } else if (previous.len > 0 && (run_length(line, '=') == line.len || run_length(line, '-') == line.len)) {
        add_heading(outline, line.text[0] == '=' ? 1 : 2, number - 1, previous);
    } else if (bold_text(line).len > 0) {
        add_heading(outline, BOLD_LEVEL, number, bold_text(line));
    } else if (strchr("|>-*", line.text[0]) == NULL) {
        outline->previous = line;
    }
}

static void read_line(struct outline *outline, struct span raw)
{
    struct rb_runbook *book = outline->book;
    struct span line = rb_span_trim(raw);
    enum rb_runbook_line_kind kind = kind_of(outline, line);
    book->lines[book->line_count++] = (struct rb_runbook_line){.text = raw.text, .len = raw.len, .kind = kind};
    if (kind == RB_RUNBOOK_PROSE) {
        read_prose(outline, line, book->line_count);
        return;
    }
    outline->previous = (struct span){NULL, 0};
    if (kind == RB_RUNBOOK_CODE)
        add_heading(outline, RB_RUNBOOK_COMMENT_LEVEL, book->line_count, numbered_comment(line));
}

struct rb_runbook *rb_runbook_parse(const char *file, const char *text, size_t len, struct rb_arena *arena)
{
    struct rb_runbook *book = rb_arena_alloc(arena, sizeof *book);
    size_t lines = 1;
    for (size_t i = 0; i < len && lines < RB_RUNBOOK_MAX_LINES; i++)
        lines += text[i] == '\n';
    if (book == NULL)
        return NULL;
    book->file = rb_arena_strdup(arena, file);
    book->lines = rb_arena_array(arena, lines, sizeof *book->lines);
    book->headings = rb_arena_array(arena, lines < RB_RUNBOOK_MAX_HEADINGS ? lines : RB_RUNBOOK_MAX_HEADINGS, sizeof *book->headings);
    struct outline outline = {.book = book, .arena = arena};
    for (size_t at = 0; at < len && !rb_arena_failed(arena) && book->line_count < lines;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t step = end != NULL ? (size_t)(end - text) - at : len - at;
        read_line(&outline, (struct span){text + at, step});
        at += step + 1;
    }
    return rb_arena_failed(arena) ? NULL : book;
}

unsigned rb_runbook_section_end(const struct rb_runbook *book, const struct rb_runbook_heading *heading)
{
    size_t end = book->line_count;
    for (const struct rb_runbook_heading *next = heading + 1; next < book->headings + book->heading_count; next++) {
        if (next->level <= heading->level) {
            end = next->line - 1;
            break;
        }
    }
    /* A comment's section does not outlive its code. */
    for (size_t i = heading->line; heading->level == RB_RUNBOOK_COMMENT_LEVEL && i < end; i++)
        if (book->lines[i].kind != RB_RUNBOOK_CODE)
            end = i;
    return (unsigned)end;
}
