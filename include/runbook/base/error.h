/* Errors: one bounded value that travels up to where it is handled.
 *
 * Invariant: a function that can fail returns 0 or a negative RB_E* code, and fills `err` exactly when it
 * returns a negative code. A failing *check* is an outcome (check/outcome.h), never an error. */
#ifndef RUNBOOK_BASE_ERROR_H
#define RUNBOOK_BASE_ERROR_H

#include <stdarg.h>

#define RB_MUST_CHECK                    __attribute__((warn_unused_result))
#define RB_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))
#define RB_UNUSED                        __attribute__((unused))

enum rb_code {
    RB_OK = 0,
    RB_ENOMEM = -1,       /* an allocation failed */
    RB_EINVAL = -2,       /* the caller's or the user's value does not fit */
    RB_ESYS = -3,         /* a system call failed; saved_errno tells which way */
    RB_ELIMIT = -4,       /* a stated maximum was reached */
    RB_ENOTFOUND = -5,    /* what was named does not exist */
    RB_EPARSE = -6,       /* text is not of its format; the message has the place */
    RB_EPERM = -7,        /* not allowed, by the system or by our own rule */
    RB_EBUSY = -8,        /* somebody else holds it */
    RB_ETIMEOUT = -9,     /* the deadline passed */
    RB_ECONFIG = -10,     /* configuration errors; the diagnostics hold them all */
    RB_ECORRUPT = -11,    /* a stored file fails its checksum or format */
    RB_EUNSUPPORTED = -12 /* this platform or version cannot do it */
};

struct rb_error {
    int code;          /* enum rb_code */
    int saved_errno;   /* 0 when no system call was involved */
    char message[512]; /* one line, tells the operator what to do; always terminated */
};

/* Fills `err` (may be NULL) and returns `code`, so that `return rb_error_set(...)` reads well. Any thread. */
int rb_error_set(struct rb_error *err, int code, const char *fmt, ...) RB_PRINTF(3, 4);

/* As rb_error_set with RB_ESYS; appends ": " and the text of `saved_errno`. */
int rb_error_sys(struct rb_error *err, int saved_errno, const char *fmt, ...) RB_PRINTF(3, 4);

/* Puts "prefix: " before the message that is already there (truncating at the end); returns err->code. */
int rb_error_prefix(struct rb_error *err, const char *fmt, ...) RB_PRINTF(2, 3);

#endif
