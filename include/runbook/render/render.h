/* Renderers: a view becomes bytes. Pure; any thread; every text from outside is escaped here and nowhere else. */
#ifndef RUNBOOK_RENDER_RENDER_H
#define RUNBOOK_RENDER_RENDER_H

#include "runbook/incident/diagnosis.h"
#include "runbook/incident/graph.h"
#include "runbook/render/messages.h"
#include "runbook/state/snapshot.h"

#define RB_RENDER_MAX (64u << 20) /* bytes of one body */

/* Counters that the HTTP thread keeps itself. */
struct rb_server_stats {
    uint64_t requests_by_class[6];
    uint64_t refused, timeouts, shed;
    size_t connections, connections_max;
    uint64_t bytes_sent;
};

enum rb_metrics_format { RB_METRICS_TEXT, RB_METRICS_OPENMETRICS };
/* Prometheus text 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/) or OpenMetrics 1.0.0. Families contiguous, HELP and TYPE once. */
int rb_render_metrics(const struct rb_view *view, const struct rb_server_stats *server, enum rb_metrics_format format, struct rb_buf *out,
                      struct rb_error *err) RB_MUST_CHECK;
/* The same in two parts, for a server that keeps bodies: everything but the age of the snapshot, and the end with that age (and `# EOF`), made when it is served. */
int rb_render_metrics_body(const struct rb_view *view, const struct rb_server_stats *server, enum rb_metrics_format format,
                           struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
void rb_render_metrics_tail(const struct rb_view *view, enum rb_metrics_format format, struct rb_buf *out);
/* gzip (RFC 1952). */
int rb_render_gzip(const void *bytes, size_t len, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* gzip for a body that is kept but whose end is made when it is served: `open` writes a member without its end and gives the CRC-32 so far; `close` appends the last
 * block with `tail` (at most 65,535 bytes) and the trailer. Together they are one member: readers that stop after the first lose nothing. */
int rb_render_gzip_open(const void *bytes, size_t len, struct rb_buf *out, uint32_t *out_crc, struct rb_error *err) RB_MUST_CHECK;
void rb_render_gzip_close(uint32_t crc, size_t plain_len, const void *tail, size_t tail_len, struct rb_buf *out);
/* The style sheet of every page that rb_render_*_html writes, for the Content-Security-Policy's digest. Static. */
const char *rb_render_html_style(void);

/* SPEC 9 shape of /status, and its form for people. */
int rb_render_status_json(const struct rb_view *view, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* `evidence`: lines of evidence under each check that is not ok or skip. */
struct rb_text_style {
    bool colour;
    size_t columns;
    enum rb_language language;
    unsigned evidence;
};
int rb_render_status_text(const struct rb_view *view, const struct rb_text_style *style, struct rb_buf *out,
                          struct rb_error *err) RB_MUST_CHECK;
/* {drift: [{check, baseline, facts, items}]}; `all`: accepted items too, else only what is open. */
int rb_render_drift_json(const struct rb_view *view, bool all, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* One check, as in the checks array of /status. RB_ENOTFOUND for an unknown index. */
int rb_render_check_json(const struct rb_view *view, size_t index, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* `check`: {summary, safety, checks} of the chosen indexes (NULL: all); text table, JUnit XML, SARIF 2.1.0, Nagios line. */
enum rb_check_format { RB_CHECK_TEXT, RB_CHECK_JSON, RB_CHECK_JUNIT, RB_CHECK_SARIF, RB_CHECK_NAGIOS };
int rb_render_check_report(const struct rb_view *view, const bool *chosen, enum rb_check_format format, const struct rb_text_style *style,
                           struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* SPEC 8. Text: at most 60 lines and 100 columns. */
int rb_render_triage_json(const struct rb_view *view, const struct rb_diagnosis *diagnosis, struct rb_buf *out,
                          struct rb_error *err) RB_MUST_CHECK;
int rb_render_triage_text(const struct rb_view *view, const struct rb_diagnosis *diagnosis, const struct rb_text_style *style,
                          struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
int rb_render_triage_html(const struct rb_view *view, const struct rb_diagnosis *diagnosis, enum rb_language language, struct rb_buf *out,
                          struct rb_error *err) RB_MUST_CHECK;

/* `explain --graph`: every edge with its kind and reason. */
enum rb_graph_format { RB_GRAPH_TEXT, RB_GRAPH_DOT, RB_GRAPH_JSON };
int rb_render_graph(const struct rb_view *view, const struct rb_edges *edges, enum rb_graph_format format, struct rb_buf *out,
                    struct rb_error *err) RB_MUST_CHECK;

/* The page at /: self-contained HTML without script from elsewhere, refreshes itself. */
int rb_render_page_html(const struct rb_view *view, enum rb_language language, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* RFC 9457 problem details. `type` becomes "urn:runbookd:problem:<type>"; `detail` may be hostile. */
int rb_render_problem(int status, const char *type, const char *detail, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* The fixed families of /metrics as a Markdown table: name, labels, type, meaning. */
void rb_render_metrics_reference(struct rb_buf *out);

#endif
