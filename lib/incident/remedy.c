/* What to do: commands that a person would type next, filled with the facts of the cause. Printed, never run.
 *
 * Built-in knowledge by reason first (look, then undo, then start again), then the hints of the check, which know its kind and its team, last the question to this daemon. Every fact goes through
 * rb_text_shell_quote; a fact that it refuses takes its command with it. What throws something away, or ends a process, says so in its own comment. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "places.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"
#include "runbook/check/listener.h"

#define TODO_MAX       12u
#define FILES_MAX      2u
#define CONTAINERS_MAX 16u
#define LINE_MAX       4096u

struct sheet {
    struct diagnosis *d;
    struct rb_cause *cause;
    const struct rb_record *record;
    const char *root;
};

static void add_line(struct sheet *s, const char *line)
{
    struct rb_cause *cause = s->cause;
    if (!line || cause->todo_count >= TODO_MAX || !rb_text_is_plain(line, strlen(line)))
        return;
    for (size_t i = 0; i < cause->todo_count; i++) {
        if (strcmp(cause->todo[i], line) == 0)
            return;
    }
    cause->todo[cause->todo_count++] = line;
}

/* "%" in `form` is replaced by the next quoted argument; NULL ends them. One refused argument drops the whole command. */
static const char *fill(struct sheet *s, const char *form, const char *const *args)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, LINE_MAX);
    for (; *form; form++) {
        if (*form != '%')
            rb_buf_addc(&line, *form);
        else if (!*args || !(*args)[0] || !rb_text_shell_quote(&line, *args++))
            return NULL;
    }
    return line.failed ? NULL : rb_arena_strdup(s->d->arena, rb_buf_str(&line));
}

#define DO(s, form, ...) add_line(s, fill(s, form, (const char *const[]){__VA_ARGS__, NULL}))

/* ---- files ---- */

static void stuck_lock(struct sheet *s)
{
    const char *path = rb_fact_of(s->record, RB_FACT_PATH);
    const char *line = path ? fill(s, "rm -- %", (const char *const[]){path, NULL}) : NULL;
    if (line)
        add_line(s, rb_arena_printf(s->d->arena, "%s   # only when no git process runs any more", line));
}

/* git does nothing while a lock is in its way. */
static void free_lock(struct sheet *s)
{
    for (size_t i = 0; i < s->d->graph.count; i++) {
        struct sheet lock = *s;
        lock.record = record_of(s->d, i);
        if (rb_check_is(s->d->view, i, "git") && rb_check_fails(s->d->view, i) && strcmp(lock.record->reason, "stuck_lock") == 0)
            stuck_lock(&lock);
    }
}

/* git takes a path for a pattern: a file named "*" or ":!x" would restore all the others. */
static const char *pathspec(struct sheet *s, const char *file)
{
    return file[0] == ':' || strpbrk(file, "*?[\\") ? rb_arena_printf(s->d->arena, ":(literal)%s", file) : file;
}

static void restore_file(struct sheet *s, const char *path, const char *note)
{
    const char *file = pathspec(s, path);
    free_lock(s);
    add_line(s, fill(s, "git -C % diff HEAD -- %", (const char *const[]){s->root, file, NULL}));
    const char *restore = fill(s, "git -C % restore --source=HEAD -- %", (const char *const[]){s->root, file, NULL});
    if (restore)
        add_line(s, rb_arena_printf(s->d->arena, "%s   # %s", restore, note));
}

static void undo_change(struct sheet *s, const struct rb_drift_item *item)
{
    switch (item->item_class) {
    case RB_DRIFT_CLASS_WORKTREE:
        restore_file(s, item->key, item->change == RB_DRIFT_REMOVED ? "brings it back" : "discards that edit");
        break;
    case RB_DRIFT_CLASS_COMMITTED:
    case RB_DRIFT_CLASS_UPSTREAM:
        DO(s, "git -C % log -3 -p -- %", s->root, pathspec(s, item->key));
        break;
    case RB_DRIFT_CLASS_UNTRACKED:
        DO(s, "git -C % status --short -- %", s->root, pathspec(s, item->key));
        break;
    case RB_DRIFT_CLASS_NONE:
    case RB_DRIFT_CLASS_COUNT:
        break;
    }
}

static bool in_path(char c)
{
    return isalnum((unsigned char)c) || strchr("_-/", c) != NULL;
}

