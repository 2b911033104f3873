/* /metrics: the Prometheus text format 0.0.4 and OpenMetrics 1.0.0 from one table of families.
 *
 * Invariants: each family is written once and whole (HELP, TYPE, samples), so families are contiguous and no series occurs twice; a series that the
 * plan configures exists from the first scrape on, NaN until its check has run; no sample carries a timestamp. A counter's samples end in _total in both
 * formats, and so do its HELP and TYPE lines in the text format; OpenMetrics names the family without it (specification, sections 4.4 and 5.1).
 * runbookd_snapshot_age_seconds is last and is rendered apart, when a body is served: a cached body must not freeze it.
 *
 * Numbers and labels are appended without printf: at 1,000 checks a body has 30,000 lines. */
#include <math.h>
#include <string.h>

#include "metrics.h"

#define ARENA_MAX ((size_t)16 << 20)

/* ---- text ---- */

/* Label values: backslash, quote and newline are escaped (both formats); what is not UTF-8 or could act on a terminal is shown as text first. */
void rb_metrics_label(struct rb_buf *out, const char *name, const char *value)
{
    RB_BUF_AUTO safe;
    rb_buf_init(&safe, 16384);
    size_t len = value ? strlen(value) : 0;
    if (!rb_text_is_plain(value ? value : "", len)) {
        rb_text_escape(&safe, value, len);
        value = rb_buf_str(&safe);
        len = safe.len;
    }
    rb_buf_adds(out, name);
    rb_buf_add(out, "=\"", 2);
    for (size_t i = 0; i < len; i++) {
        if (value[i] == '\\' || value[i] == '"')
            rb_buf_addc(out, '\\');
        rb_buf_addc(out, value[i]);
    }
    rb_buf_addc(out, '"');
    out->failed = out->failed || safe.failed;
}

static void add_value(struct rb_buf *out, double value)
{
    if (!(value >= 0 && value < 1e15) || value != floor(value) || signbit(value)) {
        rb_double_print(out, value);
        return;
    }
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    rb_buf_add(out, digits + at, sizeof digits - at);
}

static const char *suffix(enum rb_family_type type)
{
    return type == RB_FAMILY_COUNTER ? "_total" : type == RB_FAMILY_INFO ? "_info" : "";
}

static const char *type_name(const struct rb_metrics *m, enum rb_family_type type)
{
    switch (type) {
    case RB_FAMILY_COUNTER:
        return "counter";
    case RB_FAMILY_HISTOGRAM:
        return "histogram";
    case RB_FAMILY_INFO:
        return m->format == RB_METRICS_OPENMETRICS ? "info" : "gauge";
    case RB_FAMILY_GAUGE:
        break;
    }
    return "gauge";
}

static void meta(const struct rb_metrics *m, const char *keyword, const struct rb_family *family, const char *text)
{
    rb_buf_adds(m->out, keyword);
    rb_buf_adds(m->out, family->name);
    if (m->format == RB_METRICS_TEXT)
        rb_buf_adds(m->out, suffix(family->type));
    rb_buf_addc(m->out, ' ');
    for (; *text; text++) {
        if (*text == '\\' || *text == '\n' || (*text == '"' && m->format == RB_METRICS_OPENMETRICS))
            rb_buf_addc(m->out, '\\');
        rb_buf_addc(m->out, (char)(*text == '\n' ? 'n' : *text));
    }
    rb_buf_addc(m->out, '\n');
}

static bool ends_with_unit(const struct rb_family *family)
{
    size_t name = strlen(family->name), unit = strlen(family->unit);
    return name > unit + 1 && family->name[name - unit - 1] == '_' && strcmp(family->name + name - unit, family->unit) == 0;
}

void rb_metrics_head(const struct rb_metrics *m, const struct rb_family *family)
{
    meta(m, "# HELP ", family, family->help);
    meta(m, "# TYPE ", family, type_name(m, family->type));
    if (m->format == RB_METRICS_OPENMETRICS && family->unit && family->unit[0] && family->type != RB_FAMILY_INFO && ends_with_unit(family))
        meta(m, "# UNIT ", family, family->unit);
}

