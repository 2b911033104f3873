/* Notes: what a kind saw happen, with its time, beside the outcome of a run. They enter the timeline (state/journal), and may bring the check forward.
 * From the loop thread only: steps of an exchange, and the calls of a stream. */
#ifndef RUNBOOK_CHECK_NOTES_H
#define RUNBOOK_CHECK_NOTES_H

#include "runbook/check/kind.h"

struct rb_note {
    int64_t wall_ns;     /* when it happened; 0: now */
    const char *subject; /* what it happened to, "project/service" or a container's name; or NULL */
    const char *action;  /* one word of the source: "die"; or NULL */
    const char *text;    /* one line for people; may hold hostile text, redacted by the taker */
    bool gap;            /* not an event, but the time during which none were seen */
    bool changed;        /* the check's result is probably another one now: run it soon */
};

/* Who takes notes; part of the context. */
struct rb_notes {
    void (*add)(void *ctx, const struct rb_check_spec *spec, const struct rb_note *note);
    void *ctx;
};

/* Borrowed for the call. Does nothing where nobody takes notes. */
static inline void rb_note(const struct rb_check_ctx *ctx, const struct rb_note *note)
{
    if (ctx->notes)
        ctx->notes->add(ctx->notes->ctx, ctx->spec, note);
}

#endif
