/* A folder of its own for a test: made below $TMPDIR, filled with small files, removed with all it holds. */
#ifndef RB_TEST_SCRATCH_H
#define RB_TEST_SCRATCH_H

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
    char path[256];
};

static inline void scratch_make(struct scratch *scratch)
{
    const char *base = getenv("TMPDIR");
    char name[200];
    snprintf(name, sizeof name, "%s/rb-test-XXXXXX", base != NULL && base[0] == '/' && strlen(base) < 150 ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(name));
    snprintf(scratch->path, sizeof scratch->path, "%s", name);
}

/* "path/of/scratch/name" in a buffer of the caller. */
static inline const char *scratch_path(const struct scratch *scratch, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", scratch->path, name);
    return out;
}

static inline void scratch_folder(const struct scratch *scratch, const char *name)
{
    char path[512];
    ck_assert_int_eq(mkdir(scratch_path(scratch, name, path), 0700), 0);
}

static inline void scratch_write(const struct scratch *scratch, const char *name, const char *text)
{
    char path[512];
    int fd = open(scratch_path(scratch, name, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static inline int scratch_remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scratch_remove(const struct scratch *scratch)
{
    ck_assert_int_eq(nftw(scratch->path, scratch_remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
