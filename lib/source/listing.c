/* When a listing of an earlier walk may be believed.
 *
 * The key covers what the folders' own stat data do not: the request, git's index (by its checksum, which was compared with the bytes), whether case counts, and the files with
 * patterns outside of the walk: .git/info/exclude, core.excludesFile or its default, and the .gitignore files between the top of the work tree and the root. Of these the stat
 * data enter; one that changed within the time that a file system's clock may hide makes the listing worthless, so that it is made anew until the file has rested. */
#include "runbook/source/listing.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "git_internal.h"
#include "runbook/base/buf.h"
#include "runbook/base/digest.h"

enum { KEY_MAX_BYTES = 1 << 20, CHECKSUM_BYTES = 20 };

struct key {
    struct rb_buf text;
    int64_t settled_before_ns;
    bool doubtful;
};

struct rb_listed_stat listed_stat(const struct stat *st, int64_t settled_before_ns)
{
    int64_t mtime = rb_stat_mtime_ns(st), ctime = rb_stat_ctime_ns(st);
    if (mtime <= 0 || ctime <= 0 || mtime >= settled_before_ns || ctime >= settled_before_ns)
        return (struct rb_listed_stat){0};
    return (struct rb_listed_stat){.mtime_ns = mtime,
                                   .ctime_ns = ctime,
                                   .size = (int64_t)st->st_size,
                                   .dev = (int64_t)st->st_dev,
                                   .ino = (int64_t)st->st_ino,
                                   .links = (int64_t)st->st_nlink};
}

bool listed_same(const struct rb_listed_stat *a, const struct rb_listed_stat *b)
{
    return a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->size == b->size && a->dev == b->dev && a->ino == b->ino &&
           a->links == b->links;
}

static bool same_names(const struct rb_listed_folder *a, const struct rb_listed_folder *b)
{
    const struct rb_listed_name *left = a->names, *right = b->names;
    while (left && right && left != right && strcmp(left->name, right->name) == 0) {
        left = left->next;
        right = right->next;
    }
    return left == right;
}

bool listing_same(const struct rb_listing *a, const struct rb_listing *b)
{
    bool same = a->count == b->count && listed_same(&a->index, &b->index);
    for (size_t i = 0; i < a->count && same; i++) {
        const struct rb_listed_folder *left = &a->items[i], *right = &b->items[i];
        same = strcmp(left->path, right->path) == 0 && listed_same(&left->stat, &right->stat) &&
               listed_same(&left->ignore, &right->ignore) && left->ignore_unsettled == right->ignore_unsettled &&
               left->unreachable == right->unreachable && same_names(left, right);
    }
    return same;
}

static void add_text(struct key *key, const char *text)
{
    rb_buf_addf(&key->text, "%zu:%s\n", strlen(text), text);
}

static void add_texts(struct key *key, const struct rb_strings *texts)
{
    rb_buf_addf(&key->text, "%zu\n", texts->count);
    for (size_t i = 0; i < texts->count; i++)
        add_text(key, texts->items[i]);
}

static void add_stat(struct key *key, const struct stat *st)
{
    struct rb_listed_stat told = listed_stat(st, key->settled_before_ns);
    key->doubtful |= told.mtime_ns == 0;
    rb_buf_addf(&key->text, "%lld %lld %lld %lld %lld\n", (long long)told.mtime_ns, (long long)told.ctime_ns, (long long)told.size,
                (long long)told.dev, (long long)told.ino);
}

/* A file with patterns: where a link leads counts, since that is what is read. */
static void add_file(struct key *key, const char *path)
{
    struct stat st;
    add_text(key, path);
    if (stat(path, &st) == 0)
        add_stat(key, &st);
    else if (errno == ENOENT || errno == ENOTDIR)
        rb_buf_adds(&key->text, "none\n");
    else
        key->doubtful = true;
}

