/* Tags and remotes of a repository, one by one. Bounded: a repository may have any number of them. */
#include <string.h>

#include "git_internal.h"

enum { MAX_REFS = 100000 };

struct tags {
    struct rb_git *git;
    rb_git_each_fn *each;
    void *ctx;
    size_t count;
    int code; /* of `each` */
};

static int visit_tag(const char *name, git_oid *id, void *payload)
{
    static const char prefix[] = "refs/tags/";
    struct tags *tags = payload;
    char text[GIT_OID_HEXSZ + 1];
    if (++tags->count > MAX_REFS)
        tags->code = RB_ELIMIT;
    else
        tags->code = tags->each(tags->ctx, strncmp(name, prefix, sizeof prefix - 1) == 0 ? name + sizeof prefix - 1 : name,
                                git_oid_tostr(text, sizeof text, id));
    return tags->code;
}

int rb_git_each_tag(struct rb_git *git, rb_git_each_fn *each, void *ctx, struct rb_error *err)
{
    struct tags tags = {.git = git, .each = each, .ctx = ctx};
    int rc = git_tag_foreach(git->repo, visit_tag, &tags);
    if (tags.code < 0)
        return rb_error_set(err, tags.code, "the repository has more tags than can be compared");
    return rc < 0 ? git_fail(err, RB_ESYS, "cannot list the tags") : 0;
}

/* "remote.NAME.url" with NAME in `out`; a name may have dots. */
static bool remote_name(const char *key, char *out, size_t size)
{
    static const char prefix[] = "remote.", suffix[] = ".url";
    size_t len = strlen(key), around = sizeof prefix - 1 + sizeof suffix - 1;
    if (len <= around || len - around >= size || strncmp(key, prefix, sizeof prefix - 1) != 0 ||
        strcmp(key + len - (sizeof suffix - 1), suffix) != 0)
        return false;
    memcpy(out, key + sizeof prefix - 1, len - around);
    out[len - around] = '\0';
    return true;
}

/* Reads the whole configuration: git_remote_list and every other call with a pattern leaks in libgit2 1.5 (see git.c). */
int rb_git_each_remote(struct rb_git *git, rb_git_each_fn *each, void *ctx, struct rb_error *err)
{
    git_config *config = NULL;
    git_config_iterator *lines = NULL;
    git_config_entry *entry;
    char name[256];
    int code = 0;
    if (git_repository_config_snapshot(&config, git->repo) < 0 || git_config_iterator_new(&lines, config) < 0)
        code = git_fail(err, RB_ESYS, "cannot list the remotes");
    while (code == 0 && git_config_next(&entry, lines) == 0)
        if (remote_name(entry->name, name, sizeof name) && entry->value && each(ctx, name, entry->value) < 0)
            code = rb_error_set(err, RB_ELIMIT, "the repository has more remotes than can be compared");
    git_config_iterator_free(lines);
    git_config_free(config);
    return code;
}
