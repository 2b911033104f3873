/* The state folder of this root, its lock and token. Everything below works without it too: a full or unwritable disk must not stop the daemon. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "app_internal.h"
#include "runbook/base/log.h"
#include "runbook/state/files.h"

int rb_app_state_path(const struct rb_plan *plan, char *out, size_t out_size, struct rb_error *err)
{
    return rb_state_dir_open(plan->daemon.state_dir, plan->daemon.root, false, out, out_size, err);
}

static void without_state(struct rb_app *app, const struct rb_error *err)
{
    rb_log(RB_LOG_WARNING, "state", "%s; going on in memory: since, counters and timeline will not survive a restart", err->message);
    app->state.dir[0] = '\0';
}

int rb_app_state_open(struct rb_app *app, struct rb_error *err)
{
    app->state.lock_fd = -1;
    const struct rb_daemon_options *daemon = &app->plan->daemon;
    if (rb_state_dir_open(daemon->state_dir, daemon->root, true, app->state.dir, sizeof app->state.dir, err) < 0) {
        without_state(app, err);
        return 0;
    }
    int rc = rb_state_lock(app->state.dir, &app->state.lock_fd, err);
    if (rc == RB_EBUSY)
        return rb_error_prefix(err, "another runbookd serves %s", daemon->root);
    if (rc < 0) {
        without_state(app, err);
        return 0;
    }
    if (rb_token_load(app->state.dir, true, app->state.token, sizeof app->state.token, err) < 0) {
        rb_log(RB_LOG_WARNING, "state", "%s; requests that change state will be refused on TCP", err->message);
        app->state.token[0] = '\0';
    }
    return 0;
}

void rb_app_state_close(struct rb_app *app)
{
    if (app->state.lock_fd >= 0)
        close(app->state.lock_fd);
    app->state.lock_fd = -1;
    memset(app->state.token, 0, sizeof app->state.token);
}
