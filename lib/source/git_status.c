/* Work tree against index against HEAD, without refreshing the index.
 *
 * An entry whose stat data equal the index is unchanged, unless it is racy: changed in the same instant as the index was written
 * (git's Documentation/technical/racy-git.txt); then, and when stat data differ, the content decides. libgit2 applies only its built-in filters (line ends, ident) when it
 * hashes; a file under an external filter (LFS) cannot be verified without running that program: differing stat data count as modified, racy ones
 * as unchanged. Untracked files are counted as `git status` does: a folder without tracked files once. */
#include "git_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SAMPLES = 10 };
#define MAX_HASHED_BYTES ((off_t)512 << 20)

struct status_run {
    struct rb_git *git;
    const atomic_bool *cancelled;
    struct rb_arena *arena;
    struct rb_git_status *out;
    struct rb_error *err;
    const char **samples;
    struct rb_below below;
    int64_t index_mtime_ns;
    bool trust_ctime, trust_mode;
};

static bool is_cancelled(const struct status_run *run)
{
    return run->cancelled && atomic_load_explicit(run->cancelled, memory_order_relaxed);
}

static void count(struct status_run *run, size_t *counter, const char *path)
{
    ++*counter;
    if (run->out->samples.count >= MAX_SAMPLES)
        return;
    const char *copy = rb_arena_strdup(run->arena, path);
    if (copy)
        run->samples[run->out->samples.count++] = copy;
}

/* Whether the configuration leaves a boolean at its default of true. */
static bool config_true(struct rb_git *git, const char *name)
{
    git_config *config = NULL;
    int value = 1;
    if (git_repository_config_snapshot(&config, git->repo) == 0 && git_config_get_bool(&value, config, name) < 0)
        value = 1;
    git_config_free(config);
    return value != 0;
}

static bool same_time(int64_t told_ns, int64_t now_ns)
{
    enum { SECOND = 1000000000 };
    /* git built without nanoseconds stores 0 there. */
    return told_ns == now_ns || (told_ns / SECOND == now_ns / SECOND && (told_ns % SECOND == 0 || now_ns % SECOND == 0));
}

static bool same_stat(const struct status_run *run, const struct index_entry *entry, const struct stat *st)
{
    return entry->size_bytes == (uint32_t)st->st_size && same_time(entry->mtime_ns, rb_stat_mtime_ns(st)) &&
           (!run->trust_ctime || (entry->ino == (uint32_t)st->st_ino && same_time(entry->ctime_ns, rb_stat_ctime_ns(st))));
}

static bool is_racy(const struct status_run *run, const struct index_entry *entry)
{
    if (entry->mtime_ns % 1000000000 == 0)
        return entry->mtime_ns / 1000000000 >= run->index_mtime_ns / 1000000000;
    return entry->mtime_ns >= run->index_mtime_ns;
}

/* Whether libgit2's own filters (line ends, ident) would change the content on its way into the index. */
static bool has_builtin_filter(struct status_run *run, const char *path)
{
    git_filter_list *filters = NULL;
    bool has = git_filter_list_load(&filters, run->git->repo, NULL, path, GIT_FILTER_TO_ODB, GIT_FILTER_ALLOW_UNSAFE) < 0 || filters;
    git_filter_list_free(filters);
    return has;
}

static bool same_link(struct status_run *run, const struct index_entry *entry)
{
    char path[PATH_MAX], target[PATH_MAX];
    git_oid id;
    int len = snprintf(path, sizeof(path), "%s%s", rb_git_workdir(run->git), entry->path);
    ssize_t got = len > 0 && (size_t)len < sizeof(path) ? readlink(path, target, sizeof(target)) : -1;
    return got >= 0 && git_odb_hash(&id, target, (size_t)got, GIT_OBJECT_BLOB) == 0 && memcmp(id.id, entry->id, sizeof(id.id)) == 0;
}

/* Whether the content is what the index says. Only called when stat data cannot tell. */
static bool same_content(struct status_run *run, const struct index_entry *entry, const struct stat *st, bool stat_equal)
{
    if (S_ISLNK(st->st_mode))
        return same_link(run, entry);
    if (git_external_filter(run->git->repo, entry->path))
        return stat_equal;
    if (st->st_size > MAX_HASHED_BYTES)
        return stat_equal;
    if (entry->size_bytes != (uint32_t)st->st_size && !has_builtin_filter(run, entry->path))
        return false;
    git_oid id;
    return git_repository_hashfile(&id, run->git->repo, entry->path, GIT_OBJECT_BLOB, NULL) == 0 &&
           memcmp(id.id, entry->id, sizeof(id.id)) == 0;
}

static bool same_type(const struct status_run *run, const struct index_entry *entry, const struct stat *st)
{
    if ((entry->mode & S_IFMT) == S_IFLNK)
        return S_ISLNK(st->st_mode);
    return S_ISREG(st->st_mode) && (!run->trust_mode || ((entry->mode & 0100) != 0) == ((st->st_mode & 0100) != 0));
}

static void check_entry(struct status_run *run, const struct index_entry *entry)
{
    struct stat st;
    bool gitlink = (entry->mode & S_IFMT) == (S_IFDIR | S_IFLNK);
    if (gitlink || entry->assumed)
        return;
    int rc = rb_below_lstat(&run->below, entry->path, &st);
    if (rc < 0) {
        count(run, &run->out->deleted, entry->path);
        return;
    }
    bool stat_equal = same_stat(run, entry, &st);
    if (!same_type(run, entry, &st) || ((!stat_equal || is_racy(run, entry)) && !same_content(run, entry, &st, stat_equal)))
        count(run, &run->out->modified, entry->path);
}