void rb_metrics_sample(const struct rb_metrics *m, const struct rb_family *family, struct rb_label labels, const char *more, double value)
{
    struct rb_buf *out = m->out;
    rb_buf_adds(out, family->name);
    rb_buf_adds(out, suffix(family->type));
    if (labels.len || more) {
        rb_buf_addc(out, '{');
        rb_buf_add(out, labels.text, labels.len);
        if (labels.len && more)
            rb_buf_addc(out, ',');
        rb_buf_adds(out, more);
        rb_buf_addc(out, '}');
    }
    rb_buf_addc(out, ' ');
    add_value(out, value);
    rb_buf_addc(out, '\n');
}

/* ---- body ---- */

static void render_family(const struct rb_metrics *m, const struct rb_family *family)
{
    rb_metrics_head(m, family);
    if (family->scalar) {
        rb_metrics_sample(m, family, (struct rb_label){NULL, 0}, NULL, family->scalar(m));
    } else if (family->check) {
        for (size_t i = 0; i < m->snapshot->count; i++)
            rb_metrics_sample(m, family, m->labels[i], NULL, family->check(m, i));
    } else {
        family->samples(m, family);
    }
}

static int make_labels(struct rb_metrics *m, struct rb_error *err)
{
    m->labels = rb_arena_array(m->arena, m->snapshot->count ? m->snapshot->count : 1, sizeof *m->labels);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    for (size_t i = 0; m->labels && i < m->snapshot->count; i++) {
        rb_buf_reset(&text);
        rb_metrics_label(&text, "check", m->snapshot->plan->checks[i].name);
        m->labels[i] = (struct rb_label){rb_arena_strndup(m->arena, rb_buf_str(&text), text.len), text.len};
    }
    if (text.failed || rb_arena_failed(m->arena))
        return rb_error_set(err, RB_ENOMEM, "metrics: out of memory");
    return RB_OK;
}

int rb_render_metrics_body(const struct rb_view *view, const struct rb_server_stats *server, enum rb_metrics_format format,
                           struct rb_buf *out, struct rb_error *err)
{
    static const struct rb_server_stats none;
    RB_ARENA_AUTO *arena = rb_arena_new(ARENA_MAX);
    if (!arena)
        return rb_error_set(err, RB_ENOMEM, "metrics: out of memory");
    struct rb_metrics m = {
        .view = view, .snapshot = view->snapshot, .server = server ? server : &none, .format = format, .out = out, .arena = arena};
    m.summary = rb_view_summary(view);
    int rc = make_labels(&m, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < rb_metric_family_count; i++)
        render_family(&m, &rb_metric_families[i]);
    rb_metrics_kinds(&m);
    return rb_buf_check(out, "metrics", err);
}

const struct rb_family rb_metric_snapshot_age = {
    .name = "runbookd_snapshot_age_seconds",
    .type = RB_FAMILY_GAUGE,
    .unit = "seconds",
    .help = "Age of the state that this scrape shows, computed when it was served; above 5 the loop is stuck."};

void rb_render_metrics_tail(const struct rb_view *view, enum rb_metrics_format format, struct rb_buf *out)
{
    struct rb_metrics m = {.view = view, .format = format, .out = out};
    rb_metrics_head(&m, &rb_metric_snapshot_age);
    rb_metrics_sample(&m, &rb_metric_snapshot_age, (struct rb_label){NULL, 0}, NULL, view->age_s);
    if (format == RB_METRICS_OPENMETRICS)
        rb_buf_adds(out, "# EOF\n");
}

int rb_render_metrics(const struct rb_view *view, const struct rb_server_stats *server, enum rb_metrics_format format, struct rb_buf *out,
                      struct rb_error *err)
{
    int rc = rb_render_metrics_body(view, server, format, out, err);
    if (rc < 0)
        return rc;
    rb_render_metrics_tail(view, format, out);
    return rb_buf_check(out, "metrics", err);
}
