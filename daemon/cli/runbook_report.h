/* What `validate` tells of the team's runbooks: the commands that no check stands for. */
#ifndef RUNBOOKD_RUNBOOK_REPORT_H
#define RUNBOOKD_RUNBOOK_REPORT_H

#include "cli.h"

/* Nothing when the plan names no runbook. Reads the files; a file that cannot be read is told. */
void rb_cli_runbooks_text(const struct rb_plan *plan, size_t columns, struct rb_buf *out);
/* [{file, error, dropped, covered, uncovered: [{line, command, missing, changes, checks}]}] */
json_t *rb_cli_runbooks_json(const struct rb_plan *plan);

#endif
