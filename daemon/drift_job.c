/* Accepting: a request becomes chosen items, these become new baselines and lines of the accept log.
 *
 * A request is refused as a whole or carried out as a whole per check: an item that a safety check guards refuses everything, so that nobody takes half an answer for a whole one.
 * Order of writing: the baseline first, by one rename; then the log line. A crash between the two loses the line and not the acceptance, which stands with person and reason in
 * the baseline too. The job holds a reference to its snapshot: what is accepted is what was shown, not what may have changed since. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app_internal.h"
#include "drift.h"
#include "runbook/base/glob.h"
#include "runbook/base/units.h"
#include "runbook/state/files.h"

enum { JOB_ARENA = 256 << 20, MAX_TARGETS = 256, ID_MIN = 4 };

struct chosen {
    size_t index; /* of the check */
    const struct rb_drift_item **items;
    size_t count;
    bool whole; /* there is no baseline: the proposal becomes one */
    bool written;
};

struct rb_drift_job {
    struct rb_arena *arena;
    struct rb_snapshot *snapshot;
    char dir[RB_PATH_MAX];
    struct rb_drift_acceptance acceptance;
    struct chosen *checks;
    size_t check_count;
    size_t log_failed;
    struct rb_error err;
    int rc;
};

struct request {
    struct rb_drift_job *job;
    const char *targets[MAX_TARGETS];
    bool met[MAX_TARGETS];
    size_t target_count;
    bool all;
    int status;
    const char *problem;
    struct rb_buf *detail;
};

static bool refuse(struct request *request, int status, const char *problem, const char *fmt, ...) RB_PRINTF(4, 5);
static bool refuse(struct request *request, int status, const char *problem, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    request->status = status;
    request->problem = problem;
    rb_buf_addv(request->detail, fmt, args);
    va_end(args);
    return false;
}

/* ---- the request ---- */

static bool read_text(struct request *request, const json_t *object, const char *name, const char **out)
{
    const json_t *value = json_object_get(object, name);
    *out = NULL;
    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return refuse(request, 400, "bad-request", "%s has to be a text", name);
    *out = rb_arena_strdup(request->job->arena, json_string_value(value));
    return *out != NULL;
}

static bool read_end(struct request *request, const json_t *object)
{
    const char *until, *expires;
    struct rb_drift_acceptance *acceptance = &request->job->acceptance;
    struct rb_error err = {0};
    int64_t ms = 0;
    if (!read_text(request, object, "until", &until) || !read_text(request, object, "expires", &expires))
        return false;
    if (until != NULL && expires != NULL)
        return refuse(request, 400, "bad-request", "give until or expires, not both");
    if (until != NULL && rb_time_parse(until, &acceptance->until_wall_ns, &err) < 0)
        return refuse(request, 400, "bad-request", "until: %s", err.message);
    if (expires != NULL && (rb_duration_parse(expires, &ms, &err) < 0 || ms == 0))
        return refuse(request, 400, "bad-request", "expires: %s", ms == 0 && err.code == 0 ? "has to be longer than 0" : err.message);
    if (expires != NULL)
        acceptance->until_wall_ns = acceptance->now_wall_ns + ms * RB_NS_PER_MS;
    return true;
}

static bool read_targets(struct request *request, const json_t *object)
{
    const json_t *targets = json_object_get(object, "targets");
    if (targets != NULL && !json_is_array(targets))
        return refuse(request, 400, "bad-request", "targets has to be a list of checks, ids and globs");
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const json_t *target = json_array_get(targets, i);
        if (!json_is_string(target) || request->target_count == MAX_TARGETS)
            return refuse(request, 400, "bad-request", "targets has to be a list of at most %d texts", MAX_TARGETS);
        request->targets[request->target_count++] = rb_arena_strdup(request->job->arena, json_string_value(target));
    }
    request->all = json_is_true(json_object_get(object, "all"));
    if (request->target_count == 0 && !request->all)
        return refuse(request, 400, "bad-request", "name what to accept: a check, an item's id, a glob over keys; or --all");
    return true;
}

