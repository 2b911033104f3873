/* The report that an incident keeps, and that POST /triage answers with: the same bytes. */
#ifndef RUNBOOKD_INCIDENT_REPORT_H
#define RUNBOOKD_INCIDENT_REPORT_H

#include "runbook/base/buf.h"

/* The state at the opening, rendered: what lies in the incident's folder, and what POST /triage answers with. Immutable once its command is completed; any thread. */
struct rb_incident_report {
    unsigned refs; /* atomic builtins */
    bool unstored; /* it could not be written */
    struct rb_buf status_json, triage_json, triage_text;
    struct rb_buf answer; /* not kept: the report in another form or language, for who asked for it; else empty */
};
void rb_incident_report_unref(struct rb_incident_report *report);

#endif
