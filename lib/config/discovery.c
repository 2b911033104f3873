/* Discovery: a tree, its listeners and a table of well-known services become a commented configuration text.
 *
 * The text is loaded like any file, so that there is one way into a plan. It has to stay quiet on a healthy developer machine: everything that may be absent is
 * `presence: optional`, nothing constrains the repository, and a well-known port that a program of another name holds gets no check. Names from the tree are
 * hostile: they are escaped in comments and quoted in values, and what is not valid UTF-8 is left out. */
#include "runbook/config/discovery.h"

#include <string.h>
#include <sys/stat.h>

#include "discovery_internal.h"
#include "runbook/base/text.h"

#define ARENA_MAX ((size_t)64 << 20)

struct service { /* always planned, never required */
    const char *name, *kind, *what;
    uint16_t port;
    const char *owner;   /* part of the process's name when it is the service itself */
    const char *options; /* YAML lines after kind */
};

static const struct service services[] = {
    {"prometheus", "prometheus", "Prometheus on its usual port: ready, targets up, rules healthy.", 9090, "prometheus",
     "    url: http://localhost:9090\n"},
    {"prometheus-9091", "prometheus", "A second Prometheus is often put here.", 9091, "prometheus", "    url: http://localhost:9091\n"},
    {"prometheus-9092", "prometheus", "A local Prometheus is often put here.", 9092, "prometheus", "    url: http://localhost:9092\n"},
    {"alertmanager", "http", "Alertmanager on its usual port says that it is ready.", 9093, "alertmanager",
     "    url: http://localhost:9093/-/ready\n    expect: {status: 200}\n"},
    {"grafana", "http", "Grafana on its usual port, and its database.", 3000, "grafana",
     "    url: http://localhost:3000/api/health\n    expect: {status: 200, json: {/database: ok}}\n"},
    {"node-exporter", "http", "node_exporter on its usual port serves its page.", 9100, "node",
     "    url: http://localhost:9100/metrics\n    expect: {status: 200}\n"},
};

struct discovery {
    const struct rb_discovery_request *request;
    struct rb_tree tree;
    struct rb_listener *listeners;
    size_t listener_count;
    struct rb_buf *out;
    size_t checks;
};

static bool has_kind(const struct discovery *discovery, const char *name)
{
    const struct rb_kind_list *kinds = discovery->request->kinds;
    if (kinds == NULL)
        return true;
    for (size_t i = 0; i < kinds->count; i++)
        if (strcmp(kinds->items[i]->schema.name, name) == 0)
            return true;
    return false;
}

/* The beginning of a check with the comment that says why it is there. */
static void begin_check(struct discovery *discovery, const char *name, const char *kind)
{
    rb_buf_addf(discovery->out, "  - name: %s\n    kind: %s\n", name, kind);
    discovery->checks++;
}

static void add_comment(struct discovery *discovery, const char *before, const char *hostile, const char *after)
{
    rb_buf_addf(discovery->out, "\n  # %s", before);
    rb_text_escapes(discovery->out, hostile);
    rb_buf_addf(discovery->out, "%s\n", after);
}

/* A double-quoted YAML scalar (YAML 1.2.2, 7.3.1) that the loader reads back unchanged: "${" would begin a variable, so every '$' is doubled. */
static void add_quoted(struct rb_buf *out, const char *text)
{
    rb_buf_addc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            rb_buf_addf(out, "\\%c", (int)*p);
        else if (*p == '$')
            rb_buf_adds(out, "$$");
        else if (*p < 0x20 || *p == 0x7f)
            rb_buf_addf(out, "\\x%02X", (unsigned)*p);
        else
            rb_buf_addc(out, (char)*p);
    }
    rb_buf_addc(out, '"');
}

static bool is_other_device(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev != y.st_dev;
}

static void add_host_checks(struct discovery *discovery)
{
    const char *root = discovery->request->root;
    if (!has_kind(discovery, "host"))
        return;
    add_comment(discovery, "The machine: system, memory, load and the disk; only a disk that is nearly full is worth a word.", NULL, "");
    begin_check(discovery, "host", "host");
    rb_buf_adds(discovery->out, "    disk: {path: /, warn_below: 5%, fail_below: 256MiB}\n");
    if (!is_other_device(root, "/") || !rb_text_is_utf8(root, strlen(root)))
        return;
    add_comment(discovery, "The tree lies on a file system of its own.", NULL, "");
    begin_check(discovery, "disk-tree", "host");
    rb_buf_adds(discovery->out, "    disk: {path: ");
    add_quoted(discovery->out, root);
    rb_buf_adds(discovery->out, ", warn_below: 5%, fail_below: 256MiB}\n");
}

