/* HEAD, log and tags as text.
 *
 * Only what a fresh clone of the same repository has too: no remotes, no reflog, no paths, no local time. Everything is escaped here; secrets are masked by the archive. */
#include "repo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/source/git.h"

#define TEXT_MAX    ((size_t)16 << 20)
#define MAX_SECONDS INT64_C(9000000000)

int repo_fail(struct rb_error *err, const char *what)
{
    const git_error *last = git_error_last();
    return rb_error_set(err, RB_ESYS, "%s: %s", what, last && last->message ? last->message : "unknown error of libgit2");
}

void repo_add_time(struct rb_buf *out, int64_t seconds)
{
    char text[RB_TIME_TEXT];
    /* A commit may claim any time; what nanoseconds cannot hold stays a number. */
    if (seconds != 0 && seconds > -MAX_SECONDS && seconds < MAX_SECONDS)
        rb_buf_adds(out, rb_time_rfc3339(text, seconds * 1000000000));
    else
        rb_buf_addf(out, "@%lld", (long long)seconds);
}

static const char *author_of(const git_commit *commit)
{
    const git_signature *author = git_commit_author(commit);
    return author && author->name ? author->name : "";
}

void repo_add_commit_line(struct rb_buf *out, const git_commit *commit)
{
    rb_buf_addf(out, "%s ", git_oid_tostr_s(git_commit_id(commit)));
    repo_add_time(out, git_commit_time(commit));
    rb_buf_addc(out, ' ');
    rb_text_escapes(out, author_of(commit));
    rb_buf_adds(out, ": ");
    const char *subject = git_commit_message(commit);
    rb_text_escape(out, subject ? subject : "", subject ? strcspn(subject, "\r\n") : 0);
}

/* ---- HEAD ---- */

static void add_branch(git_repository *repo, struct rb_buf *out)
{
    static const char heads[] = "refs/heads/";
    git_reference *head = NULL;
    rb_buf_adds(out, "branch ");
    if (git_reference_lookup(&head, repo, "HEAD") == 0 && git_reference_type(head) == GIT_REFERENCE_SYMBOLIC) {
        const char *target = git_reference_symbolic_target(head);
        rb_text_escapes(out, strncmp(target, heads, sizeof heads - 1) == 0 ? target + sizeof heads - 1 : target);
    } else {
        rb_buf_adds(out, "(detached)");
    }
    rb_buf_addc(out, '\n');
    git_reference_free(head);
}

static int head_text(git_repository *repo, struct rb_buf *out, struct rb_error *err)
{
    git_oid id;
    git_commit *commit = NULL;
    int rc = git_reference_name_to_id(&id, repo, "HEAD");
    if (rc == GIT_ENOTFOUND || rc == GIT_EUNBORNBRANCH) {
        rb_buf_adds(out, "commit (none yet)\n");
        add_branch(repo, out);
        return 0;
    }
    if (rc < 0 || git_commit_lookup(&commit, repo, &id) < 0)
        return repo_fail(err, "cannot read HEAD");
    rb_buf_addf(out, "commit %s\n", git_oid_tostr_s(&id));
    rb_buf_addf(out, "tree %s\n", git_oid_tostr_s(git_commit_tree_id(commit)));
    add_branch(repo, out);
    rb_buf_adds(out, "author ");
    rb_text_escapes(out, author_of(commit));
    rb_buf_adds(out, "\ndate ");
    repo_add_time(out, git_commit_time(commit));
    rb_buf_adds(out, "\nsubject ");
    const char *message = git_commit_message(commit);
    rb_text_escape(out, message ? message : "", message ? strcspn(message, "\r\n") : 0);
    rb_buf_addc(out, '\n');
    git_commit_free(commit);
    return 0;
}

/* ---- log ---- */

static int log_text(git_repository *repo, struct rb_buf *out, struct rb_error *err)
{
    git_revwalk *walk = NULL;
    if (git_revwalk_new(&walk, repo) < 0)
        return repo_fail(err, "cannot read the log");
    (void)git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
    git_oid id;
    if (git_revwalk_push_head(walk) == 0) {
        for (size_t i = 0; i < RB_EVIDENCE_LOG_COMMITS && git_revwalk_next(&id, walk) == 0; i++) {
            git_commit *commit = NULL;
            if (git_commit_lookup(&commit, repo, &id) == 0) {
                repo_add_commit_line(out, commit);
                rb_buf_addc(out, '\n');
            }
            git_commit_free(commit);
        }
    }
    git_revwalk_free(walk);
    return 0;
}

/* ---- tags ---- */

static void add_tag(git_repository *repo, const char *name, struct rb_buf *out)
{
    char ref[1024];
    git_oid id;
    git_object *object = NULL, *target = NULL;
    (void)snprintf(ref, sizeof ref, "refs/tags/%s", name);
    if (git_reference_name_to_id(&id, repo, ref) < 0 || git_object_lookup(&object, repo, &id, GIT_OBJECT_ANY) < 0) {
        rb_buf_adds(out, "(unreadable)");
    } else if (git_object_type(object) == GIT_OBJECT_TAG && git_tag_peel(&target, (git_tag *)object) == 0) {
        rb_buf_addf(out, "%s annotated", git_oid_tostr_s(git_object_id(target)));
    } else {
        rb_buf_addf(out, "%s lightweight", git_oid_tostr_s(&id));
    }
    rb_buf_addc(out, ' ');
    rb_text_escapes(out, name);
    rb_buf_addc(out, '\n');
    git_object_free(target);
    git_object_free(object);
}

