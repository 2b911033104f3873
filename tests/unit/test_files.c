/* Listing and opening files: git's view, globs, symlinks, nested repositories, very deep trees. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/program.h"
#include "../support/scratch.h"
#include "runbook/source/files.h"

static struct rb_file_entry *list(const struct rb_file_request *request, struct rb_arena *arena, size_t *count)
{
    struct rb_file_entry *entries = NULL;
    struct rb_error err = {0};
    int code = rb_files_list(request, arena, &entries, count, &err);
    ck_assert_msg(code == 0, "%s", err.message);
    for (size_t i = 1; i < *count; i++)
        ck_assert_int_lt(strcmp(entries[i - 1].path, entries[i].path), 0);
    return entries;
}

static const struct rb_file_entry *find(const struct rb_file_entry *entries, size_t count, const char *path)
{
    static const struct rb_file_entry none = {.path = NULL};
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].path, path) == 0)
            return &entries[i];
    return &none;
}

static void make_repository(struct scratch *s)
{
    char path[512];
    scratch_make(s);
    scratch_write(s, "a.toml", "a = 1\n");
    scratch_folder(s, "sub");
    scratch_write(s, "sub/b.yml", "b: 1\n");
    scratch_write(s, ".gitignore", "*.log\nbuild/\n");
    git_run(s->path, "init", "-q", "-b", "main");
    ck_assert_int_eq(symlink("a.toml", scratch_path(s, "link.toml", path)), 0);
    git_run(s->path, "add", "-A");
    git_run(s->path, "commit", "-q", "-m", "x");
    scratch_write(s, "new.toml", "n = 1\n");
    scratch_write(s, "sub/x.log", "log");
    scratch_folder(s, "build");
    scratch_write(s, "build/out.toml", "o = 1\n");
    scratch_folder(s, "fresh");
    scratch_write(s, "fresh/c.toml", "c = 1\n");
    scratch_folder(s, "nested");
    scratch_write(s, "nested/n.toml", "n = 1\n");
    git_run(scratch_path(s, "nested", path), "init", "-q");
}

START_TEST(tracked_and_untracked)
{
    struct scratch s;
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    size_t count = 0;
    struct rb_file_entry *e = list(&(struct rb_file_request){.root = s.path, .tracked = true}, arena, &count);
    ck_assert_uint_eq(count, 4);
    ck_assert(find(e, count, "a.toml")->tracked);
    ck_assert_int_eq(find(e, count, "a.toml")->index_size, 6);
    ck_assert_int_ne(find(e, count, "a.toml")->index_mtime_ns, 0);
    ck_assert(S_ISLNK(find(e, count, "link.toml")->mode));
    e = list(&(struct rb_file_request){.root = s.path, .untracked = true}, arena, &count);
    ck_assert_uint_eq(count, 2); /* not ignored, not nested */
    ck_assert_ptr_nonnull(find(e, count, "new.toml")->path);
    ck_assert_ptr_nonnull(find(e, count, "fresh/c.toml")->path);
    const char *const globs[] = {"**/*.toml", NULL}, *const out[] = {"fresh/**", NULL};
    e = list(&(struct rb_file_request){.root = s.path, .include = {globs, 1}, .exclude = {out, 1}, .tracked = true, .untracked = true},
             arena, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert_ptr_null(find(e, count, "fresh/c.toml")->path);
    /* A root below the top sees its own part, with its own paths. */
    char sub[512];
    e = list(&(struct rb_file_request){.root = scratch_path(&s, "sub", sub), .tracked = true, .untracked = true}, arena, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(e[0].path, "b.yml");
    /* Too many: an error, not a part. */
    struct rb_error err = {0};
    ck_assert_int_eq(rb_files_list(&(struct rb_file_request){.root = s.path, .tracked = true, .max_entries = 2}, arena, &e, &count, &err),
                     RB_ELIMIT);
    scratch_remove(&s);
}
END_TEST

START_TEST(conflicts_and_submodules)
{
    struct scratch s;
    char path[512];
    make_repository(&s);
    git_run(s.path, "checkout", "-q", "-b", "other");
    scratch_write(&s, "a.toml", "a = 2\n");
    git_run(s.path, "commit", "-q", "-a", "-m", "two");
    git_run(s.path, "checkout", "-q", "main");
    scratch_write(&s, "a.toml", "a = 3\n");
    git_run(s.path, "commit", "-q", "-a", "-m", "three");
    program_run(s.path, (const char *const[]){"git", "merge", "other", NULL});
    scratch_path(&s, "nested", path);
    git_run(path, "commit", "-q", "--allow-empty", "-m", "x");
    git_run(s.path, "-c", "advice.addEmbeddedRepo=false", "add", "nested");
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    size_t count = 0;
    struct rb_file_entry *e = list(&(struct rb_file_request){.root = s.path, .tracked = true, .untracked = true}, arena, &count);
    ck_assert(find(e, count, "a.toml")->conflicted);
    ck_assert(!find(e, count, "sub/b.yml")->conflicted);
    ck_assert_ptr_null(find(e, count, "nested")->path);
    ck_assert_ptr_null(find(e, count, "nested/n.toml")->path);
    scratch_remove(&s);
}
END_TEST

START_TEST(outside_git)
{
    struct scratch s;
    char path[512];
    scratch_make(&s);
    scratch_write(&s, "a.toml", "");
    scratch_folder(&s, ".git");
    scratch_write(&s, ".git/x.toml", "");
    scratch_folder(&s, ".hg");
    scratch_write(&s, ".hg/y.toml", "");
    ck_assert_int_eq(symlink("/", scratch_path(&s, "everything", path)), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    size_t count = 0, unreachable = 9;
    bool outside = false;
    struct rb_file_entry *e = list(
        &(struct rb_file_request){
            .root = s.path, .tracked = true, .out_outside_git = &outside, .out_unreachable = &unreachable, .no_git = true},
        arena, &count);
    ck_assert(outside);
    ck_assert_uint_eq(unreachable, 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(e[0].path, "a.toml");
    ck_assert(!e[0].tracked);
    ck_assert(S_ISLNK(e[1].mode)); /* named, not entered */
    atomic_bool cancelled = true;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_files_list(&(struct rb_file_request){.root = s.path, .untracked = true, .cancelled = &cancelled, .no_git = true},
                                   arena, &e, &count, &err),
                     RB_ETIMEOUT);
    ck_assert_int_eq(rb_files_list(&(struct rb_file_request){.root = "/nonexistent/root", .untracked = true}, arena, &e, &count, &err),
                     RB_ESYS);
    scratch_remove(&s);
}
END_TEST

/* Folders nested far beyond any path length: built and removed with relative steps. */
START_TEST(very_deep_trees)
{
    enum { DEPTH = 6000 };
    struct scratch s;
    scratch_make(&s);
    int fd = open(s.path, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < DEPTH; i++) {
        ck_assert_int_eq(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    size_t count = 0, unreachable = 0;
    (void)list(&(struct rb_file_request){.root = s.path, .untracked = true, .out_unreachable = &unreachable, .no_git = true}, arena,
               &count);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(unreachable, 1); /* told, not passed over in silence */
    for (int i = 0; i < DEPTH; i++) {
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = up;
        ck_assert_int_eq(unlinkat(fd, "d", AT_REMOVEDIR), 0);
    }
    close(fd);
    scratch_remove(&s);
}
END_TEST

START_TEST(below_never_follows)
{
    struct scratch s;
    char path[512];
    scratch_make(&s);
    scratch_folder(&s, "real");
    scratch_folder(&s, "real/in");
    scratch_write(&s, "real/in/f", "x");
    ck_assert_int_eq(symlink("real", scratch_path(&s, "alias", path)), 0);
    ck_assert_int_eq(symlink("/etc/passwd", scratch_path(&s, "out", path)), 0);
    struct rb_below below;
    struct rb_error err;
    struct stat st;
    ck_assert_int_eq(rb_below_init(&below, s.path, &err), 0);
    ck_assert_int_eq(rb_below_lstat(&below, "real/in/f", &st), 0);
    int fd = rb_below_open(&below, "real/in/f", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(rb_below_open(&below, "out", O_RDONLY), -ELOOP);
    int rc = rb_below_open(&below, "alias/in/f", O_RDONLY);
    ck_assert(rc == -ELOOP || rc == -ENOTDIR);
    ck_assert_int_eq(rb_below_open(&below, "../x", O_RDONLY), -EINVAL);
    ck_assert_int_eq(rb_below_open(&below, "real/../../etc/passwd", O_RDONLY), -EINVAL);
    ck_assert_int_eq(rb_below_open(&below, "/etc/passwd", O_RDONLY), -EINVAL);
    ck_assert_int_eq(rb_below_lstat(&below, "real/none/f", &st), -ENOENT);
    rb_below_fini(&below);
    ck_assert_int_lt(rb_below_init(&below, "/nonexistent", &err), 0);
    rb_below_fini(&below);
    scratch_remove(&s);
}
END_TEST

static struct rb_found_list expand(const struct scratch *s, const char *pattern, struct rb_arena *arena)
{
    struct rb_found_list found;
    struct rb_error err = {0};
    int code = rb_files_expand(s->path, pattern, 100, NULL, arena, &found, &err);
    ck_assert_msg(code == 0, "%s", err.message);
    return found;
}

START_TEST(expand_patterns)
{
    struct scratch s;
    char path[512];
    scratch_make(&s);
    scratch_folder(&s, "bin");
    scratch_write(&s, "bin/a.sh", "abc");
    scratch_write(&s, "bin/b.sh", "");
    scratch_folder(&s, ".git");
    scratch_write(&s, ".git/HEAD", "x");
    ck_assert_int_eq(symlink("nowhere", scratch_path(&s, "bin/dead", path)), 0);
    ck_assert_int_eq(symlink("/etc", scratch_path(&s, "etc", path)), 0);
    ck_assert_int_eq(symlink("a.sh", scratch_path(&s, "bin/live", path)), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_found_list found = expand(&s, "**/*.sh", arena);
    ck_assert_uint_eq(found.count, 2);
    ck_assert_str_eq(found.items[0].path, "bin/a.sh");
    ck_assert_int_eq(found.items[0].size_bytes, 3);
    ck_assert_uint_eq(expand(&s, "bin", arena).count, 1);
    ck_assert(S_ISDIR(expand(&s, "bin", arena).items[0].mode));
    ck_assert_uint_eq(expand(&s, ".git/HEAD", arena).count, 1);
    ck_assert(expand(&s, "bin/dead", arena).items[0].dangling);
    ck_assert(expand(&s, "bin/live", arena).items[0].symlink);
    ck_assert(S_ISREG(expand(&s, "bin/live", arena).items[0].mode));
    ck_assert_uint_eq(expand(&s, "etc/passwd", arena).count, 0); /* leads out of the root */
    ck_assert_uint_eq(expand(&s, "etc/*", arena).count, 0);
    ck_assert_uint_eq(expand(&s, "none/*.sh", arena).count, 0);
    ck_assert_uint_eq(expand(&s, "/etc/passwd", arena).count, 1);
    ck_assert_str_eq(expand(&s, "/etc/passwd", arena).items[0].path, "/etc/passwd");
    ck_assert_uint_eq(expand(&s, "/etc/passw[d]", arena).count, 1);
    ck_assert_uint_eq(expand(&s, "/nonexistent/*", arena).count, 0);
    struct rb_error err;
    ck_assert_int_eq(rb_files_expand(s.path, "**", 2, NULL, arena, &found, &err), RB_ELIMIT);
    scratch_remove(&s);
}
END_TEST

START_TEST(neighbours_and_strange_paths)
{
    struct scratch s;
    char name[64], path[512], other[512];
    struct stat st;
    scratch_make(&s);
    static const char *const folders[] = {"a", "a/b", "a/b/c", "a/b/d", "a/bb", "ab", "a/e", "a/e/f", "a/e/f/g"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        scratch_folder(&s, folders[i]);
        snprintf(name, sizeof name, "%s/file", folders[i]);
        scratch_write(&s, name, folders[i]);
    }
    struct rb_below below;
    ck_assert_int_eq(rb_below_init(&below, s.path, NULL), 0);
    /* From every folder to every other, each file is the one that was meant. */
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        for (size_t j = 0; j < sizeof folders / sizeof *folders; j++) {
            snprintf(path, sizeof path, "%s/file", folders[i]);
            ck_assert_int_eq(rb_below_lstat(&below, path, &st), 0);
            ck_assert_int_eq(st.st_size, (off_t)strlen(folders[i]));
            snprintf(path, sizeof path, "%s/file", folders[j]);
            ck_assert_int_eq(rb_below_lstat(&below, path, &st), 0);
            ck_assert_int_eq(st.st_size, (off_t)strlen(folders[j]));
            snprintf(path, sizeof path, "%s/none/file", folders[i]);
            ck_assert_int_eq(rb_below_lstat(&below, path, &st), -ENOENT);
        }
    }
    static const char *const strange[] = {"a//b/file", "a//file", "a/./b//file", "./a/file"};
    for (size_t i = 0; i < 2 * sizeof strange / sizeof *strange; i++) {
        ck_assert_int_eq(rb_below_lstat(&below, "a/b/file", &st), 0);
        ck_assert_int_eq(rb_below_lstat(&below, strange[i % 4], &st), 0);
    }
    ck_assert_int_eq(rb_below_lstat(&below, "a/b/../file", &st), -EINVAL);
    ck_assert_int_eq(rb_below_lstat(&below, "../a/file", &st), -EINVAL);
    /* A folder that was swapped for a symlink leads nowhere, though its neighbour is open. */
    ck_assert_int_eq(rb_below_lstat(&below, "a/b/c/file", &st), 0);
    ck_assert_int_eq(rename(scratch_path(&s, "a/b/d", path), scratch_path(&s, "moved", other)), 0);
    ck_assert_int_eq(symlink(other, path), 0);
    int rc = rb_below_lstat(&below, "a/b/d/file", &st);
    ck_assert(rc == -ELOOP || rc == -ENOTDIR);
    rb_below_fini(&below);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("files", neighbours_and_strange_paths, tracked_and_untracked, conflicts_and_submodules, outside_git, very_deep_trees,
             below_never_follows, expand_patterns)
