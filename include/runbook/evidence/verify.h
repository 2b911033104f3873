/* Verification of an archive without unpacking it: offline, streaming, bounded; what it reads is hostile.
 *
 * Checks the .sha256 beside it, the gzip stream to its last byte, every name, the manifest, the sums, sums of folders inside (SHA256SUMS.txt, *.sha256) and archives inside
 * archives, two levels deep. It proves that nothing was damaged, not who wrote it. */
#ifndef RUNBOOK_EVIDENCE_VERIFY_H
#define RUNBOOK_EVIDENCE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/digest.h"

#define RB_VERIFY_MAX_MEMBERS  100000u
#define RB_VERIFY_MAX_BYTES    ((uint64_t)1 << 30) /* unpacked, all levels together */
#define RB_VERIFY_MAX_RATIO    200u                /* unpacked : packed, once more than 1 MiB is unpacked */
#define RB_VERIFY_MAX_DEPTH    2u                  /* archives inside archives */
#define RB_VERIFY_MAX_PROBLEMS 1000u

/* Codes of problems: a closed set. */
enum rb_verify_code {
    RB_VERIFY_SIDECAR,   /* the .sha256 beside it does not agree or is none */
    RB_VERIFY_GZIP,      /* the compressed stream is damaged, cut, or not what runbookd writes */
    RB_VERIFY_TAR,       /* the tar inside is damaged */
    RB_VERIFY_PATH,      /* absolute, with "..", empty, too long */
    RB_VERIFY_LINK,      /* a symbolic or hard link */
    RB_VERIFY_TYPE,      /* a device, FIFO or socket, or strange permissions */
    RB_VERIFY_DUPLICATE, /* one name twice */
    RB_VERIFY_BOMB,      /* a limit was reached; the rest was not read */
    RB_VERIFY_MANIFEST,  /* no manifest, or a broken one */
    RB_VERIFY_SUMS,      /* no SHA256SUMS.txt, or one that disagrees with the manifest */
    RB_VERIFY_CHANGED,   /* a member's bytes are not those that were listed */
    RB_VERIFY_ABSENT,    /* listed, but not there */
    RB_VERIFY_UNLISTED,  /* there, but not listed */
    RB_VERIFY_CODES
};
const char *rb_verify_code_name(enum rb_verify_code code);

struct rb_verify_problem {
    enum rb_verify_code code;
    const char *member;  /* name as the archive has it (hostile), or NULL for the archive as a whole */
    const char *message; /* what is wrong with it (hostile parts inside) */
};

struct rb_verify_report {
    struct rb_verify_problem *problems;
    size_t count, dropped;
    const char **notes; /* what could not be checked, and why */
    size_t note_count;
    size_t members; /* of the outer archive, folders not counted */
    uint64_t bytes; /* unpacked, all levels */
    size_t masked, missing;
    const char *folder; /* "evidence" or "bundle", or NULL */
    bool sidecar;       /* there was a .sha256 beside it */
    char sha256[RB_SHA256_HEX];
};

/* Looks at a file. 0 when it could be looked at, whatever was found; the report lives in `arena`. A negative code when it cannot be opened or read, or memory is out. */
int rb_verify_file(const char *path, struct rb_arena *arena, struct rb_verify_report *out, struct rb_error *err) RB_MUST_CHECK;

#endif
