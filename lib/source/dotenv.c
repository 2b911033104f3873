/* The dotenv reader: one pass over the bytes, one entry per assignment.
 *
 * Where the readers of this format disagree (a shell, python-dotenv, docker), the text is refused or kept whole rather than guessed: `A=0; B=1` gives A the value "0; B=1",
 * which no guard takes for safe. */
#include "runbook/source/dotenv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/buf.h"

struct reader {
    const char *at, *end;
    unsigned line;
    struct rb_arena *arena;
    struct rb_dotenv_entry *items;
    size_t count, cap;
    struct rb_error *err;
};

static int fail(const struct reader *r, const char *why)
{
    return rb_error_set(r->err, RB_EPARSE, "line %u: %s", r->line, why);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_name(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

static bool at_line_end(const struct reader *r)
{
    return r->at == r->end || *r->at == '\n' || (*r->at == '\r' && (r->at + 1 == r->end || r->at[1] == '\n'));
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

static void skip_to_line_end(struct reader *r)
{
    while (!at_line_end(r))
        r->at++;
}

/* Steps over one line break. */
static void next_line(struct reader *r)
{
    if (r->at < r->end && *r->at == '\r')
        r->at++;
    if (r->at < r->end)
        r->at++;
    r->line++;
}

static const char *keep(struct reader *r, const struct rb_buf *value)
{
    return rb_arena_strndup(r->arena, rb_buf_str(value), value->len);
}

static char unescape(char c)
{
    static const char from[] = "ntr\"\\$`'", to[] = "\n\t\r\"\\$`'";
    const char *found = c ? strchr(from, c) : NULL;
    return found ? to[found - from] : '\0';
}

static int read_quoted(struct reader *r, const char **out)
{
    RB_BUF_AUTO value;
    rb_buf_init(&value, RB_DOTENV_MAX_BYTES);
    char quote = *r->at++;
    unsigned opened = r->line;
    for (; r->at < r->end && *r->at != quote; r->at++) {
        char c = *r->at;
        r->line += c == '\n';
        if (c == '\\' && quote == '"' && r->at + 1 < r->end && unescape(r->at[1])) {
            r->at++;
            c = unescape(*r->at);
        }
        rb_buf_addc(&value, c);
    }
    if (r->at == r->end) {
        r->line = opened;
        return fail(r, "the quote is not closed");
    }
    r->at++;
    skip_blanks(r);
    if (!at_line_end(r) && *r->at != '#')
        return fail(r, "text behind a quoted value");
    skip_to_line_end(r);
    *out = keep(r, &value);
    return rb_buf_check(&value, "a dotenv value", r->err);
}

static int read_bare(struct reader *r, const char **out)
{
    const char *start = r->at;
    while (!at_line_end(r) && !(*r->at == '#' && (r->at == start || is_blank(r->at[-1]))))
        r->at++;
    const char *last = r->at;
    while (last > start && is_blank(last[-1]))
        last--;
    skip_to_line_end(r);
    *out = rb_arena_strndup(r->arena, start, (size_t)(last - start));
    return 0;
}

static void skip_export(struct reader *r)
{
    static const char word[] = "export";
    size_t len = sizeof word - 1;
    if ((size_t)(r->end - r->at) > len && strncmp(r->at, word, len) == 0 && is_blank(r->at[len])) {
        r->at += len;
        skip_blanks(r);
    }
}

static int add_entry(struct reader *r, const struct rb_dotenv_entry *entry)
{
    if (r->count == RB_DOTENV_MAX_ENTRIES)
        return rb_error_set(r->err, RB_ELIMIT, "line %u: more than %d variables", r->line, RB_DOTENV_MAX_ENTRIES);
    if (r->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 32;
        struct rb_dotenv_entry *bigger = realloc(r->items, cap * sizeof *bigger);
        if (!bigger)
            return rb_error_set(r->err, RB_ENOMEM, "out of memory while reading a dotenv file");
        r->items = bigger;
        r->cap = cap;
    }
    r->items[r->count++] = *entry;
    return 0;
}

/* A sourcing shell takes `A=1 B=2` and `A=1; B=2` for two assignments, other readers for one value: both readings count. */
static int add_inner(struct reader *r, const struct rb_dotenv_entry *outer)
{
    static const char gaps[] = " \t;&|()";
    int code = 0;
    for (const char *at = strpbrk(outer->value, gaps); at && code == 0; at = strpbrk(at, gaps)) {
        const char *name = at + strspn(at, gaps), *end = name;
        while (is_name(*end, end == name))
            end++;
        at = name;
        if (end == name || *end != '=')
            continue;
        const char *value = end + 1;
        bool quoted = *value == '"' || *value == '\'';
        const char quote[] = {*value, '\0'};
        size_t len = quoted ? strcspn(value + 1, quote) : strcspn(value, gaps);
        struct rb_dotenv_entry inner = {.line = outer->line,
                                        .name = rb_arena_strndup(r->arena, name, (size_t)(end - name)),
                                        .value = rb_arena_strndup(r->arena, value + quoted, len)};
        code = add_entry(r, &inner);
    }
    return code;
}

static int read_entry(struct reader *r)
{
    struct rb_dotenv_entry entry = {.line = r->line};
    skip_export(r);
    const char *start = r->at;
    while (r->at < r->end && is_name(*r->at, r->at == start))
        r->at++;
    if (r->at == start)
        return fail(r, "no NAME=value");
    entry.name = rb_arena_strndup(r->arena, start, (size_t)(r->at - start));
    skip_blanks(r);
    int code = 0;
    bool bare = false;
    if (r->at < r->end && *r->at == '=') {
        r->at++;
        skip_blanks(r);
        bool quoted = r->at < r->end && (*r->at == '"' || *r->at == '\'');
        code = quoted ? read_quoted(r, &entry.value) : read_bare(r, &entry.value);
        bare = !quoted;
    } else if (!at_line_end(r) && *r->at != '#') {
        return fail(r, "no '=' behind the name");
    } else {
        skip_to_line_end(r);
    }
    code = code < 0 ? code : add_entry(r, &entry);
    return code == 0 && bare && entry.value ? add_inner(r, &entry) : code;
}

static int read_all(struct reader *r)
{
    static const char bom[] = "\xEF\xBB\xBF";
    if (r->end - r->at >= 3 && memcmp(r->at, bom, 3) == 0)
        r->at += 3;
    while (r->at < r->end) {
        skip_blanks(r);
        int code = 0;
        if (!at_line_end(r) && *r->at == '#')
            skip_to_line_end(r);
        else if (!at_line_end(r))
            code = read_entry(r);
        if (code < 0)
            return code;
        next_line(r);
    }
    return 0;
}

int rb_dotenv_parse(const char *text, size_t len, struct rb_arena *arena, struct rb_dotenv *out, struct rb_error *err)
{
    *out = (struct rb_dotenv){0};
    if (len > RB_DOTENV_MAX_BYTES)
        return rb_error_set(err, RB_ELIMIT, "larger than 1 MiB");
    if (len > 0 && memchr(text, '\0', len))
        return rb_error_set(err, RB_EPARSE, "it holds a NUL byte");
    struct reader r = {.at = text, .end = text + len, .line = 1, .arena = arena, .err = err};
    int code = len > 0 ? read_all(&r) : 0;
    struct rb_dotenv_entry *items = code == 0 ? rb_arena_array(arena, r.count + 1, sizeof *items) : NULL;
    if (items && r.count > 0)
        memcpy(items, r.items, r.count * sizeof *items);
    free(r.items);
    if (code < 0)
        return code;
    if (!items || rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading a dotenv file");
    *out = (struct rb_dotenv){.items = items, .count = r.count};
    return 0;
}
