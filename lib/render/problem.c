/* Problem details (RFC 9457) and the gzip form (RFC 1952) of any body.
 *
 * The title is the status' standard phrase (RFC 9110 section 15), so clients can show something sensible for types that they do not know. */
#include <assert.h>
#define ZLIB_CONST /* input is const */
#include <zlib.h>

#include "internal.h"

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } rows[] = {{400, "Bad Request"},
                {401, "Unauthorized"},
                {403, "Forbidden"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {406, "Not Acceptable"},
                {408, "Request Timeout"},
                {409, "Conflict"},
                {411, "Length Required"},
                {413, "Content Too Large"},
                {414, "URI Too Long"},
                {415, "Unsupported Media Type"},
                {421, "Misdirected Request"},
                {422, "Unprocessable Content"},
                {431, "Request Header Fields Too Large"},
                {500, "Internal Server Error"},
                {501, "Not Implemented"},
                {503, "Service Unavailable"},
                {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status)
            return rows[i].phrase;
    }
    return "Error";
}

int rb_render_problem(int status, const char *type, const char *detail, struct rb_buf *out, struct rb_error *err)
{
    rb_jw_open(out, '{');
    rb_jw_key(out, "type");
    rb_buf_adds(out, "\"urn:runbookd:problem:");
    rb_text_escapes(out, type); /* types are words of ours: [a-z0-9-] */
    rb_buf_addc(out, '"');
    rb_jw_key(out, "title");
    rb_jw_string(out, phrase(status));
    rb_jw_key(out, "status");
    rb_jw_uint(out, (uint64_t)status);
    rb_jw_key(out, "detail");
    rb_jw_string(out, detail ? detail : "");
    rb_jw_close(out, '}');
    rb_buf_addc(out, '\n');
    return rb_buf_check(out, "problem details", err);
}

/* Level 1: a body is compressed at most once per snapshot and format, and local readers seldom ask for it. */
static int deflate_all(const void *bytes, size_t len, int flush, struct rb_buf *out, struct rb_error *err)
{
    if (len > RB_RENDER_MAX)
        return rb_error_set(err, RB_ELIMIT, "gzip: body is larger than the limit of %u bytes", RB_RENDER_MAX);
    z_stream stream = {0};
    if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return rb_error_set(err, RB_ENOMEM, "gzip: out of memory");
    unsigned char chunk[16384];
    stream.next_in = bytes;
    stream.avail_in = (uInt)len;
    int state = Z_OK;
    do {
        stream.next_out = chunk;
        stream.avail_out = sizeof chunk;
        state = deflate(&stream, flush);
        rb_buf_add(out, chunk, sizeof chunk - stream.avail_out);
    } while (state == Z_OK && stream.avail_out == 0);
    (void)deflateEnd(&stream);
    bool complete = flush == Z_FINISH ? state == Z_STREAM_END : (state == Z_OK || state == Z_BUF_ERROR);
    if (!complete)
        return rb_error_set(err, RB_ENOMEM, "gzip: compression failed (%d)", state);
    return rb_buf_check(out, "gzip body", err);
}

int rb_render_gzip(const void *bytes, size_t len, struct rb_buf *out, struct rb_error *err)
{
    return deflate_all(bytes, len, Z_FINISH, out, err);
}

int rb_render_gzip_open(const void *bytes, size_t len, struct rb_buf *out, uint32_t *out_crc, struct rb_error *err)
{
    *out_crc = (uint32_t)crc32(crc32(0, NULL, 0), bytes, (uInt)len);
    return deflate_all(bytes, len, Z_SYNC_FLUSH, out, err); /* ends on a byte boundary, without the final block */
}

static void add_le(struct rb_buf *out, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        rb_buf_addc(out, (char)(value >> (8 * i) & 0xFF));
}

void rb_render_gzip_close(uint32_t crc, size_t plain_len, const void *tail, size_t tail_len, struct rb_buf *out)
{
    assert(tail_len <= 65535);
    /* a final stored block (RFC 1951 3.2.4), then CRC-32 and length (RFC 1952 2.3.1) */
    rb_buf_addc(out, 1);
    add_le(out, (uint32_t)tail_len, 2);
    add_le(out, (uint32_t)tail_len ^ 0xFFFF, 2);
    rb_buf_add(out, tail, tail_len);
    add_le(out, (uint32_t)crc32(crc, tail, (uInt)tail_len), 4);
    add_le(out, (uint32_t)(plain_len + tail_len), 4);
}
