/* What changed just before: open drift items, moves of HEAD and container events that touch what a check touches.
 *
 * Being near in time is not enough: an edit of a file that nothing here reads is a coincidence, and a file that changed days ago did not break this today. A drift item is cited when its file is
 * one that the check names (facts, words, argv, relative to its working folder or the root) or lies below a folder that a container which is down has mounted, and it changed at most
 * FILE_WINDOW before the failure. HEAD and containers have the shorter window: they leave events of their own. */
#include <string.h>

#include "internal.h"
#include "places.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"

#define FILE_WINDOW_NS  (INT64_C(24) * 3600 * RB_NS_PER_S)
#define EVENT_WINDOW_NS (INT64_C(600) * RB_NS_PER_S)
#define MAX_FILES       512u
#define MAX_LINES       96u
#define SCRATCH_MAX     ((size_t)16 << 20)

struct touched_file {
    const char *path;
    const char *mounted_as; /* its path inside a container; or NULL */
    bool folder;            /* everything below it counts */
};

struct touched {
    const struct diagnosis *d;
    struct rb_arena *scratch; /* for one look: a machine on which everything is down has thousands */
    struct touched_file *files;
    size_t count;
    const char *containers[16];
    size_t container_count;
    bool in_repository; /* it works in the root: a move of HEAD concerns it */
};

static void touch_file(struct touched *t, const char *path, const char *base, bool folder)
{
    const char *root = t->d->view->snapshot->plan->daemon.root;
    const char *file = t->count < MAX_FILES ? rb_place_of_file(t->scratch, path, base) : NULL;
    if (!file)
        return;
    bool holds_root = root && rb_place_is_below(root, file);
    if (folder && holds_root)
        return;
    t->files[t->count++] = (struct touched_file){.path = file, .folder = folder};
    t->in_repository = t->in_repository || (root && rb_place_is_below(file, root));
}

static void touch_words(struct touched *t, const char *line, const char *base)
{
    const char *root = t->d->view->snapshot->plan->daemon.root;
    struct rb_tokens tokens = {.rest = line, .arena = t->scratch};
    struct rb_token token;
    while (t->count < MAX_FILES && rb_tokens_next(&tokens, &token)) {
        if (!token.is_path)
            continue;
        touch_file(t, token.text, base, false);
        if (base != root && token.text[0] != '/')
            touch_file(t, token.text, root, false);
    }
}

static void touch_argv(struct touched *t, const struct rb_record *record)
{
    const struct rb_node *argv = record->spec->node ? rb_node_get(record->spec->node, "argv") : NULL;
    const char *root = t->d->view->snapshot->plan->daemon.root;
    for (size_t i = 0; argv && argv->type == RB_NODE_SEQUENCE && i < argv->count; i++) {
        const struct rb_node *item = argv->items[i];
        if (item->type == RB_NODE_SCALAR && !item->secret && item->scalar)
            touch_words(t, item->scalar, root);
    }
    t->in_repository = t->in_repository || argv != NULL;
}

/* A guard reads many files and fails for one: its words name it, its facts name all. */
static bool names_what_it_means(const struct diagnosis *d, size_t check)
{
    static const char *const readers[] = {"keys", "text", "env", "secrets", "docs", "git", "path", "syntax", NULL};
    const struct rb_kind_schema *schema = record_of(d, check)->spec->kind;
    return schema && rb_reason_in(schema->schema.name, readers);
}

/* The container at this fact publishes the port. */
static bool publishes(const struct rb_record *record, size_t fact, unsigned port)
{
    for (size_t f = fact + 1; f < record->fact_count && strcmp(record->facts[f].key, RB_FACT_CONTAINER) != 0; f++) {
        if (strcmp(record->facts[f].key, RB_FACT_PUBLISH) == 0 && rb_place_port(record->facts[f].value) == port)
            return true;
    }
    return false;
}

const char *rb_container_behind(const struct rb_record *record, unsigned port)
{
    for (size_t f = 0; f < record->fact_count; f++) {
        if (strcmp(record->facts[f].key, RB_FACT_CONTAINER) == 0 && publishes(record, f, port))
            return record->facts[f].value;
    }
    return NULL;
}

