/* From facts to claims: which check provides which thing, and which one uses it.
 *
 * One table says what a fact means, by kind where kinds differ. The layers are the order in which a failure spreads: a stranger on a port (0) keeps a container (10) from publishing it, without
 * which nobody listens (20), which no connection (30) and so no request (40) and no scrape (50) survives. For files: a merge in progress (0), a missing file (10), one that does not parse (20),
 * one that is read (30), the program that needs it (40). A new kind is placed by the meaning of its facts, without a row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer.h"
#include "places.h"
#include "runbook/check/facts.h"

#define MAX_CLAIMS       100000u
#define MAX_MOUNT_FILES  512u
#define MAX_BRANCH_FILES 512u

enum thing { THING_NONE, THING_PORT, THING_CONTAINER, THING_SERVICE, THING_FILE, THING_PROGRAM };

struct rule {
    const char *kind; /* NULL: every other kind */
    const char *fact;
    enum thing thing;
    int layer;
    const char *verb;
};

enum { STRANGER = 0, GUARD = -10, WITNESS = 60 };

static const struct rule rules[] = {
    {"port", RB_FACT_LISTEN, THING_PORT, 20, "watches who listens on"},
    {NULL, RB_FACT_LISTEN, THING_PORT, 20, "listens on"},
    {"port", RB_FACT_PUBLISH, THING_NONE, 0, NULL},
    {NULL, RB_FACT_PUBLISH, THING_PORT, 10, "publishes"},
    {"tcp", RB_FACT_TARGET, THING_PORT, 30, "connects to"},
    {NULL, RB_FACT_TARGET, THING_PORT, 40, "asks"},
    {"tcp", RB_FACT_ADDRESS, THING_PORT, 30, "connects to"},
    {NULL, RB_FACT_ADDRESS, THING_PORT, 40, "asks"},
    {NULL, RB_FACT_SCRAPES, THING_PORT, 50, "scrapes"},
    {"compose", RB_FACT_CONTAINER, THING_CONTAINER, 10, "watches"},
    {"port", RB_FACT_CONTAINER, THING_CONTAINER, 20, "leads to"},
    {NULL, RB_FACT_CONTAINER, THING_CONTAINER, 30, "looks into"},
    {"compose", RB_FACT_SERVICE, THING_SERVICE, 10, "watches"},
    {NULL, RB_FACT_SERVICE, THING_SERVICE, 20, "leads to"},
    {"host", RB_FACT_PATH, THING_NONE, 0, NULL},
    {"drift", RB_FACT_FILE, THING_NONE, 0, NULL},
    {"drift", RB_FACT_PATH, THING_NONE, 0, NULL},
    {"git", RB_FACT_PATH, THING_FILE, 0, "finds a lock at"},
    {"git", RB_FACT_FILE, THING_FILE, 0, "sees a change of"},
    {"path", RB_FACT_FILE, THING_FILE, 10, "looks for"},
    {"path", RB_FACT_PATH, THING_FILE, 10, "looks for"},
    {"syntax", RB_FACT_FILE, THING_FILE, 20, "parses"},
    {"keys", RB_FACT_FILE, THING_FILE, 30, "reads"},
    {"text", RB_FACT_FILE, THING_FILE, 30, "searches"},
    {"env", RB_FACT_FILE, THING_FILE, 30, "reads"},
    {"secrets", RB_FACT_FILE, THING_FILE, 30, "searches"},
    {"docs", RB_FACT_FILE, THING_FILE, 30, "reads"},
    {"docker", RB_FACT_PATH, THING_FILE, 40, "talks to the engine through"},
    {NULL, RB_FACT_FILE, THING_FILE, 40, "uses"},
    {NULL, RB_FACT_PATH, THING_FILE, 50, "uses"},
    {NULL, RB_FACT_MOUNT, THING_FILE, 40, "mounts"},
    {"tool", RB_FACT_PROGRAM, THING_PROGRAM, 10, "looks for the program"},
    {NULL, RB_FACT_PROGRAM, THING_PROGRAM, 40, "runs the program"},
};

