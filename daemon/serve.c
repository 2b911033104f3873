/* The daemon: build everything, say so, run the loop, take it apart.
 *
 * Test hook (ARCHITECTURE.md): with RUNBOOKD_TEST_HOOKS=1 in the environment SIGUSR1 holds the loop for 8 s, so that tests can watch what the HTTP thread says of a stuck loop. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app_internal.h"
#include "daemon_file.h"
#include "file_watch.h"
#include "incidents.h"
#include "runbook/base/log.h"

#define BANNER_RESULTS_S 0.25
#define TRIM_EVERY_S     10.
#define BANNER_LATEST_NS (4 * RB_NS_PER_S)
#define HOLD_S           8

static void stop_cb(struct ev_loop *loop, ev_signal *signal, int revents)
{
    (void)revents;
    rb_log(RB_LOG_NOTICE, "daemon", "stopping on %s", signal->signum == SIGTERM ? "SIGTERM" : "SIGINT");
    ev_break(loop, EVBREAK_ALL);
}

static void reload_cb(struct ev_loop *loop, ev_signal *signal, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_app *app = signal->data;
    RB_BUF_AUTO errors;
    rb_buf_init(&errors, sizeof app->reload.error * 4);
    rb_app_reload(app, &errors);
}

static void hold_cb(struct ev_loop *loop, ev_signal *signal, int revents)
{
    (void)loop;
    (void)signal;
    (void)revents;
    struct timespec left = {.tv_sec = HOLD_S};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

/* A round of a thousand checks takes several times the heap that stays in use; without this its pages stay too, between those that are. */
static void trim_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    const struct rb_app *app = timer->data;
    app->platform->trim_heap();
}

/* The start is over once every automatic check ran, or after a few seconds: what is known is worth printing, what only the start needed is not worth keeping. */
static void banner_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)revents;
    struct rb_app *app = timer->data;
    bool late = rb_elapsed_ns(app->clock) - app->start_elapsed_ns > BANNER_LATEST_NS;
    if (!late && !rb_store_all_ran(app->store))
        return;
    rb_app_publish_now(app);
    rb_app_banner_results(app);
    app->platform->trim_heap();
    app->platform->forget_start();
    ev_timer_stop(loop, timer);
}

static void watch_signal(struct rb_app *app, ev_signal *signal, void (*cb)(struct ev_loop *, ev_signal *, int), int number)
{
    ev_signal_init(signal, cb, number);
    signal->data = app;
    ev_signal_start(app->loop, signal);
    ev_unref(app->loop);
}

static void unwatch_signal(struct rb_app *app, ev_signal *signal)
{
    if (!ev_is_active(signal))
        return;
    ev_ref(app->loop);
    ev_signal_stop(app->loop, signal);
}

static void start_signals(struct rb_app *app)
{
    signal(SIGPIPE, SIG_IGN);
    watch_signal(app, &app->serve.term, stop_cb, SIGTERM);
    watch_signal(app, &app->serve.interrupt, stop_cb, SIGINT);
    watch_signal(app, &app->serve.hangup, reload_cb, SIGHUP);
    const char *hooks = getenv("RUNBOOKD_TEST_HOOKS");
    if (hooks != NULL && strcmp(hooks, "1") == 0)
        watch_signal(app, &app->serve.hold, hold_cb, SIGUSR1);
    ev_timer_init(&app->serve.banner, banner_cb, BANNER_RESULTS_S, BANNER_RESULTS_S);
    app->serve.banner.data = app;
    ev_timer_start(app->loop, &app->serve.banner);
    ev_timer_init(&app->serve.trim, trim_cb, TRIM_EVERY_S, TRIM_EVERY_S);
    app->serve.trim.data = app;
    ev_timer_start(app->loop, &app->serve.trim);
}

static void stop_signals(struct rb_app *app)
{
    ev_timer_stop(app->loop, &app->serve.trim);
    ev_timer_stop(app->loop, &app->serve.banner);
    unwatch_signal(app, &app->serve.hold);
    unwatch_signal(app, &app->serve.hangup);
    unwatch_signal(app, &app->serve.interrupt);
    unwatch_signal(app, &app->serve.term);
}

