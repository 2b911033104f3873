/* env: variables that may not be set, and some that have to be, in the environments that count: runbookd's own, dotenv files, processes, containers.
 *
 * A worker part looks at everything of this machine; containers follow as an exchange with the Docker engine (GET only). What the system shows of another process is its
 * environment as of its start, and every finding says so. A process or container of interest whose environment cannot be read makes the check `unknown`: a guard that
 * saw four of five has not seen the fifth. What is not there (no process matches, no engine) guards nothing and is fine, except an engine that went away
 * while containers ran: they may still run.
 *
 * Values never enter the outcome unless rb_env_show allows it. Environments are read into an arena each: a run's own stays small. Whatever held them is overwritten before it is
 * given back. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/check/docker.h"
#include "runbook/check/env_guard.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/match.h"
#include "runbook/source/dotenv.h"
#include "runbook/source/files.h"
#include "runbook/source/process.h"

enum { MAX_DOTENV_FILES = 500, LIST_ARENA = 64 << 20, ENVIRON_ARENA = 8 << 20, SHOWN_COLUMNS = 100 };

struct env_options {
    int8_t self;
    struct rb_strings files;
    const struct rb_node *processes_node, *containers_node;
    const char *socket;
    struct rb_strings deny, safe;
    struct rb_pairs require;
    /* set by validate */
    bool processes, containers;
    const char *argv, *below, *project, *name;
};

#define OPTION(member) offsetof(struct env_options, member)
static const struct rb_option options[] = {
    {.name = "deny",
     .type = RB_OPT_STRINGS,
     .offset = OPTION(deny),
     .doc = "Names of variables that may not be set, with * and ?; set to a safe value is as good as unset.",
     .example = "[PT_ARMED, \"PT_CONFIRM*\"]"},
    {.name = "require",
     .type = RB_OPT_PAIRS,
     .offset = OPTION(require),
     .doc = "Variables and the values they have to have (null: any). Unset is a warning, another value a failure.",
     .example = "{PEAK_TRADE_LIVE: \"0\"}"},
    {.name = "safe",
     .type = RB_OPT_STRINGS,
     .offset = OPTION(safe),
     .doc = "Values of denied variables that are harmless, in any case. Default: 0, false, no, off and the empty value.",
     .example = "[\"0\", \"false\"]"},
    {.name = "self",
     .type = RB_OPT_TRISTATE,
     .offset = OPTION(self),
     .doc = "runbookd's own environment. Default: only when neither files, processes nor containers are given; `check` and `triage` run by "
            "hand always look at theirs."},
    {.name = "files",
     .type = RB_OPT_GLOBS,
     .offset = OPTION(files),
     .doc = "Dotenv files, read and never executed. One that is named has to exist, a glob may match nothing.",
     .example = "[\".env*\"]"},
    {.name = "processes",
     .type = RB_OPT_NODE,
     .offset = OPTION(processes_node),
     .doc = "true: processes whose command line or working folder lies in the root. Or {argv: regular expression on the joined command "
            "line, below: folder}.",
     .example = "{argv: \"Peak_Trade\"}"},
    {.name = "containers",
     .type = RB_OPT_NODE,
     .offset = OPTION(containers_node),
     .doc = "true: every running container. Or {project: compose project, name: container name}, each with * and ?.",
     .example = "{project: \"peaktrade-*\"}"},
    {.name = "socket",
     .type = RB_OPT_PATH,
     .offset = OPTION(socket),
     .doc = "Socket of the Docker engine, for containers. Default: DOCKER_HOST, the Docker context, the usual places."},
    {NULL}};