static bool read_request(struct request *request, const char *json, size_t len)
{
    struct rb_drift_acceptance *acceptance = &request->job->acceptance;
    struct rb_error err = {0};
    json_t *object = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_object(object) || refuse(request, 400, "bad-request", "the body has to be one JSON object");
    ok = ok && read_text(request, object, "reason", &acceptance->why) && read_text(request, object, "ref", &acceptance->ref) &&
         read_text(request, object, "who", &acceptance->who) && read_end(request, object) && read_targets(request, object);
    json_decref(object);
    if (ok && acceptance->who == NULL)
        acceptance->who = "api";
    if (ok && rb_drift_acceptance_check(acceptance, &err) < 0)
        return refuse(request, 422, "not-acceptable", "%s", err.message);
    return ok;
}

/* ---- choosing ---- */

static bool is_id(const char *target)
{
    size_t len = strlen(target);
    return len >= ID_MIN && len < RB_DRIFT_ID && strspn(target, "0123456789abcdef") == len;
}

/* Whether a target names the item; marks the target. */
static bool named(struct request *request, const char *check, const struct rb_drift_item *item)
{
    bool found = false;
    for (size_t i = 0; i < request->target_count; i++) {
        const char *target = request->targets[i];
        bool meets = strcmp(target, check) == 0 || strcmp(target, item->key) == 0 || rb_glob_match(target, item->key) ||
                     (is_id(target) && strncmp(item->id, target, strlen(target)) == 0);
        request->met[i] |= meets;
        found |= meets;
    }
    return found || (request->all && request->target_count == 0);
}

static bool names_check(struct request *request, const char *check)
{
    bool found = false;
    for (size_t i = 0; i < request->target_count; i++)
        if (strcmp(request->targets[i], check) == 0)
            found = request->met[i] = true;
    return found || (request->all && request->target_count == 0);
}

static bool choose_in(struct request *request, size_t index)
{
    struct rb_drift_job *job = request->job;
    const struct rb_record *record = job->snapshot->records[index];
    const struct rb_drift_report *report = record->drift;
    struct chosen *chosen = &job->checks[job->check_count];
    *chosen = (struct chosen){.index = index};
    if (report == NULL)
        return true;
    if (report->baseline_wall_ns == 0) {
        chosen->whole = names_check(request, record->spec->name);
        job->check_count += chosen->whole;
        return true;
    }
    (void)names_check(request, record->spec->name); /* a check without open items is named all the same */
    chosen->items = rb_arena_array(job->arena, report->item_count + 1, sizeof *chosen->items);
    for (size_t i = 0; chosen->items != NULL && i < report->item_count; i++)
        if (report->items[i].accepted == NULL && named(request, record->spec->name, &report->items[i]))
            chosen->items[chosen->count++] = &report->items[i];
    job->check_count += chosen->count > 0;
    return chosen->items != NULL;
}

static bool refuse_guarded(struct request *request)
{
    struct rb_drift_job *job = request->job;
    bool guarded = false;
    for (size_t i = 0; i < job->check_count; i++) {
        for (size_t k = 0; k < job->checks[i].count; k++) {
            const char *why = rb_drift_guard(job->snapshot->plan, job->checks[i].items[k], job->arena);
            if (why == NULL)
                continue;
            rb_buf_addf(request->detail, "%s%s", guarded ? "\n" : "", why);
            guarded = true;
        }
    }
    if (guarded)
        refuse(request, 403, "guarded", "%s", "\nnothing was accepted");
    return !guarded;
}

/* An id that is short enough to mean two items means none. */
static bool refuse_ambiguous(struct request *request)
{
    const struct rb_drift_job *job = request->job;
    for (size_t t = 0; t < request->target_count; t++) {
        size_t met = 0;
        for (size_t i = 0; is_id(request->targets[t]) && i < job->check_count; i++)
            for (size_t k = 0; k < job->checks[i].count; k++)
                met += strncmp(job->checks[i].items[k]->id, request->targets[t], strlen(request->targets[t])) == 0;
        if (met > 1)
            return refuse(request, 409, "ambiguous", "%zu items have an id that begins with %s: give more of it", met, request->targets[t]);
        if (!request->met[t])
            return refuse(request, 404, "no-such-item", "no open item, and no drift check, is meant by '%s'; see: runbookd drift show",
                          request->targets[t]);
    }
    return true;
}

static bool choose(struct request *request)
{
    struct rb_drift_job *job = request->job;
    job->checks = rb_arena_array(job->arena, job->snapshot->count + 1, sizeof *job->checks);
    if (job->checks == NULL)
        return false;
    for (size_t i = 0; i < job->snapshot->count; i++)
        if (!choose_in(request, i))
            return false;
    return refuse_ambiguous(request) && refuse_guarded(request);
}

