/* What `evidence` and `bundle` share: where the tree is, and writing the archive. */
#ifndef RUNBOOKD_CLI_PACK_H
#define RUNBOOKD_CLI_PACK_H

#include "cli.h"
#include "runbook/evidence/archive.h"

/* The plan of this tree; when the configuration is broken the discovered one, whose root is as good, with the reason in `why`. NULL when there is neither: told on stderr.
 * One reference. */
struct rb_plan *rb_pack_load(const struct rb_cli *cli, struct rb_error *why, int *out_code);

/* Hides the secrets of the configuration, whether it could be loaded whole or not. */
void rb_pack_hide(const struct rb_cli *cli, const struct rb_plan *plan, struct rb_archive *archive);

/* 0; else an exit code, told on stderr: no -o, or a place that cannot be written to. */
int rb_pack_check_output(const struct rb_cli *cli);

/* Writes the archive to -o and says so. Returns an exit code: with --strict 1 when an input is missing. Frees the archive. */
int rb_pack_finish(const struct rb_cli *cli, struct rb_archive *take_archive);

/* Says why packing failed; frees the archive. Returns the exit code. */
int rb_pack_failed(struct rb_archive *take_archive, const struct rb_error *err);

#endif
