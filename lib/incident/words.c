/* From words to claims: what a failing check says of a thing that another check knows.
 *
 * Only bad checks are read, and only for names that some fact has established: free text can point at things, it cannot invent them. The argv of a command counts as its words, also while it
 * is well: that is how one sees what it needs. A few phrases that the C library and well-known programs print stand for the state of the host. */
#include <string.h>
#include <strings.h>

#include "infer.h"
#include "places.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"

#define WITNESS     60
#define USER        40 /* of the engine, the disk …: beside those who need it, not above them */
#define MAX_LINES   96u
#define MAX_TOKENS  400u
#define MAX_DEPTH   8u
#define SCRATCH_MAX ((size_t)16 << 20)

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
static const char *const of_resolvers[] = {
    "name resolution",      "no such host",      "could not resolve",     "enotfound",      "eai_again",
    "unknownhostexception", "service not known", "nodename nor servname", "name not known", "translate host name",
    "bad address",          "unknown host",      "name does not resolve", "host not found", NULL};

/* Where in such a line the name stands: behind one of these words … */
static const char *const before_names[] = {"host", "hostname", "lookup", "address", "enotfound", "eai_again", "unknownhostexception", NULL};
/* … or before ": " and one of these verdicts, or in quotes. */
static const char *const verdicts[] = {"name or service not",
                                       "name does not resolve",
                                       "temporary failure",
                                       "no such host",
                                       "unknown host",
                                       "nodename nor servname",
                                       "host not found",
                                       "no address",
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
    struct rb_arena *scratch; /* for one check: what many checks say at length must not fill the diagnosis' own arena */
    size_t *heard_by;         /* per known claim: the check (plus one) that named its thing last */
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
    if (at == SIZE_MAX || r->heard_by[at] == r->check + 1)
        return;
    r->heard_by[at] = r->check + 1;
    if (has_claim(r->known, at, resource, r->check))
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
    const char *place = rb_place_of_file(r->scratch, text, r->base);
    char *file = place ? rb_arena_strdup(r->scratch, place) : NULL;
    for (unsigned depth = 0; file && depth < MAX_DEPTH && strcmp(file, "/") != 0; depth++) {
        take_name(r, rb_arena_printf(r->scratch, depth == 0 ? "file %s" : "folder %s", file));
        char *slash = strrchr(file, '/');
        if (!slash || slash == file)
            return;
        *slash = '\0';
        if (root && rb_place_is_below(root, file))
            return;
    }
}

/* The word of a line about names that is the name: `before` it, the word before; `rest`, what follows. */
static bool is_asked_for(const char *before, const char *rest)
{
    size_t len = strlen(before);
    for (size_t i = 0; before_names[i]; i++) {
        size_t end = strlen(before_names[i]);
        if (len >= end && strcasecmp(before + len - end, before_names[i]) == 0)
            return true;
    }
    if (*rest == '"' || *rest == '\'' || *rest == '`')
        return true;
    for (size_t i = 0; rest[-1] == ':' && *rest == ' ' && verdicts[i]; i++) {
        if (strncasecmp(rest + 1, verdicts[i], strlen(verdicts[i])) == 0)
            return true;
    }
    return false;
}

/* Both touch one port or container. */
static bool is_near(const struct reader *r, size_t provider)
{
    const struct rb_record *record = view_record(r->view, r->check);
    for (size_t f = 0; f < record->fact_count; f++) {
        const struct rb_fact *fact = &record->facts[f];
        const char *thing = NULL;
        if (strcmp(fact->key, RB_FACT_CONTAINER) == 0)
            thing = rb_arena_printf(r->scratch, "container %s", fact->value);
        else if (strcmp(fact->key, RB_FACT_TARGET) == 0 || strcmp(fact->key, RB_FACT_ADDRESS) == 0 ||
                 strcmp(fact->key, RB_FACT_LISTEN) == 0)
            thing = rb_place_of_port(r->scratch, fact->value, r->view->snapshot->host);
        size_t at = thing ? rb_claims_find(r->known, thing) : SIZE_MAX;
        if (at != SIZE_MAX && has_claim(r->known, at, thing, provider))
            return true;
    }
    return false;
}

