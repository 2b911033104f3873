/* Trusted certificates that a configuration names (`ca_file`): read by a kind's worker part, handed to the engine as bytes, so that no file system can hold the loop. */
#ifndef RUNBOOK_CHECK_CA_H
#define RUNBOOK_CHECK_CA_H

#include "runbook/base/digest.h"
#include "runbook/check/kind.h"

struct rb_ca {
    const char *path; /* for messages */
    const char *pem;  /* not looked at yet */
    size_t len;
    char digest[RB_SHA256_HEX]; /* of the bytes: the engine parses a bundle once */
};

enum { RB_CA_MAX_BYTES = 1 << 20 }; /* it is parsed on the loop thread, about 100 ms a megabyte, once per bundle */

/* Reads `ca_file` (relative to the root or absolute, symlinks followed) into the run's arena. May block: workers only. */
int rb_ca_read(const struct rb_check_ctx *ctx, const char *ca_file, const struct rb_ca **out, struct rb_error *err) RB_MUST_CHECK;

#endif
