/* Members become a tar.gz. Private to lib/evidence. */
#ifndef RUNBOOK_EVIDENCE_TAR_H
#define RUNBOOK_EVIDENCE_TAR_H

#include "runbook/base/digest.h"
#include "runbook/evidence/archive.h"

struct member {
    const char *name;   /* below the folder; encoded once names are settled */
    const char *packed; /* the encoded name */
    const char *source, *bytes;
    size_t len, masked;
    bool executable;
    const char *missing; /* the input that is not there, or NULL */
    char sha256[RB_SHA256_HEX];
};

struct tar_request {
    const char *folder;
    const struct member *members; /* sorted */
    size_t count;
    int64_t mtime_s;
    bool ustar; /* every name fits; else pax */
};
int tar_write(const struct tar_request *request, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

#endif