/* A service's name means the one of the speaker's own project. Where several projects have it and none is near, nobody can tell which. */
static void take_host(struct reader *r, const char *name)
{
    const char *host = rb_arena_printf(r->scratch, "host %s", name), *meant = NULL;
    size_t at = host ? rb_claims_find(r->known, host) : SIZE_MAX;
    if (at == SIZE_MAX || r->heard_by[at] == r->check + 1)
        return;
    bool several = false;
    for (size_t i = at; i < r->known->count && strcmp(r->known->items[i].resource, host) == 0; i++)
        several = several || strcmp(r->known->items[i].service, r->known->items[at].service) != 0;
    for (size_t i = at; several && !meant && i < r->known->count && strcmp(r->known->items[i].resource, host) == 0; i++)
        meant = is_near(r, r->known->items[i].check) ? r->known->items[i].service : NULL;
    if (!several)
        take_name(r, host);
    else if (meant)
        take_name(r, meant);
    r->heard_by[at] = r->check + 1;
}

static void take_line(struct reader *r, const char *line)
{
    struct rb_arena *arena = r->scratch;
    struct rb_tokens tokens = {.rest = line, .arena = arena};
    struct rb_token token;
    const char *before = "";
    /* Only here a bare word is an address: "db" may be anything else. */
    bool unresolved = says_any(line, of_resolvers);
    while (r->tokens++ < MAX_TOKENS && rb_tokens_next(&tokens, &token)) {
        if (token.is_path)
            take_file(r, token.text);
        if (r->files_only)
            continue;
        if (token.address)
            take_name(r, rb_place_of_port(arena, token.address, r->view->snapshot->host));
        if (token.host)
            take_host(r, token.host);
        bool asked_for = unresolved && is_asked_for(before, tokens.rest);
        before = token.text;
        if (token.address || token.is_path)
            continue;
        if (asked_for)
            take_host(r, token.text);
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

/* Without memory for its scratch a check is not read: words only add to what facts say. */
static void read_check(struct reader *r)
{
    const struct rb_record *record = view_record(r->view, r->check);
    bool bad = is_bad(rb_view_state(r->view, r->check)), command = rb_check_is(r->view, r->check, "command");
    if ((!bad && !command) || rb_check_is(r->view, r->check, "drift"))
        return;
    RB_ARENA_AUTO *scratch = rb_arena_new(SCRATCH_MAX);
    if (!scratch)
        return;
    r->scratch = scratch;
    r->base = cwd_of(r->view, record);
    r->tokens = 0;
    r->files_only = rb_check_is(r->view, r->check, "port"); /* its evidence is its last owner's command line */
    r->verb = "names";
    for (size_t l = 0; bad && l < MAX_LINES && rb_check_line(record, l); l++) {
        r->programs = command || strstr(rb_check_line(record, l), "not found") != NULL;
        take_line(r, rb_check_line(record, l));
    }
    r->verb = "is started with";
    r->programs = command;
    if (command && record->spec->node)
        take_node(r, rb_node_get(record->spec->node, "argv"));
    if (bad)
        claim_phrases(r->found, r->view, r->check);
}

void rb_claims_of_words(struct claims *claims, const struct rb_view *view)
{
    struct claims found = {.arena = claims->arena};
    struct reader r = {.known = claims, .found = &found, .view = view};
    r.heard_by = rb_arena_array(claims->arena, claims->count + 1, sizeof *r.heard_by);
    for (r.check = 0; r.heard_by && r.check < view->snapshot->count; r.check++)
        read_check(&r);
    for (size_t i = 0; i < found.count; i++)
        rb_claims_add(claims, found.items[i]);
}
