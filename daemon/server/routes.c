/* The route table: one row is a route, its defence, and its entry in /openapi.json. */
#include <string.h>

#include "internal.h"
#include "runbook/incident/webhook.h"

#define READ \
    {        \
        0    \
    }
#define OPEN                         \
    {                                \
        .open_beyond_loopback = true \
    }
#define WRITE                                     \
    {                                             \
        .changes_state = true, .wants_json = true \
    }

const struct rb_route rb_routes[] = {
    {"/", "GET", "The state as a page for people.", "text/html", READ, rb_handle_page},
    {"/metrics", "GET", "Metrics, Prometheus text or OpenMetrics.", "text/plain application/openmetrics-text", OPEN, rb_handle_metrics},
    {"/status", "GET", "The state of every check.", "application/json text/plain", READ, rb_handle_status},
    {"/triage", "GET", "A ranked diagnosis; brings stale triage checks forward.", "text/plain application/json text/html", READ,
     rb_handle_triage},
    {"/triage", "POST", "The same, and opens an incident that keeps the report.", "text/plain application/json text/html", WRITE,
     rb_handle_triage_open},
    {"/api/v1/incidents", "GET", "All incidents, the newest first.", "application/json", READ, rb_handle_incidents},
    {"/api/v1/incidents/{name}", "GET", "One incident with its events and its part of the timeline.", "application/json", READ,
     rb_handle_incident},
    {"/api/v1/incidents/{name}/notes", "POST", "Adds a note.", "application/json", WRITE, rb_handle_incident_note},
    {"/api/v1/incidents/{name}/close", "POST", "Closes the incident.", "application/json", WRITE, rb_handle_incident_close},
    {"/api/v1/incidents/{name}/postmortem", "GET", "A post-mortem in Markdown, filled from the timeline; lang=en or de.", "text/markdown",
     READ, rb_handle_postmortem},
    {"/api/v1/alerts", "POST", "Alertmanager's webhook, version 4: opens, updates and closes incidents.", "application/json", WRITE,
     rb_handle_alerts, RB_WEBHOOK_BODY_MAX},
    {"/api/v1/silences", "GET", "Checks that are silenced, and until when.", "application/json", READ, rb_handle_silences},
    {"/api/v1/silences", "POST", "Silences a check for a while, or ends that.", "application/json", WRITE, rb_handle_silence},
    {"/-/healthy", "GET", "200 while the loop is alive, 503 when it is stuck.", "text/plain", OPEN, rb_handle_healthy},
    {"/-/ready", "GET", "200 once the configuration is loaded and every automatic check has run.", "text/plain", OPEN, rb_handle_ready},
    {"/-/reload", "POST", "Reads the configuration again.", "application/json", WRITE, rb_handle_reload},
    {"/api/v1/checks", "GET", "Summary, safety and all checks.", "application/json", READ, rb_handle_checks},
    {"/api/v1/checks/{name}", "GET", "One check.", "application/json", READ, rb_handle_check},
    {"/api/v1/checks/{name}/run", "POST", "Runs one check now and answers with its state.", "application/json", WRITE, rb_handle_run},
    {"/api/v1/drift", "GET", "What differs from the accepted baselines; all=1 adds what is accepted.", "application/json", READ,
     rb_handle_drift},
    {"/api/v1/drift/accept", "POST", "Takes named drift for normal, with a reason.", "application/json", WRITE, rb_handle_drift_accept},
    {"/openapi.json", "GET", "This description.", "application/json", READ, rb_handle_openapi},
};
/* NOLINTNEXTLINE(misc-redundant-expression): equal today, each for its own reason */
_Static_assert(RB_WEBHOOK_BODY_MAX <= RB_BODY_LARGEST, "the guard lets a webhook pass");
const size_t rb_route_count = sizeof rb_routes / sizeof rb_routes[0];

/* Exact, segment by segment; "{name}" takes one non-empty segment. */
static bool path_matches(const char *pattern, const char *path, char *name, size_t name_size)
{
    static const char placeholder[] = "{name}";
    while (*pattern && *path) {
        if (strncmp(pattern, placeholder, sizeof placeholder - 1) == 0) {
            size_t len = strcspn(path, "/");
            if (len == 0 || len >= name_size)
                return false;
            memcpy(name, path, len);
            name[len] = '\0';
            pattern += sizeof placeholder - 1;
            path += len;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

const struct rb_route *rb_route_find(const char *path, const char *method, char *name, size_t name_size, struct rb_buf *out_allow)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < rb_route_count; i++) {
        if (!path_matches(rb_routes[i].path, path, name, name_size))
            continue;
        if (strcmp(rb_routes[i].method, wanted) == 0)
            return &rb_routes[i];
        rb_buf_adds(out_allow, out_allow->len ? ", " : "");
        rb_buf_adds(out_allow, strcmp(rb_routes[i].method, "GET") == 0 ? "GET, HEAD" : rb_routes[i].method);
    }
    return NULL;
}

/* ---- OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0) ---- */

static void add_types(struct rb_buf *out, const char *types)
{
    rb_buf_adds(out, "\"content\":{");
    while (*types) {
        size_t len = strcspn(types, " ");
        rb_buf_addc(out, '"');
        rb_buf_add(out, types, len);
        rb_buf_adds(out, "\":{}");
        types += len;
        if (*types) {
            rb_buf_addc(out, ',');
            types++;
        }
    }
    rb_buf_addc(out, '}');
}

static void add_operation(struct rb_buf *out, const struct rb_route *route)
{
    rb_buf_addf(out, "\"%s\":{\"summary\":\"%s\",", strcmp(route->method, "GET") == 0 ? "get" : "post", route->summary);
    if (strstr(route->path, "{name}"))
        rb_buf_adds(out, "\"parameters\":[{\"name\":\"name\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}],");
    if (route->guard.changes_state)
        rb_buf_adds(out, "\"security\":[{\"bearer\":[]}],");
    rb_buf_adds(out, "\"responses\":{\"200\":{\"description\":\"OK\",");
    add_types(out, route->types);
    rb_buf_adds(out, "},\"default\":{\"description\":\"Refused or failed\",\"content\":{\"application/problem+json\":{}}}}}");
}

int rb_openapi_render(struct rb_buf *out, struct rb_error *err)
{
    rb_buf_adds(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"runbookd\",\"version\":\"" RB_VERSION "\"},\"paths\":{");
    for (size_t i = 0; i < rb_route_count; i++) {
        rb_buf_addf(out, "%s\"%s\":{", i ? "," : "", rb_routes[i].path);
        add_operation(out, &rb_routes[i]);
        rb_buf_addc(out, '}');
    }
    rb_buf_adds(out, "},\"components\":{\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}}}}\n");
    return rb_buf_check(out, "openapi", err);
}