static const char *const engine_reasons[] = {"engine_unreachable", "no_engine", "engine_gone", NULL};
static const char *const strangers[] = {"wrong_owner", "taken", "wrong_marker", NULL};
/* A file that is there and can be read, but says the wrong thing, does not keep others from working with it. */
static const char *const unusable[] = {"broken",     "file_missing",   "missing",    "unreadable",  "no_files",
                                       "not_a_file", "not_executable", "wrong_mode", "wrong_owner", NULL};
static const char *const engine_well[] = {"disk_use", "too_old", "unexpected_project", NULL};

/* ---- the list ---- */

void rb_claims_add(struct claims *claims, struct claim claim)
{
    if (!claim.resource || claims->count >= MAX_CLAIMS)
        return;
    if (claims->count == claims->cap) {
        size_t cap = claims->cap ? 2 * claims->cap : 64;
        struct claim *grown = rb_arena_array(claims->arena, cap, sizeof *grown);
        if (!grown)
            return;
        if (claims->count)
            memcpy(grown, claims->items, claims->count * sizeof *grown);
        claims->items = grown;
        claims->cap = cap;
    }
    claims->items[claims->count++] = claim;
}

static int compare(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    int order = strcmp(x->resource, y->resource);
    if (order == 0)
        order = (x->layer > y->layer) - (x->layer < y->layer);
    if (order == 0)
        order = (x->check > y->check) - (x->check < y->check);
    if (order == 0)
        order = (x->idle > y->idle) - (x->idle < y->idle);
    return order;
}

void rb_claims_sort(struct claims *claims)
{
    if (claims->count)
        qsort(claims->items, claims->count, sizeof *claims->items, compare);
}

size_t rb_claims_find(const struct claims *claims, const char *resource)
{
    size_t low = 0, high = claims->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(claims->items[middle].resource, resource) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < claims->count && strcmp(claims->items[low].resource, resource) == 0 ? low : SIZE_MAX;
}

/* ---- questions ---- */

bool rb_check_is(const struct rb_view *view, size_t check, const char *kind)
{
    const struct rb_kind_schema *schema = view->snapshot->plan->checks[check].kind;
    return schema && strcmp(schema->schema.name, kind) == 0;
}

bool rb_check_fails(const struct rb_view *view, size_t check)
{
    return rb_view_state(view, check) == RB_STATE_FAIL;
}

bool rb_check_sees_stranger(const struct rb_view *view, size_t check)
{
    return rb_check_is(view, check, "port") && rb_check_fails(view, check) && rb_reason_in(view_record(view, check)->reason, strangers);
}

bool rb_reason_in(const char *reason, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(reason, *list) == 0)
            return true;
    }
    return false;
}

const char *rb_check_line(const struct rb_record *record, size_t index)
{
    if (index == 0)
        return record->message;
    index--;
    if (index < record->evidence_count)
        return record->evidence[index];
    index -= record->evidence_count;
    return index < record->last_words_count ? record->last_words[index] : NULL;
}

static bool is_up(const struct rb_record *record, const char *service)
{
    for (size_t i = 0; i < record->value_count; i++) {
        const struct rb_value *value = &record->values[i];
        if (strcmp(value->name, "service_up") == 0 && value->label && strcmp(value->label, service) == 0)
            return value->number == 1;
    }
    return false;
}

bool rb_container_serves(const struct rb_record *record, size_t fact, const char **out_needs)
{
    *out_needs = NULL;
    const struct rb_fact *next = fact + 1 < record->fact_count ? &record->facts[fact + 1] : NULL;
    const char *service = next && strcmp(next->key, RB_FACT_SERVICE) == 0 ? strchr(next->value, '/') : NULL;
    if (!service || !is_up(record, service + 1))
        return false;
    /* The kind has followed the needs of needs already. */
    for (size_t i = fact + 2; i < record->fact_count && strcmp(record->facts[i].key, RB_FACT_CONTAINER) != 0; i++) {
        const char *needs = strcmp(record->facts[i].key, RB_FACT_NEEDS) == 0 ? strrchr(record->facts[i].value, ' ') : NULL;
        if (needs && !is_up(record, needs + 1)) {
            *out_needs = needs + 1;
            return false;
        }
    }
    return true;
}

