/* `check --runbook ADDRESS`: the checks that a section names.
 *
 * What an entry says is prose: "Phases 2-6 are stable, observability is green, `git status` clean". Five ways to name a check are read, none is guessed further: its address lies in the section; its
 * name stands there; a word of five letters or more is a part of its name; it stands for a command there, in a block or a code span; or the section names another one of the same file by word
 * and number ("Phase 13", "Phasen 2–6"), whose checks are those that address it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "runbook_internal.h"

#define PART_MIN   5u /* letters of a word that is a part of a name */
#define NUMBER_MAX 999u

struct selection {
    const struct rb_plan *plan;
    const struct rb_runbook *book;
    const struct rb_runbook_heading *heading;
    unsigned first, last; /* lines of the section, its heading included */
    struct rb_arena *arena;
    bool *chosen;
};

static bool is_name(char c)
{
    return isalnum((unsigned char)c) != 0 || c == '_' || c == '-';
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

static void choose_addressed(struct selection *s, unsigned first, unsigned last)
{
    for (size_t i = 0; i < s->plan->count; i++) {
        const struct rb_check_spec *spec = &s->plan->checks[i];
        bool here = spec->runbook_file != NULL && strcmp(spec->runbook_file, s->book->file) == 0;
        if (here && spec->runbook_line >= first && spec->runbook_line <= last)
            s->chosen[i] = true;
    }
}

/* ---- names ---- */

/* "stack-observability" for "observability". */
static bool is_part(const char *name, const char *word, size_t len)
{
    for (const char *at = name; *at != '\0';) {
        size_t part = strcspn(at, "-_.:");
        if (part == len && same_nocase(at, word, len))
            return true;
        at += part + (at[part] != '\0');
    }
    return false;
}

static void choose_word(struct selection *s, const char *word, size_t len, bool parts)
{
    bool letters = len >= PART_MIN;
    for (size_t i = 0; i < len && letters; i++)
        letters = isalpha((unsigned char)word[i]) != 0;
    bool named = false;
    for (size_t i = 0; i < s->plan->count; i++) {
        const char *name = s->plan->checks[i].name;
        bool same = strlen(name) == len && same_nocase(name, word, len);
        named = named || same;
        s->chosen[i] = s->chosen[i] || same;
    }
    for (size_t i = 0; i < s->plan->count && parts && letters && !named; i++)
        if (is_part(s->plan->checks[i].name, word, len))
            s->chosen[i] = true;
}

/* Names may hold '.' and ':', which also end sentences: the longest form first, then without them. */
static void choose_names(struct selection *s, const struct rb_runbook_line *line)
{
    for (size_t at = 0; at < line->len;) {
        size_t len = 0;
        while (at + len < line->len && (is_name(line->text[at + len]) || strchr(".:", line->text[at + len]) != NULL) &&
               line->text[at + len] != '\0')
            len++;
        bool in_path = (at > 0 && line->text[at - 1] == '/') ||
                       (at + len < line->len && line->text[at + len] == '/' && at > 0 && line->text[at - 1] == '.');
        size_t bare = len;
        while (bare > 0 && !is_name(line->text[at + bare - 1]))
            bare--;
        if (bare > 0 && !in_path)
            choose_word(s, line->text + at, bare, line->kind == RB_RUNBOOK_PROSE);
        else if (bare >= PART_MIN && isupper((unsigned char)line->text[at]) != 0)
            choose_word(s, line->text + at, bare, true); /* "LIVE-Flags/Execution" */
        at += len + 1;
    }
}

/* ---- other sections ---- */

/* The heading "Phase 13 …" for the word and the number; never one that holds this section. */
static void choose_section(struct selection *s, const char *word, size_t len, unsigned number)
{
    const struct rb_runbook *book = s->book;
    for (size_t i = 0; i < book->heading_count; i++) {
        const struct rb_runbook_heading *heading = &book->headings[i];
        size_t own = strcspn(heading->text, " ");
        bool same = own >= 3 && own <= len && len - own <= 2 && same_nocase(heading->text, word, own);
        if (!same || heading->text[own] != ' ' || !isdigit((unsigned char)heading->text[own + 1]))
            continue;
        unsigned last = rb_runbook_section_end(book, heading);
        bool holds_this = heading->line <= s->first && s->first <= last;
        if (strtoul(heading->text + own + 1, NULL, 10) == number && !holds_this)
            choose_addressed(s, heading->line, last);
    }
}

/* Between two numbers of a list: '-' a range, ',' another one, 0 the end. Skips it. */
static char separator(const char **at, const char *end)
{
    static const struct {
        const char *text;
        char means;
    } forms[] = {{"–", '-'}, {"—", '-'},   {"-", '-'},   {"bis", '-'}, {"to", '-'}, {"…", '-'}, {"..", '-'},
                 {",", ','}, {"und", ','}, {"and", ','}, {"&", ','},   {"/", ','},  {"+", ','}};
    const char *p = *at;
    while (p < end && *p == ' ')
        p++;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t len = strlen(forms[i].text);
        if ((size_t)(end - p) < len || memcmp(p, forms[i].text, len) != 0)
            continue;
        p += len;
        while (p < end && *p == ' ')
            p++;
        if (p == end || !isdigit((unsigned char)*p))
            return '\0';
        *at = p;
        return forms[i].means;
    }
    return '\0';
}

