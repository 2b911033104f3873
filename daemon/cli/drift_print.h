/* How `drift` shows what the endpoint says. */
#ifndef RUNBOOKD_CLI_DRIFT_PRINT_H
#define RUNBOOKD_CLI_DRIFT_PRINT_H

#include "cli.h"

/* {drift: [...]} from the daemon of this tree, else from one run of its drift checks; `all`: accepted items too. NULL with an exit code when there is none: told on stderr.
 * In cmd_drift.c. */
json_t *rb_drift_report(const struct rb_cli *cli, bool all, int *out_code);

/* `report` is {drift: [...]}; `wanted`: names of checks, empty for all. */
void rb_drift_print_text(const json_t *report, const struct rb_strings *wanted, struct rb_buf *out);
void rb_drift_print_markdown(const json_t *report, const struct rb_strings *wanted, struct rb_buf *out);
/* The item in full. */
void rb_drift_print_item(const char *check, const json_t *item, struct rb_buf *out);
/* True when `check` is one of `wanted`, or nothing in particular is wanted. */
bool rb_drift_wanted(const struct rb_strings *wanted, const char *check);

#endif
