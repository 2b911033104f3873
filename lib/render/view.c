/* What several renderers derive from a view: ages, order, and short texts about them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

double rb_render_age_s(const struct rb_view *view, size_t index)
{
    const struct rb_record *record = view->snapshot->records[index];
    int64_t age_ns;
    if (record->last_completed_ns != INT64_MIN && record->last_completed_ns != 0)
        age_ns = view->elapsed_ns - record->last_completed_ns;
    else if (record->last_run_wall_ns)
        age_ns = view->wall_ns - record->last_run_wall_ns; /* restored from before this boot: only the wall clock reaches back */
    else
        return (double)NAN;
    return age_ns > 0 ? (double)age_ns / 1e9 : 0;
}

const char *rb_render_check_name(const struct rb_view *view, size_t index)
{
    return index < view->snapshot->count ? view->snapshot->plan->checks[index].name : "?";
}

/* ---- order ---- */

static int badness(enum rb_state state)
{
    static const int order[RB_STATE_COUNT] = {
        [RB_STATE_FAIL] = 0,    [RB_STATE_UNKNOWN] = 1, [RB_STATE_STALE] = 2, [RB_STATE_WARN] = 3,
        [RB_STATE_PENDING] = 4, [RB_STATE_OK] = 5,      [RB_STATE_SKIP] = 6,
    };
    return order[state];
}

struct ranked {
    int badness;
    int severity;
    const char *name;
    size_t index;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->badness != y->badness)
        return x->badness - y->badness;
    if (x->severity != y->severity)
        return x->severity - y->severity;
    return strcmp(x->name, y->name);
}

size_t *rb_render_order(const struct rb_view *view, const bool *chosen, size_t *out_count)
{
    size_t total = view->snapshot->count;
    struct ranked *ranked = calloc(total + 1, sizeof *ranked);
    size_t *order = calloc(total + 1, sizeof *order);
    size_t count = 0;
    for (size_t i = 0; ranked && i < total; i++) {
        const struct rb_check_spec *spec = &view->snapshot->plan->checks[i];
        if (!chosen || chosen[i])
            ranked[count++] = (struct ranked){badness(rb_view_state(view, i)), (int)spec->severity, spec->name, i};
    }
    if (!ranked || !order) {
        free(ranked);
        free(order);
        return NULL;
    }
    qsort(ranked, count, sizeof *ranked, compare);
    for (size_t i = 0; i < count; i++)
        order[i] = ranked[i].index;
    free(ranked);
    *out_count = count;
    return order;
}

/* ---- texts ---- */

void rb_render_duration(struct rb_buf *out, double seconds)
{
    if (!isfinite(seconds) || seconds > 1e12)
        rb_buf_addc(out, '-');
    else
        rb_duration_print(out, (int64_t)(seconds * 1e3));
}

void rb_render_duration_in(struct rb_buf *out, enum rb_language language, double seconds)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 64);
    rb_render_duration(&text, seconds);
    for (const char *c = rb_buf_str(&text); *c; c++)
        rb_buf_addc(out, *c == '.' && language == RB_LANGUAGE_DE ? ',' : *c);
}

void rb_render_since(struct rb_buf *out, const struct rb_view *view, int64_t wall_ns)
{
    char text[RB_TIME_TEXT];
    int64_t age_ns = view->wall_ns - wall_ns;
    if (wall_ns == 0)
        rb_buf_addc(out, '-');
    else if (age_ns >= 0 && age_ns < INT64_C(20) * 3600 * RB_NS_PER_S)
        rb_buf_adds(out, rb_time_of_day(text, wall_ns));
    else
        rb_buf_adds(out, rb_time_human(text, wall_ns));
}

void rb_render_summary(struct rb_buf *out, const struct rb_summary *summary)
{
    static const enum rb_state order[] = {RB_STATE_FAIL,    RB_STATE_UNKNOWN, RB_STATE_STALE, RB_STATE_WARN,
                                          RB_STATE_PENDING, RB_STATE_OK,      RB_STATE_SKIP};
    bool any = false;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        size_t count = summary->by_state[order[i]];
        if (count)
            rb_buf_addf(out, "%s%zu %s", any ? ", " : "", count, rb_state_name(order[i]));
        any = any || count;
    }
    if (!any)
        rb_buf_addc(out, '0');
}

void rb_render_safety(struct rb_buf *out, const struct rb_view *view, enum rb_language language)
{
    static const enum rb_message titled[RB_SAFETY_COUNT] = {RB_MSG_SAFETY_NONE, RB_MSG_SAFETY_HELD, RB_MSG_SAFETY_UNKNOWN,
                                                            RB_MSG_SAFETY_VIOLATED};
    static const enum rb_message plain[RB_SAFETY_COUNT] = {RB_MSG_SAFETY_NONE, RB_MSG_SAFETY_PLAIN_HELD, RB_MSG_SAFETY_PLAIN_UNKNOWN,
                                                           RB_MSG_SAFETY_PLAIN_VIOLATED};
    enum rb_safety safety = rb_view_safety(view);
    const char *title = view->snapshot->plan->daemon.safety_title;
    bool has_title = title && title[0];
    /* The contract's own title is known in both languages. */
    if (has_title && strcmp(title, rb_message(RB_LANGUAGE_EN, RB_MSG_SAFETY_TITLE)) == 0)
        title = rb_message(language, safety == RB_SAFETY_HELD ? RB_MSG_SAFETY_STILL : RB_MSG_SAFETY_TITLE);
    rb_render_message(out, language, has_title ? titled[safety] : plain[safety], (const char *const[]){has_title ? title : "", NULL});
}
