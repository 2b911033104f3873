/* A strict reader of metrics pages, one line at a time.
 *
 * It allocates nothing and looks at each byte once, so that a body of the largest allowed size costs a few milliseconds on the loop. Strict where it tells a
 * metrics page from another page (names, labels, values), lenient where exporters are sloppy (spaces, a missing last line end, unknown comments). */
#include "runbook/check/exposition.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 63 };

struct text {
    const char *at, *end;
};

void rb_exposition_init(struct rb_exposition *page, const char *text, size_t len)
{
    *page = (struct rb_exposition){.at = text, .end = text ? text + len : text};
}

static void skip_blanks(struct text *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t'))
        text->at++;
}

static bool take(struct text *text, char c)
{
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

static bool is_name_char(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
    return letter || (!first && c >= '0' && c <= '9');
}

static bool take_name(struct text *text, const char **out_name, size_t *out_len)
{
    const char *from = text->at;
    while (text->at < text->end && is_name_char(*text->at, text->at == from))
        text->at++;
    *out_name = from;
    *out_len = (size_t)(text->at - from);
    return *out_len > 0;
}

/* "…" with \\, \" and \n; what is between the quotes. */
static bool take_quoted(struct text *text, const char **out, size_t *out_len)
{
    if (!take(text, '"'))
        return false;
    const char *from = text->at;
    while (text->at < text->end && *text->at != '"') {
        if (*text->at == '\\' && ++text->at == text->end)
            return false;
        text->at++;
    }
    *out = from;
    *out_len = (size_t)(text->at - from);
    return take(text, '"');
}

/* A number, "NaN", "+Inf" …; up to the next blank. */
static bool take_number(struct text *text)
{
    char copy[MAX_NUMBER + 1];
    size_t len = 0;
    while (text->at + len < text->end && text->at[len] != ' ' && text->at[len] != '\t')
        len++;
    if (len == 0 || len > MAX_NUMBER)
        return false;
    memcpy(copy, text->at, len);
    copy[len] = '\0';
    char *rest;
    (void)strtod(copy, &rest);
    text->at += len;
    return *rest == '\0';
}

/* Labels in braces. A quoted text without '=' is the metric's name (quoted UTF-8 names); it must come first and only when there was none before. */
static bool take_labels(struct text *text, const char **name, size_t *name_len)
{
    const char *key, *value;
    size_t key_len, value_len;
    if (!take(text, '{'))
        return true;
    for (;;) {
        skip_blanks(text);
        if (take(text, '}'))
            return true;
        bool quoted = text->at < text->end && *text->at == '"';
        if (quoted ? !take_quoted(text, &key, &key_len) : !take_name(text, &key, &key_len))
            return false;
        skip_blanks(text);
        if (take(text, '=')) {
            skip_blanks(text);
            if (!take_quoted(text, &value, &value_len))
                return false;
        } else if (quoted && *name_len == 0 && key_len > 0) {
            *name = key;
            *name_len = key_len;
        } else {
            return false;
        }
        skip_blanks(text);
        if (!take(text, ',') && (text->at == text->end || *text->at != '}'))
            return false;
    }
}

/* "# {labels} value [timestamp]" after a sample (OpenMetrics). */
static bool take_exemplar(struct text *text)
{
    const char *none = NULL;
    size_t none_len = 1; /* an exemplar has no name */
    if (!take(text, '#'))
        return false;
    skip_blanks(text);
    if (text->at == text->end || *text->at != '{' || !take_labels(text, &none, &none_len))
        return false;
    skip_blanks(text);
    if (!take_number(text))
        return false;
    skip_blanks(text);
    return text->at == text->end || take_number(text);
}

static bool take_sample(struct text *text, const char **name, size_t *name_len)
{
    if (*text->at != '{' && !take_name(text, name, name_len))
        return false;
    skip_blanks(text);
    if (!take_labels(text, name, name_len) || *name_len == 0)
        return false;
    skip_blanks(text);
    if (!take_number(text))
        return false;
    skip_blanks(text);
    if (text->at < text->end && *text->at != '#' && !take_number(text))
        return false;
    skip_blanks(text);
    return text->at == text->end || take_exemplar(text);
}

/* "# TYPE name …" names a family; every other comment is passed over. */
static bool take_type(struct text *text, const char **name, size_t *name_len)
{
    static const char word[] = "TYPE";
    text->at++;
    skip_blanks(text);
    if ((size_t)(text->end - text->at) < sizeof word || memcmp(text->at, word, sizeof word - 1) != 0)
        return false;
    text->at += sizeof word - 1;
    skip_blanks(text);
    bool quoted = text->at < text->end && *text->at == '"';
    return quoted ? take_quoted(text, name, name_len) : take_name(text, name, name_len);
}

bool rb_exposition_next(struct rb_exposition *page, const char **out_name, size_t *out_len)
{
    while (!page->failed && page->at < page->end) {
        const char *stop = memchr(page->at, '\n', (size_t)(page->end - page->at));
        struct text line = {page->at, stop ? stop : page->end};
        page->at = stop ? stop + 1 : page->end;
        page->line++;
        if (line.end > line.at && line.end[-1] == '\r')
            line.end--;
        skip_blanks(&line);
        if (line.at == line.end)
            continue;
        *out_name = NULL;
        *out_len = 0;
        if (*line.at == '#') {
            if (take_type(&line, out_name, out_len))
                return true;
            continue;
        }
        page->failed = !take_sample(&line, out_name, out_len);
        page->samples += page->failed ? 0 : 1;
        return !page->failed;
    }
    return false;
}
