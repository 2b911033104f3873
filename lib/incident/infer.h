/* Edges from facts. Internal to lib/incident. */
#ifndef RB_INCIDENT_INFER_H
#define RB_INCIDENT_INFER_H

#include "runbook/incident/graph.h"

/* What a check does with a thing. Who has the lower layer provides it; the higher one depends on the lower. */
struct claim {
    const char *resource; /* canonical name of the thing */
    const char *verb;     /* "connects to" */
    const char *detail;   /* or NULL: " (container web)" */
    const char *service;  /* of a claim on a host's name: the claim on the service that has it, "service p/db"; else NULL */
    size_t check;
    int layer;
    enum rb_edge_kind kind;
    bool idle; /* cannot carry a failure: what this check has of the thing is well */
};

struct claims {
    struct claim *items;
    size_t count, cap;
    struct rb_arena *arena;
};

void rb_claims_add(struct claims *claims, struct claim claim);
void rb_claims_sort(struct claims *claims);
/* The first claim on a thing, or SIZE_MAX. Sorted claims only. */
size_t rb_claims_find(const struct claims *claims, const char *resource);

/* What facts say (claims.c), then what words say (words.c: needs the claims of the facts, sorted). */
void rb_claims_of_facts(struct claims *claims, const struct rb_view *view);
void rb_claims_of_words(struct claims *claims, const struct rb_view *view);

/* ---- small questions about a check, shared by the files of this layer ---- */
static inline const struct rb_record *view_record(const struct rb_view *view, size_t check)
{
    return view->snapshot->records[check];
}
bool rb_check_is(const struct rb_view *view, size_t check, const char *kind);
bool rb_check_fails(const struct rb_view *view, size_t check);
/* Reasons of a connection that never came about. */
bool rb_never_connected(const char *reason);
/* A port that somebody else holds. */
bool rb_check_sees_stranger(const struct rb_view *view, size_t check);
/* The reason of a failing check is one of the NULL-terminated list. */
bool rb_reason_in(const char *reason, const char *const *list);
/* A line of what the check says (message, evidence, last words), or NULL behind the last. */
const char *rb_check_line(const struct rb_record *record, size_t index);
/* The container at this fact of the record serves: its service is known to be up, and so is every one that it needs. `out_needs`: else the one that is not up, or NULL. */
bool rb_container_serves(const struct rb_record *record, size_t fact, const char **out_needs);

#endif
