/* The handlers of incidents, alerts and silences. As handlers.c: on the HTTP thread, never waiting; what changes something goes to the loop as a command.
 *
 * A webhook is read here, so that a payload that is not one costs the loop nothing. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "runbook/base/units.h"
#include "runbook/incident/webhook.h"

#define WAIT_SLACK      (250 * RB_NS_PER_MS)
#define CHANGE_DEADLINE (20 * RB_NS_PER_S)
#define HOOK_ARENA_MAX  ((size_t)8 << 20)

static enum MHD_Result start(struct rb_request *request, struct rb_command *take_command, int64_t wait_ns)
{
    int64_t now = rb_server_now(request->server);
    if (take_command)
        take_command->deadline_ns = now + wait_ns;
    if (!take_command || !rb_wait_start(request, take_command, now + wait_ns + WAIT_SLACK))
        return rb_answer_problem(request, 503, "busy", "The daemon is stuck, stopping, or has too many requests waiting; try again.");
    return MHD_YES;
}

static enum MHD_Result answer(struct rb_request *request, const char *type)
{
    const struct rb_command *command = request->waiter->command;
    if (!rb_wait_finished(request))
        return rb_answer_problem(request, 503, "timeout", "The answer did not come in time; /api/v1/incidents tells what became of it.");
    if (command->status >= 400)
        return rb_answer_problem(request, command->status, command->problem,
                                 command->detail.len ? rb_buf_str(&command->detail) : "It could not be done.");
    struct rb_answer sent = {
        .status = command->status, .type = type, .tail = rb_buf_str(&command->detail), .tail_len = command->detail.len};
    return rb_answer_send(request, &sent);
}

static struct rb_command *command_of(struct rb_request *request, enum rb_command_type type, enum rb_command_verb verb)
{
    struct rb_command *command = rb_command_new(type);
    if (!command)
        return NULL;
    command->verb = verb;
    command->language = -1;
    rb_buf_add(&command->body, rb_buf_str(&request->body), request->body.len);
    size_t len = strlen(request->name);
    if (len < sizeof command->name)
        memcpy(command->name, request->name, len + 1);
    return command;
}

static enum MHD_Result about_incidents(struct rb_request *request, enum rb_command_verb verb)
{
    if (!request->waiter)
        return start(request, command_of(request, RB_COMMAND_INCIDENT, verb), CHANGE_DEADLINE);
    return answer(request, "application/json");
}

enum MHD_Result rb_handle_incidents(struct rb_request *request)
{
    return about_incidents(request, RB_VERB_LIST);
}

enum MHD_Result rb_handle_incident(struct rb_request *request)
{
    return about_incidents(request, RB_VERB_GET);
}

enum MHD_Result rb_handle_incident_note(struct rb_request *request)
{
    return about_incidents(request, RB_VERB_NOTE);
}

enum MHD_Result rb_handle_incident_close(struct rb_request *request)
{
    return about_incidents(request, RB_VERB_CLOSE);
}

enum MHD_Result rb_handle_postmortem(struct rb_request *request)
{
    if (request->waiter)
        return answer(request, "text/markdown; charset=utf-8");
    const char *language = MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "lang");
    if (language && strcmp(language, "de") != 0 && strcmp(language, "en") != 0)
        return rb_answer_problem(request, 400, "bad-argument", "lang is en or de.");
    struct rb_command *command = command_of(request, RB_COMMAND_INCIDENT, RB_VERB_POSTMORTEM);
    if (command && language)
        command->language = strcmp(language, "de") == 0 ? RB_LANGUAGE_DE : RB_LANGUAGE_EN;
    return start(request, command, CHANGE_DEADLINE);
}

/* ---- alerts ---- */

struct parsed {
    struct rb_webhook hook; /* first: the loop sees only this */
    struct rb_arena *arena;
};

static void free_parsed(void *payload)
{
    struct parsed *parsed = payload;
    rb_arena_free(parsed->arena);
    free(parsed);
}

static struct parsed *parse(struct rb_request *request, struct rb_error *err)
{
    struct parsed *parsed = calloc(1, sizeof *parsed);
    if (!parsed || !(parsed->arena = rb_arena_new(HOOK_ARENA_MAX))) {
        free(parsed);
        rb_error_set(err, RB_ENOMEM, "out of memory");
        return NULL;
    }
    if (rb_webhook_parse(rb_buf_str(&request->body), request->body.len, parsed->arena, &parsed->hook, err) == 0)
        return parsed;
    free_parsed(parsed);
    return NULL;
}

enum MHD_Result rb_handle_alerts(struct rb_request *request)
{
    struct rb_error err = {0};
    if (request->waiter)
        return answer(request, "application/json");
    struct parsed *parsed = parse(request, &err);
    if (!parsed)
        return rb_answer_problem(request, err.code == RB_ENOMEM ? 503 : 400, err.code == RB_ENOMEM ? "no-memory" : "bad-payload",
                                 err.message);
    struct rb_command *command = rb_command_new(RB_COMMAND_INCIDENT);
    if (!command) {
        free_parsed(parsed);
        return start(request, NULL, CHANGE_DEADLINE);
    }
    command->verb = RB_VERB_ALERT;
    command->payload = parsed;
    command->payload_free = free_parsed;
    return start(request, command, CHANGE_DEADLINE);
}

/* ---- silences ---- */

enum MHD_Result rb_handle_silence(struct rb_request *request)
{
    if (!request->waiter)
        return start(request, command_of(request, RB_COMMAND_SILENCE, RB_VERB_LIST), CHANGE_DEADLINE);
    return answer(request, "application/json");
}

enum MHD_Result rb_handle_silences(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_problem(request, 503, "starting", "The daemon has not loaded its configuration yet.");
    struct rb_view view = rb_view_of(cache->snapshot, request->server->clock);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_buf_adds(&text, "{\"silences\":[");
    const char *separator = "";
    for (size_t i = 0; i < cache->snapshot->count; i++) {
        char until[RB_TIME_TEXT];
        int64_t until_ns = cache->snapshot->records[i]->silenced_until_wall_ns;
        if (until_ns <= view.wall_ns)
            continue;
        rb_buf_addf(&text, "%s{\"check\":\"%s\",\"until\":\"%s\"}", separator, cache->snapshot->plan->checks[i].name,
                    rb_time_rfc3339(until, until_ns));
        separator = ",";
    }
    rb_buf_adds(&text, "]}\n");
    rb_cache_unref(cache);
    struct rb_answer sent = {.status = 200, .type = "application/json", .tail = rb_buf_str(&text), .tail_len = text.len};
    return rb_answer_send(request, &sent);
}
