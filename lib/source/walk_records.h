/* What a walk remembers of folders, and what it may believe. Private to lib/source. */
#ifndef RUNBOOK_SOURCE_WALK_RECORDS_H
#define RUNBOOK_SOURCE_WALK_RECORDS_H

#include "git_internal.h"

enum { WALK_PATH_MAX = 4000 }; /* bytes of a path that a walk follows */

struct records {
    struct walk *walk; /* its `known` and `fresh`; either may be NULL */
    size_t known_next; /* first record of walk->known that was not passed yet */
    char *doubted;     /* folder whose ignore rules changed: nothing known below it counts; malloc, or NULL */
};
/* Folders have to be asked for and begun in the order of the walk. */

/* The record of an earlier listing that still tells what is in a folder, or NULL. */
const struct rb_listed_folder *records_known(struct records *records, const char *dir);
/* Begins the record of a folder that is open as `fd` and about to be read. The number of the record, SIZE_MAX: none. */
size_t records_begin(struct records *records, const char *dir, int fd);
/* Takes over a record as it is; its number. */
size_t records_add(struct records *records, const struct rb_listed_folder *record);
/* Notes a name that is of interest in the record of its folder. `path` does not end in '/'. */
void records_note(struct records *records, size_t at, const char *path, bool folder);
/* The folder's stat data do not tell all that decides over it: it is read again each time. */
void records_distrust(struct records *records, size_t at);
void records_note_unreachable(struct records *records, size_t at);
/* Nothing that is known of a folder or below it counts. */
void records_doubt(struct records *records, const char *dir);
void records_fini(struct records *records);

#endif
