/* The triage report as JSON, in the shape of SPEC 9. */
#include "triage.h"

static void key_string(struct rb_buf *out, const char *key, const char *text)
{
    rb_jw_key(out, key);
    rb_jw_string(out, text);
}

static void key_time(struct rb_buf *out, const char *key, int64_t wall_ns)
{
    rb_jw_key(out, key);
    rb_jw_time(out, wall_ns);
}

static void key_strings(struct rb_buf *out, const char *key, const char *const *items, size_t count)
{
    rb_jw_key(out, key);
    rb_jw_strings(out, items, count);
}

static void begin_list(struct rb_buf *out, const char *key)
{
    rb_jw_key(out, key);
    rb_jw_open(out, '[');
}

static void add_cause_lists(struct rb_buf *out, const struct rb_view *view, const struct rb_cause *cause)
{
    begin_list(out, "changed_before");
    for (size_t i = 0; i < cause->changed_before_count; i++) {
        const struct rb_change *change = &cause->changed_before[i];
        rb_jw_open(out, '{');
        key_time(out, "time", change->wall_ns);
        key_string(out, "what", change->what);
        rb_jw_key(out, "lead_s");
        rb_jw_number(out, change->lead_ns > 0 ? (double)change->lead_ns / 1e9 : 0);
        key_string(out, "diff", change->diff);
        key_string(out, "mounted_as", change->mounted_as);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    begin_list(out, "explains");
    for (size_t i = 0; i < cause->explains_count; i++) {
        rb_jw_open(out, '{');
        const char *name = cause->explains[i].name;
        key_string(out, "check", name ? name : rb_render_check_name(view, cause->explains[i].check));
        if (name)
            key_string(out, "part_of", rb_render_check_name(view, cause->explains[i].check));
        key_string(out, "how", cause->explains[i].how);
        key_time(out, "since", cause->explains[i].since_wall_ns);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    begin_list(out, "ruled_out");
    for (size_t i = 0; i < cause->ruled_out_count; i++) {
        rb_jw_open(out, '{');
        key_string(out, "what", cause->ruled_out[i].what);
        key_string(out, "why", cause->ruled_out[i].why);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
}

/* The section of the runbook that the cause's check names, as its file has it now. */
static void add_section(struct rb_buf *out, const struct rb_view *view, size_t check)
{
    static const char *const states[] = {
        [RB_RUNBOOK_NONE] = NULL, [RB_RUNBOOK_FOUND] = "found", [RB_RUNBOOK_GONE] = "gone", [RB_RUNBOOK_UNREADABLE] = "unreadable"};
    const struct rb_runbook_text *section = rb_triage_section(view, check);
    bool found = section && section->state == RB_RUNBOOK_FOUND;
    rb_jw_key(out, "runbook_section");
    if (section) {
        rb_jw_open(out, '{');
        key_string(out, "state", states[section->state]);
        key_string(out, "file", view->snapshot->plan->checks[check].runbook_file);
        rb_jw_key(out, "line");
        rb_jw_uint(out, section->line);
        key_string(out, "heading", section->heading);
        rb_jw_key(out, "more_lines");
        rb_jw_uint(out, section->more);
        rb_jw_close(out, '}');
    } else {
        rb_jw_string(out, NULL);
    }
    key_strings(out, "runbook_text", found ? section->lines : NULL, found ? section->line_count : 0);
}

static void add_causes(struct rb_buf *out, const struct rb_view *view, const struct rb_diagnosis *diagnosis)
{
    begin_list(out, "causes");
    for (size_t i = 0; i < diagnosis->cause_count; i++) {
        const struct rb_cause *cause = &diagnosis->causes[i];
        rb_jw_open(out, '{');
        rb_jw_key(out, "rank");
        rb_jw_uint(out, i + 1);
        key_string(out, "check", rb_render_check_name(view, cause->check));
        key_string(out, "title", cause->title);
        key_string(out, "confidence", rb_confidence_name(cause->confidence));
        key_time(out, "since", cause->since_wall_ns);
        key_time(out, "last_ok", cause->last_ok_wall_ns);
        key_strings(out, "evidence", cause->evidence, cause->evidence_count);
        key_strings(out, "last_words", cause->last_words, cause->last_words_count);
        add_cause_lists(out, view, cause);
        key_strings(out, "do", cause->todo, cause->todo_count);
        key_string(out, "runbook", cause->runbook);
        add_section(out, view, cause->check);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
}

static void add_rest(struct rb_buf *out, const struct rb_view *view, const struct rb_diagnosis *diagnosis)
{
    begin_list(out, "undetermined");
    for (size_t i = 0; i < diagnosis->undetermined_count; i++) {
        rb_jw_open(out, '{');
        key_string(out, "check", rb_render_check_name(view, diagnosis->undetermined[i].check));
        key_string(out, "title", diagnosis->undetermined[i].title);
        key_string(out, "would_settle", diagnosis->undetermined[i].would_settle);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    begin_list(out, "not_linked");
    for (size_t i = 0; i < diagnosis->not_linked_count; i++) {
        rb_jw_open(out, '{');
        key_string(out, "check", rb_render_check_name(view, diagnosis->not_linked[i].check));
        key_string(out, "title", diagnosis->not_linked[i].title);
        key_time(out, "since", diagnosis->not_linked[i].since_wall_ns);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    begin_list(out, "held");
    for (size_t i = 0; i < diagnosis->held_count; i++) {
        rb_jw_open(out, '{');
        key_string(out, "check", rb_render_check_name(view, diagnosis->held[i].check));
        rb_jw_key(out, "age_s");
        rb_jw_number(out, diagnosis->held[i].age_s);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    key_strings(out, "observer", diagnosis->observer, diagnosis->observer_count);
    key_strings(out, "rollback", diagnosis->rollback, diagnosis->rollback_count);
}

int rb_render_triage_json(const struct rb_view *view, const struct rb_diagnosis *diagnosis, struct rb_buf *out, struct rb_error *err)
{
    const struct rb_snapshot *snapshot = view->snapshot;
    rb_jw_open(out, '{');
    key_time(out, "time", view->wall_ns);
    key_string(out, "host", snapshot->host);
    key_string(out, "head", snapshot->repo.commit);
    key_string(out, "branch", snapshot->repo.branch);
    key_string(out, "worktree", snapshot->repo.worktree);
    key_string(out, "verdict", rb_verdict_name(diagnosis->verdict));
    key_string(out, "incident", diagnosis->incident);
    rb_jw_key(out, "safety");
    rb_render_safety_object(out, view);
    rb_jw_key(out, "fresh");
    rb_jw_open(out, '{');
    rb_jw_key(out, "checks");
    rb_jw_uint(out, diagnosis->fresh);
    rb_jw_key(out, "of");
    rb_jw_uint(out, diagnosis->total);
    rb_jw_key(out, "round_s");
    rb_jw_number(out, diagnosis->round_s);
    rb_jw_close(out, '}');
    rb_jw_key(out, "stuck");
    rb_jw_bool(out, view->stuck);
    add_causes(out, view, diagnosis);
    add_rest(out, view, diagnosis);
    rb_jw_close(out, '}');
    rb_buf_addc(out, '\n');
    return rb_buf_check(out, "triage", err);
}
