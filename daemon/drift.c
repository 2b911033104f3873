/* What runs leave to be written: first baselines, proposals, caches, damaged files set aside; and the timeline of drift.
 *
 * Everything is written by rb_file_replace on the daemon's task thread: old or new, never torn. A failed write loses nothing that the next run does not make again, so it is
 * only told. Loop thread, but for work(). */
#include "drift.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app_internal.h"
#include "runbook/base/log.h"
#include "runbook/state/files.h"

enum { MAX_EVENTS = 20, MAX_WAIT_S = 86400 };

struct write_job {
    struct rb_app *app;
    char folder[RB_PATH_MAX + 16];
    char name[RB_DRIFT_NAME_MAX];  /* of the baseline or proposal */
    char cache[RB_DRIFT_NAME_MAX]; /* of the cache */
    char *proposal, *cache_text;
    size_t proposal_len, cache_len;
    char check[80];
    bool set_aside; /* the baseline `name` is damaged */
    bool adopted;
    int64_t wall_ns;
    struct rb_error err;
    int rc;
};

static void free_job(struct write_job *job)
{
    free(job->proposal);
    free(job->cache_text);
    free(job);
}

static char *copy(const char *bytes, size_t len)
{
    char *out = bytes != NULL && len > 0 ? malloc(len) : NULL;
    return out != NULL ? memcpy(out, bytes, len) : NULL;
}

static void work(void *arg)
{
    struct write_job *job = arg;
    char kept[RB_PATH_MAX];
    if (mkdir(job->folder, 0700) != 0 && errno != EEXIST) {
        job->rc = rb_error_sys(&job->err, errno, "cannot make %s", job->folder);
        return;
    }
    if (job->set_aside)
        job->rc = rb_file_set_aside(job->folder, job->name, job->wall_ns, kept, sizeof kept, &job->err);
    if (job->rc == 0 && job->proposal != NULL)
        job->rc = rb_file_replace(job->folder, job->name, job->proposal, job->proposal_len, 0600, &job->err);
    if (job->rc == 0 && job->cache_text != NULL)
        job->rc = rb_file_replace(job->folder, job->cache, job->cache_text, job->cache_len, 0600, &job->err);
}

static void done(void *arg)
{
    struct write_job *job = arg;
    struct rb_app *app = job->app;
    app->drift.writing--;
    if (job->rc < 0 && !(job->set_aside && job->err.saved_errno == ENOENT)) {
        rb_log(RB_LOG_ERROR, "drift", "%s: %s", job->check, job->err.message);
    } else if (job->adopted) {
        rb_journal_append(app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_DRIFT,
                                                                   .check = job->check,
                                                                   .to = "baseline",
                                                                   .text = "the first baseline was recorded (baseline: auto)"});
        rb_app_persist_soon(app);
    }
    free_job(job);
}

static void queue(struct rb_app *app, struct write_job *job)
{
    job->app = app;
    app->drift.writing++;
    if (rb_runner_task(app->runner, work, done, job, &job->err) == 0)
        return;
    app->drift.writing--;
    free_job(job);
}

static struct write_job *new_job(const struct rb_app *app, const char *check)
{
    struct write_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    snprintf(job->folder, sizeof job->folder, "%s/" RB_DRIFT_FOLDER, app->state.dir);
    snprintf(job->check, sizeof job->check, "%s", check);
    snprintf(job->cache, sizeof job->cache, "%.64s.cache", check);
    rb_drift_baseline_name(check, job->name);
    job->wall_ns = rb_wall_ns(app->clock);
    return job;
}

static bool take_report(struct write_job *job, const struct rb_drift_report *report)
{
    job->cache_text = copy(report->cache, report->cache_len);
    job->cache_len = report->cache_len;
    job->proposal = copy(report->proposal, report->proposal_len);
    job->proposal_len = report->proposal_len;
    job->adopted = report->adopt && job->proposal != NULL;
    if (job->proposal != NULL && !report->adopt)
        snprintf(job->name, sizeof job->name, "%.64s.proposed", job->check);
    return job->proposal != NULL || job->cache_text != NULL;
}