static const struct rb_value_def values[] = {
    {"processes", "", RB_VALUE_GAUGE, "Processes of interest, by whether their environment could be read.", "readable"},
    {"containers", "", RB_VALUE_GAUGE, "Containers of interest, by whether their environment could be read.", "readable"},
    {"files", "", RB_VALUE_GAUGE, "Dotenv files that were read.", NULL},
    {"violations", "", RB_VALUE_GAUGE, "Denied variables that are set and required ones with a wrong value.", NULL},
    {"unset", "", RB_VALUE_GAUGE, "Required variables that are unset somewhere.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"denied_set", "A variable is set that may not be; the evidence names it, its place and, where harmless, its value."},
    {"wrong_value", "A required variable has another value."},
    {"required_unset", "A required variable is not set; export it before the program starts."},
    {"file_missing", "A dotenv file that is named does not exist."},
    {"broken", "A dotenv file cannot be understood; the message has the line."},
    {"unreadable", "A dotenv file or a process could not be read; the message has the system's error."},
    {"engine_gone", "The Docker engine does not answer any more, and containers ran when it last did."},
    RB_DOCKER_REASONS,
    {NULL}};

/* Survives between runs. */
struct env_memory {
    size_t containers; /* of interest, when the engine last answered */
};

/* Of one run, for both parts. */
struct env_run {
    struct rb_env_tally tally;
    bool self;
    size_t files, processes, unreadable_processes, containers, unreadable_containers;
    struct rb_docker_client client;
    bool version_known, listed;
    const char **ids, **names; /* of containers that are to be inspected */
    size_t next;
};

static struct rb_env_guard guard_of(const struct env_options *o)
{
    return (struct rb_env_guard){.deny = o->deny, .safe = o->safe, .require = o->require};
}

/* ---- runbookd itself ---- */

static void check_self(const struct rb_check_ctx *ctx, struct env_run *run, struct rb_outcome *out)
{
    extern char **environ; /* NOLINT(readability-redundant-declaration): macOS declares it in no header */
    const struct rb_env_guard guard = guard_of(ctx->options);
    const char *const *own = (const char *const *)(void *)environ;
    struct rb_env_variables variables = rb_env_split(own, SIZE_MAX, ctx->arena);
    (void)rb_env_judge(&guard, &variables, "runbookd's own environment", &run->tally, out);
    run->self = true;
}

/* ---- dotenv files ---- */

static void judge_dotenv(const struct rb_check_ctx *ctx, struct env_run *run, const char *path, const struct rb_buf *text,
                         struct rb_outcome *out)
{
    RB_ARENA_AUTO *arena = rb_arena_new_wiped(ENVIRON_ARENA);
    const struct rb_env_guard guard = guard_of(ctx->options);
    struct rb_dotenv env = {0};
    struct rb_error err = {0};
    int code = arena ? rb_dotenv_parse(rb_buf_str(text), text->len, arena, &env, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    struct rb_env_variables variables = {.items = code == 0 ? rb_arena_array(arena, env.count + 1, sizeof *variables.items) : NULL};
    if (!variables.items) {
        bool memory = code != RB_EPARSE && code != RB_ELIMIT;
        rb_outcome_raise(out, memory ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL, memory ? "resource_limit" : "broken", "%s: %s", path,
                         code < 0 ? err.message : "out of memory");
        return;
    }
    for (size_t i = 0; i < env.count; i++)
        variables.items[variables.count++] = (struct rb_env_variable){
            .name = env.items[i].name, .value = env.items[i].value, .line = env.items[i].line};
    run->files++;
    (void)rb_env_judge(&guard, &variables, path, &run->tally, out);
}

static void check_dotenv(const struct rb_check_ctx *ctx, struct env_run *run, const char *path, struct rb_outcome *out)
{
    RB_BUF_AUTO text;
    struct rb_error err = {0};
    rb_buf_init(&text, RB_DOTENV_MAX_BYTES + 1);
    text.wiped = true;
    int root_fd = open(ctx->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = root_fd < 0 ? rb_error_sys(&err, errno, "cannot open the root %s", ctx->root)
                           : rb_file_read_below(root_fd, path, RB_DOTENV_MAX_BYTES, &text, &err);
    if (root_fd >= 0)
        (void)close(root_fd);
    rb_outcome_fact(out, RB_FACT_FILE, "%s", path);
    if (code == 0)
        judge_dotenv(ctx, run, path, &text, out);
    else if (code == RB_ENOTFOUND)
        rb_outcome_raise(out, RB_RESULT_FAIL, "file_missing", "%s does not exist", path);
    else if (code == RB_ELIMIT)
        rb_outcome_raise(out, RB_RESULT_FAIL, "broken", "%s: %s", path, err.message);
    else
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, code == RB_EPERM ? "not_permitted" : "unreadable", "%s", err.message);
}

static void check_files(const struct rb_check_ctx *ctx, struct env_run *run, const char *pattern, struct rb_outcome *out)
{
    struct rb_found_list list;
    struct rb_error err = {0};
    if (rb_glob_is_literal(pattern)) {
        check_dotenv(ctx, run, pattern, out);
        return;
    }
    int code = rb_files_expand(ctx->root, pattern, MAX_DOTENV_FILES, ctx->cancelled, ctx->arena, &list, &err);
    if (code < 0) {
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, code == RB_ETIMEOUT ? "cancelled" : "unreadable", "%s: %s", pattern, err.message);
        return;
    }
    if (list.unreachable > 0)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "not_permitted", "%s: %zu folders could not be looked into", pattern, list.unreachable);
    for (size_t i = 0; i < list.count; i++)
        check_dotenv(ctx, run, list.items[i].path, out);
}