static int check_worktree(struct status_run *run, const struct index_file *index)
{
    const char *conflict = NULL;
    for (size_t i = 0; i < index->count; i++) {
        const struct index_entry *entry = &index->items[i];
        if (is_cancelled(run))
            return rb_error_set(run->err, RB_ETIMEOUT, "cancelled while comparing the work tree");
        if (entry->stage == 0) {
            check_entry(run, entry);
        } else if (!conflict || strcmp(conflict, entry->path) != 0) {
            conflict = entry->path;
            count(run, &run->out->conflicted, conflict);
        }
    }
    return 0;
}

static int on_staged(const git_diff *diff, const git_diff_delta *delta, const char *matched, void *ctx)
{
    struct status_run *run = ctx;
    (void)diff;
    (void)matched;
    if (is_cancelled(run))
        return GIT_EUSER;
    if (delta->status != GIT_DELTA_CONFLICTED)
        count(run, &run->out->staged, delta->new_file.path);
    return 1; /* counted: the list itself is not needed */
}

/* The long way: entry by entry, by libgit2. */
static int compare_staged(struct status_run *run, git_tree *tree)
{
    git_index *index = NULL;
    if (git_repository_index(&index, run->git->repo) < 0)
        return git_fail(run->err, RB_ESYS, "cannot read the git index");
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    options.flags = GIT_DIFF_SKIP_BINARY_CHECK;
    options.notify_cb = on_staged;
    options.payload = run;
    git_diff *diff = NULL;
    int rc = git_diff_tree_to_index(&diff, run->git->repo, tree, index, &options);
    git_diff_free(diff);
    git_index_free(index);
    if (is_cancelled(run))
        return rb_error_set(run->err, RB_ETIMEOUT, "cancelled while comparing the index");
    return rc < 0 ? git_fail(run->err, RB_ESYS, "cannot compare the index with HEAD") : 0;
}

/* git notes in the index which tree equals it, until something is staged: the tree of HEAD there means that nothing is. */
static int check_staged(struct status_run *run, const struct index_file *index)
{
    git_object *tree = NULL;
    int rc = git_revparse_single(&tree, run->git->repo, "HEAD^{tree}");
    if (rc < 0 && rc != GIT_ENOTFOUND && rc != GIT_EUNBORNBRANCH)
        return git_fail(run->err, RB_ESYS, "cannot read the tree of HEAD");
    bool same = rc == 0 && index->tree && memcmp(git_object_id(tree)->id, index->tree, GIT_OID_RAWSZ) == 0;
    int code = same ? 0 : compare_staged(run, (git_tree *)tree);
    git_object_free(tree);
    return code;
}

static int on_untracked(void *ctx, const char *path, const struct stat *st, struct rb_error *err)
{
    struct status_run *run = ctx;
    (void)st;
    (void)err;
    count(run, &run->out->untracked, path);
    return 0;
}

static int on_repository(void *ctx, const char *dir, struct rb_error *err)
{
    (void)err;
    struct status_run *run = ctx;
    const char *path = rb_arena_printf(run->arena, "%s/", dir);
    count(run, &run->out->untracked, path ? path : dir);
    return 0;
}

static int check_untracked(struct status_run *run, const struct index_file *index)
{
    size_t total = index->count;
    const char **paths = rb_arena_array(run->arena, total ? total : 1, sizeof(char *));
    if (!paths)
        return rb_error_set(run->err, RB_ENOMEM, "out of memory while comparing the work tree");
    for (size_t i = 0; i < total; i++)
        paths[i] = index->items[i].path;
    struct walk walk = {.below = &run->below,
                        .repo = run->git->repo,
                        .prefix = "",
                        .tracked = paths,
                        .tracked_count = total,
                        .collapse = true,
                        .cancelled = run->cancelled,
                        .found = on_untracked,
                        .repository = on_repository,
                        .ctx = run};
    return walk_run(&walk, run->err);
}

int rb_git_status(struct rb_git *git, bool untracked, const atomic_bool *cancelled, struct rb_arena *arena, struct rb_git_status *out,
                  struct rb_error *err)
{
    *out = (struct rb_git_status){0};
    if (!rb_git_workdir(git))
        return rb_error_set(err, RB_EUNSUPPORTED, "a bare repository has no work tree to compare");
    struct status_run run = {.git = git, .cancelled = cancelled, .arena = arena, .out = out, .err = err};
    run.samples = rb_arena_array(arena, MAX_SAMPLES + 1, sizeof(char *));
    if (!run.samples)
        return rb_error_set(err, RB_ENOMEM, "out of memory while comparing the work tree");
    out->samples.items = run.samples;
    run.trust_ctime = config_true(git, "core.trustctime");
    run.trust_mode = config_true(git, "core.filemode");
    struct index_file index;
    int code = index_open(git, NULL, NULL, &index, err);
    if (code < 0)
        return code;
    run.index_mtime_ns = rb_stat_mtime_ns(&index.st);
    code = rb_below_init(&run.below, rb_git_workdir(git), err);
    if (code == 0)
        code = check_staged(&run, &index);
    if (code == 0)
        code = check_worktree(&run, &index);
    if (code == 0 && untracked)
        code = check_untracked(&run, &index);
    rb_below_fini(&run.below);
    index_close(&index);
    return code;
}
