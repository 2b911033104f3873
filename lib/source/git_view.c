/* What drift asks of a repository, by libgit2, without writing anything.
 *
 * External filters (LFS, clean commands) are never run: a digest that would need one is refused and the caller says so. Digests apply libgit2's built-in filters, so that a file
 * with CRLF in the work tree has the digest of its normalised form, the same on every machine. */
#include "runbook/source/git_view.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "git_internal.h"
#include "runbook/base/digest.h"

enum { MAX_COMMITS = 2000, PREFIX_ARENA = 16384 };

struct rb_git_view {
    struct rb_git *git;
    git_tree *head, *upstream; /* NULL: there is none */
    git_odb *odb;
    struct rb_arena *arena;
    const char *prefix;
    bool trusts_mode, sparse, trees_loaded;
};

static git_tree *tree_of(git_repository *repo, const char *revision)
{
    git_object *object = NULL;
    return git_revparse_single(&object, repo, revision) == 0 ? (git_tree *)object : NULL;
}

/* The tree of HEAD's upstream, through rb_git_tracking: libgit2's own look-up leaks (git.c). */
static git_tree *upstream_tree(struct rb_git_view *view)
{
    struct rb_git_tracking tracking;
    char revision[512];
    if (rb_git_tracking(view->git, view->arena, &tracking, NULL) < 0 || !tracking.has_upstream)
        return NULL;
    int len = snprintf(revision, sizeof revision, "%s^{tree}", tracking.upstream);
    return len > 0 && (size_t)len < sizeof revision ? tree_of(view->git->repo, revision) : NULL;
}

static bool is_on(git_repository *repo, const char *key, int fallback)
{
    git_config *config = NULL;
    int value = fallback;
    if (git_repository_config_snapshot(&config, repo) == 0 && git_config_get_bool(&value, config, key) < 0)
        value = fallback;
    git_config_free(config);
    return value != 0;
}

/* git notes it in a file for this work tree alone, which libgit2 before 1.8 does not read. */
static bool is_sparse(git_repository *repo)
{
    char path[PATH_MAX];
    int value = 0, len = snprintf(path, sizeof path, "%sconfig.worktree", git_repository_path(repo));
    git_config *config = NULL;
    bool own = len > 0 && (size_t)len < sizeof path && git_config_open_ondisk(&config, path) == 0 &&
               git_config_get_bool(&value, config, "core.sparsecheckout") == 0;
    git_config_free(config);
    return own ? value != 0 : is_on(repo, "core.sparsecheckout", 0);
}

int rb_git_view_new(struct rb_git *git, const char *root, struct rb_git_view **out, struct rb_error *err)
{
    struct rb_git_view *view = calloc(1, sizeof *view);
    if (!view || !(view->arena = rb_arena_new(PREFIX_ARENA))) {
        free(view);
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    }
    view->git = git;
    int rc = git_prefix(git, root, view->arena, &view->prefix, err);
    if (rc == 0 && git_repository_odb(&view->odb, git->repo) < 0)
        rc = git_fail(err, RB_ESYS, "cannot open the objects of the repository");
    if (rc < 0) {
        rb_git_view_free(view);
        return rc;
    }
    view->trusts_mode = is_on(git->repo, "core.filemode", 1);
    view->sparse = is_sparse(git->repo);
    *out = view;
    return 0;
}

void rb_git_view_free(struct rb_git_view *view)
{
    if (!view)
        return;
    git_tree_free(view->head);
    git_tree_free(view->upstream);
    git_odb_free(view->odb);
    rb_arena_free(view->arena);
    free(view);
}

bool rb_git_view_trusts_mode(const struct rb_git_view *view)
{
    return view->trusts_mode;
}

bool rb_git_view_is_sparse(const struct rb_git_view *view)
{
    return view->sparse;
}

static bool full_path(const struct rb_git_view *view, const char *path, char out[PATH_MAX])
{
    int len = snprintf(out, PATH_MAX, "%s%s", view->prefix, path);
    return len > 0 && len < PATH_MAX;
}

static struct rb_git_entry entry_in(const git_tree *tree, const char *path)
{
    struct rb_git_entry out = {0};
    git_tree_entry *entry = NULL;
    if (tree && git_tree_entry_bypath(&entry, tree, path) == 0) {
        out.found = true;
        out.mode = (unsigned)git_tree_entry_filemode(entry);
        memcpy(out.id, git_tree_entry_id(entry)->id, RB_GIT_ID);
    }
    git_tree_entry_free(entry);
    return out;
}