/* ---- processes ---- */

/* The folder of `below`, absolute and without a slash at its end. */
static const char *below_folder(const struct rb_check_ctx *ctx)
{
    const struct env_options *o = ctx->options;
    const char *below = o->below;
    if (!below || strcmp(below, ".") == 0 || below[0] == '\0')
        return ctx->root;
    char *folder = below[0] == '/' ? rb_arena_strdup(ctx->arena, below) : rb_arena_printf(ctx->arena, "%s/%s", ctx->root, below);
    for (size_t len = folder ? strlen(folder) : 0; len > 1 && folder[len - 1] == '/'; len--)
        folder[len - 1] = '\0';
    return folder ? folder : ctx->root;
}

struct places {
    const char *folder;
    const char *const *mounts; /* not to be looked at */
};

/* Negative: the pattern reached its limits. */
static int is_of_interest(const struct env_options *o, const struct rb_process *process, const struct places *places, const char *command)
{
    if (o->argv) {
        enum rb_match match = rb_match_regex(o->argv, command, strlen(command), NULL);
        if (match != RB_MATCH_YES)
            return match == RB_MATCH_GAVE_UP ? -1 : 0;
        if (!o->below)
            return 1;
    }
    return rb_process_lies_in(process, command, places->folder) || rb_process_leads_to(process, places->folder, places->mounts);
}

/* The command line without what it sets denied variables to (`env PT_CONFIRM=…`, `docker run -e PT_CONFIRM=…`). */
static void print_command(const struct rb_env_guard *guard, const struct rb_process *process, struct rb_buf *out)
{
    for (size_t i = 0; process->argv[i]; i++) {
        const char *argument = process->argv[i], *equals = strchr(argument, '=');
        size_t len = equals ? (size_t)(equals - argument) : 0;
        RB_BUF_AUTO name;
        rb_buf_init(&name, 256);
        rb_buf_add(&name, argument, len);
        bool denied = len > 0 && !name.failed && rb_env_denies(guard, rb_buf_str(&name), NULL);
        rb_buf_adds(out, i > 0 ? " " : "");
        rb_buf_add(out, argument, denied ? len + 1 : strlen(argument));
        rb_buf_adds(out, denied ? RB_REDACTED : "");
    }
}

static void tell_process(const struct rb_env_guard *guard, const struct rb_process *process, struct rb_outcome *out)
{
    RB_BUF_AUTO command, masked, shown;
    rb_buf_init(&command, 1 << 20);
    command.wiped = true;
    rb_buf_init(&masked, 1 << 20);
    rb_buf_init(&shown, 4096);
    print_command(guard, process, &command);
    (void)rb_redact(&masked, rb_buf_str(&command), command.len);
    rb_text_clip(&shown, rb_buf_str(&masked), SHOWN_COLUMNS);
    rb_outcome_evidence(out, "pid %ld runs: %s", (long)process->pid, rb_buf_str(&shown));
    rb_outcome_fact(out, RB_FACT_PID, "%ld", (long)process->pid);
    rb_outcome_hint(out, "ps -o pid,ppid,user,lstart,args -p %ld", (long)process->pid);
}

