/* Families that nobody writes down here: one per row of a kind's value table, and one per unit of perfdata.
 *
 * A value without a label exists for every check of its kind from the first scrape on (NaN before the first run); a labelled one as soon as its labels are
 * known. Names from perfdata units are reduced to [a-z0-9_], so that nothing a program prints can break the format. */
#include <math.h>
#include <string.h>

#include "metrics.h"

#define KINDS_MAX 128u
#define UNITS_MAX 64u

static char *family_name(const struct rb_metrics *m, const char *a, const char *b, const char *unit)
{
    RB_BUF_AUTO name;
    rb_buf_init(&name, 256);
    rb_buf_addf(&name, "runbookd_%s_%s%s%s", a, b, unit && unit[0] ? "_" : "", unit ? unit : "");
    return rb_arena_strndup(m->arena, rb_buf_str(&name), name.len);
}

static bool is_info(const struct rb_value_def *def)
{
    return def->unit && strcmp(def->unit, "info") == 0;
}

static void value_samples(const struct rb_metrics *m, const struct rb_family *family, const struct rb_value_def *def, size_t index)
{
    const struct rb_record *record = m->snapshot->records[index];
    RB_BUF_AUTO label;
    rb_buf_init(&label, 32768);
    bool any = false;
    for (size_t i = 0; i < record->value_count; i++) {
        const struct rb_value *value = &record->values[i];
        if (value->perfdata || strcmp(value->name, def->name) != 0 || (!def->label && value->label))
            continue;
        rb_buf_reset(&label);
        if (value->label)
            rb_metrics_label(&label, def->label, value->label);
        rb_metrics_sample(m, family, m->labels[index], value->label ? rb_buf_str(&label) : NULL, value->number);
        any = true;
    }
    /* An OpenMetrics info sample must be 1: an unknown one is absent instead. */
    if (!any && !def->label && family->type != RB_FAMILY_INFO)
        rb_metrics_sample(m, family, m->labels[index], NULL, family->type == RB_FAMILY_COUNTER ? 0 : (double)NAN);
}

static void value_family(const struct rb_metrics *m, const struct rb_kind_schema *kind, const struct rb_value_def *def)
{
    bool info = is_info(def);
    struct rb_family family = {.name = family_name(m, kind->schema.name, def->name, info ? NULL : def->unit),
                               .type = info                            ? RB_FAMILY_INFO
                                       : def->type == RB_VALUE_COUNTER ? RB_FAMILY_COUNTER
                                                                       : RB_FAMILY_GAUGE,
                               .unit = info ? NULL : def->unit,
                               .help = def->help ? def->help : "Value of the check."};
    if (!family.name)
        return;
    rb_metrics_head(m, &family);
    for (size_t i = 0; i < m->snapshot->count; i++) {
        if (m->snapshot->plan->checks[i].kind == kind)
            value_samples(m, &family, def, i);
    }
}

/* ---- perfdata ---- */

struct units {
    const char *names[UNITS_MAX];
    size_t count;
};

static const char *clean_unit(const struct rb_metrics *m, const char *unit)
{
    char text[32];
    size_t len = 0;
    for (; *unit && len < sizeof text - 1; unit++) {
        char c = (char)(*unit >= 'A' && *unit <= 'Z' ? *unit - 'A' + 'a' : *unit);
        text[len++] = (char)((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
    }
    /* A gauge must not end like a counter. */
    if (len == 5 && memcmp(text, "total", 5) == 0)
        return rb_arena_strdup(m->arena, "events_total");
    return rb_arena_strndup(m->arena, text, len);
}

static void collect_units(const struct rb_metrics *m, struct units *units)
{
    for (size_t i = 0; i < m->snapshot->count; i++) {
        const struct rb_record *record = m->snapshot->records[i];
        for (size_t v = 0; v < record->value_count; v++) {
            const char *unit = record->values[v].perfdata ? record->values[v].name : NULL;
            size_t at = 0;
            while (unit && at < units->count && strcmp(units->names[at], unit) != 0)
                at++;
            if (unit && at == units->count && units->count < UNITS_MAX)
                units->names[units->count++] = unit;
        }
    }
}

static void perfdata_samples(const struct rb_metrics *m, const struct rb_family *family, const char *unit)
{
    RB_BUF_AUTO label;
    rb_buf_init(&label, 32768);
    for (size_t i = 0; i < m->snapshot->count; i++) {
        const struct rb_record *record = m->snapshot->records[i];
        for (size_t v = 0; v < record->value_count; v++) {
            const struct rb_value *value = &record->values[v];
            if (!value->perfdata || strcmp(value->name, unit) != 0)
                continue;
            rb_buf_reset(&label);
            rb_metrics_label(&label, "label", value->label);
            rb_metrics_sample(m, family, m->labels[i], rb_buf_str(&label), value->number);
        }
    }
}

static void perfdata(const struct rb_metrics *m)
{
    struct units units = {.count = 0};
    const char *done[UNITS_MAX];
    size_t done_count = 0;
    collect_units(m, &units);
    for (size_t u = 0; u < units.count; u++) {
        const char *clean = clean_unit(m, units.names[u]);
        bool seen = clean == NULL;
        for (size_t d = 0; !seen && d < done_count; d++)
            seen = strcmp(done[d], clean) == 0;
        if (seen) /* two units that differ only in characters we replace: the first one keeps the name */
            continue;
        done[done_count++] = clean;
        size_t len = strlen(clean);
        bool counter = len > 6 && strcmp(clean + len - 6, "_total") == 0;
        char *base = rb_arena_strndup(m->arena, clean, counter ? len - 6 : len);
        struct rb_family family = {.name = family_name(m, "command", "perfdata", base),
                                   .type = counter ? RB_FAMILY_COUNTER : RB_FAMILY_GAUGE,
                                   .unit = base,
                                   .help = "Performance data that a command printed, in base units."};
        if (!family.name)
            return;
        rb_metrics_head(m, &family);
        perfdata_samples(m, &family, units.names[u]);
    }
}

void rb_metrics_kinds(const struct rb_metrics *m)
{
    const struct rb_kind_schema *kinds[KINDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < m->snapshot->count; i++) {
        const struct rb_kind_schema *kind = m->snapshot->plan->checks[i].kind;
        size_t at = 0;
        while (at < count && kinds[at] != kind)
            at++;
        if (at == count && count < KINDS_MAX)
            kinds[count++] = kind;
    }
    for (size_t k = 0; k < count; k++) {
        for (const struct rb_value_def *def = rb_kind_of(kinds[k])->values; def && def->name; def++)
            value_family(m, kinds[k], def);
    }
    perfdata(m);
}