/* `port`: only the container that publishes it; 0: all. */
static void touch_facts(struct touched *t, const struct rb_record *record, bool files, unsigned port)
{
    const char *root = t->d->view->snapshot->plan->daemon.root;
    bool unit_is_up = false, counts = true;
    for (size_t f = 0; f < record->fact_count; f++) {
        const struct rb_fact *fact = &record->facts[f];
        if (strcmp(fact->key, RB_FACT_CONTAINER) == 0)
            counts = port == 0 || publishes(record, f, port);
        if (!counts)
            continue;
        if (strcmp(fact->key, RB_FACT_CONTAINER) == 0) {
            const char *needs;
            unit_is_up = rb_container_serves(record, f, &needs) || needs;
            if (!unit_is_up && t->container_count < sizeof t->containers / sizeof t->containers[0])
                t->containers[t->container_count++] = fact->value;
        }
        /* Of a container that answers wrongly the mounts count although it is up. */
        if (strcmp(fact->key, RB_FACT_MOUNT) == 0 && (!unit_is_up || port)) {
            const struct rb_fact *next = f + 1 < record->fact_count ? fact + 1 : NULL;
            size_t before = t->count;
            touch_file(t, fact->value, root, true);
            if (t->count > before && next && strcmp(next->key, RB_FACT_MOUNTED_AS) == 0)
                t->files[before].mounted_as = next->value;
        } else if (!files)
            continue;
        else if (strcmp(fact->key, RB_FACT_FILE) == 0 || strcmp(fact->key, RB_FACT_PATH) == 0 || strcmp(fact->key, RB_FACT_PROGRAM) == 0)
            touch_file(t, fact->value, root, false);
    }
}

/* "cwd" of a listener's owner, if it lies in the tree. */
static void touch_check(struct touched *t, size_t check, unsigned port)
{
    const struct rb_record *record = record_of(t->d, check);
    const char *root = t->d->view->snapshot->plan->daemon.root, *cwd = rb_fact_of(record, RB_FACT_CWD);
    touch_facts(t, record, !names_what_it_means(t->d, check), port);
    if (port)
        return;
    touch_argv(t, record);
    for (size_t i = 0; i < MAX_LINES && rb_check_line(record, i); i++)
        touch_words(t, rb_check_line(record, i), cwd ? cwd : root);
    if (cwd && rb_fact_of(record, RB_FACT_COMMAND))
        touch_words(t, rb_fact_of(record, RB_FACT_COMMAND), cwd);
    t->in_repository = t->in_repository || (cwd && root && rb_place_is_below(cwd, root)) || rb_check_is(t->d->view, check, "git");
}

/* ---- looking for changes ---- */

/* `out_mounted_as`: the path that a container of the check has for it, or NULL. */
static bool is_touched(const struct touched *t, const char *key, const char **out_mounted_as)
{
    const char *file = rb_place_of_file(t->scratch, key, t->d->view->snapshot->plan->daemon.root);
    bool found = false;
    *out_mounted_as = NULL;
    for (size_t i = 0; file && i < t->count && !*out_mounted_as; i++) {
        const struct touched_file *touched = &t->files[i];
        if (strcmp(file, touched->path) != 0 && !(touched->folder && rb_place_is_below(file, touched->path)))
            continue;
        found = true;
        if (touched->mounted_as)
            *out_mounted_as = rb_arena_printf(t->d->arena, "%s%s", touched->mounted_as, file + strlen(touched->path));
    }
    if (found)
        return true;
    for (size_t i = 0; i < t->container_count; i++) {
        size_t len = strlen(t->containers[i]);
        if (len > 1 && strncmp(key, t->containers[i], len) == 0 && (key[len] == '\0' || key[len] == ' ' || key[len] == '.'))
            return true;
    }
    return false;
}

static const char *describe(const struct diagnosis *d, const struct rb_drift_item *item)
{
    const char *line = item->line ? rb_arena_printf(d->arena, ", line %u", item->line) : "";
    bool uncommitted = item->item_class == RB_DRIFT_CLASS_WORKTREE || item->item_class == RB_DRIFT_CLASS_UNTRACKED;
    const char *committed = item->item_class == RB_DRIFT_CLASS_NONE ? "" : uncommitted ? "not committed, " : "committed, ";
    const char *change = item->change == RB_DRIFT_CHANGED ? "" : rb_arena_printf(d->arena, " %s", rb_drift_change_name(item->change));
    return rb_arena_printf(d->arena, "%s%s%s; %snot accepted (drift %.4s)", item->key, line ? line : "", change ? change : "", committed,
                           item->id);
}

/* Keeps the newest CHANGES_MAX, files before events. */
static void keep(struct rb_change *out, size_t *count, const struct rb_change *change)
{
    size_t at = *count;
    while (at > 0 && (!out[at - 1].item == !change->item ? out[at - 1].lead_ns > change->lead_ns : !out[at - 1].item))
        at--;
    if (at == CHANGES_MAX)
        return;
    size_t moved = *count < CHANGES_MAX ? *count - at : CHANGES_MAX - 1 - at;
    memmove(&out[at + 1], &out[at], moved * sizeof *out);
    out[at] = *change;
    *count += *count < CHANGES_MAX;
}