static void check_process(const struct rb_check_ctx *ctx, struct env_run *run, const struct rb_process *process, struct rb_outcome *out)
{
    RB_ARENA_AUTO *arena = rb_arena_new_wiped(ENVIRON_ARENA);
    const struct rb_env_guard guard = guard_of(ctx->options);
    const char *const *items = NULL;
    char started[RB_TIME_TEXT];
    struct rb_error err = {0};
    int code = arena ? ctx->platform->process_environ(arena, process->pid, &items, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (code == RB_ENOTFOUND)
        return; /* it ended meanwhile */
    run->processes++;
    if (code < 0) {
        run->unreadable_processes++;
        rb_outcome_raise(out, RB_RESULT_UNKNOWN,
                         code == RB_EPERM          ? "not_permitted"
                         : code == RB_EUNSUPPORTED ? "unsupported"
                                                   : "unreadable",
                         "the environment of %s (pid %ld) cannot be read: %s", process->name, (long)process->pid, err.message);
        return;
    }
    struct rb_env_variables variables = rb_env_split(items, SIZE_MAX, arena);
    const char *where = rb_arena_printf(arena, "%s (pid %ld), as of its start at %s", process->name, (long)process->pid,
                                        rb_time_human(started, process->start_wall_ns));
    if (rb_env_judge(&guard, &variables, where ? where : "a process", &run->tally, out) > 0)
        tell_process(&guard, process, out);
}

static void check_processes(const struct rb_check_ctx *ctx, struct env_run *run, struct rb_outcome *out)
{
    const struct env_options *o = ctx->options;
    RB_ARENA_AUTO *arena = rb_arena_new_wiped(LIST_ARENA);
    struct rb_process *processes = NULL;
    size_t count = 0;
    struct rb_error err = {0};
    struct places places = {.folder = below_folder(ctx)};
    int code = arena ? ctx->platform->processes(arena, &processes, &count, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (code == 0)
        code = ctx->platform->remote_mounts(arena, &places.mounts, &err);
    if (code < 0) {
        const char *reason = code == RB_EUNSUPPORTED ? "unsupported" : code == RB_EPERM ? "not_permitted" : "unreadable";
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, reason, "the processes cannot be listed: %s", err.message);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct rb_process *process = &processes[i];
        /* Our own and our helpers' environment is that of `self`. */
        if (process->pid == getpid() || process->ppid == getpid() || !process->argv || !process->argv[0])
            continue;
        RB_BUF_AUTO command;
        rb_buf_init(&command, 1 << 20);
        command.wiped = true;
        rb_process_command(process, &command);
        int wanted = is_of_interest(o, process, &places, rb_buf_str(&command));
        if (wanted < 0)
            rb_outcome_raise(out, RB_RESULT_UNKNOWN, "resource_limit", "processes.argv reached the limits of matching at pid %ld",
                             (long)process->pid);
        else if (wanted > 0)
            check_process(ctx, run, process, out);
    }
    if (rb_arena_failed(arena))
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "resource_limit", "too many processes to look at");
    rb_outcome_evidence(out, "%zu of %zu processes inspected, %zu unreadable; each as of its start",
                        run->processes - run->unreadable_processes, run->processes, run->unreadable_processes);
}

/* ---- conclusion ---- */

static void add_part(struct rb_buf *text, const char *fmt, ...) RB_PRINTF(2, 3);
static void add_part(struct rb_buf *text, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    rb_buf_adds(text, text->len > 0 ? ", " : "");
    rb_buf_addv(text, fmt, args);
    va_end(args);
}