/* The whole path, also behind the root: "a.toml" is not named by "sub/a.toml". */
static bool names_file(const struct sheet *s, const char *line, const char *file)
{
    size_t len = strlen(file), root = s->root ? strlen(s->root) + 1 : 0;
    for (const char *at = line; len > 0 && (at = strstr(at, file)); at++) {
        char after = at[len] == '.' ? at[len + 1] : at[len];
        bool begins = at == line || !(in_path(at[-1]) || at[-1] == '.');
        bool below = root && (size_t)(at - line) >= root && at[-1] == '/' && strncmp(at - root, s->root, root - 1) == 0;
        if ((begins || below) && (after == '\0' || !in_path(after)))
            return true;
    }
    return false;
}

static bool is_named(const struct sheet *s, const char *file)
{
    for (size_t i = 0; rb_check_line(s->record, i); i++) {
        if (names_file(s, rb_check_line(s->record, i), file))
            return true;
    }
    return false;
}

/* The files of a cause that its own words name. */
static void restore_named_files(struct sheet *s)
{
    size_t done = 0;
    for (size_t f = 0; f < s->record->fact_count && done < FILES_MAX; f++) {
        const struct rb_fact *fact = &s->record->facts[f];
        if (strcmp(fact->key, RB_FACT_FILE) != 0 || strpbrk(fact->value, "*?[") || !is_named(s, fact->value))
            continue;
        restore_file(s, fact->value, "discards what is not committed there");
        done++;
    }
}

static bool undo_changes(struct sheet *s)
{
    bool any = false;
    for (size_t i = 0; i < s->cause->changed_before_count; i++) {
        if (!s->cause->changed_before[i].item)
            continue;
        undo_change(s, s->cause->changed_before[i].item);
        any = true;
    }
    return any;
}

/* ---- processes and containers ---- */

/* The command line is one text by now: an argument with a blank in it cannot be told from two, and what was masked cannot be run. What the engine starts for a container is started with it. */
static void start_again(struct sheet *s)
{
    const char *cwd = rb_fact_of(s->record, RB_FACT_CWD), *command = rb_fact_of(s->record, RB_FACT_COMMAND);
    if (!command || strstr(command, "***") || strstr(command, "[redacted"))
        return;
    const char *program = rb_arena_strndup(s->d->arena, command, strcspn(command, " "));
    if (!program || rb_listener_is_proxy(strrchr(program, '/') ? strrchr(program, '/') + 1 : program))
        return;
    RB_BUF_AUTO line;
    rb_buf_init(&line, LINE_MAX);
    rb_buf_adds(&line, "(");
    if (cwd) {
        rb_buf_adds(&line, "cd ");
        if (!rb_text_shell_quote(&line, cwd))
            return;
        rb_buf_adds(&line, " && ");
    }
    rb_buf_adds(&line, "exec nohup");
    while (*command) {
        size_t len = strcspn(command, " ");
        const char *word = rb_arena_strndup(s->d->arena, command, len);
        rb_buf_addc(&line, ' ');
        if (len > 0 && (!word || !rb_text_shell_quote(&line, word)))
            return;
        command += len + (command[len] == ' ');
    }
    rb_buf_adds(&line, " >/dev/null 2>&1 &)   # as it was last started, if no supervisor does it");
    if (!line.failed)
        add_line(s, rb_arena_strdup(s->d->arena, rb_buf_str(&line)));
}

static void start_listener(struct sheet *s)
{
    const char *container = rb_fact_of(s->record, RB_FACT_CONTAINER);
    if (container)
        DO(s, "docker start %", container);
    else
        start_again(s);
}

static void vanished_listener(struct sheet *s)
{
    DO(s, "docker logs --tail 50 %", rb_fact_of(s->record, RB_FACT_CONTAINER));
    start_listener(s);
}

static void stranger(struct sheet *s)
{
    const char *pid = rb_fact_of(s->record, RB_FACT_PID);
    DO(s, "ps -o pid,user,lstart,args -p %", pid);
    const char *end = pid ? fill(s, "kill %", (const char *const[]){pid, NULL}) : NULL;
    if (end)
        add_line(s, rb_arena_printf(s->d->arena, "%s   # ends that stranger; only when nobody needs it", end));
    start_again(s);
}

static void engine_down(struct sheet *s)
{
    bool darwin = s->d->view->snapshot->os && rb_text_find_nocase(s->d->view->snapshot->os, "darwin");
    add_line(s, darwin ? "open -a Docker" : "systemctl status docker --no-pager");
    if (!darwin)
        add_line(s, "sudo systemctl start docker");
}

