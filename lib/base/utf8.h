/* One step of UTF-8 decoding, shared inside lib/base. */
#ifndef RUNBOOK_LIB_BASE_UTF8_H
#define RUNBOOK_LIB_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decodes the character at `text` (len >= 1) as RFC 3629 section 4 demands: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Returns its length in bytes, or 0 when the first byte starts no valid sequence. */
static inline size_t rb_utf8_decode(const char *text, size_t len, uint32_t *out_cp)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) {
        *out_cp = p[0];
        return 1;
    }
    size_t need = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len < need)
        return 0;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t cp = p[0] & (0x7fU >> need);
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (p[i] & 0x3fU);
    }
    if (cp < smallest[need] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    *out_cp = cp;
    return need;
}

struct rb_utf8_range {
    uint32_t first, last;
};

/* Binary search in a sorted table of disjoint ranges. */
static inline int rb_utf8_in(const struct rb_utf8_range *table, size_t count, uint32_t cp)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cp > table[middle].last)
            low = middle + 1;
        else if (cp < table[middle].first)
            high = middle;
        else
            return 1;
    }
    return 0;
}

#endif
