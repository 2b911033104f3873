/* Performance data of Nagios plugins (Monitoring Plugins Development Guidelines, section "Performance data"):
 * 'label'=value[UOM];[warn];[crit];[min];[max] …
 *
 * Values become base units: s, ms, us, ns → seconds; B, KB, MB, GB, TB, PB → bytes (factor 1024, as the plugins compute; KiB … too); % →
 * ratio; c → total (a
 * counter); any other unit, and none, → a bare number. Thresholds are not exported. */
#ifndef RUNBOOK_CHECK_PERFDATA_H
#define RUNBOOK_CHECK_PERFDATA_H

#include <stddef.h>

#include "runbook/check/outcome.h"

/* Adds each well-formed item of `text` to the outcome, labels escaped and clipped; others ("U", a decimal comma, no number) are passed
 * over. Returns how many were
 * well-formed; at most RB_OUTCOME_MAX_PERFDATA are kept. `outcome` may be NULL: only counts. Any thread. */
size_t rb_perfdata_parse(const char *text, size_t len, struct rb_outcome *outcome);

#endif
