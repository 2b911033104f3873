/* What `check` prints: a table, JSON, and the forms that other tools read: JUnit XML, SARIF 2.1.0, a Nagios plugin line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct report {
    const struct rb_view *view;
    const bool *chosen;
    const size_t *order;
    size_t count;
    size_t by_state[RB_STATE_COUNT];
    struct rb_buf *out;
};

static enum rb_state state_of(const struct report *r, size_t at)
{
    return rb_view_state(r->view, r->order[at]);
}

static const struct rb_record *record_of(const struct report *r, size_t at)
{
    return r->view->snapshot->records[r->order[at]];
}

static const struct rb_check_spec *spec_of(const struct report *r, size_t at)
{
    return &r->view->snapshot->plan->checks[r->order[at]];
}

/* ---- JSON ---- */

static void add_json(const struct report *r)
{
    struct rb_buf *out = r->out;
    size_t flags[3] = {0};
    rb_jw_open(out, '{');
    rb_jw_key(out, "summary");
    rb_jw_open(out, '{');
    for (int s = 0; s < RB_STATE_COUNT; s++) {
        rb_jw_key(out, rb_state_name((enum rb_state)s));
        rb_jw_uint(out, r->by_state[s]);
    }
    for (size_t i = 0; i < r->count; i++) {
        flags[0] += record_of(r, i)->suppressed;
        flags[1] += record_of(r, i)->silenced_until_wall_ns > r->view->wall_ns;
        flags[2] += record_of(r, i)->flapping;
    }
    static const char *const names[] = {"suppressed", "silenced", "flapping"};
    for (size_t i = 0; i < 3; i++) {
        rb_jw_key(out, names[i]);
        rb_jw_uint(out, flags[i]);
    }
    rb_jw_close(out, '}');
    rb_jw_key(out, "safety");
    rb_render_safety_object(out, r->view);
    rb_jw_key(out, "checks");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < r->view->snapshot->count; i++) {
        if (!r->chosen || r->chosen[i])
            rb_render_check_object(out, r->view, i);
    }
    rb_jw_close(out, ']');
    rb_jw_close(out, '}');
    rb_buf_addc(out, '\n');
}

/* ---- JUnit (the schema that Jenkins and GitLab read) ---- */

static void add_junit_case(const struct report *r, size_t at)
{
    struct rb_buf *out = r->out;
    const struct rb_record *record = record_of(r, at);
    enum rb_state state = state_of(r, at);
    rb_buf_adds(out, "    <testcase classname=\"");
    rb_html_text(out, spec_of(r, at)->kind->schema.name);
    rb_buf_adds(out, "\" name=\"");
    rb_html_text(out, spec_of(r, at)->name);
    rb_buf_addf(out, "\" time=\"%.3f\"", isfinite(record->duration_s) ? record->duration_s : 0.0);
    if (state == RB_STATE_OK) {
        rb_buf_adds(out, "/>\n");
        return;
    }
    const char *element = state == RB_STATE_FAIL                                ? "failure"
                          : state == RB_STATE_SKIP || state == RB_STATE_PENDING ? "skipped"
                          : state == RB_STATE_WARN                              ? "system-out"
                                                                                : "error";
    rb_buf_addf(out, ">\n      <%s", element);
    if (state != RB_STATE_WARN) {
        rb_buf_adds(out, " message=\"");
        rb_html_text(out, record->message);
        rb_buf_adds(out, "\"");
    }
    if (state == RB_STATE_FAIL || state == RB_STATE_UNKNOWN || state == RB_STATE_STALE) {
        rb_buf_adds(out, " type=\"");
        rb_html_text(out, rb_view_reason(r->view, r->order[at]));
        rb_buf_adds(out, "\"");
    }
    rb_buf_addc(out, '>');
    if (state == RB_STATE_WARN) {
        rb_html_text(out, record->message);
        rb_buf_addc(out, '\n');
    }
    for (size_t i = 0; i < record->evidence_count && strcmp(element, "skipped") != 0; i++) {
        rb_html_text(out, record->evidence[i]);
        rb_buf_addc(out, '\n');
    }
    rb_buf_addf(out, "</%s>\n    </testcase>\n", element);
}

