/* Incidents in the daemon: who opens, notes, closes them, and how they get to the disk without blocking the loop.
 *
 * A command that changes an incident is answered when the change is on disk (200), or could not be written (503): a client that got 2xx loses nothing by `kill -9`. One write is on its
 * way at a time; what changes meanwhile goes with the next one, so a flood of webhooks costs one write per round trip of the disk. Loop thread, but for what is said otherwise. */
#ifndef RUNBOOKD_INCIDENTS_H
#define RUNBOOKD_INCIDENTS_H

#include "app_internal.h"
#include "incident_report.h"

/* What the next write renders. */
struct rb_incident_keep {
    struct rb_incident_keep *next;
    char id[RB_INCIDENT_ID_SIZE];
    struct rb_snapshot *snapshot; /* a reference */
    double round_s;
    int64_t max_age_ns;                /* what counts as fresh */
    int language;                      /* of the answer: enum rb_language, or -1 for the configuration's */
    enum rb_report_form form;          /* of the answer */
    struct rb_incident_report *report; /* a reference */
};

void rb_app_incidents_load(struct rb_app *app, bool writable); /* blocks: at the start */
void rb_app_incidents_tick(struct rb_app *app);                /* every second: the timeline grows, what failed is written again */
void rb_app_incidents_stop(struct rb_app *app);                /* writes what is not on disk, synchronously */
void rb_app_incidents_free(struct rb_app *app);
/* What /status tells; at most RB_SNAPSHOT_INCIDENTS. Borrowed until an incident changes. */
size_t rb_app_incidents_brief(const struct rb_app *app, struct rb_incident_brief out[RB_SNAPSHOT_INCIDENTS]);
/* Ends a ROUND command that opens an incident. */
void rb_app_incident_open(struct rb_app *app, struct rb_command *command);
void rb_app_incident(struct rb_app *app, struct rb_command *command);
/* incident_read.c: the post-mortem, made on the task thread. */
void rb_app_postmortem(struct rb_app *app, struct rb_command *command, const struct rb_incident *incident);
void rb_app_silence(struct rb_app *app, struct rb_command *command);

/* ---- incident_write.c */
/* Adds the state as it is now to what the next write renders. NULL when memory is out. */
struct rb_incident_keep *rb_incident_keep(struct rb_app *app, const char *id, double round_s);
/* The command is answered with the next write. */
void rb_app_incidents_answer_later(struct rb_app *app, struct rb_command *command);
/* Starts a write when something is to be written and none is on its way. */
void rb_app_incidents_write(struct rb_app *app);

#endif