void rb_app_drift_outcome(struct rb_app *app, size_t index, const struct rb_outcome *outcome)
{
    const char *check = app->plan->checks[index].name;
    bool damaged = strcmp(outcome->reason, "baseline_damaged") == 0;
    if ((outcome->drift == NULL && !damaged) || app->state.dir[0] == '\0' || app->state.lock_fd < 0)
        return;
    struct write_job *job = new_job(app, check);
    if (job == NULL)
        return;
    bool needed = outcome->drift != NULL && take_report(job, outcome->drift);
    if (damaged) { /* first out of the way, so that nobody takes it for a baseline; then the proposal */
        struct write_job *aside = new_job(app, check);
        if (aside != NULL) {
            aside->set_aside = true;
            queue(app, aside);
        }
    }
    if (needed)
        queue(app, job);
    else
        free_job(job);
}

/* ---- acceptances that end ---- */

static int64_t first_end(const struct rb_record *record, int64_t after_wall_ns)
{
    int64_t first = 0;
    for (size_t i = 0; record->drift != NULL && i < record->drift->item_count; i++) {
        const struct rb_drift_accepted *accepted = record->drift->items[i].accepted;
        if (accepted != NULL && accepted->until_wall_ns > after_wall_ns && (first == 0 || accepted->until_wall_ns < first))
            first = accepted->until_wall_ns;
    }
    return first;
}

static void arm_end(struct rb_app *app, int64_t end_wall_ns);

static void end_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_app *app = timer->data;
    int64_t over_wall_ns = app->drift.next_end_wall_ns, next = 0;
    app->drift.next_end_wall_ns = 0;
    for (size_t i = 0; i < app->plan->count; i++) {
        const struct rb_record *record = rb_store_record(app->store, i);
        if (first_end(record, over_wall_ns - 1) == over_wall_ns)
            rb_runner_bring_forward(app->runner, i);
        int64_t end = first_end(record, over_wall_ns);
        if (end != 0 && (next == 0 || end < next))
            next = end;
    }
    arm_end(app, next);
}

/* What was accepted for a time is drift again when it is over, not only at the check's next turn. */
static void arm_end(struct rb_app *app, int64_t end_wall_ns)
{
    if (end_wall_ns == 0 || (app->drift.next_end_wall_ns != 0 && app->drift.next_end_wall_ns <= end_wall_ns))
        return;
    double wait_s = (double)(end_wall_ns - rb_wall_ns(app->clock)) / (double)RB_NS_PER_S;
    if (wait_s > MAX_WAIT_S)
        return; /* armed by a later run of the check */
    app->drift.next_end_wall_ns = end_wall_ns;
    ev_timer_stop(app->loop, &app->drift.end);
    ev_timer_init(&app->drift.end, end_cb, wait_s > 0 ? wait_s + 0.01 : 0.01, 0.);
    app->drift.end.data = app;
    ev_timer_start(app->loop, &app->drift.end);
}

void rb_app_drift_stop(struct rb_app *app)
{
    if (app->drift.next_end_wall_ns != 0)
        ev_timer_stop(app->loop, &app->drift.end);
}

/* ---- timeline ---- */

struct telling {
    struct rb_app *app;
    const char *check;
    int64_t after_wall_ns; /* only what changed later; 0: all */
    size_t told, left_out;
};

static void tell(struct telling *telling, const struct rb_drift_item *item, bool gone, bool accepted_now)
{
    if (!gone && item->changed_wall_ns != 0 && item->changed_wall_ns < telling->after_wall_ns)
        return;
    if (telling->told++ >= MAX_EVENTS) {
        telling->left_out++;
        return;
    }
    char text[1024];
    const char *item_class = rb_drift_class_name(item->item_class);
    if (gone)
        snprintf(text, sizeof text, "%.700s %s", item->key, accepted_now ? "was accepted" : "is as accepted again");
    else
        snprintf(text, sizeof text, "%s %.700s%s%s%s: not accepted (drift %.4s)", rb_drift_change_name(item->change), item->key,
                 item_class[0] ? " (" : "", item_class, item_class[0] ? ")" : "", item->id);
    rb_journal_append(telling->app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_DRIFT,
                                                                        .check = telling->check,
                                                                        .from = gone ? item->id : NULL,
                                                                        .to = gone ? NULL : item->id,
                                                                        .text = text});
}

/* The next open item at or after `*at`, or NULL. */
static const struct rb_drift_item *next_open(const struct rb_drift_report *report, size_t *at)
{
    while (report != NULL && *at < report->item_count && report->items[*at].accepted != NULL)
        ++*at;
    return report != NULL && *at < report->item_count ? &report->items[*at] : NULL;
}

