/* `check --runbook ADDRESS`: which checks a section of the team's runbook names. */
#ifndef RUNBOOKD_RUNBOOK_SELECT_H
#define RUNBOOKD_RUNBOOK_SELECT_H

#include "cli.h"

/* Fills `out_names` (in the invocation's arena). Returns RB_EXIT_OK, or another exit code after saying why on stderr. `phase`: as `--phase`, -1 any. */
int rb_cli_runbook_names(const struct rb_cli *cli, const char *address, int phase, struct rb_strings *out_names);

#endif
