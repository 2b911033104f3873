/* Views of a text: Vectorscan reads UTF-8 patterns only over valid UTF-8, and sees a line's end only at '\n'. A copy of the same length in which the offending
 * bytes are '\n' keeps every offset, and no match can lie across such a byte, so nothing is lost. */
#include "pattern_scan_internal.h"

#include <stdint.h>
#include <string.h>

bool text_is_ascii(const char *bytes, size_t len)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t at = 0;
    for (; at + 64 <= len; at += 64) {
        uint64_t words[8];
        memcpy(words, bytes + at, sizeof words);
        uint64_t all = words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
        if (all & high)
            return false;
    }
    for (; at < len; at++)
        if ((unsigned char)bytes[at] & 0x80)
            return false;
    return true;
}

/* Length of the valid UTF-8 sequence (RFC 3629) at `text`, 0 when there is none. */
static size_t sequence_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t len = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (first == 0xE0 && text[1] < 0xA0) || (first == 0xF0 && text[1] < 0x90);
    bool beyond = (first == 0xED && text[1] > 0x9F) || (first == 0xF4 && text[1] > 0x8F);
    return overlong || beyond ? 0 : len;
}

bool text_blank_invalid(char *bytes, size_t len)
{
    bool found = false;
    for (size_t at = 0; at < len;) {
        if (len - at >= 64 && text_is_ascii(bytes + at, 64)) {
            at += 64;
            continue;
        }
        size_t step = sequence_length((const unsigned char *)bytes + at, len - at);
        if (step == 0) {
            bytes[at] = '\n';
            found = true;
            step = 1;
        }
        at += step;
    }
    return found;
}

bool text_has_returns(const char *bytes, size_t len)
{
    const char *end = bytes + len;
    for (const char *at = memchr(bytes, '\r', len); at && at + 1 < end; at = memchr(at + 1, '\r', (size_t)(end - at - 1)))
        if (at[1] == '\n')
            return true;
    return false;
}

void text_blank_returns(char *bytes, size_t len)
{
    for (size_t at = 0; at + 1 < len; at++)
        if (bytes[at] == '\r' && bytes[at + 1] == '\n')
            bytes[at] = '\n';
}

static uint32_t unit_at(const unsigned char *bytes, bool big_endian)
{
    return big_endian ? (uint32_t)bytes[0] << 8 | bytes[1] : (uint32_t)bytes[1] << 8 | bytes[0];
}

static size_t put_utf8(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

size_t text_from_utf16(const char *bytes, size_t len, bool big_endian, char *out)
{
    const unsigned char *in = (const unsigned char *)bytes;
    size_t used = 0;
    for (size_t at = 0; at + 1 < len; at += 2) {
        uint32_t code = unit_at(in + at, big_endian);
        if (code >= 0xD800 && code < 0xDC00 && at + 3 < len) {
            uint32_t low = unit_at(in + at + 2, big_endian);
            if (low >= 0xDC00 && low < 0xE000) {
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                at += 2;
            }
        }
        used += put_utf8(code >= 0xD800 && code < 0xE000 ? 0xFFFD : code, out + used);
    }
    return used;
}
