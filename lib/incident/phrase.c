/* The German catalogue: finds the row that a finished English sentence has the form of, and says its German.
 *
 * A row's marks stand for the parts that were filled in: %1…%9 is one word, %a…%i is any text, both kept as they are; %A…%I is any text that is itself looked up. Of the rows that fit, the one counts
 * whose own words begin first in the text, then the one with more of them. A row without a word of its own ("%a: %A") comes last, and only when one of its parts is known: "x: y" of a foreign program
 * stays foreign.
 *
 * Texts may be hostile: matching backtracks over the marks of one row, so each look-up has a budget of bytes, and what is longer or deeper than its limit is copied. */
#include "runbook/incident/phrase.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define MARKS  27u /* words, texts, texts that are looked up */
#define WORDS  9u
#define TEXTS  9u
#define DEPTH  6u
#define BUDGET 500000u /* bytes looked at: about a millisecond */

struct row {
    const char *english, *german;
    size_t len; /* of the English */
    bool joint; /* has no words of its own */
};
static const struct row rows[] = {
#define RB_PHRASE(english, german)         {english, german, sizeof(english) - 1, false},
#define RB_PHRASE_FOREIGN(english, german) {english, german, sizeof(english) - 1, false},
#define RB_PHRASE_JOINT(english, german)   {english, german, sizeof(english) - 1, true},
#include "runbook/incident/phrases.def"
#undef RB_PHRASE
#undef RB_PHRASE_FOREIGN
#undef RB_PHRASE_JOINT
};
#define ROWS (sizeof rows / sizeof rows[0])

struct budget {
    unsigned left;
};
struct span {
    const char *start;
    size_t len;
};
struct match {
    struct span marks[MARKS];
    struct budget *budget;
};

/* The place of a mark's letter or digit in `marks`, MARKS when it is none. */
static size_t mark_of(char c)
{
    if (c >= '1' && c <= '9')
        return (size_t)(c - '1');
    if (c >= 'a' && c <= 'i')
        return WORDS + (size_t)(c - 'a');
    return c >= 'A' && c <= 'I' ? WORDS + TEXTS + (size_t)(c - 'A') : MARKS;
}

static bool is_mark(const char *at)
{
    return at[0] == '%' && mark_of(at[1]) < MARKS;
}

static bool spend(struct budget *budget)
{
    if (budget->left == 0)
        return false;
    budget->left--;
    return true;
}

/* Whether [text, end) has the form of `pattern`. Recursion is as deep as the row has marks. */
static bool fits(struct match *match, const char *pattern, const char *text, const char *end)
{
    for (; *pattern && !is_mark(pattern); pattern++, text++) {
        if (text == end || *text != *pattern)
            return false;
    }
    if (!*pattern)
        return text == end;
    size_t mark = mark_of(pattern[1]);
    bool word = mark < WORDS;
    for (const char *stop = text; stop < end && !(word && *stop == ' ');) {
        if (!spend(match->budget))
            return false;
        stop++;
        bool follows = pattern[2] == '\0' ? stop == end : is_mark(pattern + 2) || (stop < end && *stop == pattern[2]);
        if (!follows)
            continue;
        match->marks[mark] = (struct span){text, (size_t)(stop - text)};
        if (fits(match, pattern + 2, stop, end))
            return true;
    }
    return false;
}

/* Most rows are out by their first or last byte. */
static bool may_fit(const struct row *row, struct span text)
{
    const char *tail = row->english + row->len - 1;
    bool ends_with_mark = row->len >= 2 && is_mark(tail - 1);
    return (is_mark(row->english) || *row->english == *text.start) && (ends_with_mark || *tail == text.start[text.len - 1]);
}

/* Letters of a row that are its own. */
static size_t own_text(const char *pattern)
{
    size_t count = 0;
    for (; *pattern; pattern++) {
        if (is_mark(pattern))
            pattern++;
        else
            count += (isalpha((unsigned char)*pattern) || (unsigned char)*pattern >= 0x80) != 0;
    }
    return count;
}