static void bring_up(struct sheet *s)
{
    const struct rb_node *project = s->record->spec->node ? rb_node_get(s->record->spec->node, "project") : NULL;
    const char *service = rb_fact_of(s->record, RB_FACT_SERVICE), *line = "docker compose";
    const char *name = service ? rb_arena_strndup(s->d->arena, service, strcspn(service, "/")) : NULL;
    if (project && project->scalar)
        name = project->scalar;
    if (name)
        line = fill(s, "docker compose -p %", (const char *const[]){name, NULL});
    size_t files = 0;
    for (size_t f = 0; line && f < s->record->fact_count && strcmp(s->record->facts[f].key, RB_FACT_CONTAINER) != 0; f++) {
        const struct rb_fact *fact = &s->record->facts[f];
        if (strcmp(fact->key, RB_FACT_FILE) != 0 && strcmp(fact->key, RB_FACT_PATH) != 0)
            continue;
        const char *one = fill(s, " -f %", (const char *const[]){rb_place_of_file(s->d->arena, fact->value, s->root), NULL});
        line = one ? rb_arena_printf(s->d->arena, "%s%s", line, one) : NULL;
        files++;
    }
    if (line && files)
        add_line(s, rb_arena_printf(s->d->arena, "%s up -d", line));
}

/* ---- git ---- */

static void end_operation(struct sheet *s)
{
    static const char *const operations[] = {"merge", "rebase", "cherry-pick", "revert"};
    DO(s, "git -C % status", s->root);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (!strstr(s->record->message, operations[i]))
            continue;
        const char *abort = fill(s, "git -C % % --abort", (const char *const[]){s->root, operations[i], NULL});
        if (abort)
            add_line(s, rb_arena_printf(s->d->arena, "%s   # gives it up; its conflicts resolved so far are lost", abort));
    }
}

static void switch_back(struct sheet *s)
{
    const struct rb_node *branch = s->record->spec->node ? rb_node_get(s->record->spec->node, "branch") : NULL;
    if (branch && branch->scalar && !strpbrk(branch->scalar, "*?["))
        DO(s, "git -C % switch %", s->root, branch->scalar);
}

static void set_aside(struct sheet *s)
{
    DO(s, "git -C % status --short", s->root);
    const char *stash = fill(s, "git -C % stash push --include-untracked", (const char *const[]){s->root, NULL});
    if (stash)
        add_line(s, rb_arena_printf(s->d->arena, "%s   # sets the changes aside; git stash pop brings them back", stash));
}

/* ---- host and files ---- */

static void full_disk(struct sheet *s)
{
    const char *path = rb_fact_of(s->record, RB_FACT_PATH);
    path = path ? path : "/";
    DO(s, "df -h %", path);
    DO(s, "du -xh --max-depth=2 % 2>/dev/null | sort -rh | head -20", path);
}

static void make_executable(struct sheet *s)
{
    for (size_t f = 0, done = 0; f < s->record->fact_count && done < FILES_MAX; f++) {
        const struct rb_fact *fact = &s->record->facts[f];
        if (strcmp(fact->key, RB_FACT_FILE) != 0 || strpbrk(fact->value, "*?[") || !is_named(s, fact->value))
            continue;
        DO(s, "chmod +x %", rb_place_of_file(s->d->arena, fact->value, s->root));
        done++;
    }
}

/* Of a file whose mode its own words give: "data has mode 0555, not 0755". */
static void set_mode(struct sheet *s)
{
    const struct rb_node *mode = s->record->spec->node ? rb_node_get(s->record->spec->node, "mode") : NULL;
    const char *has = NULL;
    for (const char *at = s->record->message; (at = strstr(at, " has mode ")); at++)
        has = at; /* a file's own name may hold the words, but they end with the message */
    if (!mode || !mode->scalar || !has)
        return;
    const char *file = rb_arena_strndup(s->d->arena, s->record->message, (size_t)(has - s->record->message));
    DO(s, "chmod % %", mode->scalar, file ? rb_place_of_file(s->d->arena, file, s->root) : NULL);
}

/* A program of the tree. */
static void restore_program(struct sheet *s)
{
    const char *program = rb_fact_of(s->record, RB_FACT_PROGRAM);
    const char *file = program && strchr(program, '/') && s->root ? rb_place_of_file(s->d->arena, program, s->root) : NULL;
    if (file && rb_place_is_below(file, s->root))
        restore_file(s, rb_place_shown(file, s->root), "brings it back, if it was ever committed");
}

static void look_at_clock(struct sheet *s)
{
    add_line(s, "date -u");
    add_line(s, "timedatectl timesync-status");
}

