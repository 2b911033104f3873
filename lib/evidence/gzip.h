/* The one gzip form (RFC 1952) that our archives have. Private to lib/evidence. */
#ifndef RUNBOOK_EVIDENCE_GZIP_H
#define RUNBOOK_EVIDENCE_GZIP_H

#include <zlib.h>

#include "runbook/evidence/archive.h"

/* Which encoder: level 9, or, for what level 9 would shrink so far that it looks like a bomb, Huffman codes only (never below an eighth). */
enum gzip_form { GZIP_BEST, GZIP_PLAIN };

typedef int (*gzip_sink)(void *ctx, const unsigned char *bytes, size_t len); /* 0, or anything else to stop */

struct gzip_writer {
    z_stream stream;
    uint32_t crc, size;
    gzip_sink sink;
    void *ctx;
    bool failed; /* memory is out or the sink stopped: nothing more is written */
};

/* Writes the header. */
void gzip_begin(struct gzip_writer *writer, enum gzip_form form, gzip_sink sink, void *ctx);
void gzip_add(struct gzip_writer *writer, const void *bytes, size_t len);
/* Writes the rest and the trailer, releases. False when anything failed. */
bool gzip_end(struct gzip_writer *writer);

/* The form that these RB_ARCHIVE_MARK_BYTES announce; false: they are not ours. */
bool gzip_header_form(const void *bytes, size_t len, enum gzip_form *out);

#endif
