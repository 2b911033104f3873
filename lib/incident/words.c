/* From words to claims: what a failing check says of a thing that another check knows.
 *
 * Only bad checks are read, and only for names that some fact has established: free text can point at things, it cannot invent them. The argv of a command counts as its words, also while it
 * is well: that is how one sees what it needs. A few phrases that the C library and well-known programs print stand for the state of the host. */
#include <string.h>

#include "infer.h"
#include "places.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"

#define WITNESS    60
#define USER       40 /* of the engine, the disk …: beside those who need it, not above them */
#define MAX_LINES  96u
#define MAX_TOKENS 400u
#define MAX_DEPTH  8u

/* Phrases of strerror(3) and of resolvers, and the reasons of a check that would explain them. */
struct phrase {
    const char *thing;
    const char *kind;
    const char *reasons[4];
    const char *said[5];
};
static const struct phrase phrases[] = {
    {"the disk", "host", {"disk_low", "inodes_low", NULL}, {"no space left on device", "disk full", "enospc", "disk quota exceeded", NULL}},
    {"the file system", "host", {"read_only", NULL}, {"read-only file system", NULL}},
    {"memory", "host", {"memory_low", "swap_low", NULL}, {"cannot allocate memory", "out of memory", "memoryerror", NULL}},
    {"open files", "host", {"files_low", NULL}, {"too many open files", NULL}},
    {"the clock", "host", {"clock_step", NULL}, {"is not yet valid", "has expired or is not yet", "clock skew", NULL}},
    {"names", "dns", {NULL}, {"name resolution", "no such host", "could not resolve", "has no address", NULL}},
    {"the Docker engine", "docker", {NULL}, {"docker daemon", "docker.sock", NULL}},
    {"the git lock", "git", {"stuck_lock", NULL}, {"index.lock", "another git process", NULL}},
};

/* How resolvers say that they know no such name: glibc, musl, Go, Node.js, Java, Python, PostgreSQL. */
static const char *const of_resolvers[] = {"name resolution",
                                           "no such host",
                                           "could not resolve",
                                           "enotfound",
                                           "eai_again",
                                           "unknownhostexception",
                                           "name not known",
                                           "translate host name",
                                           "bad address",
                                           "unknown host",
                                           "name does not resolve",
                                           "host not found",
                                           NULL};

static bool is_bad(enum rb_state state)
{
    return state == RB_STATE_FAIL || state == RB_STATE_WARN || state == RB_STATE_UNKNOWN;
}

static bool says_any(const char *line, const char *const *phrases_of_one)
{
    for (const char *const *phrase = phrases_of_one; *phrase; phrase++) {
        if (rb_text_find_nocase(line, *phrase))
            return true;
    }
    return false;
}

static bool says(const struct rb_record *record, const char *const *phrases_of_one)
{
    for (size_t i = 0; i < MAX_LINES && rb_check_line(record, i); i++) {
        if (says_any(rb_check_line(record, i), phrases_of_one))
            return true;
    }
    return false;
}

static void claim_phrases(struct claims *claims, const struct rb_view *view, size_t check)
{
    const struct rb_record *record = view_record(view, check);
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        const struct phrase *phrase = &phrases[i];
        bool told_by = rb_check_is(view, check, phrase->kind);
        bool worried = rb_check_fails(view, check) || rb_view_state(view, check) == RB_STATE_WARN;
        bool provides = told_by && worried && (!phrase->reasons[0] || rb_reason_in(record->reason, phrase->reasons));
        if (!provides && (told_by || !says(record, phrase->said)))
            continue;
        rb_claims_add(claims, (struct claim){.resource = phrase->thing,
                                             .verb = provides ? "watches" : "tells of",
                                             .check = check,
                                             .layer = provides ? 0 : USER,
                                             .kind = RB_EDGE_WORDS});
    }
}

static bool has_claim(const struct claims *claims, size_t first, const char *resource, size_t check)
{
    for (size_t i = first; i < claims->count && strcmp(claims->items[i].resource, resource) == 0; i++) {
        if (claims->items[i].check == check)
            return true;
    }
    return false;
}

struct reader {
    struct claims *known, *found;
    const struct rb_view *view;
    size_t check;
    const char *base; /* relative paths count from here */
    const char *verb;
    bool programs;
    bool files_only; /* a command line: it names addresses that it may never have used */
    unsigned tokens;
};