static bool says_port(const struct rb_record *record, const char *target)
{
    const char *colon = strrchr(target, ':');
    for (size_t i = 0; colon && rb_check_line(record, i); i++) {
        const char *hit = strstr(rb_check_line(record, i), colon);
        if (hit && (hit[strlen(colon)] < '0' || hit[strlen(colon)] > '9'))
            return true;
    }
    return false;
}

/* ---- one check ---- */

/* A compose check tells its containers one after the other: container, then what belongs to it. */
struct reading {
    const struct rb_view *view;
    struct claims *claims;
    size_t check;
    const struct rb_record *record;
    const char *container; /* the last one told, or NULL */
    const char *needs;     /* what it needs and is not up, or NULL */
    bool unit_serves;
    bool is_stranger; /* a port that somebody else holds: that comes before the container that would have it */
};

static const struct rule *rule_of(const struct reading *r, const char *fact)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strcmp(rules[i].fact, fact) == 0 && (!rules[i].kind || rb_check_is(r->view, r->check, rules[i].kind)))
            return &rules[i];
    }
    return NULL;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *name_of_thing(const struct reading *r, enum thing thing, const char *value)
{
    struct rb_arena *arena = r->claims->arena;
    const char *file;
    switch (thing) {
    case THING_NONE:
        break;
    case THING_PORT:
        return rb_place_of_port(arena, value, r->view->snapshot->host);
    case THING_CONTAINER:
        return value[0] ? rb_arena_printf(arena, "container %s", value) : NULL;
    case THING_SERVICE:
        return value[0] ? rb_arena_printf(arena, "service %s", value) : NULL;
    case THING_FILE:
        file = rb_place_of_file(arena, value, r->view->snapshot->plan->daemon.root);
        return file && strcmp(file, "/") != 0 ? rb_arena_printf(arena, "file %s", file) : NULL;
    case THING_PROGRAM:
        return value[0] ? rb_arena_printf(arena, "program %s", last_part(value)) : NULL;
    }
    return NULL;
}

static enum rb_edge_kind edge_of_thing(enum thing thing)
{
    if (thing == THING_PORT)
        return RB_EDGE_PORT;
    if (thing == THING_FILE)
        return RB_EDGE_FILE;
    return thing == THING_PROGRAM ? RB_EDGE_PROGRAM : RB_EDGE_CONTAINER;
}

static void place_file(const struct reading *r, const char *fact, struct claim *claim)
{
    bool fails = rb_check_fails(r->view, r->check);
    bool guard = view_record(r->view, r->check)->spec->phase == RB_PHASE_SAFETY;
    if (rb_check_is(r->view, r->check, "git")) {
        /* A lock keeps others from its own path; what else is uncommitted has nothing to do with it. */
        bool lock = strcmp(r->record->reason, "stuck_lock") == 0 && strcmp(fact, RB_FACT_PATH) == 0;
        bool keeps_others_out = lock || strcmp(r->record->reason, "operation") == 0;
        claim->layer = keeps_others_out ? claim->layer : WITNESS;
        claim->idle = strcmp(r->record->reason, "stuck_lock") == 0 && !lock;
    } else if (claim->layer >= 10 && claim->layer <= 30) {
        claim->idle = fails && !rb_reason_in(r->record->reason, unusable);
        /* A violated guard is never only somebody else's symptom: what else is wrong with its file stands beneath it. */
        if (guard && fails)
            claim->layer = GUARD;
    } else if (r->container) {
        claim->idle = r->unit_serves || r->needs; /* what it needs is down, not what it mounts */
    }
}

static void place_port(const struct reading *r, const char *fact, const char *value, struct claim *claim)
{
    if (strcmp(fact, RB_FACT_SCRAPES) == 0) {
        claim->idle = !says_port(r->record, value);
        return;
    }
    if (strcmp(fact, RB_FACT_PUBLISH) == 0) {
        claim->idle = r->container && r->unit_serves;
        return;
    }
    if (strcmp(fact, RB_FACT_LISTEN) != 0)
        return;
    if (r->is_stranger)
        claim->layer = STRANGER;
    claim->idle = strcmp(r->record->reason, "exposed") == 0;
}

