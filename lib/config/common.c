/* The two option tables that do not belong to a kind: `daemon`, and what every check has.
 *
 * Common options are cosmetic unless they change what a result means: `presence` does, an interval does not (identity, SPEC 4). Addresses to listen on are
 * checked here as text, so that a mistake has a place; binding them is the server's. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "plan_internal.h"
#include "runbook/base/log.h"

const struct rb_choice rb_phase_choices[] = {
    {"preflight", RB_PHASE_PREFLIGHT, "before work"},
    {"health", RB_PHASE_HEALTH, "probes of what is running"},
    {"drift", RB_PHASE_DRIFT, "differences from the accepted baseline"},
    {"gate", RB_PHASE_GATE, "what a change has to pass"},
    {"safety", RB_PHASE_SAFETY, "what must never be; never skipped, silenced, suppressed or accepted"},
    {"teardown", RB_PHASE_TEARDOWN, "after work"},
    {NULL, 0, NULL}};
const struct rb_choice rb_presence_choices[] = {{"required", RB_PRESENCE_REQUIRED, "absent is a failure"},
                                                {"optional", RB_PRESENCE_OPTIONAL, "absent is a skip unless it was seen and vanished"},
                                                {"absent", RB_PRESENCE_ABSENT, "presence is a failure"},
                                                {NULL, 0, NULL}};
const struct rb_choice rb_severity_choices[] = {{"page", RB_SEVERITY_PAGE, "wake somebody"},
                                                {"warn", RB_SEVERITY_WARN, "look at it during the day"},
                                                {"info", RB_SEVERITY_INFO, "only shown"},
                                                {NULL, 0, NULL}};

static const struct rb_choice every_choices[] = {{"manual", RB_EVERY_MANUAL, "runs on request only and is never stale"}, {NULL, 0, NULL}};
static const struct rb_choice language_choices[] = {{"en", 0, "English"}, {"de", 1, "German"}, {NULL, 0, NULL}};
static const struct rb_choice log_level_choices[] = {{"error", RB_LOG_ERROR, NULL},   {"warning", RB_LOG_WARNING, NULL},
                                                     {"notice", RB_LOG_NOTICE, NULL}, {"info", RB_LOG_INFO, NULL},
                                                     {"debug", RB_LOG_DEBUG, NULL},   {NULL, 0, NULL}};

static const char *choice_name(const struct rb_choice *choices, int value)
{
    while (choices->name != NULL && choices->value != value)
        choices++;
    return choices->name != NULL ? choices->name : "unknown";
}

const char *rb_phase_name(enum rb_phase phase)
{
    return choice_name(rb_phase_choices, (int)phase);
}

const char *rb_presence_name(enum rb_presence presence)
{
    return choice_name(rb_presence_choices, (int)presence);
}

const char *rb_severity_name(enum rb_severity severity)
{
    return choice_name(rb_severity_choices, (int)severity);
}

#define COMMON(member) offsetof(struct rb_common_options, member)

static const struct rb_option common_options[] = {{.name = "phase",
                                                   .type = RB_OPT_CHOICE,
                                                   .offset = COMMON(phase),
                                                   .choices = rb_phase_choices,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .doc = "Part of the runbook that the check belongs to; the default is its kind's."},
                                                  {.name = "every",
                                                   .type = RB_OPT_DURATION,
                                                   .offset = COMMON(every_ms),
                                                   .choices = every_choices,
                                                   .min = 1000,
                                                   .max = INT64_C(400) * 86400000,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .example = "15s",
                                                   .doc = "Time between two runs; the default is 60s or what the kind says."},
                                                  {.name = "timeout",
                                                   .type = RB_OPT_DURATION,
                                                   .offset = COMMON(timeout_ms),
                                                   .fallback = "10s",
                                                   .min = 10,
                                                   .max = 3600000,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .doc = "Longest time that a run may take; may be longer than 'every'."},
                                                  {.name = "presence",
                                                   .type = RB_OPT_CHOICE,
                                                   .offset = COMMON(presence),
                                                   .choices = rb_presence_choices,
                                                   .fallback = "required",
                                                   .doc = "Whether what is checked has to be there."},
                                                  {.name = "severity",
                                                   .type = RB_OPT_CHOICE,
                                                   .offset = COMMON(severity),
                                                   .choices = rb_severity_choices,
                                                   .fallback = "warn",
                                                   .flags = RB_OPT_COSMETIC,
                                                   .doc = "How loud a failure is; never changes a result."},
                                                  {.name = "fail_after",
                                                   .type = RB_OPT_INT,
                                                   .offset = COMMON(fail_after),
                                                   .fallback = "1",
                                                   .min = 1,
                                                   .max = 1000,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .doc = "Consecutive bad runs before the state changes."},
                                                  {.name = "recover_after",
                                                   .type = RB_OPT_INT,
                                                   .offset = COMMON(recover_after),
                                                   .fallback = "1",
                                                   .min = 1,
                                                   .max = 1000,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .doc = "Consecutive good runs before the state changes back."},
                                                  {.name = "depends_on",
                                                   .type = RB_OPT_STRINGS,
                                                   .offset = COMMON(depends_on),
                                                   .max = 100,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .example = "[docker]",
                                                   .doc = "Checks whose failure explains a failure of this one."},
                                                  {.name = "runbook",
                                                   .type = RB_OPT_STRING,
                                                   .offset = COMMON(runbook),
                                                   .flags = RB_OPT_COSMETIC | RB_OPT_NONEMPTY,
                                                   .example = "\"Phase 2 > Steps\"",
                                                   .doc = "Section of the runbook, as [FILE#]heading; the heading has to exist."},
                                                  {.name = "hints",
                                                   .type = RB_OPT_STRINGS,
                                                   .offset = COMMON(hints),
                                                   .max = 20,
                                                   .flags = RB_OPT_COSMETIC,
                                                   .example = "[\"docker ps -a\"]",
                                                   .doc = "Commands to print when the check fails; never run."},
                                                  {.name = "triage",
                                                   .type = RB_OPT_TRISTATE,
                                                   .offset = COMMON(triage),
                                                   .flags = RB_OPT_COSMETIC,
                                                   .doc = "Run afresh on a triage; default true, but false for commands and scans."},
                                                  {.name = NULL}};

const struct rb_schema rb_common_schema = {.name = "common options",
                                           .doc = "Options that every check has; 'defaults' accepts them too.",
                                           .options = common_options,
                                           .size = sizeof(struct rb_common_options)};

#define DAEMON(member) offsetof(struct rb_daemon_options, member)

static const struct rb_option daemon_options[] = {
    {.name = "listen",
     .type = RB_OPT_STRINGS,
     .offset = DAEMON(listen),
     .fallback = "[\"127.0.0.1:9112\", \"[::1]:9112\"]",
     .min = 1,
     .max = 16,
     .doc = "Addresses to serve on, as IPV4:PORT, [IPV6]:PORT or unix:/path."},
    {.name = "allowed_hosts",
     .type = RB_OPT_STRINGS,
     .offset = DAEMON(allowed_hosts),
     .max = 64,
     .example = "[host.docker.internal]",
     .doc = "Names that a request's Host may carry, besides the listen addresses and localhost; ports are not compared."},
    {.name = "root",
     .type = RB_OPT_PATH,
     .offset = DAEMON(root),
     .doc = "The tree that path checks work on; default: the git work tree around the configuration."},
    {.name = "state_dir",
     .type = RB_OPT_PATH,
     .offset = DAEMON(state_dir),
     .example = "~/.local/state/runbookd",
     .doc = "Folder for the daemon's own state; $STATE_DIRECTORY wins."},
    {.name = "runbook",
     .type = RB_OPT_STRING,
     .offset = DAEMON(runbook),
     .flags = RB_OPT_NONEMPTY,
     .example = "docs/runbook.md",
     .doc = "Markdown file that the checks' 'runbook' headings are in, counted from root."},
    {.name = "language",
     .type = RB_OPT_CHOICE,
     .offset = DAEMON(language),
     .choices = language_choices,
     .fallback = "en",
     .doc = "Language of reports meant for people."},
    {.name = "safety_title",
     .type = RB_OPT_STRING,
     .offset = DAEMON(safety_title),
     .flags = RB_OPT_NONEMPTY,
     .example = "live execution is forbidden",
     .doc = "What the safety checks together guard, in a few words."},
    {.name = "postmortem_template",
     .type = RB_OPT_STRING,
     .offset = DAEMON(postmortem_template),
     .flags = RB_OPT_NONEMPTY,
     .example = "docs/templates/postmortem.md",
     .doc = "Markdown file that post-mortems are made from, counted from root; it may use {{id}}, {{title}}, {{severity}}, {{facts}}, "
            "{{summary}}, "
            "{{impact}}, {{evidence}}, {{timeline}}, {{safety}}, {{root_cause}}, {{remediation}}, {{verification}}, {{status}} and "
            "{{follow_up}}."},
    {.name = "workers",
     .type = RB_OPT_INT,
     .offset = DAEMON(workers),
     .fallback = "4",
     .min = 1,
     .max = 64,
     .doc = "Threads for short blocking work."},
    {.name = "log_level",
     .type = RB_OPT_CHOICE,
     .offset = DAEMON(log_level),
     .choices = log_level_choices,
     .fallback = "info",
     .doc = "Least important messages that are logged."},
    {.name = "file_events",
     .type = RB_OPT_BOOL,
     .offset = DAEMON(file_events),
     .fallback = "true",
     .doc = "Whether the system's word that a file changed brings the next run of the checks concerned forward; their interval stays as it "
            "is."},
    {.name = NULL}};

static int check_port(const char *text, struct rb_error *err)
{
    size_t digits = strspn(text, "0123456789");
    long port = digits > 0 && digits <= 5 && text[digits] == '\0' ? strtol(text, NULL, 10) : -1;
    return port >= 0 && port <= 65535 ? 0 : rb_error_set(err, RB_EINVAL, "'%s' is no port; write a number from 0 to 65535", text);
}

static int check_ipv6(const char *text, struct rb_error *err)
{
    unsigned char parsed[16];
    char address[64];
    const char *end = strchr(text, ']');
    size_t len = end != NULL ? (size_t)(end - text - 1) : sizeof address;
    if (len >= sizeof address || end[1] != ':')
        return rb_error_set(err, RB_EINVAL, "write an IPv6 address as [::1]:9112");
    memcpy(address, text + 1, len);
    address[len] = '\0';
    if (inet_pton(AF_INET6, address, parsed) != 1)
        return rb_error_set(err, RB_EINVAL, "'%s' is no IPv6 address", address);
    return check_port(end + 2, err);
}

int rb_listen_check(const char *text, struct rb_error *err)
{
    unsigned char parsed[4];
    char address[32];
    if (strncmp(text, "unix:", 5) == 0)
        return text[5] == '/' && strlen(text + 5) < 104
                   ? 0
                   : rb_error_set(err, RB_EINVAL, "write a socket as unix:/absolute/path, shorter than 104 bytes");
    if (text[0] == '[')
        return check_ipv6(text, err);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof address)
        return rb_error_set(err, RB_EINVAL, "write an address with its port, such as 127.0.0.1:9112 (0.0.0.0:9112 for every interface)");
    memcpy(address, text, (size_t)(colon - text));
    address[colon - text] = '\0';
    if (strcmp(address, "localhost") != 0 && inet_pton(AF_INET, address, parsed) != 1)
        return rb_error_set(err, RB_EINVAL, "'%s' is no IPv4 address; names are not looked up for listening, except localhost", address);
    return check_port(colon + 1, err);
}

/* What can never equal a request's Host would be a silent mistake. */
static const char *host_fault(const char *host)
{
    const char *colon = strchr(host, ':');
    if (host[0] == '\0' || strpbrk(host, "/ \t@") != NULL)
        return "write a host's name or address";
    if (strchr(host, '*') != NULL)
        return "wildcards are not supported; list the names";
    if (host[0] != '[' && colon != NULL && strchr(colon + 1, ':') == NULL)
        return "write the name without its port; ports are not compared";
    return NULL;
}