static void take_name(struct reader *r, const char *resource)
{
    size_t at = resource ? rb_claims_find(r->known, resource) : SIZE_MAX;
    if (at == SIZE_MAX || has_claim(r->known, at, resource, r->check))
        return;
    rb_claims_add(
        r->found,
        (struct claim){
            .resource = r->known->items[at].resource, .verb = r->verb, .check = r->check, .layer = WITNESS, .kind = RB_EDGE_WORDS});
}

/* The file, and the folders that it lies in, if somebody looks at these: what is wrong with them is wrong with it. The root and what holds it say nothing. */
static void take_file(struct reader *r, const char *text)
{
    const char *root = r->view->snapshot->plan->daemon.root;
    const char *place = rb_place_of_file(r->known->arena, text, r->base);
    char *file = place ? rb_arena_strdup(r->known->arena, place) : NULL;
    for (unsigned depth = 0; file && depth < MAX_DEPTH && strcmp(file, "/") != 0; depth++) {
        take_name(r, rb_arena_printf(r->known->arena, depth == 0 ? "file %s" : "folder %s", file));
        char *slash = strrchr(file, '/');
        if (!slash || slash == file)
            return;
        *slash = '\0';
        if (root && rb_place_is_below(root, file))
            return;
    }
}

static void take_line(struct reader *r, const char *line)
{
    struct rb_arena *arena = r->known->arena;
    struct rb_tokens tokens = {.rest = line, .arena = arena};
    struct rb_token token;
    /* Only here a bare word is an address: "db" may be anything else. */
    bool unresolved = says_any(line, of_resolvers);
    while (r->tokens++ < MAX_TOKENS && rb_tokens_next(&tokens, &token)) {
        if (token.is_path)
            take_file(r, token.text);
        if (r->files_only)
            continue;
        if (token.is_port)
            take_name(r, rb_place_of_port(arena, token.text, r->view->snapshot->host));
        if (token.host)
            take_name(r, rb_arena_printf(arena, "host %s", token.host));
        if (token.is_port || token.is_path)
            continue;
        if (unresolved)
            take_name(r, rb_arena_printf(arena, "host %s", token.text));
        take_name(r, rb_arena_printf(arena, "container %s", token.text));
        if (r->programs)
            take_name(r, rb_arena_printf(arena, "program %s", token.text));
    }
}

static void take_node(struct reader *r, const struct rb_node *node)
{
    if (node && node->type == RB_NODE_SCALAR && !node->secret && node->scalar)
        take_line(r, node->scalar);
    for (size_t i = 0; node && node->type == RB_NODE_SEQUENCE && i < node->count; i++)
        take_node(r, node->items[i]);
}

static const char *cwd_of(const struct rb_view *view, const struct rb_record *record)
{
    for (size_t f = 0; f < record->fact_count; f++) {
        if (strcmp(record->facts[f].key, RB_FACT_CWD) == 0)
            return record->facts[f].value;
    }
    return view->snapshot->plan->daemon.root;
}

void rb_claims_of_words(struct claims *claims, const struct rb_view *view)
{
    struct claims found = {.arena = claims->arena};
    for (size_t i = 0; i < view->snapshot->count; i++) {
        const struct rb_record *record = view_record(view, i);
        bool bad = is_bad(rb_view_state(view, i)), command = rb_check_is(view, i, "command");
        if (rb_check_is(view, i, "drift"))
            continue;
        struct reader r = {.known = claims, .found = &found, .view = view, .check = i, .base = cwd_of(view, record), .verb = "names"};
        r.files_only = rb_check_is(view, i, "port"); /* its evidence is its last owner's command line */
        for (size_t l = 0; bad && l < MAX_LINES && rb_check_line(record, l); l++) {
            r.programs = command || strstr(rb_check_line(record, l), "not found") != NULL;
            take_line(&r, rb_check_line(record, l));
        }
        r.verb = "is started with";
        r.programs = command;
        if (command && record->spec->node)
            take_node(&r, rb_node_get(record->spec->node, "argv"));
        if (bad)
            claim_phrases(&found, view, i);
    }
    for (size_t i = 0; i < found.count; i++)
        rb_claims_add(claims, found.items[i]);
}