/* Only what differs asks for the trees. A view has one user at a time. */
static void load_trees(const struct rb_git_view *borrowed)
{
    struct rb_git_view *view = (struct rb_git_view *)(uintptr_t)borrowed;
    if (view->trees_loaded)
        return;
    view->trees_loaded = true;
    view->head = tree_of(view->git->repo, "HEAD^{tree}");
    view->upstream = upstream_tree(view);
}

bool rb_git_view_has_upstream(const struct rb_git_view *view)
{
    load_trees(view);
    return view->upstream != NULL;
}

struct rb_git_entry rb_git_view_head(const struct rb_git_view *view, const char *path)
{
    char full[PATH_MAX];
    load_trees(view);
    return full_path(view, path, full) ? entry_in(view->head, full) : (struct rb_git_entry){0};
}

struct rb_git_entry rb_git_view_upstream(const struct rb_git_view *view, const char *path)
{
    char full[PATH_MAX];
    load_trees(view);
    return full_path(view, path, full) ? entry_in(view->upstream, full) : (struct rb_git_entry){0};
}

static struct rb_git_entry entry_at(git_repository *repo, const git_oid *commit_id, const char *path)
{
    git_commit *commit = NULL;
    git_tree *tree = NULL;
    struct rb_git_entry entry = {0};
    if (git_commit_lookup(&commit, repo, commit_id) == 0 && git_commit_tree(&tree, commit) == 0)
        entry = entry_in(tree, path);
    git_tree_free(tree);
    git_commit_free(commit);
    return entry;
}

static bool same_entry(const struct rb_git_entry *a, const struct rb_git_entry *b)
{
    return a->found == b->found && a->mode == b->mode && memcmp(a->id, b->id, RB_GIT_ID) == 0;
}

/* Whether `commit` brought what `now` says: no parent has it. */
static bool brought(git_repository *repo, git_commit *commit, const char *path, const struct rb_git_entry *now)
{
    unsigned parents = git_commit_parentcount(commit);
    for (unsigned i = 0; i < parents; i++) {
        struct rb_git_entry before = entry_at(repo, git_commit_parent_id(commit, i), path);
        if (same_entry(&before, now))
            return false;
    }
    return parents > 0 || now->found;
}

int64_t rb_git_view_change_time(const struct rb_git_view *view, const char *path)
{
    char full[PATH_MAX];
    git_revwalk *walk = NULL;
    git_oid id;
    int64_t time_ns = 0;
    load_trees(view);
    if (!full_path(view, path, full) || !view->head || git_revwalk_new(&walk, view->git->repo) < 0)
        return 0;
    struct rb_git_entry now = entry_in(view->head, full);
    git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
    int rc = git_revwalk_push_head(walk);
    for (unsigned i = 0; rc == 0 && i < MAX_COMMITS && time_ns == 0 && git_revwalk_next(&id, walk) == 0; i++) {
        git_commit *commit = NULL;
        if (git_commit_lookup(&commit, view->git->repo, &id) < 0)
            break;
        if (brought(view->git->repo, commit, full, &now))
            time_ns = (int64_t)git_commit_time(commit) * 1000000000;
        git_commit_free(commit);
    }
    git_revwalk_free(walk);
    return time_ns;
}

bool rb_git_view_filter(const struct rb_git_view *view, const char *path)
{
    char full[PATH_MAX];
    const char *external = full_path(view, path, full) ? git_external_filter(view->git->repo, full) : NULL;
    return external && strcmp(external, "lfs") != 0;
}

/* What Git LFS stores in place of the content (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md): known without running it. */
static int hash_lfs(const char *bytes, size_t len, unsigned char out[RB_GIT_ID], struct rb_error *err)
{
    static const char version[] = "version https://git-lfs.github.com/spec/v1\n";
    if (len == 0 || (len < 1024 && len > sizeof version && memcmp(bytes, version, sizeof version - 1) == 0))
        return rb_git_hash_plain(bytes, len, out, err); /* a pointer that was never replaced by its content */
    char digest[RB_SHA256_HEX], pointer[256];
    rb_sha256_of(bytes, len, digest);
    int size = snprintf(pointer, sizeof pointer, "%soid sha256:%s\nsize %zu\n", version, digest, len);
    return rb_git_hash_plain(pointer, (size_t)size, out, err);
}