/* ---- the table ---- */

struct remedy {
    const char *kind; /* NULL: any */
    const char *reason;
    void (*add)(struct sheet *s);
};
static const struct remedy remedies[] = {
    {"port", "not_listening", vanished_listener},
    {"port", "absent", vanished_listener},
    {"port", "wrong_owner", stranger},
    {"port", "taken", stranger},
    {"port", "wrong_marker", stranger},
    {"docker", "not_running", engine_down},
    {"docker", "no_socket", engine_down},
    {"docker", "absent", engine_down},
    {"docker", "timeout", engine_down},
    {"compose", "missing", bring_up},
    {"compose", "not_started", bring_up},
    {"compose", "absent", bring_up},
    {"compose", "image_changed", bring_up},
    {"compose", "config_differs", bring_up},
    {"git", "operation", end_operation},
    {"git", "detached", switch_back},
    {"git", "wrong_branch", switch_back},
    {"git", "not_clean", set_aside},
    {"git", "stuck_lock", stuck_lock},
    {"host", "disk_low", full_disk},
    {"host", "inodes_low", full_disk},
    {"host", "clock_step", look_at_clock},
    {"tool", "not_found", restore_program},
    {"command", "not_found", restore_program},
    {"path", "not_executable", make_executable},
    {"path", "wrong_mode", set_mode},
    {"path", "missing", restore_named_files},
    {"syntax", "broken", restore_named_files},
    {"keys", "broken", restore_named_files},
    {"keys", "wrong_value", restore_named_files},
    {"keys", "file_missing", restore_named_files},
    {"keys", "key_missing", restore_named_files},
    {"keys", "key_present", restore_named_files},
    {"text", "forbidden", restore_named_files},
    {"env", "wrong_value", restore_named_files},
    {"env", "required_unset", restore_named_files},
    {"env", "denied_set", restore_named_files},
    {"env", "broken", restore_named_files},
    {"env", "file_missing", restore_named_files},
};

/* What reads its configuration once has to be told that it is as it was. */
static void restart_listener(struct sheet *s)
{
    const struct graph *graph = &s->d->graph;
    const char *target = rb_fact_of(s->record, RB_FACT_TARGET);
    for (size_t e = graph->first_edge[s->cause->check]; target && e < graph->first_edge[s->cause->check + 1]; e++) {
        const struct rb_edge *edge = &graph->edges.items[e];
        if (edge->kind == RB_EDGE_PORT && rb_check_is(s->d->view, edge->to, "compose"))
            DO(s, "docker restart %", rb_container_behind(record_of(s->d, edge->to), rb_place_port(target)));
    }
}

static void add_known(struct sheet *s)
{
    bool undone = s->root && undo_changes(s);
    if (undone)
        restart_listener(s);
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
        const struct remedy *row = &remedies[i];
        bool fits = strcmp(row->reason, s->record->reason) == 0 && (!row->kind || rb_check_is(s->d->view, s->cause->check, row->kind));
        if (fits && !(undone && row->add == restore_named_files))
            row->add(s);
    }
}

/* ---- the last line ---- */

/* A command that asks this daemon again, from the first address that it listens on. */
static const char *ask_again(struct diagnosis *d)
{
    const struct rb_strings *listen = &d->view->snapshot->plan->daemon.listen;
    const char *address = listen->count ? listen->items[0] : "127.0.0.1:9112";
    const char *tail = "/triage  # expect \"VERDICT  healthy\"";
    unsigned port = rb_place_port(address);
    struct sheet s = {.d = d};
    if (strncmp(address, "unix:", 5) == 0) {
        const char *line = fill(&s, "curl -s --unix-socket % http://localhost", (const char *const[]){address + 5, NULL});
        return line ? rb_arena_printf(d->arena, "%s%s", line, tail) : NULL;
    }
    if (rb_place_is_local(address, NULL) || port == 0)
        return rb_arena_printf(d->arena, "curl -s localhost:%u%s", port ? port : 9112, tail);
    const char *line = fill(&s, "curl -s %", (const char *const[]){address, NULL});
    return line ? rb_arena_printf(d->arena, "%s%s", line, tail) : NULL;
}

/* ---- candidates for a revert ---- */

static bool is_commit(const char *text)
{
    size_t len = 0;
    while (text && isxdigit((unsigned char)text[len]))
        len++;
    return text && len >= 7 && text[len] == '\0';
}

