/* The fixed metric families as a Markdown table, from the rows that write /metrics: the reference cannot say anything else than the program does. */
#include "metrics.h"

static const char *type_name(enum rb_family_type type)
{
    switch (type) {
    case RB_FAMILY_COUNTER:
        return "counter";
    case RB_FAMILY_INFO:
        return "info, always 1";
    case RB_FAMILY_HISTOGRAM:
        return "histogram";
    case RB_FAMILY_GAUGE:
        break;
    }
    return "gauge";
}

static void add_row(struct rb_buf *out, const struct rb_family *family)
{
    const char *suffix = family->type == RB_FAMILY_COUNTER ? "_total" : family->type == RB_FAMILY_INFO ? "_info" : "";
    rb_buf_addf(out, "| `%s%s` | %s | %s | %s |\n", family->name, suffix, family->labels ? family->labels : "", type_name(family->type),
                family->help);
}

void rb_render_metrics_reference(struct rb_buf *out)
{
    rb_buf_adds(out, "| metric | labels | type | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < rb_metric_family_count; i++)
        add_row(out, &rb_metric_families[i]);
    add_row(out, &rb_metric_snapshot_age);
}
