/* The metric families: one table declares name, type, unit, help, labels and where the numbers come from. Private to lib/render. */
#ifndef RB_RENDER_METRICS_H
#define RB_RENDER_METRICS_H

#include "internal.h"

enum rb_family_type { RB_FAMILY_GAUGE, RB_FAMILY_COUNTER, RB_FAMILY_INFO, RB_FAMILY_HISTOGRAM };

struct rb_label {
    const char *text; /* `check="name"`, escaped, without braces */
    size_t len;
};

/* One rendering. `labels[i]` is made once and used by every family: most of a body is label text. */
struct rb_metrics {
    const struct rb_view *view;
    const struct rb_snapshot *snapshot;
    const struct rb_server_stats *server;
    enum rb_metrics_format format;
    struct rb_buf *out;
    struct rb_arena *arena;
    struct rb_label *labels;
    struct rb_summary summary;
};

struct rb_family {
    const char *name; /* without the _total or _info that its samples carry */
    enum rb_family_type type;
    const char *unit;   /* "seconds", "bytes" … or NULL */
    const char *help;   /* one sentence */
    const char *labels; /* for the docs: "check,state"; NULL: none */
    /* exactly one of the three: one number, one number a check, or samples of its own */
    double (*scalar)(const struct rb_metrics *m);
    double (*check)(const struct rb_metrics *m, size_t index);
    void (*samples)(const struct rb_metrics *m, const struct rb_family *family);
};

extern const struct rb_family rb_metric_families[];
extern const size_t rb_metric_family_count;
/* Rendered apart, when a body is served. */
extern const struct rb_family rb_metric_snapshot_age;

/* HELP and TYPE (and UNIT in OpenMetrics). */
void rb_metrics_head(const struct rb_metrics *m, const struct rb_family *family);
/* One sample. `labels` (without braces, `len` bytes) may be empty; `more` follows it: an already escaped list or NULL. */
void rb_metrics_sample(const struct rb_metrics *m, const struct rb_family *family, struct rb_label labels, const char *more, double value);
/* Appends `name="escaped value"`. */
void rb_metrics_label(struct rb_buf *out, const char *name, const char *value);
/* Families that come from the kinds' value tables and from perfdata. */
void rb_metrics_kinds(const struct rb_metrics *m);

#endif