static void add_git_check(struct discovery *discovery)
{
    if (!discovery->tree.git || !has_kind(discovery, "git"))
        return;
    add_comment(discovery,
                "The repository: branch and commit, a rebase or merge in progress, a stuck lock. Add 'clean: true' or 'branch: main' to "
                "demand more.",
                NULL, "");
    begin_check(discovery, "repo", "git");
}

static void add_syntax_check(struct discovery *discovery)
{
    if (!discovery->tree.git || !discovery->tree.documents || !has_kind(discovery, "syntax"))
        return;
    add_comment(discovery, "Every tracked TOML, YAML and JSON file has to parse.", NULL, "");
    begin_check(discovery, "configs", "syntax");
    rb_buf_adds(discovery->out, "    files: [\"**/*.toml\", \"**/*.yml\", \"**/*.yaml\", \"**/*.json\"]\n");
}

static void add_drift_check(struct discovery *discovery)
{
    if (!discovery->tree.git || !discovery->tree.documents || !has_kind(discovery, "drift"))
        return;
    add_comment(discovery,
                "What changes in the configuration, against what was there at the first run; accept with: runbookd drift accept.", NULL,
                "");
    begin_check(discovery, "config-drift", "drift");
    rb_buf_adds(discovery->out,
                "    files: [\"**/*.toml\", \"**/*.yml\", \"**/*.yaml\", \"**/*.json\", \"**/uv.lock\"]\n    baseline: auto\n");
}

static void add_tool_checks(struct discovery *discovery)
{
    const struct rb_tree *tree = &discovery->tree;
    for (size_t i = 0; has_kind(discovery, "tool") && i < tree->tool_count; i++) {
        add_comment(discovery, "", tree->tools[i].because, " tells that this program is used here.");
        rb_buf_addf(discovery->out, "  - name: tool-%s\n    kind: tool\n    argv: %s\n    presence: optional\n", tree->tools[i].tool,
                    tree->tools[i].argv);
        discovery->checks++;
    }
}

/* Programs that hold a port for a container or a remote host: what answers behind them is not known from here. */
static bool is_forwarder(const char *name)
{
    static const char *const names[] = {"docker", "com.docke", "vpnkit", "rootless", "podman", "gvproxy", "pasta",
                                        "slirp",  "conmon",    "colima", "lima",     "ssh",    NULL};
    for (size_t i = 0; names[i] != NULL; i++)
        if (rb_text_find_nocase(name, names[i]) != NULL)
            return true;
    return false;
}

/* The name of the program that holds a port and is certainly not the service, or NULL. */
static const char *stranger_on(const struct discovery *discovery, const struct service *service)
{
    for (size_t i = 0; i < discovery->listener_count; i++) {
        const struct rb_listener *listener = &discovery->listeners[i];
        if (listener->port != service->port || listener->owner != RB_OWNER_KNOWN || listener->name == NULL)
            continue;
        if (rb_text_find_nocase(listener->name, service->owner) == NULL && !is_forwarder(listener->name))
            return listener->name;
    }
    return NULL;
}

static void add_service_checks(struct discovery *discovery)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        const struct service *service = &services[i];
        if (!has_kind(discovery, service->kind))
            continue;
        const char *stranger = stranger_on(discovery, service);
        if (stranger != NULL) {
            rb_buf_addf(discovery->out, "\n  # No check for %s: port %u is held by ", service->name, (unsigned)service->port);
            rb_text_escapes(discovery->out, stranger);
            rb_buf_adds(discovery->out, ".\n");
            continue;
        }
        add_comment(discovery, service->what, NULL, " Nothing is wrong when it is not there.");
        begin_check(discovery, service->name, service->kind);
        rb_buf_adds(discovery->out, service->options);
        rb_buf_adds(discovery->out, "    presence: optional\n");
    }
}

/* The engine is always planned; a project only when a compose file names it. Neither asks for anything to run: what was never seen is skipped. */
static void add_docker_checks(struct discovery *discovery)
{
    const struct rb_tree *tree = &discovery->tree;
    if (has_kind(discovery, "docker")) {
        add_comment(discovery, "The Docker engine, where docker itself would look for it; set 'socket:' for another one.", NULL,
                    " Nothing is wrong when it is not there.");
        begin_check(discovery, "docker", "docker");
        rb_buf_adds(discovery->out, "    presence: optional\n");
    }
    for (size_t i = 0; has_kind(discovery, "compose") && i < tree->project_count; i++) {
        add_comment(discovery, "The project of ", tree->projects[i].file,
                    "; what runs of it must be healthy. Add 'services: [...]' to demand more.");
        rb_buf_addf(discovery->out, "  - name: compose-%.50s\n    kind: compose\n    project: \"%s\"\n    presence: optional\n",
                    tree->projects[i].name, tree->projects[i].name);
        discovery->checks++;
    }
}

