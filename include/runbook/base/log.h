/* Logging: one line per event, a subsystem token first, escaped and redacted.
 *
 * Library code logs nothing above debug. The sink is process-wide and set once, before threads start (the only
 * file-scope state of lib/base, written before any reader exists). */
#ifndef RUNBOOK_BASE_LOG_H
#define RUNBOOK_BASE_LOG_H

#include <stdbool.h>

#include "runbook/base/clock.h"
#include "runbook/base/error.h"

enum rb_log_level { RB_LOG_ERROR = 3, RB_LOG_WARNING = 4, RB_LOG_NOTICE = 5, RB_LOG_INFO = 6, RB_LOG_DEBUG = 7 };

struct rb_log_options {
    enum rb_log_level level;      /* messages above are dropped */
    bool journal_prefix;          /* write "<N>" before each line, as systemd's journal reads it (sd-daemon(3)) */
    bool timestamps;              /* RFC 3339 UTC before each line; off under a journal */
    const struct rb_clock *clock; /* borrowed; where timestamps come from. NULL: no timestamps */
    int fd;                       /* borrowed; normally 2 */
};

/* Call once before any thread is started. */
void rb_log_init(const struct rb_log_options *options);
/* Writes "subsystem: message". The message is escaped (text.h) and redacted (redact.h). Any thread. */
void rb_log(enum rb_log_level level, const char *subsystem, const char *fmt, ...) RB_PRINTF(3, 4);
/* Parses "error|warning|notice|info|debug"; negative when it is none of them. */
int rb_log_level_parse(const char *name, enum rb_log_level *out_level) RB_MUST_CHECK;

#endif