int rb_git_hash_plain(const char *bytes, size_t len, unsigned char out[RB_GIT_ID], struct rb_error *err)
{
    git_oid id;
    if (git_libgit2_init() < 0 || git_odb_hash(&id, bytes ? bytes : "", len, GIT_OBJECT_BLOB) < 0)
        return git_fail(err, RB_ESYS, "cannot compute a digest");
    memcpy(out, id.id, RB_GIT_ID);
    return 0;
}

int rb_git_view_hash(const struct rb_git_view *view, const char *path, const char *bytes, size_t len, unsigned char out[RB_GIT_ID],
                     struct rb_error *err)
{
    char full[PATH_MAX];
    git_filter_list *filters = NULL;
    git_buf filtered = GIT_BUF_INIT;
    if (!full_path(view, path, full))
        return rb_error_set(err, RB_EINVAL, "the path is too long");
    const char *external = git_external_filter(view->git->repo, full);
    if (external && strcmp(external, "lfs") == 0)
        return hash_lfs(bytes, len, out, err);
    if (external)
        return rb_error_set(err, RB_EUNSUPPORTED, "an external filter decides over the content of %s", path);
    if (git_filter_list_load(&filters, view->git->repo, NULL, full, GIT_FILTER_TO_ODB, GIT_FILTER_ALLOW_UNSAFE) < 0)
        return git_fail(err, RB_ESYS, "cannot read the attributes");
    if (!filters)
        return rb_git_hash_plain(bytes, len, out, err);
    int rc = git_filter_list_apply_to_buffer(&filtered, filters, bytes ? bytes : "", len) < 0
                 ? git_fail(err, RB_ESYS, "cannot convert line ends")
                 : rb_git_hash_plain(filtered.ptr, filtered.size, out, err);
    git_buf_dispose(&filtered);
    git_filter_list_free(filters);
    return rc;
}

bool rb_git_view_has(const struct rb_git_view *view, const unsigned char id[RB_GIT_ID])
{
    git_oid oid;
    memcpy(oid.id, id, RB_GIT_ID);
    return git_odb_exists(view->odb, &oid) == 1;
}

int rb_git_view_read(const struct rb_git_view *view, const unsigned char id[RB_GIT_ID], size_t max, struct rb_buf *out,
                     struct rb_error *err)
{
    git_oid oid;
    size_t size = 0;
    git_object_t type;
    git_odb_object *object = NULL;
    memcpy(oid.id, id, RB_GIT_ID);
    if (git_odb_read_header(&size, &type, view->odb, &oid) < 0 || type != GIT_OBJECT_BLOB)
        return rb_error_set(err, RB_ENOTFOUND, "the repository does not have this content");
    if (size > max)
        return rb_error_set(err, RB_ELIMIT, "larger than %zu bytes", max);
    if (git_odb_read(&object, view->odb, &oid) < 0)
        return git_fail(err, RB_ESYS, "cannot read the content");
    rb_buf_add(out, git_odb_object_data(object), git_odb_object_size(object));
    git_odb_object_free(object);
    return rb_buf_check(out, "the content", err);
}

int rb_git_view_submodule(const struct rb_git_view *view, const char *path, unsigned char out[RB_GIT_ID], struct rb_error *err)
{
    char full[PATH_MAX];
    git_repository *repo = NULL;
    git_oid id;
    int len = snprintf(full, sizeof full, "%s%s%s", rb_git_workdir(view->git), view->prefix, path);
    if (len < 0 || (size_t)len >= sizeof full)
        return rb_error_set(err, RB_EINVAL, "the path is too long");
    if (git_repository_open_ext(&repo, full, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0)
        return rb_error_set(err, RB_ENOTFOUND, "the submodule %s is not initialised", path);
    int rc = git_reference_name_to_id(&id, repo, "HEAD");
    git_repository_free(repo);
    if (rc < 0)
        return rb_error_set(err, RB_ENOTFOUND, "the submodule %s has no commit", path);
    memcpy(out, id.id, RB_GIT_ID);
    return 0;
}

bool rb_git_view_submodule_modified(const struct rb_git_view *view, const char *path, const atomic_bool *cancelled, struct rb_arena *arena)
{
    char full[PATH_MAX];
    struct rb_git *git = NULL;
    struct rb_git_status status = {0};
    int len = snprintf(full, sizeof full, "%s%s%s", rb_git_workdir(view->git), view->prefix, path);
    if (len < 0 || (size_t)len >= sizeof full || rb_git_open(full, &git, NULL) < 0)
        return false;
    bool told = rb_git_status(git, true, cancelled, arena, &status, NULL) == 0;
    rb_git_close(git);
    return told && status.staged + status.modified + status.deleted + status.untracked + status.conflicted > 0;
}
