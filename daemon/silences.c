/* Silences: a check is marked until a moment; its state, its counters and its place in the diagnosis' evidence do not change. Safety checks are refused, as a whole request.
 *
 * They live in the store's records and its checkpoint (checks.state), so a restart keeps them; answered after that was asked to be written. Loop thread. */
#include <jansson.h>
#include <string.h>

#include "incidents.h"
#include "runbook/base/glob.h"
#include "runbook/base/units.h"

#define LONGEST_NS (INT64_C(366) * 86400 * RB_NS_PER_S)

struct silence {
    const char *check, *why, *who;
    int64_t until_wall_ns; /* 0: ends it */
};

static const char *text_of(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static bool read_until(const json_t *body, int64_t now_ns, int64_t *out, struct rb_error *err)
{
    const char *duration = text_of(body, "for"), *until = text_of(body, "until");
    int64_t ms = 0;
    if ((duration != NULL) == (until != NULL)) {
        rb_error_set(err, RB_EINVAL, "say either \"for\" (such as 2h; 0 ends the silence) or \"until\" (a time in RFC 3339)");
        return false;
    }
    if (duration != NULL && rb_duration_parse(duration, &ms, err) < 0)
        return false;
    if (until != NULL && rb_time_parse(until, out, err) < 0)
        return false;
    if (duration != NULL)
        *out = ms == 0 ? 0 : now_ns + ms * RB_NS_PER_MS;
    if (*out != 0 && (*out <= now_ns || *out - now_ns > LONGEST_NS)) {
        rb_error_set(err, RB_EINVAL, "a silence ends in the future, within a year");
        return false;
    }
    return true;
}

static bool read_request(const json_t *body, int64_t now_ns, struct silence *out, struct rb_error *err)
{
    out->check = text_of(body, "check");
    out->why = text_of(body, "reason");
    out->who = text_of(body, "who");
    if (out->check != NULL)
        return read_until(body, now_ns, &out->until_wall_ns, err);
    rb_error_set(err, RB_EINVAL, "name the check, or a pattern of names: {\"check\": \"NAME\", \"for\": \"2h\", \"reason\": \"…\"}");
    return false;
}

static bool is_meant(const struct silence *silence, const char *name)
{
    return strcmp(silence->check, name) == 0 || rb_glob_match(silence->check, name);
}

/* How many are meant; SIZE_MAX with `err` when one of them must not be. */
static size_t count_meant(const struct rb_app *app, const struct silence *silence, struct rb_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < app->plan->count; i++) {
        const struct rb_check_spec *spec = &app->plan->checks[i];
        if (!is_meant(silence, spec->name))
            continue;
        count++;
        if (spec->phase == RB_PHASE_SAFETY && silence->until_wall_ns != 0) {
            rb_error_set(err, RB_EPERM, "%s is a check of phase safety: it can never be silenced; nothing was silenced", spec->name);
            return SIZE_MAX;
        }
    }
    return count;
}

static void tell(struct rb_app *app, const char *check, const struct silence *silence)
{
    char until[RB_TIME_TEXT];
    RB_BUF_AUTO text;
    rb_buf_init(&text, 2048);
    if (silence->until_wall_ns == 0)
        rb_buf_adds(&text, "silence ended");
    else
        rb_buf_addf(&text, "silenced until %s", rb_time_rfc3339(until, silence->until_wall_ns));
    rb_buf_addf(&text, "%s%.200s%s%.1000s", silence->who != NULL ? " by " : "", silence->who != NULL ? silence->who : "",
                silence->why != NULL ? ": " : "", silence->why != NULL ? silence->why : "");
    rb_journal_append(app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_NOTE,
                                                               .check = check,
                                                               .to = silence->until_wall_ns != 0 ? "silenced" : "heard",
                                                               .text = rb_buf_str(&text)});
}

static void apply(struct rb_app *app, const struct silence *silence, struct rb_buf *out)
{
    char until[RB_TIME_TEXT];
    const char *separator = "";
    rb_buf_adds(out, "{\"silenced\":[");
    for (size_t i = 0; i < app->plan->count; i++) {
        const char *name = app->plan->checks[i].name;
        if (!is_meant(silence, name) || rb_store_silence(app->store, i, silence->until_wall_ns, NULL) < 0)
            continue;
        tell(app, name, silence);
        rb_buf_addf(out, "%s\"%s\"", separator, name);
        separator = ",";
    }
    rb_buf_adds(out, "],\"until\":");
    if (silence->until_wall_ns == 0)
        rb_buf_adds(out, "null}\n");
    else
        rb_buf_addf(out, "\"%s\"}\n", rb_time_rfc3339(until, silence->until_wall_ns));
}

void rb_app_silence(struct rb_app *app, struct rb_command *command)
{
    json_t *body = json_loadb(rb_buf_str(&command->body), command->body.len, JSON_REJECT_DUPLICATES, NULL);
    struct silence silence = {0};
    struct rb_error err = {0};
    int status = 200;
    if (!read_request(body, rb_wall_ns(app->clock), &silence, &err)) {
        status = 400;
    } else {
        size_t meant = count_meant(app, &silence, &err);
        status = meant == SIZE_MAX ? 422 : meant == 0 ? 404 : 200;
        if (meant == 0)
            rb_error_set(&err, RB_ENOTFOUND, "no check has this name; /api/v1/checks lists them");
    }
    if (status == 200) {
        apply(app, &silence, &command->detail);
        rb_app_persist_soon(app);
        rb_app_finish_command(app, command, 200, "", "");
    } else {
        rb_app_finish_command(app, command, status, status == 400 ? "bad-body" : status == 404 ? "no-such-check" : "safety", err.message);
    }
    json_decref(body);
}