static int by_text(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

static int tags_text(git_repository *repo, struct rb_buf *out, struct rb_error *err)
{
    git_strarray tags = {0};
    if (git_tag_list(&tags, repo) < 0)
        return repo_fail(err, "cannot read the tags");
    if (tags.count > 1)
        qsort(tags.strings, tags.count, sizeof *tags.strings, by_text);
    for (size_t i = 0; i < tags.count && i < RB_EVIDENCE_MAX_LINES; i++)
        add_tag(repo, tags.strings[i], out);
    if (tags.count > RB_EVIDENCE_MAX_LINES)
        rb_buf_addf(out, "and %zu more\n", tags.count - RB_EVIDENCE_MAX_LINES);
    git_strarray_dispose(&tags);
    return 0;
}

/* ---- all of it ---- */

typedef int (*text_maker)(git_repository *repo, struct rb_buf *out, struct rb_error *err);
static const struct git_fact {
    const char *name;
    text_maker make;
} facts[] = {{"HEAD.txt", head_text}, {"status.txt", repo_status}, {"log_50.txt", log_text}, {"tags.txt", tags_text}};

static int add_text(struct rb_archive *archive, git_repository *repo, const struct git_fact *fact, struct rb_error *err)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, TEXT_MAX);
    struct rb_error why = {0};
    int rc = fact->make(repo, &text, &why);
    if (rc == 0)
        rc = rb_buf_check(&text, fact->name, &why);
    return rc == 0 ? rb_archive_add(archive, fact->name, "git", rb_buf_str(&text), text.len, err)
                   : rb_archive_add_missing(archive, fact->name, why.message, err);
}

static bool named_before(const struct rb_strings *commits, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(commits->items[i], commits->items[index]) == 0)
            return true;
    return false;
}

/* "show_<commit>.txt"; a '/' of a branch's name may not become a folder. */
static void show_name(const char *commit, struct rb_buf *out)
{
    rb_buf_adds(out, "show_");
    for (; *commit; commit++)
        rb_buf_addc(out, *commit == '/' ? '_' : *commit);
    rb_buf_adds(out, ".txt");
}

static int add_show(struct rb_archive *archive, git_repository *repo, const char *commit, const struct rb_error *no_repo,
                    struct rb_error *err)
{
    RB_BUF_AUTO text, name;
    rb_buf_init(&text, 4 * RB_EVIDENCE_MAX_PATCH);
    rb_buf_init(&name, 4096);
    show_name(commit, &name);
    struct rb_error why = {0};
    struct rb_member_traits traits = {0};
    int rc = repo ? repo_show(repo, commit, &text, &traits.masked, &why) : rb_error_set(&why, RB_ENOTFOUND, "%s", no_repo->message);
    if (rc == 0)
        rc = rb_buf_check(&text, "the patch", &why);
    return rc == 0 ? rb_archive_add_with(archive, rb_buf_str(&name), "git", &text, traits, err)
                   : rb_archive_add_missing(archive, rb_buf_str(&name), why.message, err);
}

/* Opened by lib/source, which tells apart why not; then a handle of our own. NULL with `why`, which names no path: two places must give the same bytes. */
static git_repository *open_repo(const char *root, struct rb_error *why)
{
    struct rb_git *git = NULL;
    git_repository *repo = NULL;
    int rc = rb_git_open(root, &git, why);
    if (rc == 0 && git_repository_open(&repo, rb_git_dir(git)) < 0)
        (void)rb_error_set(why, RB_ESYS, "the git repository cannot be opened");
    else if (rc == RB_ENOTFOUND)
        (void)rb_error_set(why, rc, "the root is not in a git repository");
    else if (rc == RB_EPERM)
        (void)rb_error_set(why, rc, "the git repository belongs to another user");
    rb_git_close(git);
    return repo;
}

int64_t rb_evidence_head_time(const char *root)
{
    struct rb_error ignored;
    git_repository *repo = open_repo(root, &ignored);
    git_oid id;
    git_commit *commit = NULL;
    int64_t time = 0;
    if (repo && git_reference_name_to_id(&id, repo, "HEAD") == 0 && git_commit_lookup(&commit, repo, &id) == 0)
        time = git_commit_time(commit);
    git_commit_free(commit);
    git_repository_free(repo);
    return time > 0 && time <= INT32_MAX ? time : 0;
}

int rb_evidence_add_git(struct rb_archive *archive, const char *root, const struct rb_strings *commits, struct rb_error *err)
{
    struct rb_error no_repo = {0};
    git_repository *repo = open_repo(root, &no_repo);
    int rc = 0;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0] && rc == 0; i++)
        rc = repo ? add_text(archive, repo, &facts[i], err) : rb_archive_add_missing(archive, facts[i].name, no_repo.message, err);
    for (size_t i = 0; i < commits->count && rc == 0; i++)
        if (!named_before(commits, i))
            rc = add_show(archive, repo, commits->items[i], &no_repo, err);
    git_repository_free(repo);
    return rc;
}
