/* git: what state a repository is in, against what the configuration wants. Read-only: no fetch, no index refresh, no program.
 *
 * SPEC 11: a violated branch, clean, max_behind, a detached HEAD where branch is set, an operation in progress and a stuck lock are fail. `remote: true` asks the remote for its
 * head without fetching: ahead of what is known here is warn with an unknown count; unreachable never worsens the check. An old or missing
 * fetch is warn: nothing is wrong yet, but "behind" cannot be trusted. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/watch.h"
#include "runbook/source/git.h"

struct git_options {
    bool clean, untracked, remote;
    int8_t shallow;
    const char *branch;
    int64_t max_behind, max_ahead;
    int64_t max_fetch_age, lock_age; /* ms */
    struct rb_strings tags, ignored;
};

static const struct rb_option options[] = {
    {.name = "clean",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct git_options, clean),
     .doc = "Uncommitted changes are a failure.",
     .fallback = "false"},
    {.name = "untracked",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct git_options, untracked),
     .doc = "Untracked files count as changes, as in `git status`.",
     .fallback = "true"},
    {.name = "branch",
     .type = RB_OPT_STRING,
     .offset = offsetof(struct git_options, branch),
     .doc = "Branch that must be checked out; a glob may name several. A detached HEAD fails.",
     .example = "main"},
    {.name = "max_behind",
     .type = RB_OPT_INT,
     .offset = offsetof(struct git_options, max_behind),
     .doc = "Most commits that HEAD may lack of its upstream, as of the last fetch; -1: no limit.",
     .fallback = "-1",
     .min = -1,
     .max = 1000000},
    {.name = "max_ahead",
     .type = RB_OPT_INT,
     .offset = offsetof(struct git_options, max_ahead),
     .doc = "Most commits that HEAD may have before its upstream (not pushed); -1: no limit.",
     .fallback = "-1",
     .min = -1,
     .max = 1000000},
    {.name = "max_fetch_age",
     .type = RB_OPT_DURATION,
     .offset = offsetof(struct git_options, max_fetch_age),
     .doc = "Warn when the last fetch (or the clone) is older: what is known of the upstream is stale.",
     .example = "7d"},
    {.name = "lock_age",
     .type = RB_OPT_DURATION,
     .offset = offsetof(struct git_options, lock_age),
     .doc = "An index.lock or HEAD.lock older than this is stuck.",
     .fallback = "10m"},
    {.name = "remote",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct git_options, remote),
     .doc = "Ask the remote for its head (ls-remote over the network, no fetch).",
     .fallback = "false"},
    {.name = "shallow",
     .type = RB_OPT_TRISTATE,
     .offset = offsetof(struct git_options, shallow),
     .doc = "false: a shallow clone is a failure; true: a full one is.",
     .example = "false"},
    {.name = "tags",
     .type = RB_OPT_STRINGS,
     .offset = offsetof(struct git_options, tags),
     .doc = "Tags that must exist.",
     .example = "[v1.0.0]"},
    {.name = "ignored",
     .type = RB_OPT_STRINGS,
     .offset = offsetof(struct git_options, ignored),
     .doc = "Paths (from the top of the work tree) that git must ignore, such as folders of secrets.",
     .example = "[.env, .ops_local/secrets]"},
    {NULL}};