static void report_values(const struct env_run *run, size_t unset, struct rb_outcome *out)
{
    rb_outcome_value(out, "processes", "yes", (double)(run->processes - run->unreadable_processes));
    rb_outcome_value(out, "processes", "no", (double)run->unreadable_processes);
    rb_outcome_value(out, "containers", "yes", (double)(run->containers - run->unreadable_containers));
    rb_outcome_value(out, "containers", "no", (double)run->unreadable_containers);
    rb_outcome_value(out, "files", NULL, (double)run->files);
    rb_outcome_value(out, "violations", NULL, (double)(run->tally.denied + run->tally.wrong));
    rb_outcome_value(out, "unset", NULL, (double)unset);
}

static void conclude(const struct rb_check_ctx *ctx, struct env_run *run, struct rb_outcome *out)
{
    const struct env_options *o = ctx->options;
    const struct rb_env_guard guard = guard_of(o);
    size_t unset = rb_env_tell_unset(&guard, &run->tally, out);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1024);
    if (o->processes)
        add_part(&text, "%zu/%zu processes", run->processes - run->unreadable_processes, run->processes);
    if (o->containers)
        add_part(&text, "%zu/%zu containers", run->containers - run->unreadable_containers, run->containers);
    if (run->files > 0 || (o->files.count > 0 && text.len == 0))
        add_part(&text, "%zu dotenv files", run->files);
    if (run->self)
        add_part(&text, "own environment");
    report_values(run, unset, out);
    if (out->result == RB_RESULT_OK)
        rb_outcome_say(out, "%s", rb_buf_str(&text));
    else
        rb_outcome_evidence(out, "inspected: %s", rb_buf_str(&text));
}

/* ---- containers ---- */

/* An engine that is not there runs no containers; one that went away while some ran may have left them running. What else goes wrong leaves them unseen. */
static void tell_fault(const struct rb_check_ctx *ctx, const struct rb_docker_fault *fault, struct rb_outcome *out)
{
    const struct env_memory *memory = ctx->memory;
    if (fault->sighting != RB_SIGHTING_GONE)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, fault->reason, "containers cannot be inspected: %s", fault->text);
    else if (memory->containers > 0)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "engine_gone", "%zu containers ran when the Docker engine last answered; now %s",
                         memory->containers, fault->text);
    else
        rb_outcome_evidence(out, "no containers: %s", fault->text);
}

static bool matches(const char *pattern, const char *text)
{
    return !pattern || rb_glob_match(pattern, text);
}

/* Keeps what is to be inspected of GET /containers/json. */
static void take_list(const struct rb_check_ctx *ctx, struct env_run *run, const json_t *list)
{
    const struct env_options *o = ctx->options;
    size_t total = json_array_size(list);
    total = total < RB_DOCKER_MAX_CONTAINERS ? total : RB_DOCKER_MAX_CONTAINERS;
    run->ids = rb_arena_array(ctx->arena, total + 1, sizeof *run->ids);
    run->names = rb_arena_array(ctx->arena, total + 1, sizeof *run->names);
    for (size_t i = 0; run->ids && run->names && i < total; i++) {
        struct rb_docker_container container;
        if (!rb_docker_listed(json_array_get(list, i), ctx->arena, &container) || !rb_docker_is_id(container.id))
            continue;
        if (!matches(o->project, container.project) || !matches(o->name, container.name))
            continue;
        run->ids[run->containers] = container.id;
        run->names[run->containers++] = container.name;
    }
}

static void tell_container(const char *name, const struct rb_docker_container *container, struct rb_outcome *out)
{
    RB_BUF_AUTO quoted;
    rb_buf_init(&quoted, 4096);
    rb_outcome_evidence(out, "container %s is of image %s, service %s/%s", name, container->image, container->project, container->service);
    rb_outcome_fact(out, RB_FACT_CONTAINER, "%s", name);
    if (rb_text_shell_quote(&quoted, name))
        rb_outcome_hint(out, "docker ps --no-trunc --filter name=%s", rb_buf_str(&quoted));
}