static bool say(struct rb_buf *out, struct span text, unsigned depth, struct budget *budget);

/* "[one|many]" at `at`: appends the form for the number `counted`, and returns the bytes taken; 0 when there is none. */
static size_t say_plural(struct rb_buf *out, const char *at, struct span counted)
{
    if (*at != '[')
        return 0;
    size_t one = strcspn(at, "|]"), all = strcspn(at, "]");
    if (at[one] != '|')
        return 0;
    if (counted.len == 1 && counted.start[0] == '1')
        rb_buf_add(out, at + 1, one - 1);
    else
        rb_buf_add(out, at + one + 1, all - one - 1);
    return all + 1;
}

/* The German of a row with its parts filled in; true when one of the parts was known. */
static bool fill(struct rb_buf *out, const struct row *row, const struct match *match, unsigned depth)
{
    bool known = false;
    struct span counted = {"", 0};
    for (const char *at = row->german; *at; at++) {
        size_t plural = say_plural(out, at, counted);
        if (plural > 0) {
            at += plural - 1;
            continue;
        }
        size_t mark = at[0] == '%' ? mark_of(at[1]) : MARKS;
        if (mark >= MARKS) {
            rb_buf_addc(out, *at);
            continue;
        }
        at++;
        struct span part = match->marks[mark];
        counted = mark < WORDS ? part : counted;
        if (mark < WORDS + TEXTS)
            rb_buf_add(out, part.start, part.len);
        else
            known = say(out, part, depth + 1, match->budget) || known;
    }
    return known;
}

static bool say_joined(struct rb_buf *out, struct span text, unsigned depth, struct budget *budget)
{
    for (size_t i = 0; i < ROWS && depth < DEPTH; i++) {
        if (!rows[i].joint)
            continue;
        struct match match = {.budget = budget};
        if (!fits(&match, rows[i].english, text.start, text.start + text.len))
            continue;
        RB_BUF_AUTO joined;
        rb_buf_init(&joined, (size_t)8 * RB_PHRASE_MAX);
        if (!fill(&joined, &rows[i], &match, depth) || joined.failed)
            continue;
        rb_buf_add(out, rb_buf_str(&joined), joined.len);
        return true;
    }
    return false;
}

struct found {
    const struct row *row;
    struct match match;
    size_t start; /* where the row's own text begins: a row that knows only the end of a sentence is not its form */
    size_t own;
};

static void consider(struct found *best, const struct row *row, const struct match *match)
{
    size_t own = own_text(row->english), start = is_mark(row->english) ? match->marks[mark_of(row->english[1]) % MARKS].len : 0;
    if (best->row && (start > best->start || (start == best->start && own <= best->own)))
        return;
    *best = (struct found){.row = row, .match = *match, .start = start, .own = own};
}

static bool say(struct rb_buf *out, struct span text, unsigned depth, struct budget *budget)
{
    struct found best = {0};
    for (size_t i = 0; i < ROWS && depth < DEPTH; i++) {
        if (rows[i].joint || !may_fit(&rows[i], text))
            continue;
        struct match match = {.budget = budget};
        if (fits(&match, rows[i].english, text.start, text.start + text.len))
            consider(&best, &rows[i], &match);
    }
    if (best.row) {
        (void)fill(out, best.row, &best.match, depth);
        return true;
    }
    if (say_joined(out, text, depth, budget))
        return true;
    rb_buf_add(out, text.start, text.len);
    return false;
}

bool rb_phrase_german(struct rb_buf *out, const char *text)
{
    size_t len = strnlen(text, RB_PHRASE_MAX + 1);
    if (len == 0 || len > RB_PHRASE_MAX) {
        rb_buf_adds(out, text);
        return false;
    }
    struct budget budget = {BUDGET};
    return say(out, (struct span){text, len}, 0, &budget);
}

const char *rb_phrase_row(size_t index, const char **out_german)
{
    if (index >= ROWS)
        return NULL;
    if (out_german)
        *out_german = rows[index].german;
    return rows[index].english;
}