static const struct rb_value_def values[] = {
    {"staged", "", RB_VALUE_GAUGE, "Files whose index entry differs from HEAD.", NULL},
    {"modified", "", RB_VALUE_GAUGE, "Tracked files that differ from the index.", NULL},
    {"deleted", "", RB_VALUE_GAUGE, "Tracked files that are missing in the work tree.", NULL},
    {"untracked", "", RB_VALUE_GAUGE, "Untracked files; a folder without tracked files counts once.", NULL},
    {"conflicted", "", RB_VALUE_GAUGE, "Unmerged paths.", NULL},
    {"ahead", "", RB_VALUE_GAUGE, "Commits of HEAD that the upstream lacks, as of the last fetch.", NULL},
    {"behind", "", RB_VALUE_GAUGE, "Commits of the upstream that HEAD lacks, as of the last fetch.", NULL},
    {"fetch_age", "seconds", RB_VALUE_GAUGE, "Time since the last fetch, or since the clone.", NULL},
    {"lock_age", "seconds", RB_VALUE_GAUGE, "Age of the oldest lock that stands.", NULL},
    {"remote_reachable", "", RB_VALUE_GAUGE, "1 when ls-remote answered.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {{"not_a_repository", "There is no git repository at or above the root."},
                                               {"foreign_owner", "The repository belongs to another user: git and libgit2 refuse it."},
                                               {"unreadable", "The repository could not be read; the message has libgit2's words."},
                                               {"operation", "A merge, rebase, cherry-pick, revert or bisect is in progress."},
                                               {"stuck_lock", "A lock is older than lock_age: a git process died, or one hangs."},
                                               {"detached", "HEAD is detached, but a branch is expected."},
                                               {"wrong_branch", "Another branch is checked out."},
                                               {"not_clean", "There are uncommitted changes."},
                                               {"behind", "HEAD lacks commits of its upstream."},
                                               {"ahead", "HEAD has commits that its upstream lacks."},
                                               {"no_upstream", "The branch has no upstream, so that nothing can be counted."},
                                               {"not_counted", "The distance to the upstream cannot be counted (shallow clone)."},
                                               {"fetch_old", "The last fetch is older than max_fetch_age, or there was none."},
                                               {"remote_ahead", "The remote has commits that were never fetched."},
                                               {"shallow", "The clone is shallow, or full, against the configuration."},
                                               {"missing_tag", "A tag does not exist."},
                                               {"not_ignored", "A path that must be ignored is not."},
                                               {NULL}};

struct run {
    const struct rb_check_ctx *ctx;
    const struct git_options *o;
    struct rb_outcome *out;
    struct rb_git *git;
    const char *top; /* of the work tree, without the last '/' */
    struct rb_git_head head;
    struct rb_git_tracking tracking;
    struct rb_git_status status;
    struct rb_git_state state;
};

/* "git -C '<top>' <rest>", unless the folder's name must not enter a command. */
static void hint(struct run *run, const char *rest)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, RB_OUTCOME_MAX_TEXT);
    rb_buf_adds(&line, "git -C ");
    if (rb_text_shell_quote(&line, run->top) && !line.failed)
        rb_outcome_hint(run->out, "%s %s", rb_buf_str(&line), rest);
}

static void unreadable(struct run *run, int code, const struct rb_error *err)
{
    if (code == RB_ENOTFOUND)
        rb_outcome_set(run->out, RB_RESULT_UNKNOWN, "not_a_repository", "%s", err->message);
    else if (code == RB_EPERM)
        rb_outcome_set(run->out, RB_RESULT_UNKNOWN, "foreign_owner", "%s", err->message);
    else if (code == RB_ETIMEOUT)
        rb_outcome_set(run->out, RB_RESULT_UNKNOWN, "cancelled", "%s", err->message);
    else
        rb_outcome_set(run->out, RB_RESULT_UNKNOWN, "unreadable", "%s", err->message);
}

static int collect(struct run *run, struct rb_error *err)
{
    struct rb_arena *arena = run->ctx->arena;
    int code = rb_git_state(run->git, arena, &run->state, err);
    if (code == 0)
        code = rb_git_head(run->git, arena, &run->head, err);
    if (code == 0)
        code = rb_git_tracking(run->git, arena, &run->tracking, err);
    if (code == 0 && rb_git_workdir(run->git))
        code = rb_git_status(run->git, true, run->ctx->cancelled, arena, &run->status, err);
    return code;
}

static double age_s(const struct run *run, int64_t since_wall_ns)
{
    int64_t age = rb_wall_ns(run->ctx->clock) - since_wall_ns;
    return age > 0 ? (double)age / (double)RB_NS_PER_S : 0;
}

static const char *age_text(struct rb_arena *arena, double seconds)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 64);
    rb_duration_print(&text, (int64_t)(seconds * 1000));
    const char *copy = rb_arena_strdup(arena, rb_buf_str(&text));
    return copy ? copy : "";
}

static void check_operation(struct run *run)
{
    if (run->state.operation) {
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "operation", "a %s is in progress", run->state.operation);
        hint(run, "status");
    }
    if (!run->state.lock_path)
        return;
    double age = age_s(run, run->state.lock_mtime_wall_ns);
    rb_outcome_value(run->out, "lock_age", NULL, age);
    if (age * 1000 <= (double)run->o->lock_age)
        return;
    rb_outcome_raise(run->out, RB_RESULT_FAIL, "stuck_lock", "%s stands for %s: no git command can write", run->state.lock_path,
                     age_text(run->ctx->arena, age));
    rb_outcome_fact(run->out, RB_FACT_PATH, "%s", run->state.lock_path);
    RB_BUF_AUTO line;
    rb_buf_init(&line, RB_OUTCOME_MAX_TEXT);
    if (rb_text_shell_quote(&line, run->state.lock_path) && !line.failed)
        rb_outcome_hint(run->out, "fuser -v %s", rb_buf_str(&line));
}

