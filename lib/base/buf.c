/* The growable buffer with a maximum.
 *
 * Invariants: cap counts the bytes of `data` including the terminator; len < cap whenever data exists; len <= max;
 * a failed append leaves the bytes that were there. Growth doubles, so n appends cost O(n); the last doubling is
 * clipped to `max` so that a limit of 1 MB never allocates 2 MB. */
#include "runbook/base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/wipe.h"

#define BUF_FIRST_CAP 64

void rb_buf_init(struct rb_buf *buf, size_t max)
{
    *buf = (struct rb_buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void rb_buf_fini(struct rb_buf *buf)
{
    if (buf->wiped && buf->data)
        rb_wipe(buf->data, buf->cap);
    free(buf->data);
    *buf = (struct rb_buf){.max = buf->max, .wiped = buf->wiped};
}

void rb_buf_reset(struct rb_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    buf->out_of_memory = false;
    if (buf->data)
        buf->data[0] = '\0';
}

/* realloc; a wiped buffer leaves nothing behind. */
static char *resize(struct rb_buf *buf, size_t cap)
{
    if (!buf->wiped || !buf->data)
        return realloc(buf->data, cap);
    char *grown = malloc(cap);
    if (!grown)
        return NULL;
    memcpy(grown, buf->data, buf->len + 1);
    rb_wipe(buf->data, buf->cap);
    free(buf->data);
    return grown;
}

/* Makes room for `len` more bytes; false, and the buffer failed, when they do not fit or memory is out. */
static bool reserve(struct rb_buf *buf, size_t len)
{
    if (len > buf->max - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + len + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap : BUF_FIRST_CAP;
    while (cap < need)
        cap *= 2;
    if (cap - 1 > buf->max)
        cap = buf->max + 1;
    char *grown = resize(buf, cap);
    if (!grown) {
        buf->failed = true;
        buf->out_of_memory = true;
        return false;
    }
    buf->data = grown;
    buf->cap = cap;
    return true;
}

static void append(struct rb_buf *buf, const void *bytes, size_t len)
{
    memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void rb_buf_add(struct rb_buf *buf, const void *bytes, size_t len)
{
    if (!buf->failed && len != 0 && reserve(buf, len))
        append(buf, bytes, len);
}

void rb_buf_adds(struct rb_buf *buf, const char *text)
{
    if (text)
        rb_buf_add(buf, text, strlen(text));
}

void rb_buf_addc(struct rb_buf *buf, char c)
{
    rb_buf_add(buf, &c, 1);
}

void rb_buf_addv(struct rb_buf *buf, const char *fmt, va_list args)
{
    if (buf->failed)
        return;
    char small[256];
    va_list again;
    va_copy(again, args);
    int written = vsnprintf(small, sizeof small, fmt, args);
    if (written >= 0 && (size_t)written < sizeof small) {
        rb_buf_add(buf, small, (size_t)written);
    } else if (written < 0) {
        buf->failed = true;
    } else if (reserve(buf, (size_t)written)) {
        (void)vsnprintf(buf->data + buf->len, (size_t)written + 1, fmt, again);
        buf->len += (size_t)written;
    }
    va_end(again);
}

void rb_buf_addf(struct rb_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    rb_buf_addv(buf, fmt, args);
    va_end(args);
}

size_t rb_buf_add_some(struct rb_buf *buf, const void *bytes, size_t len)
{
    if (buf->failed)
        return 0;
    size_t room = buf->max - buf->len;
    size_t take = len < room ? len : room;
    if (take == 0 || !reserve(buf, take))
        return 0;
    append(buf, bytes, take);
    return take;
}

const char *rb_buf_str(const struct rb_buf *buf)
{
    return buf->data ? buf->data : "";
}

char *rb_buf_steal(struct rb_buf *buf, size_t *out_len)
{
    if (buf->failed)
        return NULL;
    if (!buf->data && !reserve(buf, 0))
        return NULL;
    char *data = buf->data;
    assert(data != NULL);
    data[buf->len] = '\0';
    if (out_len)
        *out_len = buf->len;
    *buf = (struct rb_buf){.max = buf->max};
    return data;
}

int rb_buf_check(const struct rb_buf *buf, const char *what, struct rb_error *err)
{
    if (!buf->failed)
        return RB_OK;
    if (buf->out_of_memory)
        return rb_error_set(err, RB_ENOMEM, "%s: out of memory", what);
    return rb_error_set(err, RB_ELIMIT, "%s: larger than the limit of %zu bytes", what, buf->max);
}