static bool is_service_port(uint16_t port)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (services[i].port == port)
            return true;
    return false;
}

/* Check names are of a closed alphabet; the port keeps them unique. */
static void add_port_name(struct rb_buf *out, const struct rb_published_port *port)
{
    rb_buf_adds(out, "port-");
    for (size_t i = 0; i < 40 && port->service[i] != '\0'; i++) {
        char c = port->service[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        rb_buf_addc(out, (char)(plain ? c : '_'));
    }
    rb_buf_addf(out, "-%u", (unsigned)port->port);
}

static void add_port_checks(struct discovery *discovery)
{
    const struct rb_tree *tree = &discovery->tree;
    for (size_t i = 0; has_kind(discovery, "tcp") && i < tree->port_count; i++) {
        const struct rb_published_port *port = &tree->ports[i];
        if (is_service_port(port->port))
            continue;
        add_comment(discovery, "Published by ", port->file, "; absent until the stack is started.");
        rb_buf_adds(discovery->out, "  - name: ");
        add_port_name(discovery->out, port);
        rb_buf_addf(discovery->out, "\n    kind: tcp\n    address: \"localhost:%u\"\n    presence: optional\n", (unsigned)port->port);
        discovery->checks++;
    }
}

static void add_head(struct discovery *discovery)
{
    rb_buf_adds(discovery->out, "# Configuration of runbookd, discovered in ");
    rb_text_escapes(discovery->out, discovery->request->root);
    rb_buf_adds(discovery->out, "\n# Every check says why it is here. `runbookd explain KIND` lists what each of them can do,\n"
                                "# `runbookd validate` checks this file, SIGHUP or POST /-/reload loads it again.\n\n"
                                "daemon:\n"
                                "  # Only this machine reaches the daemon. Add names that proxies or containers use under allowed_hosts.\n"
                                "  listen: [\"127.0.0.1:9112\", \"[::1]:9112\"]\n\n"
                                "defaults: {timeout: 10s, severity: warn}\n\n"
                                "checks:\n");
}

int rb_discover(const struct rb_discovery_request *request, struct rb_buf *out, struct rb_error *err)
{
    RB_ARENA_AUTO *arena = rb_arena_new(ARENA_MAX);
    struct rb_error ignored;
    if (arena == NULL)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    struct discovery discovery = {.request = request, .out = out, .tree = {.arena = arena, .root = request->root}};
    rb_tree_look(&discovery.tree);
    /* Without the list nobody is known to hold a port, and every service is planned. */
    if (request->platform != NULL && request->platform->listeners != NULL &&
        request->platform->listeners(arena, 0, true, &discovery.listeners, &discovery.listener_count, &ignored) < 0)
        discovery.listener_count = 0;
    add_head(&discovery);
    add_host_checks(&discovery);
    add_git_check(&discovery);
    add_syntax_check(&discovery);
    add_drift_check(&discovery);
    add_tool_checks(&discovery);
    add_service_checks(&discovery);
    add_docker_checks(&discovery);
    add_port_checks(&discovery);
    if (discovery.checks == 0)
        rb_buf_adds(out, "  []\n");
    return rb_buf_check(out, "the discovered configuration", err);
}

void rb_discovery_explain(struct rb_buf *out)
{
    rb_buf_adds(out, "Without a configuration, or with --discover, runbookd looks at:\n"
                     "  the folder it stands in, or the git work tree around it: names of files, three levels deep,\n"
                     "  no hidden and no vendored folder; compose files are read for the ports that they publish\n"
                     "  the list of listening TCP ports, to leave well-known ports alone that another program holds\n\n"
                     "It plans, always as `presence: optional`:\n");
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        rb_buf_addf(out, "  %-16s %-11s port %u\n", services[i].name, services[i].kind, (unsigned)services[i].port);
    rb_buf_adds(out, "  docker           docker      the engine's socket, asked with GET only: $DOCKER_HOST, the context of "
                     "~/.docker/config.json, else the\n"
                     "                               usual places (/var/run/docker.sock, $XDG_RUNTIME_DIR, ~/.docker, ~/.orbstack, "
                     "~/.colima, ~/.rd, ...)\n"
                     "  compose-NAME     compose     each project that a compose file names, on that socket\n");
    rb_buf_adds(out, "\nDiscovery itself starts no program and opens no connection. The plan may start these, and no others,\n"
                     "each only when a file tells that it is used:\n"
                     "  git              [git, --version]         .git\n");
    for (const struct rb_tool_marker *marker = rb_tool_markers; marker->pattern != NULL; marker++)
        rb_buf_addf(out, "  %-16s %-24s %s\n", marker->tool, marker->argv, marker->pattern);
    rb_buf_adds(out, "  docker           [docker, --version]      *compose*.yml, *compose*.yaml\n");
}
