/* Incidents without a daemon: the same folder, under the lock of the state. */
#ifndef RUNBOOKD_CLI_INCIDENT_ALONE_H
#define RUNBOOKD_CLI_INCIDENT_ALONE_H

#include "cli.h"
#include "runbook/incident/incident.h"

struct rb_incident_alone {
    char dir[4096];
    int lock_fd; /* -1: only reading */
    bool german;
    char template_path[4096];
    struct rb_incidents incidents;
    struct rb_journal *journal; /* NULL when only reading */
};
/* Opens this tree's folder of state; `writing` takes the lock and makes the folder. 0, or an exit code and the reason is on stderr. */
int rb_incident_alone_open(const struct rb_cli *cli, bool writing, struct rb_incident_alone *out);
void rb_incident_alone_close(struct rb_incident_alone *alone);
/* Runs the checks once and keeps the report. Returns an exit code; prints the report. */
int rb_incident_alone_triage(const struct rb_cli *cli);
/* Adds the event, which is a note or a closing, and writes both the incident and the journal. Returns an exit code. */
int rb_incident_alone_event(struct rb_incident_alone *alone, struct rb_incident *incident, struct rb_incident_event *event);

#endif