static void take_fact(struct reading *r, const struct rb_fact *fact)
{
    const struct rule *rule = rule_of(r, fact->key);
    if (!rule || rule->thing == THING_NONE)
        return;
    const char *value = fact->value;
    if (strcmp(fact->key, RB_FACT_SCRAPES) == 0 && strrchr(value, ' '))
        value = strrchr(value, ' ') + 1;
    struct claim claim = {.resource = name_of_thing(r, rule->thing, value),
                          .verb = rule->verb,
                          .check = r->check,
                          .layer = rule->layer,
                          .kind = edge_of_thing(rule->thing)};
    if (strcmp(fact->key, RB_FACT_SCRAPES) == 0)
        claim.kind = RB_EDGE_SCRAPE;
    if (rule->thing == THING_FILE)
        place_file(r, fact->key, &claim);
    else if (rule->thing == THING_PORT)
        place_port(r, fact->key, fact->value, &claim);
    else if (rule->thing != THING_PROGRAM)
        claim.idle = r->is_stranger || (rule->layer == 10 && r->container && r->unit_serves);
    if (r->container && rule->layer == 10 && rule->thing == THING_PORT)
        claim.detail = rb_arena_printf(r->claims->arena, " (container %s%s%s)", r->container, r->needs ? ", which needs " : "",
                                       r->needs ? r->needs : "");
    rb_claims_add(r->claims, claim);
    /* What is wrong with a folder is wrong with what lies in it. */
    if (rule->thing == THING_FILE && claim.resource && rb_check_is(r->view, r->check, "path")) {
        struct claim folder = claim;
        folder.resource = rb_arena_printf(r->claims->arena, "folder %s", claim.resource + strlen("file "));
        rb_claims_add(r->claims, folder);
    }
    /* Inside a project a service is a host, by its own name. */
    const char *host = rule->thing == THING_SERVICE && rule->layer == 10 ? strchr(value, '/') : NULL;
    if (host) {
        claim.service = claim.resource;
        claim.resource = rb_arena_printf(r->claims->arena, "host %s", host + 1);
        rb_claims_add(r->claims, claim);
    }
}

static bool names(const char *text, const char *container)
{
    size_t len = strlen(container);
    const char *hit = len ? strstr(text, container) : NULL;
    return hit && (hit == text || hit[-1] == ' ') && (hit[len] == ' ' || hit[len] == '\0');
}

static void enter_container(struct reading *r, size_t fact)
{
    r->container = r->record->facts[fact].value;
    r->unit_serves = rb_container_serves(r->record, fact, &r->needs);
    /* It runs, but it is what the finding is about: another image, a crash a moment ago, one after the other. */
    enum rb_state state = rb_view_state(r->view, r->check);
    if ((state == RB_STATE_WARN || state == RB_STATE_FAIL) && names(r->record->message, r->container))
        r->unit_serves = false;
}

static void claim_engine(const struct reading *r, bool has_container)
{
    bool engine = rb_check_is(r->view, r->check, "docker");
    bool needs = rb_check_is(r->view, r->check, "compose") || (has_container && rb_check_is(r->view, r->check, "port")) ||
                 rb_reason_in(r->record->reason, engine_reasons);
    if (!engine && !needs)
        return;
    rb_claims_add(r->claims, (struct claim){.resource = "the Docker engine",
                                            .verb = engine ? "watches" : "needs",
                                            .check = r->check,
                                            .layer = engine ? 0 : 40,
                                            .kind = RB_EDGE_ENGINE,
                                            .idle = engine && rb_reason_in(r->record->reason, engine_well)});
}

/* Where a file system should be, and is not: nothing below it can be there. */
static void claim_missing_mount(const struct reading *r)
{
    if (!rb_check_is(r->view, r->check, "host") || strcmp(r->record->reason, "path_missing") != 0)
        return;
    for (size_t f = 0; f < r->record->fact_count; f++) {
        const struct rb_fact *fact = &r->record->facts[f];
        const char *file = strcmp(fact->key, RB_FACT_PATH) == 0 ? name_of_thing(r, THING_FILE, fact->value) : NULL;
        if (!file || !strstr(r->record->message, fact->value))
            continue;
        struct claim claim = {.resource = file, .verb = "misses", .check = r->check, .layer = 10, .kind = RB_EDGE_FILE};
        rb_claims_add(r->claims, claim);
        claim.resource = rb_arena_printf(r->claims->arena, "folder %s", file + strlen("file "));
        rb_claims_add(r->claims, claim);
    }
}

