/* The repository around the root: where HEAD stands, and how many files are uncommitted. HEAD moves enter the timeline.
 *
 * Read with libgit2 on the daemon's own task thread, so that neither the loop nor the check workers wait for a slow disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app_internal.h"
#include "runbook/source/git.h"

#define HEAD_EVERY_S    5.
#define STATUS_EVERY_NS (10 * RB_NS_PER_S)
#define REFRESH_NS      (2 * RB_NS_PER_S)

struct look {
    struct rb_app *app;
    char root[RB_PATH_MAX];
    bool with_status;
    bool found;
    char commit[48], branch[256], subject[512], worktree[64];
};

static void read_status(struct look *look, struct rb_git *git, struct rb_arena *arena)
{
    struct rb_git_status status;
    if (rb_git_status(git, true, NULL, arena, &status, NULL) < 0)
        return;
    size_t count = status.staged + status.modified + status.untracked + status.conflicted + status.deleted;
    if (count == 0)
        snprintf(look->worktree, sizeof look->worktree, "clean");
    else
        snprintf(look->worktree, sizeof look->worktree, "%zu file%s uncommitted", count, count == 1 ? "" : "s");
}

static void work(void *arg)
{
    struct look *look = arg;
    struct rb_arena *arena = rb_arena_new(1u << 20);
    struct rb_git *git = NULL;
    struct rb_git_head head;
    if (arena != NULL && rb_git_open(look->root, &git, NULL) == 0 && rb_git_head(git, arena, &head, NULL) == 0) {
        look->found = true;
        snprintf(look->commit, sizeof look->commit, "%s", head.commit);
        snprintf(look->branch, sizeof look->branch, "%s", head.branch != NULL ? head.branch : "detached");
        snprintf(look->subject, sizeof look->subject, "%s", head.subject != NULL ? head.subject : "");
        if (look->with_status)
            read_status(look, git, arena);
    }
    rb_git_close(git);
    rb_arena_free(arena);
}

static void note_move(struct rb_app *app, const struct look *look)
{
    if (!app->repo.known || strcmp(app->repo.commit, look->commit) == 0)
        return;
    char text[1024];
    snprintf(text, sizeof text, "HEAD moved to %.8s on %s: %s", look->commit, look->branch, look->subject);
    rb_journal_append(app->journal,
                      &(struct rb_journal_event){.kind = RB_EVENT_KIND_HEAD, .from = app->repo.commit, .to = look->commit, .text = text});
    rb_app_persist_soon(app);
}

static void take_over(struct rb_app *app, const struct look *look)
{
    memcpy(app->repo.commit, look->commit, sizeof app->repo.commit);
    memcpy(app->repo.branch, look->branch, sizeof app->repo.branch);
    memcpy(app->repo.subject, look->subject, sizeof app->repo.subject);
    if (look->worktree[0] != '\0')
        memcpy(app->repo.worktree, look->worktree, sizeof app->repo.worktree);
    app->repo.known = true;
}

static void done(void *arg)
{
    struct look *look = arg;
    struct rb_app *app = look->app;
    app->repo.busy = false;
    if (look->found) {
        bool moved = !app->repo.known || strcmp(app->repo.commit, look->commit) != 0;
        bool other_tree = look->worktree[0] != '\0' && strcmp(app->repo.worktree, look->worktree) != 0;
        note_move(app, look);
        take_over(app, look);
        if (moved)
            app->repo.status_read_ns = 0;
        if (moved || other_tree)
            rb_app_publish_soon(app);
    }
    free(look);
}

void rb_app_repo_look(struct rb_app *app)
{
    struct look *look = calloc(1, sizeof *look);
    if (look == NULL)
        return;
    snprintf(look->root, sizeof look->root, "%s", app->plan->daemon.root);
    look->with_status = true;
    work(look);
    if (look->found)
        take_over(app, look);
    free(look);
}

/* `status_age_ns`: how old the number of uncommitted files may be. */
static void look_again(struct rb_app *app, int64_t status_age_ns)
{
    if (app->repo.busy)
        return;
    struct look *look = calloc(1, sizeof *look);
    if (look == NULL)
        return;
    int64_t now_ns = rb_elapsed_ns(app->clock);
    look->app = app;
    snprintf(look->root, sizeof look->root, "%s", app->plan->daemon.root);
    look->with_status = app->repo.status_read_ns == 0 || now_ns - app->repo.status_read_ns > status_age_ns;
    if (look->with_status)
        app->repo.status_read_ns = now_ns;
    app->repo.busy = rb_runner_task(app->runner, work, done, look, NULL) == 0;
    if (!app->repo.busy)
        free(look);
}

static void timer_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    look_again(timer->data, STATUS_EVERY_NS);
}

void rb_app_repo_refresh(struct rb_app *app)
{
    look_again(app, REFRESH_NS);
}

void rb_app_repo_start(struct rb_app *app)
{
    ev_timer_init(&app->repo.timer, timer_cb, 0., HEAD_EVERY_S);
    app->repo.timer.data = app;
    ev_timer_start(app->loop, &app->repo.timer);
}

void rb_app_repo_stop(struct rb_app *app)
{
    ev_timer_stop(app->loop, &app->repo.timer);
}
