/* A post-mortem with what lies on the disk: shared by the daemon and the command line. Blocks: not on the loop. */
#ifndef RUNBOOKD_POSTMORTEM_H
#define RUNBOOKD_POSTMORTEM_H

#include "runbook/config/plan.h"
#include "runbook/incident/incident.h"

/* Where the team's template lies, "" when the configuration names none; a relative path counts from root. */
void rb_postmortem_template_path(const struct rb_plan *plan, char *out, size_t out_size);
/* `state_dir` "": nothing was kept. A template that cannot be read is an error: a skeleton of another form would be taken for theirs. */
int rb_postmortem_make(const struct rb_incident *incident, const char *state_dir, const char *template_path, bool german,
                       struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

#endif
