/* Option tables of sources that take a mapping (sources.def). A table is read even when the check has another source: it requires nothing, the source's validate() does. */
#ifndef RUNBOOK_DRIFT_TABLES_H
#define RUNBOOK_DRIFT_TABLES_H

#include "runbook/config/options.h"

#define RB_DRIFT_NO_TABLE NULL

extern const struct rb_option rb_drift_command_options[];
extern const struct rb_option rb_drift_http_options[];
extern const struct rb_option rb_drift_tools_options[];
extern const struct rb_option rb_drift_compose_options[];
extern const struct rb_option rb_drift_targets_options[];

#endif
