/* GET and POST /triage: the same arguments, the same report. As handlers.c: on the HTTP thread, never waiting.
 *
 * GET is rendered here from one snapshot. POST is answered with what the incident keeps, rendered on the task thread; in another form or language when the request asks for it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "incident_report.h"
#include "internal.h"
#include "runbook/base/units.h"

#define TRIAGE_DEADLINE     (3 * RB_NS_PER_S)
#define TRIAGE_DEADLINE_MAX (30 * RB_NS_PER_S)
#define TRIAGE_AGE          (5 * RB_NS_PER_S)
#define TRIAGE_AGE_MIN      RB_NS_PER_S
#define WAIT_SLACK          (250 * RB_NS_PER_MS)
#define WRITE_SLACK         RB_NS_PER_S /* behind the deadline: the incident has to reach the disk */

_Static_assert(RB_COMMAND_ROUNDS_MAX >= RB_CONNECTIONS_MAX, "each connection can wait for a round");

static const char *const types[] = {
    [RB_REPORT_TEXT] = "text/plain; charset=utf-8", [RB_REPORT_JSON] = "application/json", [RB_REPORT_HTML] = "text/html; charset=utf-8"};

struct triage_options {
    bool fresh;
    int64_t max_age_ns, deadline_ns;
    enum rb_language language;
};

/* "5s" or a bare number of seconds. */
static bool duration_argument(struct rb_request *request, const char *name, int64_t *value)
{
    const char *text = rb_request_argument(request, name);
    int64_t number;
    struct rb_error err;
    if (!text)
        return true;
    if (rb_int_parse(text, &number, &err) == 0 && number >= 0 && number <= 86400)
        *value = number * RB_NS_PER_S;
    else if (rb_duration_parse(text, &number, &err) == 0)
        *value = number * RB_NS_PER_MS;
    else
        return false;
    return true;
}

/* NULL, or the name of the argument that is not valid. */
static const char *triage_options(struct rb_request *request, const struct rb_snapshot *snapshot, struct triage_options *out)
{
    *out = (struct triage_options){.fresh = true, .max_age_ns = TRIAGE_AGE, .deadline_ns = TRIAGE_DEADLINE};
    const char *fresh = rb_request_argument(request, "fresh");
    if (fresh && strcmp(fresh, "0") != 0 && strcmp(fresh, "1") != 0)
        return "fresh";
    out->fresh = !request->cross_site && (!fresh || fresh[0] == '1');
    if (!duration_argument(request, "max_age", &out->max_age_ns))
        return "max_age";
    if (!duration_argument(request, "deadline", &out->deadline_ns))
        return "deadline";
    if (out->max_age_ns < TRIAGE_AGE_MIN)
        out->max_age_ns = TRIAGE_AGE_MIN;
    if (out->deadline_ns > TRIAGE_DEADLINE_MAX)
        out->deadline_ns = TRIAGE_DEADLINE_MAX;
    return rb_request_language(request, snapshot, &out->language) ? NULL : "lang";
}

static enum rb_report_form triage_form(struct rb_request *request)
{
    const char *accept = rb_request_header(request, "Accept");
    int text = rb_accept_quality(accept, "text/plain", NULL, false);
    int json = rb_accept_quality(accept, "application/json", NULL, false);
    int html = rb_accept_quality(accept, "text/html", NULL, false);
    if (html > text && html >= json)
        return RB_REPORT_HTML;
    return json > text ? RB_REPORT_JSON : RB_REPORT_TEXT;
}

static int render_triage(const struct rb_view *view, const struct rb_diagnosis *diagnosis, enum rb_report_form form,
                         enum rb_language language, struct rb_buf *out, struct rb_error *err)
{
    if (form == RB_REPORT_JSON)
        return rb_render_triage_json(view, diagnosis, out, err);
    if (form == RB_REPORT_HTML)
        return rb_render_triage_html(view, diagnosis, language, out, err);
    struct rb_text_style style = {.columns = 100, .language = language};
    return rb_render_triage_text(view, diagnosis, &style, out, err);
}