/* The moves of HEAD that are cited, newest first. */
static void add_rollback(struct diagnosis *d)
{
    const struct rb_snapshot *snapshot = d->view->snapshot;
    const char *root = snapshot->plan->daemon.root;
    struct sheet s = {.d = d};
    d->out->rollback = rb_arena_array(d->arena, 2, sizeof *d->out->rollback);
    for (size_t i = snapshot->timeline_count; root && d->out->rollback && i-- > 0 && d->out->rollback_count == 0;) {
        const struct rb_event_entry *entry = snapshot->timeline[i];
        bool cited = false;
        for (size_t c = 0; entry->kind == RB_EVENT_KIND_HEAD && c < d->out->cause_count; c++) {
            for (size_t k = 0; k < d->out->causes[c].changed_before_count; k++)
                cited = cited ||
                        (!d->out->causes[c].changed_before[k].item && d->out->causes[c].changed_before[k].wall_ns == entry->wall_ns);
        }
        if (!cited || !is_commit(entry->from) || !is_commit(entry->to))
            continue;
        const char *range = rb_arena_printf(d->arena, "%.8s..%.8s", entry->from, entry->to);
        const char *log = range ? fill(&s, "git -C % log --oneline %", (const char *const[]){root, range, NULL}) : NULL;
        const char *revert = range ? fill(&s, "git -C % revert --no-edit %", (const char *const[]){root, range, NULL}) : NULL;
        if (!log || !revert)
            continue;
        d->out->rollback[d->out->rollback_count++] = log;
        d->out->rollback[d->out->rollback_count++] = revert;
    }
}

/* An engine that went took its containers with it; those with a restart policy come back by themselves. */
static void start_containers(struct sheet *s)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, LINE_MAX);
    rb_buf_adds(&line, "docker start");
    size_t count = 0;
    for (size_t f = 0; f < s->record->fact_count && count < CONTAINERS_MAX; f++) {
        if (strcmp(s->record->facts[f].key, RB_FACT_CONTAINER) != 0)
            continue;
        rb_buf_addc(&line, ' ');
        if (!rb_text_shell_quote(&line, s->record->facts[f].value))
            return;
        count++;
    }
    rb_buf_adds(&line, "   # those that did not come back by themselves");
    if (count && !line.failed)
        add_line(s, rb_arena_strdup(s->d->arena, rb_buf_str(&line)));
}

/* A mended cause does not start what has died of it: what vanished above it comes next, after the cause's own steps. */
static void start_symptoms(const struct sheet *of_cause)
{
    /* Ports and containers of one project are one: its checks name them all. */
    bool of_engine = rb_check_is(of_cause->d->view, of_cause->cause->check, "docker");
    for (size_t i = 0; i < of_cause->cause->explains_count; i++) {
        size_t check = of_cause->cause->explains[i].check;
        struct sheet s = *of_cause;
        s.record = record_of(s.d, check);
        if (rb_check_is(s.d->view, check, "port") && strcmp(s.record->reason, "not_listening") == 0 &&
            !(of_engine && rb_fact_of(s.record, RB_FACT_CONTAINER)))
            start_listener(&s);
        if (rb_check_is(s.d->view, check, "compose") && strcmp(s.record->reason, "engine_unreachable") == 0)
            start_containers(&s);
        for (size_t h = 0; rb_check_is(s.d->view, check, "compose") && h < s.record->hint_count; h++) {
            if (strncmp(s.record->hints[h], "docker start ", 13) == 0 || strncmp(s.record->hints[h], "docker restart ", 15) == 0)
                add_line(&s, s.record->hints[h]);
        }
    }
}

void rb_add_remedies(struct diagnosis *d)
{
    const char *root = d->view->snapshot->plan->daemon.root;
    for (size_t i = 0; i < d->out->cause_count; i++) {
        struct rb_cause *cause = &d->out->causes[i];
        struct sheet sheet = {.d = d, .cause = cause, .record = record_of(d, cause->check), .root = root};
        cause->todo = rb_arena_array(d->arena, TODO_MAX + 1, sizeof *cause->todo);
        if (!cause->todo)
            return;
        add_known(&sheet);
        for (size_t h = 0; h < sheet.record->hint_count; h++)
            add_line(&sheet, sheet.record->hints[h]);
        start_symptoms(&sheet);
    }
    add_rollback(d);
    if (d->out->cause_count == 0)
        return;
    struct rb_cause *last = &d->out->causes[d->out->cause_count - 1];
    const char *again = ask_again(d);
    if (again)
        last->todo[last->todo_count++] = again;
}
