/* The records of folders that a walk makes and believes (listing.h).
 *
 * A folder is believed when it is the same with the same stat data and no .gitignore at or above it changed: one that did makes everything known below it doubtful, and since
 * the walk goes in the order of paths, one such folder at a time has to be remembered. Known records are met in the walk's order, so that they are passed once. Stat data are
 * taken before a folder is read, so that what changes meanwhile is seen next time. What does not fit gives up the records and nothing else: doubts are kept. */
#include "walk_records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct rb_listed_folder *record_at(const struct records *records, size_t at)
{
    struct rb_listing *fresh = records->walk->fresh;
    return fresh && fresh->key && at < fresh->count ? &fresh->items[at] : NULL;
}

static void give_up(struct records *records)
{
    records->walk->fresh->key = NULL;
    records->walk->fresh->count = 0;
}

size_t records_add(struct records *records, const struct rb_listed_folder *record)
{
    struct rb_listing *fresh = records->walk->fresh;
    if (!fresh || !fresh->key)
        return SIZE_MAX;
    if (fresh->count == fresh->cap) {
        size_t cap = fresh->cap ? fresh->cap * 2 : 64;
        struct rb_listed_folder *bigger = cap <= 2 * RB_LISTING_MAX ? rb_arena_array(records->walk->arena, cap, sizeof(*bigger)) : NULL;
        if (!bigger) {
            give_up(records);
            return SIZE_MAX;
        }
        if (fresh->count > 0)
            memcpy(bigger, fresh->items, fresh->count * sizeof(*bigger));
        fresh->items = bigger;
        fresh->cap = cap;
    }
    fresh->items[fresh->count] = *record;
    return fresh->count++;
}

void records_note(struct records *records, size_t at, const char *path, bool folder)
{
    struct rb_listed_folder *record = record_at(records, at);
    if (!record || record->stat.mtime_ns == 0)
        return;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct rb_listed_name *entry = rb_arena_alloc(records->walk->arena, sizeof(*entry));
    if (!entry || records->walk->fresh->names++ >= RB_LISTING_MAX) {
        give_up(records);
        return;
    }
    entry->name = folder ? rb_arena_printf(records->walk->arena, "%s/", name) : rb_arena_strdup(records->walk->arena, name);
    if (record->last)
        record->last->next = entry;
    else
        record->names = entry;
    record->last = entry;
}

void records_distrust(struct records *records, size_t at)
{
    struct rb_listed_folder *record = record_at(records, at);
    if (record)
        record->stat = (struct rb_listed_stat){0};
}

void records_note_unreachable(struct records *records, size_t at)
{
    struct rb_listed_folder *record = record_at(records, at);
    if (record)
        record->unreachable++;
}

/* Compares two folders as the walk comes to them: as if each ended in '/'. */
static int compare_folders(const char *a, const char *b)
{
    if (*a == '\0' || *b == '\0')
        return (*a != '\0') - (*b != '\0');
    while (*a && *a == *b) {
        a++;
        b++;
    }
    unsigned char left = *a ? (unsigned char)*a : '/', right = *b ? (unsigned char)*b : '/';
    return *a == *b ? 0 : left != right ? (left > right) - (left < right) : *a ? 1 : -1;
}

static bool is_doubted(const struct records *records, const char *path)
{
    size_t len = records->doubted ? strlen(records->doubted) : 0;
    return records->doubted && (len == 0 || (strncmp(path, records->doubted, len) == 0 && (path[len] == '/' || path[len] == '\0')));
}

void records_doubt(struct records *records, const char *path)
{
    if (!records->walk->known || is_doubted(records, path))
        return;
    free(records->doubted);
    records->doubted = strdup(path);
    if (!records->doubted)
        records->walk->known = NULL;
}

/* The record of an earlier listing for a folder, whether it still counts or not; NULL when there is none. */
static const struct rb_listed_folder *known_of(struct records *records, const char *path)
{
    const struct rb_listing *known = records->walk->known;
    int order = 1;
    if (!known)
        return NULL;
    while (records->known_next < known->count && (order = compare_folders(known->items[records->known_next].path, path)) < 0)
        records->known_next++;
    return order == 0 && records->known_next < known->count ? &known->items[records->known_next] : NULL;
}

/* Looks at a folder's .gitignore; false when nothing can be built on it. `out` all 0: there is none. */
static bool look_at_ignore(struct records *records, const char *dir, struct rb_listed_stat *out)
{
    char path[WALK_PATH_MAX + 16];
    struct stat st;
    *out = (struct rb_listed_stat){0};
    if (!records->walk->repo)
        return true;
    snprintf(path, sizeof(path), "%s%s.gitignore", dir, *dir ? "/" : "");
    int rc = rb_below_lstat(records->walk->below, path, &st);
    if (rc < 0)
        return rc == -ENOENT;
    *out = listed_stat(&st, records->walk->settled_before_ns);
    return S_ISREG(st.st_mode) && out->mtime_ns != 0;
}

static bool same_ignore(const struct rb_listed_folder *known, bool settled, const struct rb_listed_stat *ignore)
{
    return known && settled && !known->ignore_unsettled && listed_same(&known->ignore, ignore);
}

const struct rb_listed_folder *records_known(struct records *records, const char *dir)
{
    struct stat st;
    struct rb_listed_stat ignore = {0}, now;
    const struct rb_listed_folder *known = known_of(records, dir);
    if (!known || is_doubted(records, dir) || known->stat.mtime_ns == 0 || known->ignore_unsettled)
        return NULL;
    if (rb_below_lstat(records->walk->below, *dir ? dir : ".", &st) != 0 || !S_ISDIR(st.st_mode))
        return NULL;
    now = listed_stat(&st, records->walk->settled_before_ns);
    if (!listed_same(&known->stat, &now))
        return NULL;
    if (known->ignore.mtime_ns == 0)
        return known; /* its names are what they were: there is none now either */
    return look_at_ignore(records, dir, &ignore) && listed_same(&known->ignore, &ignore) ? known : NULL;
}

size_t records_begin(struct records *records, const char *dir, int fd)
{
    struct rb_listed_folder record = {0};
    struct stat st;
    if (!records->walk->fresh)
        return SIZE_MAX;
    const struct rb_listed_folder *known = known_of(records, dir);
    bool settled = look_at_ignore(records, dir, &record.ignore);
    record.ignore_unsettled = !settled;
    if (!same_ignore(known, settled, &record.ignore))
        records_doubt(records, dir);
    if (settled && fstat(fd, &st) == 0)
        record.stat = listed_stat(&st, records->walk->settled_before_ns);
    record.path = rb_arena_strdup(records->walk->arena, dir);
    return records_add(records, &record);
}

void records_fini(struct records *records)
{
    free(records->doubted);
    records->doubted = NULL;
}