static void judge_container(const struct rb_check_ctx *ctx, struct env_run *run, const char *name, const json_t *document,
                            struct rb_outcome *out)
{
    RB_ARENA_AUTO *arena = rb_arena_new_wiped(ENVIRON_ARENA);
    const struct rb_env_guard guard = guard_of(ctx->options);
    struct rb_docker_container container;
    if (!arena || !rb_docker_inspected(document, arena, &container)) {
        run->unreadable_containers++;
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "protocol", "the engine's answer about container %s cannot be understood", name);
        return;
    }
    struct rb_env_variables variables = rb_env_split(container.env, container.env_count, arena);
    const char *where = rb_arena_printf(arena, "container %s, as it was created", name);
    if (rb_env_judge(&guard, &variables, where ? where : "a container", &run->tally, out) > 0)
        tell_container(name, &container, out);
}

static void ask_next(const struct rb_check_ctx *ctx, struct env_run *run, struct rb_action *next, struct rb_outcome *out)
{
    struct env_memory *memory = ctx->memory;
    if (run->next < run->containers) {
        rb_docker_get(ctx, &run->client, next, "/containers/%s/json", run->ids[run->next]);
        return;
    }
    memory->containers = run->containers;
    next->type = RB_ACTION_DONE;
    conclude(ctx, run, out);
}

static void take_container(const struct rb_check_ctx *ctx, struct env_run *run, const struct rb_event *event, struct rb_outcome *out)
{
    struct rb_docker_fault fault;
    const char *name = run->names[run->next];
    json_t *document = rb_docker_json(&run->client, event, ctx->arena, &fault);
    if (document) {
        judge_container(ctx, run, name, document, out);
    } else if (event->http && event->http->status == 404) {
        rb_outcome_evidence(out, "container %s ended meanwhile", name);
    } else {
        run->unreadable_containers++;
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, fault.reason, "container %s cannot be inspected: %s", name, fault.text);
    }
    json_decref(document);
    run->next++;
}

static void give_up(const struct rb_check_ctx *ctx, struct env_run *run, const struct rb_docker_fault *fault, struct rb_action *next,
                    struct rb_outcome *out)
{
    next->type = RB_ACTION_DONE;
    tell_fault(ctx, fault, out);
    conclude(ctx, run, out);
}

static void step(const struct rb_check_ctx *ctx, void *state, const struct rb_event *event, struct rb_action *next, struct rb_outcome *out)
{
    struct env_run *run = state;
    struct rb_docker_fault fault;
    json_t *document = NULL;
    if (event->type == RB_EVENT_START) {
        rb_docker_ask_version(ctx, &run->client, next);
    } else if (!run->version_known) {
        int code = rb_docker_take_version(ctx, &run->client, event, next, &document, &fault);
        run->version_known = code > 0;
        if (code > 0)
            rb_docker_get(ctx, &run->client, next, "/containers/json");
        else if (code < 0)
            give_up(ctx, run, &fault, next, out);
    } else if (!run->listed) {
        document = rb_docker_json(&run->client, event, ctx->arena, &fault);
        run->listed = document != NULL;
        if (document) {
            take_list(ctx, run, document);
            ask_next(ctx, run, next, out);
        } else {
            give_up(ctx, run, &fault, next, out);
        }
    } else {
        take_container(ctx, run, event, out);
        ask_next(ctx, run, next, out);
    }
    json_decref(document);
}

/* ---- the worker part ---- */

static void run_check(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct env_options *o = ctx->options;
    struct env_run *run = ctx->state;
    bool others = o->files.count > 0 || o->processes || o->containers;
    if (o->self == 1 || (o->self < 0 && !others) || ctx->by_hand)
        check_self(ctx, run, out);
    for (size_t i = 0; i < o->files.count; i++)
        check_files(ctx, run, o->files.items[i], out);
    if (o->processes)
        check_processes(ctx, run, out);
    struct rb_docker_fault fault;
    bool engine = o->containers && rb_docker_client_find(&run->client, o->socket, ctx->arena, &fault);
    if (o->containers && !engine)
        tell_fault(ctx, &fault, out);
    out->final = !engine;
    if (out->final)
        conclude(ctx, run, out);
}

