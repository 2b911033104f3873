/* Tags and remotes of a repository, one by one. Bounded: a repository may have any number of them. */
#include <stdio.h>
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

/* From the configuration and not by git_remote_lookup: see git.c about what libgit2 1.5 forgets there. */
int rb_git_each_remote(struct rb_git *git, rb_git_each_fn *each, void *ctx, struct rb_error *err)
{
    git_strarray names = {0};
    git_config *config = NULL;
    int code = 0;
    if (git_remote_list(&names, git->repo) < 0 || git_repository_config_snapshot(&config, git->repo) < 0)
        code = git_fail(err, RB_ESYS, "cannot list the remotes");
    for (size_t i = 0; code == 0 && i < names.count; i++) {
        char key[512];
        const char *url = NULL;
        int len = snprintf(key, sizeof key, "remote.%s.url", names.strings[i]);
        if (len < 0 || (size_t)len >= sizeof key || git_config_get_string(&url, config, key) < 0)
            continue; /* a remote without URL is only half configured */
        if (each(ctx, names.strings[i], url) < 0)
            code = rb_error_set(err, RB_ELIMIT, "the repository has more remotes than can be compared");
    }
    git_config_free(config);
    git_strarray_dispose(&names);
    return code;
}
