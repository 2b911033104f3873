/* Drift's writing side: baselines, the source's cache and the accept log. Kinds only read these files; everything that changes them is here, off the loop thread.
 *
 * Files (docs/state-format.md): <state>/baselines/CHECK.baseline, CHECK.proposed (what a first baseline would be), CHECK.cache; <state>/drift.log. */
#ifndef RUNBOOKD_DRIFT_H
#define RUNBOOKD_DRIFT_H

#include "runbook/drift/accept.h"
#include "runbook/state/snapshot.h"

struct rb_app;
struct rb_command;

/* Loop thread, after each run of a check, before the store takes the outcome: queues what has to be written. */
void rb_app_drift_outcome(struct rb_app *app, size_t index, const struct rb_outcome *outcome);
/* Loop thread, after the store took it: items that came or went enter the timeline. `before` is the record of the run before, `after` the new one. */
void rb_app_drift_events(struct rb_app *app, const struct rb_record *before, const struct rb_record *after);
void rb_app_drift_stop(struct rb_app *app);
/* RB_COMMAND_DRIFT_ACCEPT: command->body is the request. */
void rb_app_drift_accept(struct rb_app *app, struct rb_command *command);

/* ---- accepting, shared by daemon and command line ---- */

/* What is asked: {"targets": ["CHECK" | "ID" | "GLOB", …], "all": bool, "reason": "…", "who": "…", "ref": "…", "expires": "2s" | "until": "2026-12-01"}. */
struct rb_drift_job;
/* Chooses the items in the snapshot's records. NULL with an HTTP status, a problem type and text for people when the request is refused as a whole: then nothing will be
 * accepted, not even what could be. */
struct rb_drift_job *rb_drift_job_new(struct rb_snapshot *snapshot, const char *state_dir, const char *json, size_t len,
                                      int64_t now_wall_ns, int *out_status, char out_problem[32], struct rb_buf *out_detail);
void rb_drift_job_work(void *arg); /* writes; any thread, one at a time */
/* 0 when everything was written; `out` gets {"accepted": [...], "baselines": [...]} or the reason. */
int rb_drift_job_result(const struct rb_drift_job *job, struct rb_buf *out);
/* Names of the checks whose baseline changed, and how many. */
size_t rb_drift_job_checks(const struct rb_drift_job *job, size_t *out, size_t max);
void rb_drift_job_free(struct rb_drift_job *job);

#endif
