/* Escaping, quoting, suggestions.
 *
 * One table names every character that acts on a terminal, reorders text or cannot be seen; escaping, `is_plain` and the
 * shell quoting all ask the same function, so that no output is stricter than another. Escapes are pure ASCII, therefore
 * escaping twice changes nothing and a clipped escape is merely ugly, never dangerous. */
#include "runbook/base/text.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

/* Sorted. Sources: UAX #9 (bidi), UTS #39 and UAX #31 (default ignorable), ECMA-48 (C1). Emoji variation selectors (FE0x) stay: they are
 * harmless and frequent. U+200D splits some emoji into their parts, which is the price for names that cannot hide characters. */
static const struct rb_utf8_range misleading[] = {
    {0x80, 0x9f},       /* C1 controls */
    {0xad, 0xad},       /* soft hyphen */
    {0x34f, 0x34f},     /* combining grapheme joiner */
    {0x61c, 0x61c},     /* arabic letter mark */
    {0x115f, 0x1160},   /* hangul fillers */
    {0x17b4, 0x17b5},   /* khmer inherent vowels */
    {0x180b, 0x180f},   /* mongolian selectors and vowel separator */
    {0x200b, 0x200f},   /* zero width, LRM, RLM */
    {0x2028, 0x202e},   /* line and paragraph separator, bidi embeddings */
    {0x2060, 0x206f},   /* word joiner, invisible operators, bidi isolates */
    {0x3164, 0x3164},   /* hangul filler */
    {0xfdd0, 0xfdef},   /* noncharacters */
    {0xfeff, 0xfeff},   /* byte order mark */
    {0xffa0, 0xffa0},   /* half-width hangul filler */
    {0xfff0, 0xfffb},   /* unassigned specials, interlinear annotation */
    {0x1bca0, 0x1bca3}, /* shorthand format controls */
    {0x1d173, 0x1d17a}, /* musical format controls */
    {0xe0000, 0xe0fff}, /* tags, variation selectors supplement */
};

static bool is_misleading(uint32_t cp)
{
    if (cp < 0x80)
        return cp < 0x20 || cp == 0x7f;
    if ((cp & 0xfffe) == 0xfffe)
        return true;
    return rb_utf8_in(misleading, sizeof misleading / sizeof misleading[0], cp) != 0;
}

/* Length of the longest prefix that needs no escape. */
static size_t plain_prefix(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint32_t cp;
        size_t step = rb_utf8_decode(text + i, len - i, &cp);
        if (step == 0 || is_misleading(cp))
            break;
        i += step;
    }
    return i;
}

static void add_escape(struct rb_buf *out, uint32_t cp)
{
    if (cp == '\n')
        rb_buf_adds(out, "\\n");
    else if (cp == '\r')
        rb_buf_adds(out, "\\r");
    else if (cp == '\t')
        rb_buf_adds(out, "\\t");
    else if (cp < 0x80)
        rb_buf_addf(out, "\\x%02x", (unsigned)cp);
    else
        rb_buf_addf(out, "\\u{%04X}", (unsigned)cp);
}

void rb_text_escape(struct rb_buf *out, const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t plain = plain_prefix(text + i, len - i);
        rb_buf_add(out, text + i, plain);
        i += plain;
        if (i == len)
            break;
        uint32_t cp;
        size_t step = rb_utf8_decode(text + i, len - i, &cp);
        if (step == 0)
            rb_buf_addf(out, "\\x%02x", (unsigned)(unsigned char)text[i]);
        else
            add_escape(out, cp);
        i += step ? step : 1;
    }
}

void rb_text_escapes(struct rb_buf *out, const char *text)
{
    if (text)
        rb_text_escape(out, text, strlen(text));
}

bool rb_text_is_plain(const char *text, size_t len)
{
    return plain_prefix(text, len) == len;
}

bool rb_text_is_utf8(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t step = rb_utf8_decode(text + i, len - i, &cp);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

bool rb_text_shell_quote(struct rb_buf *out, const char *value)
{
    static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-";
    size_t len = strlen(value);
    if (!rb_text_is_plain(value, len))
        return false;
    /* "=word" is a command's path in zsh, the shell of macOS. */
    bool special_start = value[0] == '-' || value[0] == '~' || value[0] == '=';
    if (len && !special_start && strspn(value, bare) == len) {
        rb_buf_add(out, value, len);
        return true;
    }
    rb_buf_addc(out, '\'');
    for (const char *p = value; *p;) {
        size_t run = strcspn(p, "'");
        rb_buf_add(out, p, run);
        p += run;
        if (*p) {
            rb_buf_adds(out, "'\\''");
            p++;
        }
    }
    rb_buf_addc(out, '\'');
    return true;
}

#define DISTANCE_MAX_LEN 64

unsigned rb_text_distance(const char *a, const char *b)
{
    size_t a_len = strnlen(a, DISTANCE_MAX_LEN + 1), b_len = strnlen(b, DISTANCE_MAX_LEN + 1);
    if (a_len > DISTANCE_MAX_LEN || b_len > DISTANCE_MAX_LEN)
        return UINT_MAX / 2;
    unsigned rows[3][DISTANCE_MAX_LEN + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (unsigned j = 0; j <= b_len; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *rb_text_nearest(const char *word, const char *const *candidates)
{
    size_t third = strlen(word) / 3;
    unsigned limit = third < 1 ? 1 : third > 3 ? 3 : (unsigned)third;
    const char *nearest = NULL;
    for (size_t i = 0; candidates[i]; i++) {
        unsigned distance = rb_text_distance(word, candidates[i]);
        if (distance <= limit) {
            limit = distance ? distance - 1 : 0;
            nearest = candidates[i];
            if (distance == 0)
                break;
        }
    }
    return nearest;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

const char *rb_text_find_nocase(const char *haystack, const char *needle)
{
    for (;; haystack++) {
        size_t i = 0;
        while (needle[i] && lower(haystack[i]) == lower(needle[i]))
            i++;
        if (!needle[i])
            return haystack;
        if (!*haystack)
            return NULL;
    }
}
