/* Facts of a git repository as text. Private to lib/evidence. */
#ifndef RUNBOOK_EVIDENCE_REPO_H
#define RUNBOOK_EVIDENCE_REPO_H

#include <git2.h>

#include "runbook/evidence/evidence.h"

/* Appends "<commit> <UTC time> <author>: <subject>", escaped, without a line break. */
void repo_add_commit_line(struct rb_buf *out, const git_commit *commit);
/* Appends "2026-08-22T03:07:41Z". */
void repo_add_time(struct rb_buf *out, int64_t seconds);
/* Fills `err` from libgit2's last error. */
int repo_fail(struct rb_error *err, const char *what);

/* Sorted lines as `git status --porcelain -uall` gives them, without looking for renames and without archives of ours. */
int repo_status(git_repository *repo, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* The commit with its message and its patch against the first parent; `out_masked` counts the secrets that were masked in it. RB_ENOTFOUND: there is no such commit. */
int repo_show(git_repository *repo, const char *name, struct rb_buf *out, size_t *out_masked, struct rb_error *err) RB_MUST_CHECK;

#endif