static void look_at_drift(const struct touched *t, int64_t since_wall_ns, struct rb_change *out, size_t *count)
{
    for (size_t i = 0; i < t->d->graph.count; i++) {
        const struct rb_drift_report *report = record_of(t->d, i)->drift;
        for (size_t k = 0; report && k < report->item_count; k++) {
            const struct rb_drift_item *item = &report->items[k];
            const char *mounted_as;
            int64_t lead_ns = since_wall_ns - item->changed_wall_ns;
            if (item->accepted || item->changed_wall_ns == 0 || lead_ns < 0 || lead_ns > FILE_WINDOW_NS ||
                !is_touched(t, item->key, &mounted_as))
                continue;
            keep(out, count,
                 &(struct rb_change){.wall_ns = item->changed_wall_ns,
                                     .what = describe(t->d, item),
                                     .lead_ns = lead_ns,
                                     .diff = item->diff,
                                     .item = item,
                                     .mounted_as = mounted_as});
        }
    }
}

static bool names_container(const struct touched *t, const struct rb_event_entry *entry)
{
    for (size_t i = 0; entry->from && i < t->container_count; i++) {
        if (strcmp(entry->from, t->containers[i]) == 0)
            return true;
    }
    return false;
}

static bool concerns(const struct touched *t, size_t check, const struct rb_event_entry *entry)
{
    if (entry->kind == RB_EVENT_KIND_HEAD)
        return t->in_repository;
    if (entry->kind == RB_EVENT_KIND_CONTAINER)
        return names_container(t, entry);
    /* A reload changes what is asked, not what is there: only for a check that never was well. */
    return entry->kind == RB_EVENT_KIND_RELOAD && record_of(t->d, check)->last_ok_wall_ns == 0;
}

static void look_at_events(const struct touched *t, size_t check, int64_t since_wall_ns, struct rb_change *out, size_t *count)
{
    const struct rb_snapshot *snapshot = t->d->view->snapshot;
    for (size_t i = snapshot->timeline_count; i-- > 0;) {
        const struct rb_event_entry *entry = snapshot->timeline[i];
        int64_t lead_ns = since_wall_ns - entry->wall_ns;
        if (lead_ns < 0 || lead_ns > EVENT_WINDOW_NS || !concerns(t, check, entry))
            continue;
        keep(out, count,
             &(struct rb_change){.wall_ns = entry->wall_ns,
                                 .what = rb_arena_strdup(t->d->arena, entry->text),
                                 .lead_ns = lead_ns,
                                 .head = entry->kind == RB_EVENT_KIND_HEAD});
    }
}

/* Most reports have no change to cite, and need not look at what is touched. */
static bool is_any(const struct diagnosis *d, int64_t since_wall_ns)
{
    const struct rb_snapshot *snapshot = d->view->snapshot;
    for (size_t i = 0; i < snapshot->timeline_count; i++) {
        enum rb_event_kind kind = snapshot->timeline[i]->kind;
        int64_t lead_ns = since_wall_ns - snapshot->timeline[i]->wall_ns;
        bool change = kind == RB_EVENT_KIND_HEAD || kind == RB_EVENT_KIND_CONTAINER || kind == RB_EVENT_KIND_RELOAD;
        if (change && lead_ns >= 0 && lead_ns <= EVENT_WINDOW_NS)
            return true;
    }
    for (size_t i = 0; i < snapshot->count; i++) {
        if (snapshot->records[i]->drift && snapshot->records[i]->drift->item_count)
            return true;
    }
    return false;
}

size_t rb_find_changes(const struct diagnosis *d, size_t check, size_t also, struct rb_change out[CHANGES_MAX])
{
    if (!is_any(d, record_of(d, check)->since_wall_ns))
        return 0;
    RB_ARENA_AUTO *scratch = rb_arena_new(SCRATCH_MAX);
    struct touched t = {.d = d, .scratch = scratch};
    t.files = scratch ? rb_arena_array(scratch, MAX_FILES, sizeof *t.files) : NULL;
    int64_t since_wall_ns = record_of(d, check)->since_wall_ns;
    size_t count = 0;
    if (!t.files)
        return 0;
    const char *target = rb_fact_of(record_of(d, check), RB_FACT_TARGET);
    touch_check(&t, check, 0);
    if (also != GRAPH_NONE && !rb_check_is(d->view, also, "compose"))
        touch_check(&t, also, 0);
    /* Who is asked: the container behind the port. */
    for (size_t e = d->graph.first_edge[check]; target && rb_place_port(target) && e < d->graph.first_edge[check + 1]; e++) {
        const struct rb_edge *edge = &d->graph.edges.items[e];
        if (edge->kind == RB_EDGE_PORT && rb_check_is(d->view, edge->to, "compose"))
            touch_check(&t, edge->to, rb_place_port(target));
    }
    look_at_drift(&t, since_wall_ns, out, &count);
    look_at_events(&t, check, since_wall_ns, out, &count);
    return count;
}
