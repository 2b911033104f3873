/* Names of members: hostile file names become names that no terminal, no shell tool and no sum file can misread. */
#include "name.h"

#include <string.h>

#include "runbook/base/text.h"

#define USTAR_NAME   100u
#define USTAR_PREFIX 155u

/* Length of the character at `text` by its first byte; 1 for what cannot start one. */
static size_t char_len(const char *text, size_t left)
{
    unsigned char first = (unsigned char)text[0];
    size_t len = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return len <= left ? len : 1;
}

static bool stays(const char *text, size_t len, bool ascii)
{
    if (*text == '%' || *text == '\\' || (ascii && len > 1))
        return false;
    return rb_text_is_plain(text, len);
}

void name_encode(struct rb_buf *out, const char *raw, bool ascii)
{
    size_t left = strlen(raw);
    while (left > 0) {
        size_t len = char_len(raw, left);
        bool plain = stays(raw, len, ascii);
        if (!plain && !rb_text_is_utf8(raw, len))
            len = 1;
        for (size_t i = 0; i < len && !plain; i++)
            rb_buf_addf(out, "%%%02X", (unsigned)(unsigned char)raw[i]);
        if (plain)
            rb_buf_add(out, raw, len);
        raw += len;
        left -= len;
    }
}

bool name_is_safe(const char *name)
{
    for (const char *part = name;; part++) {
        size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += len;
        if (*part == '\0')
            return true;
    }
}

bool name_fits_ustar(const char *folder, const char *name)
{
    RB_BUF_AUTO whole;
    rb_buf_init(&whole, USTAR_NAME + USTAR_PREFIX + 1);
    rb_buf_addf(&whole, "%s/%s", folder, name);
    if (whole.failed)
        return false;
    if (whole.len < USTAR_NAME)
        return true;
    for (size_t i = whole.len - USTAR_NAME; i < whole.len && i <= USTAR_PREFIX; i++)
        if (i > 0 && whole.data[i] == '/')
            return true;
    return false;
}