/* HEAD on the wrong branch: every file that differs from the baseline because of it is where it hurts. */
static void claim_branch(const struct reading *r)
{
    static const char *const away[] = {"wrong_branch", "detached", NULL};
    const struct rb_snapshot *snapshot = r->view->snapshot;
    if (!rb_check_is(r->view, r->check, "git") || !rb_check_fails(r->view, r->check) || !rb_reason_in(r->record->reason, away))
        return;
    for (size_t i = 0, seen = 0; i < snapshot->count; i++) {
        const struct rb_drift_report *report = snapshot->records[i]->drift;
        for (size_t k = 0; report && k < report->item_count && seen < MAX_BRANCH_FILES; k++) {
            const struct rb_drift_item *item = &report->items[k];
            if (item->accepted || (item->item_class != RB_DRIFT_CLASS_COMMITTED && item->item_class != RB_DRIFT_CLASS_UPSTREAM))
                continue;
            seen++;
            rb_claims_add(r->claims, (struct claim){.resource = name_of_thing(r, THING_FILE, item->key),
                                                    .verb = "is on a branch with another",
                                                    .check = r->check,
                                                    .layer = 0,
                                                    .kind = RB_EDGE_FILE});
        }
    }
}

/* A file that cannot be used, below a folder that a container mounts. Whole trees (the root and what holds it) say nothing. */
static void claim_mounted(const struct reading *r, size_t facts_end)
{
    const char *root = r->view->snapshot->plan->daemon.root;
    struct claims *claims = r->claims;
    for (size_t f = 0, seen = 0; f < r->record->fact_count && seen < MAX_MOUNT_FILES; f++) {
        const struct rb_fact *fact = &r->record->facts[f];
        const char *mount = strcmp(fact->key, RB_FACT_MOUNT) == 0 ? rb_place_of_file(claims->arena, fact->value, root) : NULL;
        if (!mount || (root && rb_place_is_below(root, mount)))
            continue;
        for (size_t i = 0; i < facts_end && seen < MAX_MOUNT_FILES; i++) {
            struct claim claim = claims->items[i];
            bool other = claim.kind == RB_EDGE_FILE && claim.check != r->check && claim.layer <= 20 && rb_check_fails(r->view, claim.check);
            if (!other || !rb_place_is_below(claim.resource + strlen("file "), mount) || strlen(claim.resource) <= strlen(mount) + 5)
                continue;
            seen++;
            rb_claims_add(
                claims, (struct claim){.resource = claim.resource, .verb = "mounts", .check = r->check, .layer = 40, .kind = RB_EDGE_FILE});
        }
    }
}

void rb_claims_of_facts(struct claims *claims, const struct rb_view *view)
{
    for (size_t i = 0; i < view->snapshot->count; i++) {
        struct reading r = {.view = view, .claims = claims, .check = i, .record = view_record(view, i)};
        bool compose = rb_check_is(view, i, "compose"), has_container = false;
        r.is_stranger = rb_check_sees_stranger(view, i);
        for (size_t f = 0; f < r.record->fact_count; f++) {
            bool container = strcmp(r.record->facts[f].key, RB_FACT_CONTAINER) == 0;
            has_container = has_container || container;
            if (container && compose)
                enter_container(&r, f);
            take_fact(&r, &r.record->facts[f]);
        }
        claim_engine(&r, has_container);
        claim_branch(&r);
        claim_missing_mount(&r);
    }
    size_t facts_end = claims->count;
    for (size_t i = 0; i < view->snapshot->count; i++) {
        struct reading r = {.view = view, .claims = claims, .check = i, .record = view_record(view, i)};
        if (rb_check_fails(view, i))
            claim_mounted(&r, facts_end);
    }
}
