/* gzip written by hand around zlib's raw deflate (RFC 1951, RFC 1952).
 *
 * Every byte of the header is fixed: no time, no file name, no operating system; a comment marks the file as ours. The same bytes in give the same bytes out with the same
 * zlib. zlib's own gzip header would depend on the system that it was built for. */
#include "gzip.h"

#include <string.h>

#define CHUNK 65536

/* ID1 ID2, CM deflate, FLG comment, MTIME 0, XFL, OS unknown, then the comment with its end. XFL (RFC 1952 2.3.1): 2 is maximum compression. */
static const unsigned char mark[RB_ARCHIVE_MARK_BYTES] = {0x1f, 0x8b, 8,   0x10, 0,   0,   0,   0,   0, 0xff,
                                                          'r',  'u',  'n', 'b',  'o', 'o', 'k', 'd', 0};
#define XFL_AT 8

static void make_header(enum gzip_form form, unsigned char out[RB_ARCHIVE_MARK_BYTES])
{
    memcpy(out, mark, sizeof mark);
    out[XFL_AT] = form == GZIP_BEST ? 2 : 0;
}

bool gzip_header_form(const void *bytes, size_t len, enum gzip_form *out)
{
    unsigned char header[RB_ARCHIVE_MARK_BYTES];
    for (int form = GZIP_BEST; form <= GZIP_PLAIN && len >= sizeof header; form++) {
        make_header((enum gzip_form)form, header);
        if (memcmp(bytes, header, sizeof header) == 0) {
            *out = (enum gzip_form)form;
            return true;
        }
    }
    return false;
}

bool rb_archive_is_ours(const void *bytes, size_t len)
{
    enum gzip_form form;
    return gzip_header_form(bytes, len, &form);
}

static void emit(struct gzip_writer *writer, const unsigned char *bytes, size_t len)
{
    if (!writer->failed && len > 0 && writer->sink(writer->ctx, bytes, len) != 0)
        writer->failed = true;
}

void gzip_begin(struct gzip_writer *writer, enum gzip_form form, gzip_sink sink, void *ctx)
{
    *writer = (struct gzip_writer){.sink = sink, .ctx = ctx, .crc = (uint32_t)crc32(0, NULL, 0)};
    int strategy = form == GZIP_BEST ? Z_DEFAULT_STRATEGY : Z_HUFFMAN_ONLY;
    if (deflateInit2(&writer->stream, 9, Z_DEFLATED, -15, 8, strategy) != Z_OK) {
        writer->failed = true;
        return;
    }
    unsigned char header[RB_ARCHIVE_MARK_BYTES];
    make_header(form, header);
    emit(writer, header, sizeof header);
}

/* Runs deflate until it has taken all input (Z_NO_FLUSH) or written all output (Z_FINISH). */
static void pump(struct gzip_writer *writer, int flush)
{
    unsigned char chunk[CHUNK];
    int rc;
    do {
        writer->stream.next_out = chunk;
        writer->stream.avail_out = sizeof chunk;
        rc = deflate(&writer->stream, flush);
        emit(writer, chunk, sizeof chunk - writer->stream.avail_out);
    } while (!writer->failed && rc == Z_OK && (writer->stream.avail_out == 0 || flush == Z_FINISH));
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        writer->failed = true;
}

void gzip_add(struct gzip_writer *writer, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    writer->size += (uint32_t)len;
    for (size_t done = 0; done < len && !writer->failed;) {
        size_t part = len - done < CHUNK ? len - done : CHUNK;
        unsigned char copy[CHUNK]; /* zlib's interface takes no const input */
        memcpy(copy, at + done, part);
        writer->crc = (uint32_t)crc32(writer->crc, copy, (uInt)part);
        writer->stream.next_in = copy;
        writer->stream.avail_in = (uInt)part;
        pump(writer, Z_NO_FLUSH);
        done += part;
    }
    writer->stream.next_in = NULL; /* nothing may point into the copy from here on */
    writer->stream.avail_in = 0;
}

bool gzip_end(struct gzip_writer *writer)
{
    if (!writer->failed)
        pump(writer, Z_FINISH);
    (void)deflateEnd(&writer->stream);
    unsigned char trailer[8];
    for (unsigned i = 0; i < 4; i++) {
        trailer[i] = (unsigned char)(writer->crc >> (8 * i));
        trailer[4 + i] = (unsigned char)(writer->size >> (8 * i));
    }
    emit(writer, trailer, sizeof trailer);
    return !writer->failed;
}
