/* `runbook: "[FILE#]heading"`: proof that the section exists, and its line for reports.
 *
 * A heading is named by a path of its words, "Phase 2 > Steps": each part is the heading's text or its beginning up to the end of a word, without regard to
 * case, and lies in the section of the part before. The anchor that a forge would make of a heading (phase-2-steps) names it too. Headings as CommonMark
 * 0.30, 4.2 (ATX) and 4.3 (setext), outside of fenced code, where most lines that begin with '#' are shell comments. A line that is bold as a whole counts as
 * a heading of the lowest level: that is how many runbooks write their steps. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "plan_internal.h"
#include "runbook/base/text.h"
#include "runbook/platform/platform.h"

#define MAX_RUNBOOK_BYTES (4u << 20)
#define MAX_HEADINGS      5000u
#define MAX_PARTS         6u
#define BOLD_LEVEL        7u /* below the six of Markdown */

struct span {
    const char *text;
    size_t len;
};

struct heading {
    unsigned level, line;
    struct span text;
};

struct outline {
    struct heading *items;
    size_t count;
    struct span fence;    /* the opening fence while inside of code */
    struct span previous; /* the line before, for setext headings */
};

static struct span trim(struct span span)
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

/* True when the line belongs to fenced code, its fences included. */
static bool skip_fence(struct outline *outline, struct span line)
{
    size_t backticks = run_length(line, '`'), tildes = run_length(line, '~');
    size_t run = backticks > tildes ? backticks : tildes;
    if (outline->fence.len == 0) {
        if (run >= 3)
            outline->fence = (struct span){line.text, run};
        return run >= 3;
    }
    if (run >= outline->fence.len && line.text[0] == outline->fence.text[0] && run == line.len)
        outline->fence.len = 0;
    return true;
}

static void add_heading(struct outline *outline, unsigned level, unsigned line, struct span text)
{
    if (outline->count < MAX_HEADINGS && text.len > 0)
        outline->items[outline->count++] = (struct heading){.level = level, .line = line, .text = text};
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
    return trim(inner);
}

static void read_line(struct outline *outline, struct span raw, unsigned number)
{
    struct span line = trim(raw);
    struct span previous = outline->previous;
    outline->previous = (struct span){NULL, 0};
    if (skip_fence(outline, line) || line.len == 0)
        return;
    size_t hashes = run_length(line, '#');
    if (hashes >= 1 && hashes <= 6 && (hashes == line.len || line.text[hashes] == ' ' || line.text[hashes] == '\t')) {
        struct span text = trim((struct span){line.text + hashes, line.len - hashes});
        while (text.len > 0 && text.text[text.len - 1] == '#')
            text.len--;
        add_heading(outline, (unsigned)hashes, number, trim(text));
    } else if (previous.len > 0 && (run_length(line, '=') == line.len || run_length(line, '-') == line.len)) {
        add_heading(outline, line.text[0] == '=' ? 1 : 2, number - 1, previous);
    } else if (bold_text(line).len > 0) {
        add_heading(outline, BOLD_LEVEL, number, bold_text(line));
    } else if (strchr("|>-*", line.text[0]) == NULL) {
        outline->previous = line;
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0 || (unsigned char)c >= 0x80;
}

static bool equals_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

/* Next character of the anchor that GitHub derives: lower case, blanks to '-', other punctuation dropped. 0 at the end. */
static char next_slug(struct span *span)
{
    while (span->len > 0) {
        char c = span->text[0];
        span->text++;
        span->len--;
        if (is_word(c) || c == '-' || c == '_')
            return (char)tolower((unsigned char)c);
        if (c == ' ')
            return '-';
    }
    return '\0';
}

static bool is_anchor_of(struct span anchor, struct span heading)
{
    for (size_t i = 0; i < anchor.len; i++)
        if (next_slug(&heading) != anchor.text[i])
            return false;
    return next_slug(&heading) == '\0';
}

static bool matches(struct span part, struct span heading)
{
    if (part.len == 0)
        return false;
    bool whole_words = part.len == heading.len ||
                       (part.len < heading.len && !(is_word(heading.text[part.len]) && is_word(part.text[part.len - 1])));
    return (whole_words && equals_nocase(part.text, heading.text, part.len)) || is_anchor_of(part, heading);
}

/* The first heading at or after `from`, deeper than `level`, that matches all parts; stops where the section of `level` ends. */
static const struct heading *find_path(const struct outline *outline, size_t from, unsigned level, const struct span *parts, size_t count)
{
    for (size_t depth = 0; depth < count;) {
        size_t i = from;
        while (i < outline->count && outline->items[i].level > level && !matches(parts[depth], outline->items[i].text))
            i++;
        if (i == outline->count || outline->items[i].level <= level)
            return NULL;
        if (++depth == count)
            return &outline->items[i];
        level = outline->items[i].level;
        from = i + 1;
    }
    return NULL;
}

static size_t split_parts(const char *heading, struct span *parts)
{
    size_t count = 0;
    const char *rest = heading;
    while (count < MAX_PARTS) {
        const char *sep = count + 1 < MAX_PARTS ? strstr(rest, " > ") : NULL;
        size_t len = sep != NULL ? (size_t)(sep - rest) : strlen(rest);
        parts[count++] = trim((struct span){rest, len});
        if (sep == NULL)
            break;
        rest = sep + 3;
    }
    return count;
}

static const char *nearest_heading(const struct outline *outline, struct span part, struct rb_arena *arena)
{
    const char **names = rb_arena_array(arena, outline->count + 1, sizeof *names);
    const char *wanted = rb_arena_strndup(arena, part.text, part.len);
    if (names == NULL || wanted == NULL)
        return NULL;
    for (size_t i = 0; i < outline->count; i++) {
        names[i] = rb_arena_strndup(arena, outline->items[i].text.text, outline->items[i].text.len);
        if (names[i] == NULL)
            return NULL;
    }
    return rb_text_nearest(wanted, names);
}

unsigned rb_heading_find(const char *markdown, size_t len, const char *heading, struct rb_arena *arena, const char **out_text,
                         const char **out_near)
{
    struct span parts[MAX_PARTS];
    size_t part_count = split_parts(heading, parts);
    struct outline outline = {.items = rb_arena_array(arena, MAX_HEADINGS, sizeof(struct heading))};
    unsigned number = 0;
    *out_text = *out_near = NULL;
    if (outline.items == NULL)
        return 0;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(markdown + at, '\n', len - at);
        size_t step = end != NULL ? (size_t)(end - markdown) - at : len - at;
        read_line(&outline, (struct span){markdown + at, step}, ++number);
        at += step + 1;
    }
    /* Any heading that matches the first part may be the one that holds the rest. */
    for (size_t i = 0; i < outline.count; i++) {
        if (!matches(parts[0], outline.items[i].text))
            continue;
        const struct heading *found = part_count == 1 ? &outline.items[i]
                                                      : find_path(&outline, i + 1, outline.items[i].level, parts + 1, part_count - 1);
        if (found != NULL) {
            *out_text = rb_arena_strndup(arena, found->text.text, found->text.len);
            return found->line;
        }
    }
    *out_near = nearest_heading(&outline, parts[part_count - 1], arena);
    return 0;
}

