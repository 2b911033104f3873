/* Drift as JSON: the `drift` array of /status, /api/v1/drift and `drift show --json`. */
#include "internal.h"

static void key_string(struct rb_buf *out, const char *key, const char *value)
{
    rb_jw_key(out, key);
    rb_jw_string(out, value);
}

static void add_accepted(struct rb_buf *out, const struct rb_drift_accepted *accepted)
{
    rb_jw_key(out, "accepted");
    if (!accepted) {
        rb_jw_string(out, NULL);
        return;
    }
    rb_jw_open(out, '{');
    key_string(out, "who", accepted->who);
    key_string(out, "why", accepted->why);
    key_string(out, "ref", accepted->ref);
    rb_jw_key(out, "until");
    rb_jw_time(out, accepted->until_wall_ns);
    rb_jw_close(out, '}');
}

static void add_item(struct rb_buf *out, const struct rb_drift_item *item)
{
    rb_jw_open(out, '{');
    key_string(out, "id", item->id);
    key_string(out, "key", item->key);
    key_string(out, "change", rb_drift_change_name(item->change));
    key_string(out, "class", rb_drift_class_name(item->item_class));
    key_string(out, "old", item->old_text);
    key_string(out, "new", item->new_text);
    rb_jw_key(out, "changed_at");
    rb_jw_time(out, item->changed_wall_ns);
    key_string(out, "time_note", item->time_note);
    rb_jw_key(out, "line");
    if (item->line > 0)
        rb_jw_uint(out, item->line);
    else
        rb_jw_string(out, NULL);
    key_string(out, "diff", item->diff);
    add_accepted(out, item->accepted);
    rb_jw_close(out, '}');
}

static void add_check(struct rb_buf *out, const struct rb_record *record, bool all)
{
    const struct rb_drift_report *report = record->drift;
    rb_jw_open(out, '{');
    key_string(out, "check", record->spec->name);
    rb_jw_key(out, "baseline");
    rb_jw_time(out, report->baseline_wall_ns);
    rb_jw_key(out, "facts");
    rb_jw_uint(out, report->facts);
    rb_jw_key(out, "items");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < report->item_count; i++)
        if (all || !report->items[i].accepted)
            add_item(out, &report->items[i]);
    rb_jw_close(out, ']');
    if (report->items_dropped > 0) {
        rb_jw_key(out, "items_dropped");
        rb_jw_uint(out, report->items_dropped);
    }
    rb_jw_close(out, '}');
}

void rb_render_drift_array(struct rb_buf *out, const struct rb_view *view, bool all)
{
    rb_jw_open(out, '[');
    for (size_t i = 0; i < view->snapshot->count; i++)
        if (view->snapshot->records[i]->drift)
            add_check(out, view->snapshot->records[i], all);
    rb_jw_close(out, ']');
}

int rb_render_drift_json(const struct rb_view *view, bool all, struct rb_buf *out, struct rb_error *err)
{
    rb_jw_open(out, '{');
    rb_jw_key(out, "drift");
    rb_render_drift_array(out, view, all);
    rb_jw_close(out, '}');
    rb_buf_addc(out, '\n');
    return rb_buf_check(out, "drift", err);
}