static void check_branch(struct run *run)
{
    const char *wanted = run->o->branch;
    if (!wanted)
        return;
    if (run->head.detached)
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "detached", "HEAD is detached at %.8s, expected branch %s", run->head.commit, wanted);
    else if (!run->head.branch || (strcmp(run->head.branch, wanted) != 0 && !rb_glob_match(wanted, run->head.branch)))
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "wrong_branch", "on branch %s, expected %s",
                         run->head.branch ? run->head.branch : "(none)", wanted);
}

static size_t changes(const struct run *run)
{
    const struct rb_git_status *s = &run->status;
    return s->staged + s->modified + s->deleted + s->conflicted + (run->o->untracked ? s->untracked : 0);
}

/* The samples count from the top of the work tree, facts from the root. */
static void sample_facts(struct run *run)
{
    size_t top = strlen(run->top);
    const char *below = strncmp(run->ctx->root, run->top, top) == 0 && run->ctx->root[top] == '/' ? run->ctx->root + top + 1 : "";
    size_t prefix = strlen(below);
    for (size_t i = 0; i < run->status.samples.count; i++) {
        const char *path = run->status.samples.items[i];
        if (prefix == 0)
            rb_outcome_fact(run->out, RB_FACT_FILE, "%s", path);
        else if (strncmp(path, below, prefix) == 0 && path[prefix] == '/')
            rb_outcome_fact(run->out, RB_FACT_FILE, "%s", path + prefix + 1);
    }
}

static void check_clean(struct run *run)
{
    const struct rb_git_status *s = &run->status;
    rb_outcome_value(run->out, "staged", NULL, (double)s->staged);
    rb_outcome_value(run->out, "modified", NULL, (double)s->modified);
    rb_outcome_value(run->out, "deleted", NULL, (double)s->deleted);
    rb_outcome_value(run->out, "untracked", NULL, (double)s->untracked);
    rb_outcome_value(run->out, "conflicted", NULL, (double)s->conflicted);
    if (changes(run) == 0)
        return;
    if (run->o->clean) {
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "not_clean",
                         "not clean: %zu staged, %zu modified, %zu deleted, %zu untracked, %zu unmerged", s->staged, s->modified,
                         s->deleted, s->untracked, s->conflicted);
        hint(run, "status --short");
    }
    for (size_t i = 0; i < s->samples.count; i++)
        rb_outcome_evidence(run->out, "changed: %s", s->samples.items[i]);
    sample_facts(run);
}

static void check_upstream(struct run *run)
{
    const struct rb_git_tracking *t = &run->tracking;
    bool asked = run->o->max_behind >= 0 || run->o->max_ahead >= 0;
    if (t->counted) {
        rb_outcome_value(run->out, "ahead", NULL, (double)t->ahead);
        rb_outcome_value(run->out, "behind", NULL, (double)t->behind);
    }
    if (asked && !t->has_upstream)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "no_upstream", "branch %s has no upstream to count against",
                         run->head.branch ? run->head.branch : "(detached)");
    else if (asked && !t->counted)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "not_counted", "the distance to %s cannot be counted%s", t->upstream,
                         run->state.shallow ? ": the clone is shallow" : "");
    if (t->counted && run->o->max_behind >= 0 && t->behind > (size_t)run->o->max_behind) {
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "behind", "%zu commits behind %s (at most %lld allowed)", t->behind, t->upstream,
                         (long long)run->o->max_behind);
        hint(run, "log --oneline 'HEAD..@{upstream}'");
    }
    if (t->counted && run->o->max_ahead >= 0 && t->ahead > (size_t)run->o->max_ahead) {
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "ahead", "%zu commits ahead of %s (at most %lld allowed)", t->ahead, t->upstream,
                         (long long)run->o->max_ahead);
        hint(run, "log --oneline '@{upstream}..HEAD'");
    }
}

static void check_fetch(struct run *run)
{
    int64_t since = run->state.fetch_head_mtime_wall_ns;
    const char *what = since ? "the last fetch" : "the clone";
    since = since ? since : run->state.clone_mtime_wall_ns;
    double age = since ? age_s(run, since) : 0;
    if (since)
        rb_outcome_value(run->out, "fetch_age", NULL, age);
    if (run->o->max_fetch_age < 0)
        return;
    if (!since)
        rb_outcome_raise(run->out, RB_RESULT_WARN, "fetch_old", "never fetched: nothing is known of the upstream");
    else if (age * 1000 > (double)run->o->max_fetch_age)
        rb_outcome_raise(run->out, RB_RESULT_WARN, "fetch_old", "%s is %s old: what is known of the upstream is stale", what,
                         age_text(run->ctx->arena, age));
    else
        return;
    hint(run, "fetch");
}