static int start_server(struct rb_app *app, struct rb_error *err)
{
    char control[RB_PATH_MAX + 32];
    snprintf(control, sizeof control, "%s/control.sock", app->state.dir);
    app->queue = rb_command_queue_new(app->loop, rb_app_command, app);
    if (app->queue == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the command queue");
    const struct rb_daemon_options *daemon = &app->plan->daemon;
    const struct rb_server_options options = {
        .listen = daemon->listen,
        .allowed_hosts = daemon->allowed_hosts,
        .control_socket = app->state.dir[0] != '\0' ? control : NULL,
        .token = app->state.token[0] != '\0' ? app->state.token : NULL,
        .platform = app->platform,
        .queue = app->queue,
    };
    return rb_server_new(&options, &app->server, err);
}

static void announce(struct rb_app *app)
{
    char status[128];
    snprintf(status, sizeof status, "READY=1\nSTATUS=%zu checks", app->plan->count);
    rb_notify_send(&app->notify, status);
    rb_journal_append(app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_START, .text = "runbookd " RB_VERSION " started"});
    rb_daemon_file_write(app);
    rb_app_banner_start(app);
}

static int start_all(struct rb_app *app, struct rb_error *err)
{
    int rc = rb_app_state_open(app, err);
    if (rc < 0 || (rc = rb_app_parts_new(app, true, err)) < 0 || (rc = start_server(app, err)) < 0)
        return rc;
    rb_app_publish_now(app);
    rb_app_persist_start(app);
    rb_app_repo_start(app);
    rb_app_runbooks_start(app);
    rb_app_file_watch_start(app);
    start_signals(app);
    announce(app);
    return 0;
}

/* The reverse of start_all; each part tolerates never having been started. */
static void stop_all(struct rb_app *app)
{
    rb_notify_send(&app->notify, "STOPPING=1");
    stop_signals(app);
    if (app->publish.every_second.data != NULL)
        rb_app_rounds_stop(app);
    rb_server_free(app->server);
    app->server = NULL;
    rb_command_queue_free(app->queue);
    if (app->persist.timer.data != NULL) {
        rb_app_file_watch_stop(app);
        rb_app_runbooks_stop(app);
        rb_app_repo_stop(app);
        rb_journal_append(app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_STOP, .text = "runbookd stopped"});
        rb_app_incidents_stop(app);
        rb_app_persist_stop(app);
        rb_daemon_file_remove(app);
    }
    rb_app_parts_free(app);
    rb_app_state_close(app);
    rb_notify_fini(&app->notify);
}

static int load_first_plan(struct rb_app *app, struct rb_error *err)
{
    RB_ARENA_AUTO *arena = rb_arena_new(RB_LOAD_ARENA);
    struct rb_diags diags;
    if (arena == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory");
    rb_diags_init(&diags, arena);
    int rc = rb_app_load_plan(&app->options, arena, &diags, &app->plan, err);
    if (rc == RB_ECONFIG && diags.count > 0) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 1u << 20);
        rb_diags_print(&diags, &text);
        fputs(rb_buf_str(&text), stderr);
        rb_error_set(err, RB_ECONFIG, "the configuration has %zu error%s; nothing was started", diags.count + diags.dropped,
                     diags.count == 1 ? "" : "s");
    }
    return rc;
}

static int exit_code_of(int rc)
{
    return rc == RB_ECONFIG ? RB_EXIT_CONFIG : RB_EXIT_CANNOT;
}

static void init_log(const struct rb_app *app)
{
    int level = app->options.log_level != 0 ? app->options.log_level : app->plan->daemon.log_level;
    bool journal = getenv("JOURNAL_STREAM") != NULL;
    rb_log_init(&(struct rb_log_options){
        .level = (enum rb_log_level)level, .journal_prefix = journal, .timestamps = !journal, .clock = app->clock, .fd = STDERR_FILENO});
}

int rb_app_serve(const struct rb_app_options *options)
{
    struct rb_app *app = calloc(1, sizeof *app);
    struct rb_error err = {0};
    if (app == NULL)
        return RB_EXIT_CANNOT;
    app->options = *options;
    app->platform = rb_platform_host();
    app->clock = app->platform->clock;
    app->start_wall_ns = rb_wall_ns(app->clock);
    app->start_elapsed_ns = rb_elapsed_ns(app->clock);
    app->state.lock_fd = -1;
    app->rounds.last_duration_s = (double)NAN;
    rb_notify_init(&app->notify);
    int rc = load_first_plan(app, &err);
    if (rc == 0) {
        init_log(app);
        app->loop = ev_default_loop(EVFLAG_AUTO);
        app->reload.status = (struct rb_config_status){.last_reload_successful = true, .last_success_wall_ns = rb_wall_ns(app->clock)};
        rc = app->loop == NULL ? rb_error_set(&err, RB_ESYS, "libev found no usable event mechanism") : start_all(app, &err);
    }
    if (rc < 0)
        rb_log(RB_LOG_ERROR, "daemon", "%s", err.message);
    else
        ev_run(app->loop, 0);
    if (app->loop != NULL)
        stop_all(app);
    else
        rb_plan_unref(app->plan);
    free(app);
    return rc < 0 ? exit_code_of(rc) : RB_EXIT_OK;
}
