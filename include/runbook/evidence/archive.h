/* Archives that can be handed on: the same facts give the same bytes, nothing in them names a machine, and no secret gets in.
 *
 * An archive is a tar.gz with one folder ("evidence" or "bundle"), its members sorted by name, owner 0 without a name, mode 0644 or 0755, one time for all (HEAD's
 * commit, or 0), `manifest.json` and `SHA256SUMS.txt`. The format is written down in docs/evidence.md. One thread at a time. */
#ifndef RUNBOOK_EVIDENCE_ARCHIVE_H
#define RUNBOOK_EVIDENCE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/buf.h"

#define RB_ARCHIVE_SCHEMA     "runbookd-archive"
#define RB_ARCHIVE_VERSION    1
#define RB_ARCHIVE_MANIFEST   "manifest.json"
#define RB_ARCHIVE_SUMS       "SHA256SUMS.txt"
#define RB_ARCHIVE_MISSING    "__MISSING__"
#define RB_ARCHIVE_MAX_COUNT  100000u             /* members */
#define RB_ARCHIVE_MAX_BYTES  ((size_t)256 << 20) /* of all members together */
#define RB_ARCHIVE_MAX_MEMBER ((size_t)64 << 20)  /* of one member */
#define RB_ARCHIVE_MAX_NAME   1000u               /* bytes of a member's name, encoded */

struct rb_archive;

struct rb_archive_totals {
    size_t members, masked, missing; /* members: without the manifest and the sums; masked: secrets, not members */
    size_t bytes;
};

/* `folder` is the first part of every name; `mtime_s` the time of every member (negative counts as 0). NULL when memory is out. */
struct rb_archive *rb_archive_new(const char *folder, int64_t mtime_s);
void rb_archive_free(struct rb_archive *archive); /* NULL is fine */

/* A value that must not appear: masked wherever it occurs in members that are added later. Values below 6 bytes are not taken: they would mask half the text. */
void rb_archive_hide(struct rb_archive *archive, const char *secret);

/* Adds a member after masking its secrets. `name` is relative to the folder and may be hostile: what is not plain text in it is percent-encoded. `source` says where the
 * bytes come from, for the manifest. Everything is copied. RB_EINVAL: an unsafe or reserved name; RB_ELIMIT: one of the maxima above. */
int rb_archive_add(struct rb_archive *archive, const char *name, const char *source, const void *bytes, size_t len,
                   struct rb_error *err) RB_MUST_CHECK;
/* The same for a file with its executable bit, and for text of which `masked` secrets were masked by the caller. */
struct rb_member_traits {
    bool executable;
    size_t masked;
};
int rb_archive_add_with(struct rb_archive *archive, const char *name, const char *source, const struct rb_buf *bytes,
                        struct rb_member_traits traits, struct rb_error *err) RB_MUST_CHECK;
/* An input that is not there: the member "<name>.__MISSING__" says why. */
int rb_archive_add_missing(struct rb_archive *archive, const char *name, const char *why, struct rb_error *err) RB_MUST_CHECK;

/* Names of the missing inputs, in the order of adding; valid as long as the archive. NULL behind the last. */
const char *rb_archive_missing(const struct rb_archive *archive, size_t index);

/* Sorts, writes manifest and sums, appends the tar.gz to `out`. Once. RB_EINVAL when two members have one name. */
int rb_archive_finish(struct rb_archive *archive, struct rb_buf *out, struct rb_archive_totals *totals, struct rb_error *err) RB_MUST_CHECK;

/* Writes the archive to `path` and "<sha256>  <basename>" to `path`.sha256, each whole or not at all. Refuses a path inside a .git folder, and without `replace` one where
 * either file exists (RB_EBUSY). `out_sha256` gets the archive's digest. */
int rb_archive_write(const char *path, const struct rb_buf *bytes, bool replace, char out_sha256[65], struct rb_error *err) RB_MUST_CHECK;
/* What rb_archive_write would refuse, to be asked before the work. */
int rb_archive_check_target(const char *path, bool replace, struct rb_error *err) RB_MUST_CHECK;

/* True when these first bytes of a file are those of an archive of ours. Such files, and the .sha256 beside them, are no facts of the tree that they lie in. */
#define RB_ARCHIVE_MARK_BYTES 19u
bool rb_archive_is_ours(const void *bytes, size_t len);

#endif