/* Asks the remote where the branch stands. Says only what ls-remote can know: that there is something new, not how much. */
static void check_remote(struct run *run)
{
    char remote[256] = "origin", commit[41];
    const char *branch = run->head.branch;
    struct rb_error err = {0};
    if (!run->o->remote)
        return;
    const char *slash = run->tracking.has_upstream ? strchr(run->tracking.upstream, '/') : NULL;
    if (slash && (size_t)(slash - run->tracking.upstream) < sizeof(remote)) {
        snprintf(remote, sizeof(remote), "%.*s", (int)(slash - run->tracking.upstream), run->tracking.upstream);
        branch = slash + 1;
    }
    int code = branch ? rb_git_remote_head(run->git, remote, branch, commit, &err) : rb_error_set(&err, RB_ENOTFOUND, "HEAD is detached");
    rb_outcome_value(run->out, "remote_reachable", NULL, code == 0 ? 1 : 0);
    if (code < 0)
        rb_outcome_evidence(run->out, "remote %s: %s", remote, err.message);
    else if (!rb_git_has_commit(run->git, commit)) {
        rb_outcome_raise(run->out, RB_RESULT_WARN, "remote_ahead", "%s has commits on %s that were never fetched (its head is %.8s)",
                         remote, branch, commit);
        hint(run, "fetch");
    }
}

static void check_rest(struct run *run)
{
    const struct git_options *o = run->o;
    struct rb_error err = {0};
    if (o->shallow >= 0 && (o->shallow != 0) != run->state.shallow)
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "shallow", run->state.shallow ? "the clone is shallow" : "the clone is not shallow");
    for (size_t i = 0; i < o->tags.count; i++) {
        bool has = false;
        if (rb_git_has_tag(run->git, o->tags.items[i], &has, &err) < 0)
            rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "unreadable", "%s", err.message);
        else if (!has)
            rb_outcome_raise(run->out, RB_RESULT_FAIL, "missing_tag", "tag %s does not exist", o->tags.items[i]);
    }
    for (size_t i = 0; i < o->ignored.count; i++) {
        bool ignored = false;
        if (rb_git_is_ignored(run->git, o->ignored.items[i], &ignored, &err) < 0)
            rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "unreadable", "%s", err.message);
        else if (!ignored)
            rb_outcome_raise(run->out, RB_RESULT_FAIL, "not_ignored", "%s is not ignored", o->ignored.items[i]);
    }
}

static void summarise(struct run *run)
{
    const struct rb_git_head *h = &run->head;
    size_t changed = changes(run);
    const char *branch = h->detached ? "(detached)" : h->branch ? h->branch : "(none)";
    if (h->unborn)
        rb_outcome_say(run->out, "%s, no commit yet, %zu files changed", branch, changed);
    else if (changed == 0)
        rb_outcome_say(run->out, "%s@%.8s, clean", branch, h->commit);
    else
        rb_outcome_say(run->out, "%s@%.8s, %zu file%s uncommitted", branch, h->commit, changed, changed == 1 ? "" : "s");
}

static void run_check(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    struct run run = {.ctx = ctx, .o = ctx->options, .out = out};
    struct rb_error err = {0};
    int code = rb_git_open(ctx->root, &run.git, &err);
    if (code == 0) {
        const char *top = rb_git_workdir(run.git) ? rb_git_workdir(run.git) : rb_git_dir(run.git);
        size_t len = strlen(top);
        run.top = rb_arena_strndup(ctx->arena, top, len > 1 && top[len - 1] == '/' ? len - 1 : len);
        code = run.top ? collect(&run, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    }
    if (code < 0) {
        unreadable(&run, code, &err);
        rb_git_close(run.git);
        return;
    }
    check_operation(&run);
    check_branch(&run);
    check_clean(&run);
    check_upstream(&run);
    check_fetch(&run);
    check_remote(&run);
    check_rest(&run);
    summarise(&run);
    rb_git_close(run.git);
}

static void watches(const void *opts, struct rb_watch_sink *sink)
{
    (void)opts;
    rb_watch_git(sink);
}

const struct rb_kind rb_kind_git = {
    .schema = {.schema = {.name = "git",
                          .doc = "State of a git repository: clean, branch, distance to upstream, locks, operations in progress.",
                          .options = options,
                          .size = sizeof(struct git_options)},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = true,
               .opens_network = true, /* only with remote: true */
               .example = "{name: repo, kind: git, clean: true, branch: main, max_behind: 0, max_fetch_age: 7d}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_WORKER,
    .run = run_check,
    .watches = watches,
};
