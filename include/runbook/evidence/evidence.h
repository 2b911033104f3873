/* What goes into an archive: the facts of a repository and of its configuration, and files of the tree.
 *
 * Facts do not depend on the machine, the place, the time zone, the user or the time of asking. What does (states, triage, metrics) is an observation and is handed in by the
 * caller as text. Reads git through libgit2 only: no hook, filter, textconv or external diff, no index refresh. Blocks; one thread. */
#ifndef RUNBOOK_EVIDENCE_EVIDENCE_H
#define RUNBOOK_EVIDENCE_EVIDENCE_H

#include "runbook/base/strings.h"
#include "runbook/config/plan.h"
#include "runbook/evidence/archive.h"

#define RB_EVIDENCE_LOG_COMMITS 50u
#define RB_EVIDENCE_MAX_LINES   20000u             /* of status and tags */
#define RB_EVIDENCE_MAX_PATCH   ((size_t)16 << 20) /* bytes of one patch */

/* HEAD's commit time in seconds, or 0 without a repository or commit. */
int64_t rb_evidence_head_time(const char *root);

/* HEAD.txt, status.txt, log_50.txt, tags.txt, and show_<commit>.txt for each of `commits`. What is not there becomes a missing input. */
int rb_evidence_add_git(struct rb_archive *archive, const char *root, const struct rb_strings *commits, struct rb_error *err) RB_MUST_CHECK;

/* Hides what the plan read with !file, or declares secret, from every member that is added later: call one of these first. The second is for a configuration that has errors: it
 * loads the file's nodes only, and hides what can be read. */
void rb_evidence_hide_plan(struct rb_archive *archive, const struct rb_plan *plan);
void rb_evidence_hide_file(struct rb_archive *archive, const char *config);

/* config/effective.json (defaults merged, places replaced by ${root} and ~) and the configuration's files as written, under config/files/. A discovered plan is no fact: it becomes a
 * missing input. `home` may be NULL. */
int rb_evidence_add_config(struct rb_archive *archive, const struct rb_plan *plan, const char *home, struct rb_error *err) RB_MUST_CHECK;

/* Files of the tree: literal paths, folders or globs, relative to `root` (absolute ones must lie below it), added as `prefix` + path. Symlinks are not followed. What
 * matches nothing or cannot be read becomes a missing input. RB_EINVAL: a path leads out of the tree. */
int rb_evidence_add_files(struct rb_archive *archive, const char *root, const char *prefix, const struct rb_strings *paths,
                          struct rb_error *err) RB_MUST_CHECK;

#endif
