/* What the parts of `verify` share. Private to lib/evidence. */
#ifndef RUNBOOK_EVIDENCE_VERIFY_INTERNAL_H
#define RUNBOOK_EVIDENCE_VERIFY_INTERNAL_H

#include <sys/types.h>

#include "runbook/base/buf.h"
#include "runbook/evidence/archive.h"
#include "runbook/evidence/verify.h"

/* One member that was read. */
struct entry {
    const char *name; /* without a leading "./"; hostile */
    uint64_t size;
    char sha256[RB_SHA256_HEX];
    const char *text; /* kept bytes of a manifest, a sum file or an inner archive, else NULL */
    size_t text_len;
    size_t masked; /* secrets that were masked in it, says the manifest */
};

/* Bytes of an archive: a descriptor, or memory. */
struct input {
    int fd; /* -1: memory */
    const unsigned char *bytes;
    uint64_t len;
};
/* Up to `len` bytes at `at`; how many, or -1 with errno. */
ssize_t input_read(const struct input *input, uint64_t at, void *out, size_t len);

struct verify {
    struct rb_arena *arena;
    struct rb_verify_report *report;
    uint64_t bytes; /* unpacked so far, all levels */
    size_t members; /* read so far, all levels */
    size_t kept;    /* bytes of lists and inner archives in memory */
    bool stopped;   /* a limit was reached: nothing more is read */
    bool out_of_memory;
};

/* One archive: the outer one, or one inside. */
struct level {
    struct verify *verify;
    unsigned depth;        /* 0: the outer one */
    bool proven;           /* a sum from outside agrees with the file: packing it again would prove nothing more */
    const char *prefix;    /* of names in messages: "" or "evidence/inner.tar.gz!" */
    struct entry *entries; /* sorted by name once the stream was read; free() */
    size_t count, room;
    bool whole;        /* the stream was read to its end without damage */
    bool ours;         /* its first bytes are those of runbookd */
    bool recompressed; /* packing it again gave the same bytes */
};

/* Adds a problem; `member` (without prefix) may be NULL. One problem of a code for a member is enough. */
void verify_problem(struct level *level, enum rb_verify_code code, const char *member, const char *fmt, ...) RB_PRINTF(4, 5);
void verify_note(struct verify *verify, const char *fmt, ...) RB_PRINTF(2, 3);

/* Reads the whole stream: fills the entries, sorted, reports what is wrong with stream, tar, names and types. */
void verify_stream(struct level *level, const struct input *input);
/* The entry of this name, or NULL. After verify_stream. */
struct entry *verify_find(const struct level *level, const char *name);

/* Manifest and sums of an archive of ours; the zlib that it was packed with, or NULL. */
const char *verify_lists(struct level *level);
/* Every other SHA256SUMS.txt and *.sha256 inside. */
void verify_inner_sums(struct level *level);
/* True for "SHA256SUMS.txt" and "x.sha256" in any folder. */
bool verify_is_sums(const char *name);

/* One line of a sum file: 64 hex digits, blank, blank or '*', name (cut at the line's end). Advances; false at the end. `*out_ok` false: not such a line. */
bool verify_sum_line(const char **at, const char *end, char out_digest[RB_SHA256_HEX], struct rb_buf *out_name, bool *out_ok);

#endif