/* Whether an item of this key is still there: then it is accepted. */
static bool stands(const struct rb_drift_report *report, const char *key)
{
    for (size_t i = 0; report != NULL && i < report->item_count; i++)
        if (strcmp(report->items[i].key, key) == 0)
            return true;
    return false;
}

static void merge_items(struct telling *telling, const struct rb_drift_report *before, const struct rb_drift_report *after)
{
    size_t i = 0, k = 0;
    for (;;) {
        const struct rb_drift_item *old = next_open(before, &i), *now = next_open(after, &k);
        if (old == NULL && now == NULL)
            break;
        int order = old == NULL ? 1 : now == NULL ? -1 : strcmp(old->key, now->key);
        bool same = order == 0 && (old->new_value == now->new_value ||
                                   (old->new_value != NULL && now->new_value != NULL && strcmp(old->new_value, now->new_value) == 0));
        if (order < 0)
            tell(telling, old, true, stands(after, old->key));
        else if (!same)
            tell(telling, now, false, false);
        i += order <= 0;
        k += order >= 0;
    }
}

void rb_app_drift_events(struct rb_app *app, const struct rb_record *before, const struct rb_record *after)
{
    arm_end(app, first_end(after, rb_wall_ns(app->clock)));
    if (after->drift == NULL || (before->drift == NULL && before->last_run_wall_ns == 0))
        return; /* nothing to compare with: the items of a first run are no news */
    struct telling telling = {.app = app, .check = after->spec->name};
    if (before->drift == NULL) /* after a restart: what came up meanwhile */
        telling.after_wall_ns = before->last_run_wall_ns;
    merge_items(&telling, before->drift, after->drift);
    if (telling.left_out > 0) {
        char text[96];
        snprintf(text, sizeof text, "and %zu more items", telling.left_out);
        rb_journal_append(app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_DRIFT, .check = telling.check, .text = text});
    }
    if (telling.told > 0)
        rb_app_persist_soon(app);
}

/* ---- accept ---- */

struct accepting {
    struct rb_app *app;
    struct rb_command *command;
    struct rb_drift_job *job;
};

static void accept_work(void *arg)
{
    rb_drift_job_work(((struct accepting *)arg)->job);
}

/* Written: the checks run again, so that the answer, and whoever asks next, sees what became of it. */
static void accept_done(void *arg)
{
    struct accepting *accepting = arg;
    struct rb_app *app = accepting->app;
    struct rb_command *command = accepting->command;
    int rc = rb_drift_job_result(accepting->job, &command->detail);
    size_t checks[16];
    size_t count = rb_drift_job_checks(accepting->job, checks, 16);
    rb_drift_job_free(accepting->job);
    free(accepting);
    if (rc < 0) {
        rb_app_finish_command(app, command, 500, "not-written", "");
        return;
    }
    for (size_t i = 0; i + 1 < count && checks[i] < app->plan->count; i++)
        rb_runner_bring_forward(app->runner, checks[i]);
    if (count == 0 || checks[count - 1] >= app->plan->count) {
        rb_app_finish_command(app, command, 200, "", "");
        return;
    }
    snprintf(command->name, sizeof command->name, "%s", app->plan->checks[checks[count - 1]].name);
    rb_app_run_one(app, command);
}

void rb_app_drift_accept(struct rb_app *app, struct rb_command *command)
{
    int status = 503;
    char problem[32] = "no-memory";
    struct rb_snapshot *snapshot = rb_app_publish_now(app);
    struct accepting *accepting = calloc(1, sizeof *accepting);
    if (app->state.dir[0] == '\0' || app->state.lock_fd < 0) {
        free(accepting);
        rb_app_finish_command(app, command, 503, "no-state", "there is no folder of state that could be written: nothing can be accepted");
        return;
    }
    if (accepting != NULL && snapshot != NULL)
        accepting->job = rb_drift_job_new(snapshot, app->state.dir, rb_buf_str(&command->body), command->body.len, rb_wall_ns(app->clock),
                                          &status, problem, &command->detail);
    if (accepting == NULL || accepting->job == NULL) {
        free(accepting);
        rb_app_finish_command(app, command, status, problem, "");
        return;
    }
    accepting->app = app;
    accepting->command = command;
    if (rb_runner_task(app->runner, accept_work, accept_done, accepting, NULL) < 0) {
        rb_drift_job_free(accepting->job);
        free(accepting);
        rb_app_finish_command(app, command, 503, "busy", "the daemon is stopping");
    }
}
