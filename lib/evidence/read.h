/* Reading a whole file into a buffer with a maximum. Private to lib/evidence. */
#ifndef RUNBOOK_EVIDENCE_READ_H
#define RUNBOOK_EVIDENCE_READ_H

#include "runbook/base/buf.h"

/* To the end, or to the buffer's maximum (RB_ELIMIT). The messages continue "<file> …". */
int read_all(int fd, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

#endif
