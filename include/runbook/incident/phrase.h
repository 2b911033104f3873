/* German for the sentences that checks and the diagnosis write in English.
 *
 * Messages are written once, in English: they are stored, compared, logged and given out as JSON. A German reader gets them through the catalogue in phrases.def, which
 * knows a sentence by its form, as gettext knows it by its msgid, only that it is matched after its parts were filled in. What no row fits stays as it is: words of other programs, and a text longer
 * than RB_PHRASE_MAX. */
#ifndef RUNBOOK_INCIDENT_PHRASE_H
#define RUNBOOK_INCIDENT_PHRASE_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/buf.h"

#define RB_PHRASE_MAX 4096u /* bytes of a text that is looked up */

/* Appends the German of `text`, or `text` itself: then false. `text` may be hostile and is not escaped; the work is bounded. Pure, any thread. */
bool rb_phrase_german(struct rb_buf *out, const char *text);
/* The rows, for tests; NULL beyond the last. `out_german` may be NULL. */
const char *rb_phrase_row(size_t index, const char **out_german);

#endif
