/* Names of members. Private to lib/evidence. */
#ifndef RUNBOOK_EVIDENCE_NAME_H
#define RUNBOOK_EVIDENCE_NAME_H

#include "runbook/evidence/archive.h"

/* Appends `raw` with every byte percent-encoded that is not plain: controls, bidi and invisible characters, what is not UTF-8, '%' and '\\'; with `ascii` also everything
 * beyond ASCII. Two names never become one. */
void name_encode(struct rb_buf *out, const char *raw, bool ascii);
/* True when the name stays below the folder that it is unpacked in: relative, not empty, no ".." and no empty or "." part. */
bool name_is_safe(const char *name);
/* True when "folder/name" fits the fields of a ustar header (POSIX.1-1988: 100 bytes of name, 155 of prefix, split at a slash). */
bool name_fits_ustar(const char *folder, const char *name);

#endif