static unsigned read_number(const char **at, const char *end)
{
    unsigned number = 0;
    for (; *at < end && isdigit((unsigned char)**at) && number <= NUMBER_MAX; (*at)++)
        number = number * 10 + (unsigned)(**at - '0');
    return number;
}

/* "Phasen 2–6", "Phase-13-Baseline", "Phases 2, 3 and 5". */
static void choose_sections(struct selection *s, const struct rb_runbook_line *line)
{
    const char *end = line->text + line->len;
    for (const char *at = line->text; at < end;) {
        size_t len = 0;
        while (at + len < end && isalpha((unsigned char)at[len]))
            len++;
        const char *word = at;
        at += len > 0 ? len : 1;
        if (len < 3 || end - at < 2 || (*at != ' ' && *at != '-') || !isdigit((unsigned char)at[1]))
            continue;
        at++;
        unsigned from = read_number(&at, end);
        choose_section(s, word, len, from);
        for (char means = separator(&at, end); means != '\0'; means = separator(&at, end)) {
            unsigned to = read_number(&at, end);
            for (unsigned n = means == '-' ? from + 1 : to; n <= to && to <= NUMBER_MAX; n++)
                choose_section(s, word, len, n);
            from = to;
        }
    }
}

/* ---- commands ---- */

static void choose_covering(struct selection *s)
{
    struct rb_runbook_commands commands;
    rb_runbook_commands(s->book, s->first, s->last, true, s->arena, &commands);
    for (size_t i = 0; i < commands.count; i++) {
        struct rb_covered covered;
        rb_runbook_cover(s->plan, &commands.items[i], s->arena, &covered);
        for (size_t k = 0; k < covered.count; k++)
            s->chosen[covered.checks[k]] = true;
    }
}

/* NOLINTBEGIN(readability-non-const-parameter): `chosen` is written through the selection */
size_t rb_runbook_select(const struct rb_plan *plan, const struct rb_runbook *book, const struct rb_runbook_heading *heading,
                         struct rb_arena *arena, bool *chosen)
/* NOLINTEND(readability-non-const-parameter) */
{
    struct selection s = {.plan = plan,
                          .book = book,
                          .heading = heading,
                          .first = heading->line,
                          .last = rb_runbook_section_end(book, heading),
                          .arena = arena,
                          .chosen = chosen};
    choose_addressed(&s, s.first, s.last);
    for (unsigned i = s.first; i < s.last && i < book->line_count; i++) { /* behind the heading's own line */
        if (book->lines[i].kind == RB_RUNBOOK_PROSE) {
            choose_names(&s, &book->lines[i]);
            choose_sections(&s, &book->lines[i]);
        }
    }
    choose_covering(&s);
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += chosen[i];
    return count;
}
