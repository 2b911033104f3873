/* Fuzz target: any bytes as the body of Alertmanager's webhook. What is accepted has every text that an incident is made of, and an incident can be made of it and read back. */
#include "fuzz.h"
#include "runbook/base/text.h"
#include "runbook/incident/webhook.h"

static bool never_taken(void *ctx, const char *id)
{
    (void)ctx;
    (void)id;
    return false;
}

/* What the daemon does with a group that nobody knows yet: the words of the alert become the id, the title, an event. */
static void open_incident(const struct rb_webhook *hook)
{
    const struct rb_incident_opening opening = {.tag = hook->name,
                                                .title = hook->title,
                                                .source = "alertmanager",
                                                .group_key = hook->group_key,
                                                .severity = hook->severity,
                                                .wall_ns = INT64_C(1755831600000000000),
                                                .seq = 1};
    char id[RB_INCIDENT_ID_SIZE];
    struct rb_error err;
    rb_incident_make_id(&opening, never_taken, NULL, id);
    FUZZ_HOLDS(rb_incident_is_id(id));
    struct rb_incident *incident = rb_incident_new(&opening, id), *again = NULL;
    struct rb_buf bytes;
    rb_buf_init(&bytes, RB_INCIDENT_MAX_BYTES);
    if (!incident)
        return;
    const struct rb_incident_event event = {.kind = "alert", .to = "firing", .text = hook->text, .wall_ns = opening.wall_ns, .seq = 2};
    FUZZ_HOLDS(rb_incident_add(incident, &event, &err) == 0);
    FUZZ_HOLDS(rb_incident_save(incident, &bytes, &err) == 0);
    FUZZ_HOLDS(rb_incident_load(rb_buf_str(&bytes), bytes.len, &again, &err) == 0);
    FUZZ_HOLDS(strcmp(rb_incident_text(again, "title"), rb_incident_text(incident, "title")) == 0);
    rb_buf_fini(&bytes);
    rb_incident_free(again);
    rb_incident_free(incident);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    char *text = fuzz_string(data, size);
    struct rb_arena *arena = rb_arena_new((size_t)8 << 20);
    struct rb_webhook hook = {0};
    struct rb_error err = {0};
    int rc = rb_webhook_parse(text, size, arena, &hook, &err);
    if (rc < 0) {
        FUZZ_HOLDS(err.message[0] != '\0');
    } else {
        FUZZ_HOLDS(hook.group_key && hook.title && hook.text && hook.name);
        FUZZ_HOLDS(strlen(hook.signature) == RB_SHA256_HEX - 1);
        FUZZ_HOLDS(!strpbrk(hook.title, "\r\n\t") && !strpbrk(hook.text, "\r\n\t"));
        FUZZ_HOLDS(rb_text_is_utf8(hook.title, strlen(hook.title)));
        open_incident(&hook);
    }
    rb_arena_free(arena);
    free(text);
    return 0;
}
