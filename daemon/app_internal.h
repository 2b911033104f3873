/* The daemon's own parts behind app.h. One object, one thread: the loop's. Each file below owns the members under its name and nothing else touches them. */
#ifndef RUNBOOKD_APP_INTERNAL_H
#define RUNBOOKD_APP_INTERNAL_H

#include <ev.h>

#include "app.h"
#include "command.h"
#include "notify.h"
#include "runbook/incident/incident.h"
#include "runbook/state/store.h"
#include "runner.h"
#include "server/server.h"

#define RB_PATH_MAX          4096
#define RB_NOTES_REMEMBERED  64
#define RB_INCIDENTS_RETIRED 16

struct rb_app {
    struct rb_app_options options;
    const struct rb_platform *platform;
    const struct rb_clock *clock;
    struct ev_loop *loop;
    struct rb_plan *plan;
    struct rb_runner *runner;
    struct rb_store *store;
    struct rb_journal *journal;
    struct rb_server *server;
    struct rb_command_queue *queue;
    int64_t start_wall_ns, start_elapsed_ns;
    void (*on_completed)(struct rb_app *app, size_t index); /* after each run; NULL in the daemon */

    struct {                   /* state_dir.c */
        char dir[RB_PATH_MAX]; /* "" when it could not be had: everything stays in memory and /status says so */
        int lock_fd;
        char token[80];
    } state;

    struct { /* publish.c */
        struct rb_snapshot *newest;
        bool wanted; /* something changed since the last one */
        bool ready;
        ev_timer coalesce; /* at most 10 snapshots a second */
        ev_timer every_second;
        int64_t awake_ns, elapsed_ns, expected_ns; /* of the last heartbeat: sleep and lag show here */
        int64_t wall_offset_ns;
        double lag_s, lag_previous_s;
        int64_t lag_window_ns;
        uint64_t duration_bucket[RB_DURATION_BUCKETS + 1];
        double duration_sum_s;
        struct rb_self_info process;
        int64_t process_read_ns;
        const char *host, *os;
        struct rb_arena *texts;
    } publish;

    struct { /* config reload: commands.c */
        struct rb_config_status status;
        char error[8192];
        uint64_t reloads, failures;
    } reload;

    struct {                        /* rounds.c */
        struct rb_command *waiting; /* commands that share the round */
        bool *pending;              /* one flag per check of `plan` */
        struct rb_plan *plan;
        size_t pending_count;
        int64_t started_ns, last_ended_ns;
        double last_duration_s;
        bool active;
        ev_timer deadline;
        struct rb_command *runs; /* RUN commands waiting for their check */
    } rounds;

    struct { /* persist.c */
        bool busy;
        bool save_requested;
        int64_t saved_ns;
        ev_timer timer;
        uint64_t errors;
    } persist;

    struct { /* parts.c: notes told lately */
        struct {
            int64_t wall_ns;
            uint32_t digest;
        } items[RB_NOTES_REMEMBERED];
        size_t next;
    } notes;

    struct {                      /* drift.c */
        unsigned writing;         /* tasks on their way */
        ev_timer end;             /* when the next acceptance is over */
        int64_t next_end_wall_ns; /* 0: none is known */
    } drift;

    struct { /* incidents.c */
        struct rb_incidents all;
        bool busy;                  /* a write is on its way */
        struct rb_command *waiting; /* answered when what they changed is on disk */
        struct rb_incident_keep *keeps;
        char retired[RB_INCIDENTS_RETIRED][RB_INCIDENT_ID_SIZE]; /* folders to be removed */
        size_t retired_count;
        uint64_t version, journal_seen;
        int64_t written_ns;
        bool failing;
    } incidents;

    struct { /* repo_watch.c */
        bool busy;
        ev_timer timer;
        char commit[48], branch[256], subject[512], worktree[64];
        bool known;
        int64_t status_read_ns;
    } repo;

    struct {                            /* runbook_watch.c */
        struct rb_runbook_texts *texts; /* of `plan` or the one before; NULL: not known */
        bool busy, again;               /* a read is on its way; another one is due behind it */
        ev_timer timer, wait;
    } runbooks;

    struct { /* serve.c */
        ev_signal term, interrupt, hangup, hold;
        ev_timer banner;
        ev_timer trim;
        bool banner_done;
    } serve;

    struct rb_file_watch *file_watch; /* file_watch.c; NULL: events are not used */

    struct rb_notify notify;
};

/* state_dir.c */
int rb_app_state_open(struct rb_app *app, struct rb_error *err);
void rb_app_state_close(struct rb_app *app);
/* publish.c */
int rb_app_publish_start(struct rb_app *app, struct rb_error *err);
void rb_app_publish_stop(struct rb_app *app);
void rb_app_publish_soon(struct rb_app *app);
struct rb_snapshot *rb_app_publish_now(struct rb_app *app); /* borrowed; NULL when memory is out */
void rb_app_count_run(struct rb_app *app, double duration_s);
/* commands.c */
void rb_app_command(struct rb_command *command, void *arg);
int rb_app_reload(struct rb_app *app, struct rb_buf *out_errors); /* 0 or negative; the old plan goes on */
/* rounds.c */
void rb_app_round(struct rb_app *app, struct rb_command *command);
void rb_app_run_one(struct rb_app *app, struct rb_command *command);
void rb_app_rounds_completed(struct rb_app *app, size_t index);
void rb_app_rounds_plan_changed(struct rb_app *app);
void rb_app_rounds_runbooks_read(struct rb_app *app);
void rb_app_rounds_stop(struct rb_app *app);
void rb_app_finish_command(struct rb_app *app, struct rb_command *command, int status, const char *problem, const char *detail);
/* persist.c */
void rb_app_persist_start(struct rb_app *app);
void rb_app_persist_stop(struct rb_app *app); /* writes everything, synchronously */
void rb_app_persist_soon(struct rb_app *app);
void rb_app_persist_load(struct rb_app *app);
/* repo_watch.c */
void rb_app_repo_refresh(struct rb_app *app); /* somebody asks for a report: brings the header up to date, off the loop */
void rb_app_repo_start(struct rb_app *app);
void rb_app_repo_stop(struct rb_app *app);
void rb_app_repo_look(struct rb_app *app); /* once, here and now: blocks */
/* runbook_watch.c */
void rb_app_runbooks_start(struct rb_app *app);
void rb_app_runbooks_stop(struct rb_app *app);
void rb_app_runbooks_free(struct rb_app *app);
void rb_app_runbooks_look(struct rb_app *app); /* once, here and now: blocks */
void rb_app_runbooks_read(struct rb_app *app); /* off the loop */
bool rb_app_runbooks_wait(struct rb_app *app); /* true: a read is on its way, and the round is told when it ended or took too long */
/* banner.c */
void rb_app_banner_start(const struct rb_app *app);
void rb_app_banner_results(const struct rb_app *app);
/* parts.c: what serve and check share */
int rb_app_parts_new(struct rb_app *app, bool automatic, struct rb_error *err);
void rb_app_parts_free(struct rb_app *app);

#endif