static void add_junit(const struct report *r)
{
    size_t errors = r->by_state[RB_STATE_UNKNOWN] + r->by_state[RB_STATE_STALE];
    size_t skipped = r->by_state[RB_STATE_SKIP] + r->by_state[RB_STATE_PENDING];
    rb_buf_adds(r->out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    rb_buf_addf(r->out, "  <testsuite name=\"runbookd\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n", r->count,
                r->by_state[RB_STATE_FAIL], errors, skipped);
    for (size_t i = 0; i < r->count; i++)
        add_junit_case(r, i);
    rb_buf_adds(r->out, "  </testsuite>\n</testsuites>\n");
}

/* ---- SARIF 2.1.0 (OASIS), sections 3.27 result and 3.29 physicalLocation ---- */

struct place {
    const char *text; /* what follows "file:line:column: " */
    size_t path_len;
    unsigned long line, column;
};

/* Evidence of the form "file:line[:column]: text" names a place. */
static bool parse_place(const char *evidence, struct place *out)
{
    for (const char *colon = strchr(evidence, ':'); colon; colon = strchr(colon + 1, ':')) {
        char *end;
        if (colon == evidence || colon[1] < '1' || colon[1] > '9')
            continue;
        *out = (struct place){.path_len = (size_t)(colon - evidence), .line = strtoul(colon + 1, &end, 10)};
        if (*end == ':' && end[1] >= '1' && end[1] <= '9')
            out->column = strtoul(end + 1, &end, 10);
        if (*end != ':' || end[1] != ' ' || evidence[0] == '/' || out->line > 100000000UL || out->column > 100000000UL)
            continue;
        out->text = end + 2;
        return true;
    }
    return false;
}

static void add_uri(struct rb_buf *out, const char *path, size_t len)
{
    RB_BUF_AUTO uri;
    rb_buf_init(&uri, 16384);
    for (size_t i = 0; i < len; i++) {
        char c = path[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~/", c));
        if (plain)
            rb_buf_addc(&uri, c);
        else
            rb_buf_addf(&uri, "%%%02X", (unsigned char)c);
    }
    rb_jw_string(out, rb_buf_str(&uri));
}

static void add_result(const struct report *r, size_t at, const char *text, const char *path, const struct place *place)
{
    struct rb_buf *out = r->out;
    enum rb_state state = state_of(r, at);
    rb_jw_open(out, '{');
    rb_jw_key(out, "ruleId");
    rb_jw_string(out, spec_of(r, at)->name);
    rb_jw_key(out, "level");
    rb_jw_string(out, state == RB_STATE_FAIL ? "error" : "warning");
    rb_jw_key(out, "message");
    rb_jw_open(out, '{');
    rb_jw_key(out, "text");
    rb_jw_string(out, text[0] ? text : rb_view_reason(r->view, r->order[at]));
    rb_jw_close(out, '}');
    if (place) {
        rb_buf_adds(out, ",\"locations\":[{\"physicalLocation\":{\"artifactLocation\":{\"uri\":");
        add_uri(out, path, place->path_len);
        rb_buf_addf(out, "},\"region\":{\"startLine\":%lu", place->line);
        if (place->column)
            rb_buf_addf(out, ",\"startColumn\":%lu", place->column);
        rb_buf_adds(out, "}}}]");
    }
    rb_jw_close(out, '}');
}

static void add_results(const struct report *r, size_t at)
{
    const struct rb_record *record = record_of(r, at);
    enum rb_state state = state_of(r, at);
    if (state == RB_STATE_OK || state == RB_STATE_SKIP || state == RB_STATE_PENDING)
        return;
    size_t placed = 0;
    for (size_t i = 0; i < record->evidence_count; i++) {
        struct place place;
        if (!parse_place(record->evidence[i], &place))
            continue;
        add_result(r, at, place.text, record->evidence[i], &place);
        placed++;
    }
    if (placed == 0)
        add_result(r, at, record->message, NULL, NULL);
}

static void add_sarif(const struct report *r)
{
    struct rb_buf *out = r->out;
    rb_buf_adds(out,
                "{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":{"
                "\"name\":\"runbookd\",\"version\":\"" RB_VERSION "\",\"rules\":[");
    for (size_t i = 0; i < r->count; i++) {
        rb_jw_open(out, '{');
        rb_jw_key(out, "id");
        rb_jw_string(out, spec_of(r, i)->name);
        rb_jw_key(out, "shortDescription");
        rb_jw_open(out, '{');
        rb_jw_key(out, "text");
        rb_jw_string(out, spec_of(r, i)->kind->schema.doc ? spec_of(r, i)->kind->schema.doc : spec_of(r, i)->kind->schema.name);
        rb_jw_close(out, '}');
        rb_jw_close(out, '}');
    }
    rb_buf_adds(out, "]}},\"results\":[");
    for (size_t i = 0; i < r->count; i++)
        add_results(r, i);
    rb_buf_adds(out, "]}]}\n");
}

/* ---- Nagios (Plugin development guidelines): one line, '|' starts performance data ---- */

static void add_nagios(const struct report *r)
{
    size_t unknown = r->by_state[RB_STATE_UNKNOWN] + r->by_state[RB_STATE_STALE];
    const char *word = r->by_state[RB_STATE_FAIL] ? "CRITICAL" : unknown ? "UNKNOWN" : r->by_state[RB_STATE_WARN] ? "WARNING" : "OK";
    struct rb_summary summary = {0};
    memcpy(summary.by_state, r->by_state, sizeof summary.by_state);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    rb_buf_addf(&text, "RUNBOOKD %s - ", word);
    rb_render_summary(&text, &summary);
    size_t shown = 0;
    for (size_t i = 0; i < r->count && shown < 5; i++) {
        enum rb_state state = state_of(r, i);
        if (state == RB_STATE_OK || state == RB_STATE_SKIP || state == RB_STATE_PENDING)
            continue;
        rb_buf_addf(&text, "%s%s: ", shown++ ? "; " : ": ", spec_of(r, i)->name);
        rb_text_escapes(&text, record_of(r, i)->message);
    }
    /* A '|' of a message would begin performance data. */
    for (size_t i = 0; i < text.len; i++)
        rb_buf_addc(r->out, (char)(text.data[i] == '|' ? '/' : text.data[i]));
    r->out->failed = r->out->failed || text.failed;
    rb_buf_adds(r->out, " |");
    for (int s = 0; s < RB_STATE_COUNT; s++)
        rb_buf_addf(r->out, " %s=%zu", rb_state_name((enum rb_state)s), r->by_state[s]);
    rb_buf_addc(r->out, '\n');
}

int rb_render_check_report(const struct rb_view *view, const bool *chosen, enum rb_check_format format, const struct rb_text_style *style,
                           struct rb_buf *out, struct rb_error *err)
{
    if (format == RB_CHECK_TEXT)
        return rb_render_table_text(view, chosen, style, out, err);
    struct report r = {.view = view, .chosen = chosen, .out = out};
    size_t *order = rb_render_order(view, chosen, &r.count);
    if (!order)
        return rb_error_set(err, RB_ENOMEM, "check report: out of memory");
    r.order = order;
    for (size_t i = 0; i < r.count; i++)
        r.by_state[state_of(&r, i)]++;
    if (format == RB_CHECK_JSON)
        add_json(&r);
    else if (format == RB_CHECK_JUNIT)
        add_junit(&r);
    else if (format == RB_CHECK_SARIF)
        add_sarif(&r);
    else
        add_nagios(&r);
    free(order);
    return rb_buf_check(out, "check report", err);
}
