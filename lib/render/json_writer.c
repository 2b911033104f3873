/* JSON text (RFC 8259) straight into a buffer.
 *
 * A tree of objects first would cost more than the whole rendering; the shapes are fixed, so the renderers write in order. The comma rule needs no
 * state: a value follows a comma unless the last byte opened a container or ended a key. No string of ours ends in such a byte, they end in '"'. */
#include <math.h>
#include <string.h>

#include "internal.h"

static void separate(struct rb_buf *out)
{
    char last = (char)(out->len ? out->data[out->len - 1] : '{');
    if (last != '{' && last != '[' && last != ':')
        rb_buf_addc(out, ',');
}

void rb_jw_open(struct rb_buf *out, char bracket)
{
    separate(out);
    rb_buf_addc(out, bracket);
}

void rb_jw_close(struct rb_buf *out, char bracket)
{
    rb_buf_addc(out, bracket);
}

/* Bytes of the UTF-8 sequence at `text`, 0 when it is not valid. */
static size_t sequence(const char *text, size_t left)
{
    unsigned char lead = (unsigned char)text[0];
    size_t size = lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
    return size && size <= left && rb_text_is_utf8(text, size) ? size : 0;
}

static uint32_t decode(const char *text, size_t size)
{
    static const unsigned char masks[] = {0, 0, 0x1F, 0x0F, 0x07};
    uint32_t code = (unsigned char)text[0] & masks[size];
    for (size_t i = 1; i < size; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3Fu);
    return code;
}

static void add_escape(struct rb_buf *out, uint32_t code)
{
    if (code < 0x10000) {
        rb_buf_addf(out, "\\u%04x", code);
        return;
    }
    code -= 0x10000;
    rb_buf_addf(out, "\\u%04x\\u%04x", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
}

static void add_ascii(struct rb_buf *out, unsigned char c)
{
    static const char short_forms[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    const char *form = c ? memchr(short_forms, c, sizeof short_forms - 1) : NULL;
    if (form && (form - short_forms) % 2 == 0) {
        rb_buf_addc(out, '\\');
        rb_buf_addc(out, form[1]);
    } else {
        add_escape(out, c);
    }
}

static bool is_safe(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void add_text(struct rb_buf *out, const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t run = i;
        while (run < len && is_safe((unsigned char)text[run]))
            run++;
        rb_buf_add(out, text + i, run - i);
        i = run;
        if (i == len)
            return;
        if ((unsigned char)text[i] < 0x80) {
            add_ascii(out, (unsigned char)text[i++]);
            continue;
        }
        size_t size = sequence(text + i, len - i);
        if (size == 0)
            rb_buf_adds(out, "\\ufffd");
        else if (rb_text_is_plain(text + i, size))
            rb_buf_add(out, text + i, size);
        else
            add_escape(out, decode(text + i, size));
        i += size ? size : 1;
    }
}

void rb_jw_string(struct rb_buf *out, const char *text)
{
    separate(out);
    if (!text) {
        rb_buf_adds(out, "null");
        return;
    }
    rb_buf_addc(out, '"');
    add_text(out, text, strlen(text));
    rb_buf_addc(out, '"');
}

void rb_jw_key(struct rb_buf *out, const char *key)
{
    rb_jw_string(out, key);
    rb_buf_addc(out, ':');
}

void rb_jw_number(struct rb_buf *out, double value)
{
    separate(out);
    if (isfinite(value))
        rb_double_print(out, value);
    else
        rb_buf_adds(out, "null");
}

void rb_jw_uint(struct rb_buf *out, uint64_t value)
{
    separate(out);
    rb_buf_addf(out, "%llu", (unsigned long long)value);
}

void rb_jw_bool(struct rb_buf *out, bool value)
{
    separate(out);
    rb_buf_adds(out, value ? "true" : "false");
}

void rb_jw_time(struct rb_buf *out, int64_t wall_ns)
{
    char text[RB_TIME_TEXT];
    rb_jw_string(out, wall_ns ? rb_time_rfc3339(text, wall_ns) : NULL);
}

void rb_jw_strings(struct rb_buf *out, const char *const *items, size_t count)
{
    rb_jw_open(out, '[');
    for (size_t i = 0; i < count; i++)
        rb_jw_string(out, items[i]);
    rb_jw_close(out, ']');
}