/* ---- the table's cross rules ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = rb_node_get(node, key);
    return item ? item->mark : node->mark;
}

struct field {
    const char *name;
    const char **value;
};

/* `true`, `false`, or a mapping of texts. Returns whether the source is wanted. */
static bool read_source(const struct rb_node *node, const char *what, const struct field *fields, struct rb_diags *diags)
{
    if (!node || (node->type == RB_NODE_SCALAR && strcmp(node->scalar, "false") == 0))
        return false;
    if (node->type == RB_NODE_SCALAR && strcmp(node->scalar, "true") == 0)
        return true;
    if (node->type != RB_NODE_MAPPING) {
        (void)rb_diag_add(diags, node->mark, "%s wants true, false or a mapping with %s and %s", what, fields[0].name, fields[1].name);
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        size_t f = strcmp(node->keys[i], fields[0].name) == 0 ? 0 : 1;
        if (strcmp(node->keys[i], fields[f].name) != 0)
            (void)rb_diag_add(diags, node->key_marks[i], "unknown option '%s' in %s; there are %s and %s", node->keys[i], what,
                              fields[0].name, fields[1].name);
        else if (node->items[i]->type != RB_NODE_SCALAR || node->items[i]->scalar[0] == '\0')
            (void)rb_diag_add(diags, node->items[i]->mark, "'%s' in %s wants a text", fields[f].name, what);
        else
            *fields[f].value = node->items[i]->scalar;
    }
    return true;
}

static void validate_pattern(const char *pattern, const char *what, struct rb_mark mark, struct rb_diags *diags)
{
    struct rb_error err;
    if (pattern && rb_glob_check(pattern, &err) < 0)
        (void)rb_diag_add(diags, mark, "%s: %s", what, err.message);
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    struct env_options *o = opts;
    const struct field of_processes[] = {{"argv", &o->argv}, {"below", &o->below}};
    const struct field of_containers[] = {{"project", &o->project}, {"name", &o->name}};
    o->processes = read_source(o->processes_node, "processes", of_processes, diags);
    o->containers = read_source(o->containers_node, "containers", of_containers, diags);
    if (o->deny.count == 0 && o->require.count == 0)
        (void)rb_diag_add(diags, node->mark, "env: give at least one variable in deny or require");
    for (size_t i = 0; i < o->deny.count; i++)
        validate_pattern(o->deny.items[i], "deny", mark_of(node, "deny"), diags);
    validate_pattern(o->project, "containers.project", mark_of(node, "containers"), diags);
    validate_pattern(o->name, "containers.name", mark_of(node, "containers"), diags);
    if (o->argv && rb_match_regex(o->argv, "", 0, NULL) == RB_MATCH_GAVE_UP)
        (void)rb_diag_add(diags, mark_of(node, "processes"), "processes.argv is not a valid regular expression");
    bool others = o->files.count > 0 || o->processes || o->containers;
    if (o->self == 0 && !others)
        (void)rb_diag_add(diags, mark_of(node, "self"), "env: nothing to look at; give files, processes or containers, or leave self on");
}

extern const struct rb_kind rb_kind_env;
const struct rb_kind rb_kind_env = {
    .schema = {.schema = {.name = "env",
                          .doc = "Denied and required variables in the environments of runbookd, dotenv files, processes and containers.",
                          .options = options,
                          .size = sizeof(struct env_options),
                          .validate = validate},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = true,
               .opens_network = true,
               .example =
                   "{name: env, kind: env, phase: safety, processes: {argv: \"Peak_Trade\"}, deny: [PT_ARMED, \"PT_CONFIRM*\"], require: "
                   "{PEAK_TRADE_LIVE: \"0\"}}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_EXCHANGE,
    .memory_size = sizeof(struct env_memory),
    .run = run_check,
    .exchange = &(const struct rb_exchange_ops){.state_size = sizeof(struct env_run), .step = step},
};
