/* What differs between two texts: key by key when they are documents, line by line when they are text. Private to lib/drift. */
#ifndef RUNBOOK_DRIFT_DIFF_H
#define RUNBOOK_DRIFT_DIFF_H

#include "runbook/base/arena.h"
#include "runbook/base/buf.h"
#include "runbook/check/drift_report.h"

enum { DIFF_MAX_TEXT = 4 << 20, DIFF_MAX_KEYS = 200, DIFF_MAX_LINES = 40, DIFF_MAX_BYTES = 4096 };

struct diff_sides {
    const char *path;
    const char *old_text;
    size_t old_len;
    const char *new_text;
    size_t new_len;
};
/* Fills diff, keys, keys_known, line, and for a single key the texts. Everything is masked. `arena` is the run's. */
void diff_documents_and_lines(const struct diff_sides *sides, struct rb_arena *arena, struct rb_drift_item *item);

#endif
