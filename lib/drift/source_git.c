/* git: where a repository stands: head, branch, tags, remotes, and with `upstream` the branch's head at the remote (ls-remote, never a fetch).
 *
 * Without the network the upstream is unknown, not gone: it is neither drift nor part of a baseline. Remotes are told without user and password. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/check/watch.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/source/git.h"

enum part { PART_HEAD, PART_BRANCH, PART_TAGS, PART_REMOTES, PART_UPSTREAM, PART_COUNT };
static const char *const part_names[PART_COUNT] = {"head", "branch", "tags", "remotes", "upstream"};

static int part_of(const char *word)
{
    int part = 0;
    while (part < PART_COUNT && strcmp(part_names[part], word) != 0)
        part++;
    return part;
}

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    const struct rb_strings *parts = options;
    for (size_t i = 0; i < parts->count; i++)
        if (part_of(parts->items[i]) == PART_COUNT)
            (void)rb_diag_add(diags, node->mark, "git: '%s' is none of head, branch, tags, remotes, upstream", parts->items[i]);
    if (parts->count == 0)
        (void)rb_diag_add(diags, node->mark, "git: name what is compared: head, branch, tags, remotes, upstream");
}

struct git_run {
    const struct rb_drift_collect *collect;
    struct rb_git *git;
    struct rb_git_head head;
    bool offline;
};

static int add_ref(void *ctx, const char *name, const char *id)
{
    struct git_run *run = ctx;
    const char *key = rb_arena_printf(run->collect->ctx->arena, "tag %s", name);
    return key && rb_drift_facts_add_text(run->collect->facts, key, id) ? 0 : RB_ELIMIT;
}

static int add_remote(void *ctx, const char *name, const char *url)
{
    struct git_run *run = ctx;
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, RB_DRIFT_VALUE_MAX);
    (void)rb_redact(&masked, url, strlen(url));
    const char *key = rb_arena_printf(run->collect->ctx->arena, "remote %s", name);
    return key && rb_drift_facts_add_text(run->collect->facts, key, rb_buf_str(&masked)) ? 0 : RB_ELIMIT;
}

static int add_upstream(struct git_run *run, struct rb_error *err)
{
    const struct rb_drift_collect *collect = run->collect;
    struct rb_git_tracking tracking = {0};
    struct rb_error why = {0};
    char remote[256], commit[41];
    int rc = rb_git_tracking(run->git, collect->ctx->arena, &tracking, err);
    const char *slash = rc == 0 && tracking.has_upstream && tracking.upstream ? strchr(tracking.upstream, '/') : NULL;
    if (rc < 0 || !slash || (size_t)(slash - tracking.upstream) >= sizeof remote)
        return rc; /* a branch without upstream has no such fact */
    snprintf(remote, sizeof remote, "%.*s", (int)(slash - tracking.upstream), tracking.upstream);
    rc = rb_git_remote_head(run->git, remote, slash + 1, commit, &why);
    const char *key = rb_arena_printf(collect->ctx->arena, "upstream %s", tracking.upstream);
    if (!key)
        return rb_error_set(err, RB_ENOMEM, "no memory for the facts");
    if (rc == 0) {
        (void)rb_drift_facts_add_text(collect->facts, key, commit);
    } else if (rc != RB_ENOTFOUND) {
        run->offline = true;
        rb_drift_facts_add_unknown(collect->facts, key);
        rb_outcome_evidence(collect->out, "%s is not compared: %s", key, why.message);
    }
    return 0;
}

static int add_part(struct git_run *run, int part, struct rb_error *err)
{
    struct rb_drift_facts *facts = run->collect->facts;
    switch (part) {
    case PART_HEAD:
        (void)rb_drift_facts_add_text(facts, "head", run->head.commit);
        return 0;
    case PART_BRANCH:
        (void)rb_drift_facts_add_text(facts, "branch", run->head.branch ? run->head.branch : "(detached)");
        return 0;
    case PART_TAGS:
        return rb_git_each_tag(run->git, add_ref, run, err);
    case PART_REMOTES:
        return rb_git_each_remote(run->git, add_remote, run, err);
    case PART_UPSTREAM:
        return add_upstream(run, err);
    default:
        return 0;
    }
}

static enum rb_drift_collected failed(const struct rb_drift_collect *collect, int code, const struct rb_error *err)
{
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN,
                   code == RB_ENOTFOUND ? "not_found"
                   : code == RB_EPERM   ? "not_permitted"
                   : code == RB_ELIMIT  ? "too_many"
                                        : "unreadable",
                   "%s", err->message);
    return RB_DRIFT_FAILED;
}

static enum rb_drift_collected collect(const struct rb_drift_collect *collect)
{
    const struct rb_strings *parts = collect->options;
    struct git_run run = {.collect = collect};
    struct rb_error err = {0};
    int rc = rb_git_open(collect->ctx->root, &run.git, &err);
    if (rc == 0)
        rc = rb_git_head(run.git, collect->ctx->arena, &run.head, &err);
    for (size_t i = 0; rc == 0 && i < parts->count; i++)
        rc = add_part(&run, part_of(parts->items[i]), &err);
    rb_git_close(run.git);
    if (rc < 0)
        return failed(collect, rc, &err);
    if (run.offline && collect->proposing) {
        rb_outcome_set(collect->out, RB_RESULT_SKIP, "offline", "the remote cannot be reached: a first baseline needs it");
        return RB_DRIFT_FAILED;
    }
    return RB_DRIFT_COLLECTED;
}

static void watches(const void *options, const struct rb_drift_options *all, struct rb_watch_sink *sink)
{
    (void)options;
    (void)all;
    rb_watch_git(sink);
}

const struct rb_drift_source rb_drift_source_git = {.name = "git", .validate = validate, .collect = collect, .watches = watches};
