/* What a page shows: its text on one line, without tags, styles and scripts, as far as a line of evidence needs it (HTML 13.2.5 in outline; other text passes as it is).
 *
 * The result goes through the redactor, which knows keys, values and tokens by their shape. So nothing may hide there: entities are decoded ({&quot;token&quot;: …}), tags inside of a
 * line leave no gap (<b>ghp_</b>…), and where a tag stands between the name of a secret and what follows (the cells of a table), a colon is put. Never more than MAX_READ bytes
 * are looked at; a last word that may be cut is dropped. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/redact.h"
#include "runbook/check/net.h"

#define MAX_READ     ((size_t)64 << 10)
#define MAX_TEXT     ((size_t)4096)
#define NAME_MAX_LEN 16u

struct page {
    const char *at, *end;
    struct rb_buf text;
    bool gap, tag; /* since the last character */
};

static bool is_listed(const char *name, size_t len, const char *const *list)
{
    for (; *list; list++) {
        if (strlen(*list) == len && strncasecmp(name, *list, len) == 0)
            return true;
    }
    return false;
}

static bool begins(const struct page *p, const char *with)
{
    size_t len = strlen(with);
    return (size_t)(p->end - p->at) >= len && strncasecmp(p->at, with, len) == 0;
}

/* To `what`, or to the end. */
static void skip_to(struct page *p, const char *what)
{
    while (p->at < p->end && !begins(p, what))
        p->at++;
}

static void skip_past(struct page *p, const char *what)
{
    skip_to(p, what);
    p->at += p->at < p->end ? strlen(what) : 0;
}

/* At '<': a tag, with the content that is not shown. False: it is text ("a < b"). */
static bool skip_tag(struct page *p)
{
    static const char *const hidden[] = {"style", "script", NULL};
    static const char *const in_line[] = {"a",    "abbr", "b",     "code", "em",     "font", "i", "kbd", "mark", "s", "sub",
                                          "samp", "sup",  "small", "span", "strong", "tt",   "u", "var", "wbr",  NULL};
    if (begins(p, "<!--")) {
        skip_past(p, "-->");
        p->gap = true;
        return true;
    }
    const char *name = p->at + 1;
    bool closing = name < p->end && *name == '/';
    name += closing;
    size_t len = 0;
    while (name + len < p->end && len < NAME_MAX_LEN && isalnum((unsigned char)name[len]))
        len++;
    if (len == 0 && !(name < p->end && strchr("!?", *name)))
        return false;
    p->gap = p->gap || !is_listed(name, len, in_line);
    p->tag = true;
    skip_past(p, ">");
    if (!closing && is_listed(name, len, hidden))
        skip_to(p, tolower((unsigned char)name[1]) == 't' ? "</style" : "</script");
    return true;
}

/* One character, an entity decoded; p->at behind it. */
static char read_character(struct page *p)
{
    static const struct {
        const char *entity;
        char c;
    } entities[] = {{"&quot;", '"'},  {"&#34;", '"'},   {"&#x22;", '"'}, {"&apos;", '\''}, {"&#39;", '\''},
                    {"&#039;", '\''}, {"&#x27;", '\''}, {"&lt;", '<'},   {"&gt;", '>'},    {"&amp;", '&'},
                    {"&nbsp;", ' '},  {"&#61;", '='},   {"&#58;", ':'},  {"&#x3d;", '='},  {"&#x3a;", ':'}};
    for (size_t i = 0; *p->at == '&' && i < sizeof entities / sizeof entities[0]; i++) {
        if (!begins(p, entities[i].entity))
            continue;
        p->at += strlen(entities[i].entity);
        return entities[i].c;
    }
    return *p->at++;
}

static bool ends_with_secret_name(const struct rb_buf *text)
{
    size_t start = text->len;
    while (start > 0 && (isalnum((unsigned char)text->data[start - 1]) || strchr("_-.", text->data[start - 1])))
        start--;
    return start < text->len && rb_redact_key_is_secret(rb_buf_str(text) + start);
}

static void add_character(struct page *p, char c)
{
    if (isspace((unsigned char)c)) {
        p->gap = true;
        return;
    }
    if (p->tag && !strchr(":=", c) && ends_with_secret_name(&p->text)) {
        rb_buf_addc(&p->text, ':');
        p->gap = true;
    }
    if (p->gap && p->text.len > 0)
        rb_buf_addc(&p->text, ' ');
    rb_buf_addc(&p->text, c);
    p->gap = p->tag = false;
}

const char *rb_net_page(struct rb_arena *arena, const char *body, size_t len)
{
    bool cut = len > MAX_READ;
    struct page p = {.at = body, .end = body + (cut ? MAX_READ : len)};
    RB_BUF_AUTO shown;
    rb_buf_init(&p.text, MAX_TEXT + 4);
    rb_buf_init(&shown, MAX_TEXT + 4);
    if (len > 0 && memchr(body, '\0', (size_t)(p.end - body)))
        p.at = p.end; /* no text */
    while (p.at < p.end && p.text.len < MAX_TEXT) {
        if (*p.at != '<' || !skip_tag(&p))
            add_character(&p, read_character(&p));
    }
    cut = cut || p.at < p.end;
    size_t kept = p.text.len;
    while (cut && kept > 0 && p.text.data[kept - 1] != ' ')
        kept--;
    rb_buf_add(&shown, rb_buf_str(&p.text), kept);
    rb_buf_fini(&p.text);
    return rb_net_quote(arena, rb_buf_str(&shown));
}