static struct rb_mark item_mark(const struct rb_node *list, size_t i)
{
    return list->type == RB_NODE_SEQUENCE && i < list->count ? list->items[i]->mark : list->mark;
}

static void validate_daemon(void *options, const struct rb_node *node, struct rb_diags *diags)
{
    const struct rb_daemon_options *daemon = options;
    const struct rb_node *listen = rb_node_get(node, "listen");
    struct rb_error err;
    const struct rb_node *hosts = rb_node_get(node, "allowed_hosts");
    for (size_t i = 0; listen != NULL && i < daemon->listen.count; i++)
        if (rb_listen_check(daemon->listen.items[i], &err) < 0)
            rb_diag_add(diags, item_mark(listen, i), "'listen' in daemon: %s", err.message);
    for (size_t i = 0; hosts != NULL && i < daemon->allowed_hosts.count; i++) {
        const char *fault = host_fault(daemon->allowed_hosts.items[i]);
        if (fault != NULL)
            rb_diag_add(diags, item_mark(hosts, i), "'allowed_hosts' in daemon: '%.100s': %s", daemon->allowed_hosts.items[i], fault);
    }
}

const struct rb_schema rb_daemon_schema = {.name = "daemon",
                                           .doc = "The daemon itself.",
                                           .options = daemon_options,
                                           .size = sizeof(struct rb_daemon_options),
                                           .validate = validate_daemon};
