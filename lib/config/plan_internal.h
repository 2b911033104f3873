/* Private to lib/config: the steps that make a plan out of nodes. */
#ifndef RB_CONFIG_PLAN_INTERNAL_H
#define RB_CONFIG_PLAN_INTERNAL_H

#include "runbook/config/plan.h"

/* What the table of common options fills. */
struct rb_common_options {
    int phase, presence, severity;
    int64_t every_ms; /* RB_EVERY_MANUAL for "manual" */
    int64_t timeout_ms;
    int64_t fail_after, recover_after;
    struct rb_strings depends_on;
    const char *runbook;
    struct rb_strings hints;
    int8_t triage;
};
#define RB_EVERY_MANUAL (-2)

struct rb_plan_builder {
    const struct rb_plan_request *request;
    const struct rb_kind_list *kinds;
    struct rb_diags *diags;
    struct rb_plan *plan;
    const struct rb_node *root;     /* the tree of all files */
    const struct rb_node *defaults; /* NULL when absent or wrong */
    const char *cwd;                /* where the request stands */
    const char *dir;                /* folder of the main file; relative `daemon` paths count from it */
    bool incomplete;                /* something could not be read: what is missing may be there */
    bool failed;
};

/* Reads `checks` into plan->checks. */
int rb_plan_read_checks(struct rb_plan_builder *builder) RB_MUST_CHECK;
/* Resolves depends_on, finds cycles; needs every check read. */
int rb_plan_link_checks(struct rb_plan_builder *builder) RB_MUST_CHECK;
/* root, state_dir, listeners; needs plan->daemon parsed. */
int rb_plan_resolve_places(struct rb_plan_builder *builder) RB_MUST_CHECK;
/* Proves the `runbook` references of all checks; needs the root. */
int rb_plan_check_runbooks(struct rb_plan_builder *builder) RB_MUST_CHECK;
/* Decides plan->trusted and marks the checks that must not run. */
int rb_plan_apply_trust(struct rb_plan_builder *builder) RB_MUST_CHECK;

/* The mark of a key's value in a mapping, or that of the mapping, or of the whole file. */
struct rb_mark rb_plan_mark(const struct rb_plan_builder *builder, const struct rb_node *mapping, const char *key);
/* Adds a line to plan->warnings. */
void rb_plan_warn(struct rb_plan *plan, const char *fmt, ...) RB_PRINTF(2, 3);

/* "127.0.0.1:9112", "[::1]:9112" or "unix:/path": 0, or RB_EINVAL with what to write. */
int rb_listen_check(const char *text, struct rb_error *err) RB_MUST_CHECK;

#endif