static enum MHD_Result answer_triage(struct rb_request *request, const struct rb_snapshot *snapshot, const struct triage_options *options,
                                     double round_s)
{
    struct rb_error err = {0};
    struct rb_view view = rb_view_of(snapshot, request->server->clock);
    struct rb_diagnosis_options how = {.max_age_ns = options->max_age_ns, .round_s = round_s};
    struct rb_diagnosis diagnosis = {0};
    RB_ARENA_AUTO *arena = rb_arena_new(RB_DIAGNOSIS_ARENA);
    struct rb_body *body = rb_body_new();
    enum rb_report_form form = triage_form(request);
    int rc = arena && body ? 0 : rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (rc == 0)
        rc = rb_diagnose(&view, &how, arena, &diagnosis, &err);
    if (rc == 0)
        rc = render_triage(&view, &diagnosis, form, options->language, &body->bytes, &err);
    if (rc == 0)
        return rb_answer_rendered(request, 200, types[form], body);
    rb_body_unref(body);
    return rb_answer_failed(request, &err);
}

/* Starts a round; false: answer with what is known. */
static bool start_round(struct rb_request *request, const struct rb_view *view, const struct triage_options *options)
{
    int64_t now = rb_server_now(request->server);
    struct rb_command *command = !view->stuck && options->fresh ? rb_command_new(RB_COMMAND_ROUND) : NULL;
    if (!command)
        return false;
    command->max_age_ns = options->max_age_ns;
    command->deadline_ns = now + options->deadline_ns;
    return rb_wait_start(request, command, now + options->deadline_ns + WAIT_SLACK);
}

enum MHD_Result rb_handle_triage(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_starting(request);
    struct rb_view view = rb_view_of(cache->snapshot, request->server->clock);
    struct triage_options options;
    enum MHD_Result result = MHD_YES;
    const struct rb_command *done = request->waiter && rb_wait_finished(request) ? request->waiter->command : NULL;
    const char *wrong = triage_options(request, cache->snapshot, &options);
    if (wrong)
        result = rb_answer_bad_argument(request, wrong);
    else if (done && done->status < 400)
        result = answer_triage(request, done->snapshot ? done->snapshot : cache->snapshot, &options, done->duration_s);
    else if (request->waiter || !start_round(request, &view, &options))
        result = answer_triage(request, cache->snapshot, &options, (double)NAN);
    rb_cache_unref(cache);
    return result;
}

/* ---- POST: the same, and an incident keeps it ---- */

static struct rb_command *opening(const struct rb_request *request, const struct triage_options *options, enum rb_report_form form)
{
    struct rb_command *command = rb_command_new(RB_COMMAND_ROUND);
    if (!command)
        return NULL;
    rb_buf_add(&command->body, rb_buf_str(&request->body), request->body.len);
    command->opens_incident = true;
    command->as_it_is = !options->fresh;
    command->max_age_ns = options->max_age_ns;
    command->language = (int)options->language;
    command->form = form;
    return command;
}

static enum MHD_Result start_opening(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_starting(request);
    struct triage_options options;
    const char *wrong = triage_options(request, cache->snapshot, &options);
    rb_cache_unref(cache);
    if (wrong)
        return rb_answer_bad_argument(request, wrong);
    int64_t now = rb_server_now(request->server);
    struct rb_command *command = opening(request, &options, triage_form(request));
    if (command)
        command->deadline_ns = now + options.deadline_ns;
    if (!command || !rb_wait_start(request, command, now + options.deadline_ns + WRITE_SLACK))
        return rb_answer_problem(request, 503, "busy", "The daemon is stuck, stopping, or has too many requests waiting; try again.");
    return MHD_YES;
}

/* Where the form and the language are those that are kept: the very bytes that lie in the incident's folder. */
static enum MHD_Result answer_report(struct rb_request *request, const struct rb_command *command)
{
    const struct rb_incident_report *report = command->payload;
    const struct rb_buf *bytes = report->answer.len > 0            ? &report->answer
                                 : command->form == RB_REPORT_JSON ? &report->triage_json
                                                                   : &report->triage_text;
    struct rb_answer sent = {.status = 200, .type = types[command->form], .tail = rb_buf_str(bytes), .tail_len = bytes->len, .vary = true};
    return rb_answer_send(request, &sent);
}

enum MHD_Result rb_handle_triage_open(struct rb_request *request)
{
    if (!request->waiter)
        return start_opening(request);
    const struct rb_command *command = request->waiter->command;
    if (!rb_wait_finished(request))
        return rb_handle_triage(request); /* the disk or the loop hangs: what is known, with no incident in it */
    if (command->status >= 400 || !command->payload)
        return rb_answer_problem(request, command->status >= 400 ? command->status : 503,
                                 command->problem[0] ? command->problem : "no-memory",
                                 command->detail.len ? rb_buf_str(&command->detail) : "It could not be done.");
    return answer_report(request, command);
}