/* One runbook file, read once for all the checks that name it. */
struct document {
    const char *file;
    struct rb_buf text;
    struct rb_error err;
    bool readable;
};

static void document_read(struct document *document, const char *root, const char *file)
{
    if (document->file != NULL && strcmp(document->file, file) == 0)
        return;
    rb_buf_fini(&document->text);
    rb_buf_init(&document->text, MAX_RUNBOOK_BYTES);
    document->file = file;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    document->readable = fd >= 0 && rb_file_read_below(fd, file, MAX_RUNBOOK_BYTES, &document->text, &document->err) == 0;
    if (fd < 0)
        (void)rb_error_set(&document->err, RB_ESYS, "root %s cannot be opened", root);
    else
        close(fd);
}

static int check_reference(struct rb_plan_builder *builder, struct rb_check_spec *spec, struct document *document, struct rb_arena *scratch)
{
    struct rb_plan *plan = builder->plan;
    struct rb_mark mark = rb_plan_mark(builder, spec->node, "runbook");
    const char *hash = strchr(spec->runbook, '#');
    const char *heading = hash != NULL ? hash + 1 : spec->runbook;
    const char *text = NULL, *near = NULL;
    spec->runbook_file = hash != NULL && hash != spec->runbook
                             ? rb_arena_strndup(plan->arena, spec->runbook, (size_t)(hash - spec->runbook))
                             : plan->daemon.runbook;
    if (spec->runbook_file == NULL)
        return rb_diag_add(builder->diags, mark, "no runbook is configured: set 'runbook' under 'daemon', or write FILE#heading");
    document_read(document, plan->daemon.root, spec->runbook_file);
    if (!document->readable)
        return rb_diag_add(builder->diags, mark, "runbook %s cannot be read: %s", spec->runbook_file, document->err.message);
    spec->runbook_line = rb_heading_find(rb_buf_str(&document->text), document->text.len, heading, scratch, &text, &near);
    spec->runbook_heading = rb_arena_strdup(plan->arena, text);
    if (spec->runbook_line > 0)
        return 0;
    return rb_diag_add(builder->diags, mark, "heading '%.120s' is not in %s%s%.120s%s", heading, spec->runbook_file,
                       near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

int rb_plan_check_runbooks(struct rb_plan_builder *builder)
{
    struct rb_plan *plan = builder->plan;
    struct document document = {0};
    int rc = 0;
    if (plan->daemon.root == NULL || plan->daemon.root[0] != '/')
        return RB_ECONFIG; /* reported with the root */
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->checks[i].runbook == NULL)
            continue;
        RB_ARENA_AUTO *scratch = rb_arena_new((size_t)8 << 20);
        if (scratch == NULL || check_reference(builder, &plan->checks[i], &document, scratch) < 0 || rb_arena_failed(scratch))
            rc = RB_ECONFIG;
    }
    rb_buf_fini(&document.text);
    return rc;
}