static void add_joined(struct key *key, const char *folder, size_t len, const char *name)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%.*s%s%s", (int)len, folder, len > 0 && folder[len - 1] == '/' ? "" : "/", name);
    if (size > 0 && (size_t)size < sizeof path)
        add_file(key, path);
    else
        key->doubtful = true;
}

/* The file that core.excludesFile names, else "ignore" in each of the folders where libgit2 looks for a user's configuration. */
static void add_user_excludes(struct key *key, git_config *config)
{
    git_buf path = GIT_BUF_INIT, folders = GIT_BUF_INIT;
    int rc = git_config_get_path(&path, config, "core.excludesfile");
    if (rc == 0 && path.ptr[0] == '/')
        add_file(key, path.ptr);
    else if (rc != GIT_ENOTFOUND || git_libgit2_opts(GIT_OPT_GET_SEARCH_PATH, GIT_CONFIG_LEVEL_XDG, &folders) < 0)
        key->doubtful = true;
    for (const char *at = folders.ptr; at && *at;) {
        size_t len = strcspn(at, ":");
        if (len > 0)
            add_joined(key, at, len, "ignore");
        at += len + (at[len] == ':');
    }
    git_buf_dispose(&path);
    git_buf_dispose(&folders);
}

static void add_outer_ignores(struct key *key, const char *workdir, const char *prefix)
{
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof folder, "%s%s", workdir, prefix);
    if (len < 0 || (size_t)len >= sizeof folder) {
        key->doubtful = true;
        return;
    }
    size_t at = strlen(workdir);
    for (const char *slash = prefix; (slash = strchr(slash, '/')) != NULL; slash++) {
        add_joined(key, folder, at, ".gitignore"); /* of the folder that this part of the prefix lies in */
        at = strlen(workdir) + (size_t)(slash - prefix) + 1;
    }
}

static void add_git(struct key *key, struct rb_git *git, const struct index_file *index, const char *prefix)
{
    static const unsigned char none[CHECKSUM_BYTES];
    git_config *config = NULL;
    git_buf info = GIT_BUF_INIT;
    int ignorecase = 0;
    if (index->bytes) {
        const unsigned char *checksum = index->bytes + index->len - CHECKSUM_BYTES;
        if (memcmp(checksum, none, CHECKSUM_BYTES) == 0)
            add_stat(key, &index->st);
        rb_buf_add(&key->text, checksum, CHECKSUM_BYTES);
    } else if (index->count > 0) {
        key->doubtful = true; /* libgit2 read it */
    }
    if (git_repository_config_snapshot(&config, git->repo) < 0 ||
        git_repository_item_path(&info, git->repo, GIT_REPOSITORY_ITEM_INFO) < 0) {
        key->doubtful = true;
    } else {
        (void)git_config_get_bool(&ignorecase, config, "core.ignorecase");
        rb_buf_addf(&key->text, "case %d\n", ignorecase);
        add_joined(key, info.ptr, strlen(info.ptr), "exclude");
        add_user_excludes(key, config);
    }
    add_outer_ignores(key, git_repository_workdir(git->repo), prefix);
    git_config_free(config);
    git_buf_dispose(&info);
}

const char *listing_key(const struct rb_file_request *request, struct rb_git *git, const struct index_file *index, const char *prefix,
                        struct rb_arena *arena)
{
    struct key key = {.settled_before_ns = request->now_wall_ns - RB_LISTING_SETTLE_NS};
    char hex[RB_SHA256_HEX];
    rb_buf_init(&key.text, KEY_MAX_BYTES);
    add_text(&key, request->root);
    add_text(&key, prefix);
    add_texts(&key, &request->include);
    add_texts(&key, &request->exclude);
    rb_buf_addf(&key.text, "libgit2 %s %d\n", LIBGIT2_VERSION, git != NULL);
    if (git)
        add_git(&key, git, index, prefix);
    bool ok = !key.doubtful && !key.text.failed;
    rb_sha256_of(key.text.data, key.text.len, hex);
    rb_buf_fini(&key.text);
    return ok ? rb_arena_strdup(arena, hex) : NULL;
}
