/* The work tree against index against HEAD, through libgit2 and without touching the index.
 *
 * libgit2's own status is used, not the counting one of lib/source: speed is no concern here, the letters of git are. It runs no filter program, hook or fsmonitor
 * (RECIPES); the index is neither refreshed nor locked. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo.h"
#include "runbook/base/text.h"
#include "runbook/source/files.h"

#define SIDECAR ".sha256"

struct line {
    char index, worktree;
    const char *path;
};

static char index_letter(unsigned status)
{
    if (status & GIT_STATUS_INDEX_NEW)
        return 'A';
    if (status & GIT_STATUS_INDEX_DELETED)
        return 'D';
    if (status & GIT_STATUS_INDEX_TYPECHANGE)
        return 'T';
    return status & GIT_STATUS_INDEX_MODIFIED ? 'M' : ' ';
}

static char worktree_letter(unsigned status)
{
    if (status & GIT_STATUS_WT_DELETED)
        return 'D';
    if (status & GIT_STATUS_WT_TYPECHANGE)
        return 'T';
    return status & (GIT_STATUS_WT_MODIFIED | GIT_STATUS_WT_UNREADABLE) ? 'M' : ' ';
}

static bool line_of(const git_status_entry *entry, struct line *out)
{
    const git_diff_delta *delta = entry->head_to_index ? entry->head_to_index : entry->index_to_workdir;
    if (!delta)
        return false;
    *out = (struct line){.index = index_letter(entry->status), .worktree = worktree_letter(entry->status), .path = delta->new_file.path};
    if (entry->status & GIT_STATUS_WT_NEW)
        out->index = out->index == ' ' ? '?' : out->index, out->worktree = '?';
    if (entry->status & GIT_STATUS_CONFLICTED)
        out->index = out->worktree = 'U';
    return out->path && (out->index != ' ' || out->worktree != ' ');
}

static bool is_archive(struct rb_below *below, const char *path)
{
    unsigned char head[RB_ARCHIVE_MARK_BYTES];
    int fd = rb_below_open(below, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return false;
    struct stat st;
    bool ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
                rb_archive_is_ours(head, sizeof head);
    (void)close(fd);
    return ours;
}

/* What an earlier run left in the tree is no fact of the tree: an archive, and the sum beside it. */
static bool is_own_output(struct rb_below *below, const struct line *line)
{
    size_t len = strlen(line->path), suffix = sizeof SIDECAR - 1;
    if (line->worktree != '?' || len <= suffix)
        return false;
    if (strcmp(line->path + len - suffix, SIDECAR) != 0)
        return is_archive(below, line->path);
    char *archive = strndup(line->path, len - suffix);
    bool ours = archive && is_archive(below, archive);
    free(archive);
    return ours;
}

static int by_path(const void *a, const void *b)
{
    const struct line *left = a, *right = b;
    return strcmp(left->path, right->path);
}

static int collect(git_repository *repo, git_status_list *list, struct line **out, size_t *out_count, struct rb_error *err)
{
    size_t total = git_status_list_entrycount(list), count = 0;
    struct rb_below below;
    int rc = rb_below_init(&below, git_repository_workdir(repo), err);
    if (rc < 0)
        return rc;
    struct line *lines = calloc(total + 1, sizeof *lines);
    for (size_t i = 0; lines && i < total; i++)
        if (line_of(git_status_byindex(list, i), &lines[count]) && !is_own_output(&below, &lines[count]))
            count++;
    rb_below_fini(&below);
    if (!lines)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    qsort(lines, count, sizeof *lines, by_path);
    *out = lines;
    *out_count = count;
    return 0;
}

int repo_status(git_repository *repo, struct rb_buf *out, struct rb_error *err)
{
    if (!git_repository_workdir(repo))
        return rb_error_set(err, RB_EUNSUPPORTED, "a bare repository has no work tree");
    git_status_options options = GIT_STATUS_OPTIONS_INIT;
    options.show = GIT_STATUS_SHOW_INDEX_AND_WORKDIR;
    options.flags = GIT_STATUS_OPT_INCLUDE_UNTRACKED | GIT_STATUS_OPT_RECURSE_UNTRACKED_DIRS | GIT_STATUS_OPT_SORT_CASE_SENSITIVELY;
    git_status_list *list = NULL;
    int made = git_status_list_new(&list, repo, &options);
    if (made < 0) { /* libgit2 gives up on folders nested deeper than a path may be */
        options.flags = GIT_STATUS_OPT_SORT_CASE_SENSITIVELY;
        made = git_status_list_new(&list, repo, &options);
        rb_buf_adds(out, "# untracked files are left out: not all folders could be read\n");
    }
    if (made < 0) /* libgit2's own message names places of this machine */
        return rb_error_set(err, RB_ESYS, "the work tree cannot be compared; see: runbookd check");
    struct line *lines = NULL;
    size_t count = 0;
    int rc = collect(repo, list, &lines, &count, err);
    for (size_t i = 0; rc == 0 && i < count && i < RB_EVIDENCE_MAX_LINES; i++) {
        rb_buf_addf(out, "%c%c ", lines[i].index, lines[i].worktree);
        rb_text_escapes(out, lines[i].path);
        rb_buf_addc(out, '\n');
    }
    if (rc == 0 && count > RB_EVIDENCE_MAX_LINES)
        rb_buf_addf(out, "and %zu more\n", count - RB_EVIDENCE_MAX_LINES);
    free(lines);
    git_status_list_free(list);
    return rc;
}