struct rb_drift_job *rb_drift_job_new(struct rb_snapshot *snapshot, const char *state_dir, const char *json, size_t len,
                                      int64_t now_wall_ns, int *out_status, char out_problem[32], struct rb_buf *out_detail)
{
    struct rb_drift_job *job = calloc(1, sizeof *job);
    struct request *request = calloc(1, sizeof *request);
    bool ok = job != NULL && request != NULL && (job->arena = rb_arena_new(JOB_ARENA)) != NULL;
    *out_status = 503;
    if (ok) {
        *request = (struct request){.job = job, .detail = out_detail, .status = 503, .problem = "no-memory"};
        job->snapshot = rb_snapshot_ref(snapshot);
        job->acceptance.now_wall_ns = now_wall_ns;
        snprintf(job->dir, sizeof job->dir, "%s", state_dir);
        ok = read_request(request, json, len) && choose(request);
        *out_status = request->status;
        snprintf(out_problem, 32, "%s", request->problem);
    }
    free(request);
    if (ok)
        return job;
    rb_drift_job_free(job);
    return NULL;
}

/* ---- writing ---- */

static int read_log(const char *dir, struct rb_arena *arena, struct rb_drift_log *out, struct rb_error *err)
{
    char path[RB_PATH_MAX + 32];
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_LOG_MAX);
    snprintf(path, sizeof path, "%s/" RB_DRIFT_LOG, dir);
    struct rb_error read_err = {0};
    int rc = rb_file_read(path, RB_DRIFT_LOG_MAX, true, &text, &read_err);
    if (rc == RB_ENOTFOUND || (rc == RB_ESYS && read_err.saved_errno == ENOENT)) {
        *out = (struct rb_drift_log){0};
        return 0;
    }
    return rc < 0 ? rb_error_set(err, rc, "%s", read_err.message) : rb_drift_log_read(rb_buf_str(&text), text.len, arena, out, err);
}

static int write_at(int fd, const char *bytes, size_t len, off_t at)
{
    for (size_t put = 0; put < len;) {
        ssize_t got = pwrite(fd, bytes + put, len - put, at + (off_t)put);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : ENOSPC;
        put += (size_t)got;
    }
    return fsync(fd) != 0 ? errno : 0;
}

