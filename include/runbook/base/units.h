/* Durations, sizes, numbers and times: parsed strictly, printed the way people and Prometheus expect. */
#ifndef RUNBOOK_BASE_UNITS_H
#define RUNBOOK_BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "runbook/base/buf.h"

/* "250ms", "15s", "1m30s", "5m", "2h", "7d", "1w" as in Prometheus' configuration; a bare "0" too; a bare number is refused
 * with a message that proposes the unit. Range 0 .. 10 years. */
int rb_duration_parse(const char *text, int64_t *out_ms, struct rb_error *err) RB_MUST_CHECK;
/* Bytes: "512", "10kB", "2GiB", "1.5GB", "64K" (K, M, G, T without B are binary). Range 0 .. 2^62. */
int rb_size_parse(const char *text, int64_t *out_bytes, struct rb_error *err) RB_MUST_CHECK;
int rb_int_parse(const char *text, int64_t *out, struct rb_error *err) RB_MUST_CHECK; /* decimal, optional sign, no blanks */

/* An amount is a share of a whole or an absolute number of bytes: "10%" or "2GiB". */
struct rb_amount {
    bool set;
    bool percent;
    double percent_value; /* 0 .. 100 */
    int64_t bytes;
};
int rb_amount_parse(const char *text, struct rb_amount *out, struct rb_error *err) RB_MUST_CHECK;

/* "1 s", "5 min 33 s", "41 min", "7 h 2 min", "3 d 4 h": two largest parts, for people; below one second "0.4 s". Negative prints "0 s". */
void rb_duration_print(struct rb_buf *out, int64_t ms);
/* "60s" (one minute exactly), "1m30s", "5m", "7d": the form that rb_duration_parse reads. Days are the largest unit. */
void rb_duration_print_exact(struct rb_buf *out, int64_t ms);
/* "42 GiB", "1.5 MiB", "512 B". */
void rb_size_print(struct rb_buf *out, int64_t bytes);
/* Shortest decimal form that reads back as the same double; NaN, +Inf, -Inf as Prometheus writes them. */
void rb_double_print(struct rb_buf *out, double value);

#define RB_TIME_TEXT 32 /* bytes that any of the following need */
/* "2026-08-22T03:07:41Z" (RFC 3339, UTC, whole seconds). "never" form: empty string when wall_ns is 0. Returns `out`. */
const char *rb_time_rfc3339(char out[RB_TIME_TEXT], int64_t wall_ns);
/* With milliseconds. */
const char *rb_time_rfc3339_ms(char out[RB_TIME_TEXT], int64_t wall_ns);
/* "2026-08-22 03:07:41Z" for people. */
const char *rb_time_human(char out[RB_TIME_TEXT], int64_t wall_ns);
/* "03:07:41Z" for people. */
const char *rb_time_of_day(char out[RB_TIME_TEXT], int64_t wall_ns);
/* Reads RFC 3339 with Z or offset; fractions to nanoseconds; a bare date is its midnight in UTC. Years 1678 .. 2261. */
int rb_time_parse(const char *text, int64_t *out_wall_ns, struct rb_error *err) RB_MUST_CHECK;

#endif
