/* One commit with its patch, as `git show` gives it, with secrets masked and hostile text escaped.
 *
 * libgit2 makes the patch: it knows no textconv and no external diff. Secrets are masked in runs of lines of the same origin with the '+' or '-' taken off: a key block of many
 * lines or a value on the next line would hide behind those. */
#include <string.h>

#include "repo.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"

#define MAX_BLOB ((git_off_t)1 << 20)

struct show {
    struct rb_buf *out;
    struct rb_buf run; /* lines of one origin, without it */
    char origin;       /* of `run`, or 0 */
    size_t masked, bytes;
    bool cut;
};

/* One line, tabs kept: a patch of a Makefile should stay readable. */
static void add_escaped(struct rb_buf *out, const char *text, size_t len)
{
    for (;;) {
        const char *tab = memchr(text, '\t', len);
        size_t part = tab ? (size_t)(tab - text) : len;
        rb_text_escape(out, text, part);
        if (!tab)
            return;
        rb_buf_addc(out, '\t');
        text += part + 1;
        len -= part + 1;
    }
}

/* Lines with `lead` before each. */
static void add_lines(struct rb_buf *out, const char *lead, const char *text, size_t len)
{
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t line = end ? (size_t)(end - text) : len;
        rb_buf_adds(out, lead);
        add_escaped(out, text, line);
        rb_buf_addc(out, '\n');
        text += line + (end != NULL);
        len -= line + (end != NULL);
    }
}

static void flush_run(struct show *show)
{
    if (show->run.len > 0) {
        RB_BUF_AUTO masked;
        rb_buf_init(&masked, 2 * RB_EVIDENCE_MAX_PATCH);
        show->masked += rb_redact(&masked, rb_buf_str(&show->run), show->run.len);
        const char lead[2] = {show->origin, '\0'};
        add_lines(show->out, lead, rb_buf_str(&masked), masked.len);
        show->out->failed = show->out->failed || masked.failed;
    }
    rb_buf_reset(&show->run);
}

static int on_line(const git_diff_delta *delta, const git_diff_hunk *hunk, const git_diff_line *line, void *ctx)
{
    struct show *show = ctx;
    (void)delta;
    (void)hunk;
    show->bytes += line->content_len;
    if (show->bytes > RB_EVIDENCE_MAX_PATCH) {
        show->cut = true;
        return GIT_EUSER;
    }
    bool content = line->origin == GIT_DIFF_LINE_CONTEXT || line->origin == GIT_DIFF_LINE_ADDITION ||
                   line->origin == GIT_DIFF_LINE_DELETION;
    if (!content || line->origin != show->origin)
        flush_run(show);
    show->origin = line->origin;
    if (content)
        rb_buf_add(&show->run, line->content, line->content_len);
    else
        add_lines(show->out, "", line->content, line->content_len);
    return 0;
}

static int add_patch(git_repository *repo, git_commit *commit, struct show *show, struct rb_error *err)
{
    git_commit *parent = NULL;
    git_tree *old = NULL, *new = NULL;
    git_diff *diff = NULL;
    int rc = git_commit_tree(&new, commit);
    if (rc == 0 && git_commit_parentcount(commit) > 0 && git_commit_parent(&parent, commit, 0) == 0)
        rc = git_commit_tree(&old, parent);
    else if (rc == 0 && git_commit_parentcount(commit) > 0)
        rb_buf_adds(show->out, "(its parent is not in this shallow clone: everything reads as added)\n");
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    options.max_size = MAX_BLOB;
    options.id_abbrev = 40;
    options.old_prefix = "a"; /* diff.noprefix and the like are settings of a person */
    options.new_prefix = "b";
    if (rc == 0)
        rc = git_diff_tree_to_tree(&diff, repo, old, new, &options);
    if (rc == 0)
        rc = git_diff_print(diff, GIT_DIFF_FORMAT_PATCH, on_line, show);
    flush_run(show);
    if (show->cut)
        rb_buf_addf(show->out, "[cut after %zu MiB]\n", RB_EVIDENCE_MAX_PATCH >> 20);
    int code = rc < 0 && !show->cut ? repo_fail(err, "cannot make the patch") : 0;
    git_diff_free(diff);
    git_tree_free(new);
    git_tree_free(old);
    git_commit_free(parent);
    return code;
}

static void add_header(git_commit *commit, struct show *show)
{
    struct rb_buf *out = show->out;
    rb_buf_addf(out, "commit %s\n", git_oid_tostr_s(git_commit_id(commit)));
    for (unsigned i = 0; i < git_commit_parentcount(commit); i++)
        rb_buf_addf(out, "parent %s\n", git_oid_tostr_s(git_commit_parent_id(commit, i)));
    const git_signature *author = git_commit_author(commit);
    rb_buf_adds(out, "author ");
    rb_text_escapes(out, author ? author->name : "");
    rb_buf_adds(out, "\ndate ");
    repo_add_time(out, git_commit_time(commit));
    rb_buf_adds(out, "\n\n");
    RB_BUF_AUTO message;
    rb_buf_init(&message, RB_EVIDENCE_MAX_PATCH);
    const char *text = git_commit_message(commit);
    if (text)
        show->masked += rb_redact(&message, text, strlen(text));
    add_lines(out, "    ", rb_buf_str(&message), message.len);
    out->failed = out->failed || message.failed;
    rb_buf_addc(out, '\n');
}

static int find_commit(git_repository *repo, const char *name, git_commit **out)
{
    git_object *object = NULL;
    int rc = git_revparse_single(&object, repo, name);
    if (rc == 0)
        rc = git_object_peel((git_object **)out, object, GIT_OBJECT_COMMIT);
    git_object_free(object);
    return rc;
}

int repo_show(git_repository *repo, const char *name, struct rb_buf *out, size_t *out_masked, struct rb_error *err)
{
    git_commit *commit = NULL;
    if (find_commit(repo, name, &commit) < 0)
        return rb_error_set(err, RB_ENOTFOUND, "there is no such commit");
    struct show show = {.out = out};
    rb_buf_init(&show.run, RB_EVIDENCE_MAX_PATCH);
    add_header(commit, &show);
    int rc = add_patch(repo, commit, &show, err);
    rb_buf_fini(&show.run);
    git_commit_free(commit);
    *out_masked = show.masked;
    return rc;
}
