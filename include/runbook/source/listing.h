/* What the walk for untracked files found, folder by folder. Given to the next listing it saves reading the folders that are still what they were: one lstat each.
 *
 * A folder's record counts while its stat data are the same, its .gitignore and those above it are, and `key` is, which stands for all else that decides: globs, git's index,
 * the exclude files outside of the tree. Stat data prove nothing for a moment after a change (file systems keep time in steps of up to two seconds): what changed less than that
 * before a listing began is never recorded as settled. */
#ifndef RUNBOOK_SOURCE_LISTING_H
#define RUNBOOK_SOURCE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RB_LISTING_SETTLE_NS (INT64_C(2000000000))
enum { RB_LISTING_MAX = 200000 }; /* folders and names in all; a larger one is not kept */

struct rb_listed_stat {
    int64_t mtime_ns, ctime_ns, size, dev, ino, links; /* all 0: there was none */
};
struct rb_listed_name {
    struct rb_listed_name *next;
    const char *name; /* a folder's ends in '/' */
};
struct rb_listed_folder {
    const char *path;           /* below the root; "" is the root */
    struct rb_listed_stat stat; /* from before it was read; all 0: it was not settled, so it has to be read again */
    struct rb_listed_stat ignore;
    bool ignore_unsettled; /* its .gitignore changed a moment before, or is no regular file: nothing below counts */
    int64_t unreachable;   /* names whose path is too long */
    struct rb_listed_name *names, *last;
};
struct rb_listing {
    const char *key;             /* NULL: it is good for nothing */
    struct rb_listed_stat index; /* of git's index whose checksum was compared with its bytes; all 0: none, or it was not settled */
    struct rb_listed_folder *items;
    size_t count, cap; /* in the order of the walk */
    size_t names;
    bool changed; /* it says something that the one before did not */
};

#endif