/* Appends after the last whole line; a torn one from a crash is cut off. What cannot be written whole is taken back. */
static int append_log(const struct rb_drift_job *job, const struct rb_drift_log *log, const struct rb_buf *lines, struct rb_error *err)
{
    char path[RB_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/" RB_DRIFT_LOG, job->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return rb_error_sys(err, errno, "cannot open the accept log");
    int failed = ftruncate(fd, (off_t)log->whole_len) != 0 ? errno : write_at(fd, lines->data, lines->len, (off_t)log->whole_len);
    if (failed && ftruncate(fd, (off_t)log->whole_len) != 0)
        failed = errno;
    if (close(fd) != 0 && !failed)
        failed = errno;
    return failed ? rb_error_sys(err, failed, "accepted, but the accept log could not be written") : 0;
}

static void add_lines(const struct rb_drift_job *job, const struct chosen *chosen, uint32_t *checksum, struct rb_buf *out)
{
    const char *check = job->snapshot->plan->checks[chosen->index].name;
    struct rb_drift_log_entry entry = {.wall_ns = job->acceptance.now_wall_ns,
                                       .check = check,
                                       .id = "",
                                       .key = "",
                                       .change = "baseline",
                                       .accepted = {.who = job->acceptance.who,
                                                    .why = job->acceptance.why,
                                                    .ref = job->acceptance.ref,
                                                    .until_wall_ns = job->acceptance.until_wall_ns}};
    if (chosen->whole)
        rb_drift_log_line(&entry, checksum, out);
    for (size_t i = 0; i < chosen->count; i++) {
        const struct rb_drift_item *item = chosen->items[i];
        entry.id = item->id;
        entry.key = item->key;
        entry.change = rb_drift_change_name(item->change);
        entry.old_text = item->old_text;
        entry.new_text = item->new_text;
        rb_drift_log_line(&entry, checksum, out);
    }
}

static int log_all(struct rb_drift_job *job, struct rb_error *err)
{
    struct rb_drift_log log = {0};
    int rc = read_log(job->dir, job->arena, &log, err);
    if (rc < 0)
        return rc;
    RB_BUF_AUTO lines;
    rb_buf_init(&lines, RB_DRIFT_LOG_MAX);
    uint32_t checksum = log.checksum;
    if (log.whole_len == 0)
        rb_drift_log_header(&lines);
    for (size_t i = 0; i < job->check_count; i++)
        if (job->checks[i].written)
            add_lines(job, &job->checks[i], &checksum, &lines);
    rc = rb_buf_check(&lines, "the accept log", err);
    return rc < 0 ? rc : append_log(job, &log, &lines, err);
}

/* The proposal that the check's last run left, as of now. */
static int read_proposal(const char *folder, const char *check, struct rb_arena *arena, struct rb_drift_baseline *out, struct rb_error *err)
{
    char path[RB_PATH_MAX + 128];
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    snprintf(path, sizeof path, "%s/%.64s.proposed", folder, check);
    int rc = rb_file_read(path, RB_DRIFT_BASELINE_MAX, true, &text, err);
    if (rc == 0)
        rc = rb_drift_baseline_decode(rb_buf_str(&text), text.len, arena, out, err);
    return rc < 0 ? rb_error_prefix(err, "what %s found cannot be read again; run it once more, then accept", check) : 0;
}

static int write_one(struct rb_drift_job *job, struct chosen *chosen)
{
    const char *check = job->snapshot->plan->checks[chosen->index].name;
    char folder[RB_PATH_MAX + 16], name[RB_DRIFT_NAME_MAX];
    struct rb_drift_baseline baseline, accepted;
    snprintf(folder, sizeof folder, "%s/" RB_DRIFT_FOLDER, job->dir);
    rb_drift_baseline_name(check, name);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    int rc = chosen->whole ? read_proposal(folder, check, job->arena, &baseline, &job->err)
                           : rb_drift_baseline_read(job->dir, check, job->arena, &baseline, &job->err);
    accepted = baseline;
    if (rc == 0 && chosen->whole)
        accepted.wall_ns = job->acceptance.now_wall_ns;
    else if (rc == 0)
        rc = rb_drift_accept(&baseline, chosen->items, chosen->count, &job->acceptance, job->arena, &accepted, &job->err);
    if (rc == 0)
        rc = rb_drift_baseline_encode(&accepted, &text, &job->err);
    if (rc == 0)
        rc = rb_file_replace(folder, name, text.data, text.len, 0600, &job->err);
    chosen->written = rc == 0;
    return rc;
}

void rb_drift_job_work(void *arg)
{
    struct rb_drift_job *job = arg;
    for (size_t i = 0; i < job->check_count && job->rc == 0; i++)
        job->rc = write_one(job, &job->checks[i]);
    struct rb_error err = {0};
    bool any = job->check_count > 0 && job->checks[0].written;
    int rc = any ? log_all(job, &err) : 0;
    if (job->rc == 0 && rc < 0) {
        job->rc = rc;
        job->err = err;
    }
}

/* ---- the answer ---- */

int rb_drift_job_result(const struct rb_drift_job *job, struct rb_buf *out)
{
    if (job->rc < 0) {
        rb_buf_adds(out, job->err.message);
        return job->rc;
    }
    json_t *accepted = json_array(), *baselines = json_array();
    for (size_t i = 0; i < job->check_count; i++) {
        const struct chosen *chosen = &job->checks[i];
        const char *check = job->snapshot->plan->checks[chosen->index].name;
        if (chosen->whole)
            (void)json_array_append_new(baselines, json_string(check));
        for (size_t k = 0; k < chosen->count; k++)
            (void)json_array_append_new(
                accepted, json_pack("{s:s, s:s, s:s}", "check", check, "id", chosen->items[k]->id, "key", chosen->items[k]->key));
    }
    json_t *answer = json_pack("{s:o, s:o}", "accepted", accepted, "baselines", baselines);
    char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    rb_buf_adds(out, text != NULL ? text : "{}");
    free(text);
    return 0;
}

size_t rb_drift_job_checks(const struct rb_drift_job *job, size_t *out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < job->check_count && count < max; i++)
        out[count++] = job->checks[i].index;
    return count;
}

void rb_drift_job_free(struct rb_drift_job *job)
{
    if (job == NULL)
        return;
    rb_snapshot_unref(job->snapshot);
    rb_arena_free(job->arena);
    free(job);
}
