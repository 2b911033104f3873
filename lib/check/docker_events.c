/* GET /events as notes.
 *
 * The engine sends one JSON document a line and keeps its last 256 events, so that a stream that comes back can ask for what it missed (`since`); what was told
 * before the gap is recognised by its time. An engine that was restarted has forgotten them: therefore the gap is noted too. */
#include "runbook/check/docker_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/units.h"
#include "runbook/check/notes.h"

#define MAX_LINE (64u << 10)

void rb_docker_events_point(struct rb_docker_events *events, const struct rb_docker_endpoint *endpoint, const char *project)
{
    events->endpoint = *endpoint;
    (void)snprintf(events->project, sizeof events->project, "%s", project);
}

/* {"type":["container"],"label":["com.docker.compose.project=NAME"]} */
static const char *filters(const struct rb_docker_events *events, struct rb_arena *arena)
{
    json_t *document = json_pack("{s:[s]}", "type", "container");
    char label[sizeof events->project + 64];
    (void)snprintf(label, sizeof label, RB_DOCKER_LABEL_PROJECT "=%s", events->project);
    if (document && events->project[0])
        (void)json_object_set_new(document, "label", json_pack("[s]", label));
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    const char *escaped = text ? rb_docker_url_escape(text, arena) : NULL;
    free(text);
    json_decref(document);
    return escaped;
}

static bool open_events(const struct rb_check_ctx *ctx, struct rb_stream_request *out, struct rb_outcome *outcome RB_UNUSED)
{
    const struct rb_docker_events *events = ctx->memory;
    const struct rb_docker_endpoint *endpoint = &events->endpoint;
    const char *wanted = endpoint->url[0] ? filters(events, ctx->arena) : NULL;
    if (!wanted)
        return false;
    out->unix_socket = endpoint->unix_socket[0] ? rb_arena_strdup(ctx->arena, endpoint->unix_socket) : NULL;
    /* Without a version in the path the engine speaks its own: the members that are read here have been the same in all. */
    out->url = rb_arena_printf(ctx->arena, "%s/events?filters=%s", endpoint->url, wanted);
    out->since_query = "since";
    out->max_line = MAX_LINE;
    return out->url != NULL;
}

/* ---- words ---- */

static const struct {
    const char *action, *words;
} plain_words[] = {
    {"create", "was created"},    {"start", "started"},          {"restart", "was restarted"}, {"stop", "was stopped by request"},
    {"oom", "ran out of memory"}, {"pause", "was paused"},       {"unpause", "goes on"},       {"destroy", "was removed"},
    {"rename", "was renamed"},    {"update", "got other limits"}};

static const char *words_of(const struct rb_docker_event *event, struct rb_arena *arena)
{
    for (size_t i = 0; i < sizeof plain_words / sizeof plain_words[0]; i++) {
        if (strcmp(plain_words[i].action, event->action) == 0)
            return plain_words[i].words;
    }
    if (strcmp(event->action, "die") == 0)
        return rb_arena_printf(arena, "ended with exit code %.12s", event->exit_code);
    if (strcmp(event->action, "kill") == 0)
        return rb_arena_printf(arena, "was sent signal %.12s by request", event->signal);
    if (strncmp(event->action, "health_status: ", 15) == 0)
        return rb_arena_printf(arena, "is %.20s", event->action + 15);
    return event->action;
}

static void note_event(const struct rb_check_ctx *ctx, const struct rb_docker_event *event)
{
    const struct rb_docker_events *events = ctx->memory;
    const char *words = words_of(event, ctx->arena);
    bool named = event->project[0] && event->service[0];
    const char *subject = named ? rb_arena_printf(ctx->arena, "%s/%s", event->project, event->service) : event->name;
    const char *text = rb_arena_printf(ctx->arena, "container %.200s %s", event->name[0] ? event->name : event->id, words ? words : "");
    if (subject && text)
        rb_note(ctx, &(struct rb_note){.wall_ns = event->wall_ns,
                                       .subject = subject,
                                       .action = event->action,
                                       .text = text,
                                       .changed = events->project[0] != '\0'});
}

static void take_line(const struct rb_check_ctx *ctx, const char *line, size_t len)
{
    struct rb_docker_events *events = ctx->memory;
    struct rb_docker_event event;
    json_error_t error;
    json_t *document = json_loadb(line, len, 0, &error);
    if (document && rb_docker_event_of(document, &event) && rb_docker_event_tells(&event) && event.wall_ns > events->replay_ns) {
        if (event.wall_ns > events->last_ns)
            events->last_ns = event.wall_ns;
        note_event(ctx, &event);
    }
    json_decref(document);
}

static void take_gap(const struct rb_check_ctx *ctx, int64_t since_wall_ns, enum rb_net_failure failure)
{
    struct rb_docker_events *events = ctx->memory;
    char from[RB_TIME_TEXT], to[RB_TIME_TEXT];
    events->replay_ns = events->last_ns;
    const char *text = rb_arena_printf(ctx->arena, "container events from %s to %s may be missing: the engine's stream was cut (%s)",
                                       rb_time_human(from, since_wall_ns), rb_time_of_day(to, rb_wall_ns(ctx->clock)),
                                       failure == RB_NET_OK ? "closed" : rb_net_failure_reason(failure));
    if (text)
        rb_note(ctx, &(struct rb_note){.text = text, .gap = true, .changed = true});
}

const struct rb_stream_ops rb_docker_events_ops = {.open = open_events, .line = take_line, .gap = take_gap};
