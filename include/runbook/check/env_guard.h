/* Judging an environment: which variables may not be set, which have to be, and what of them may be shown. For the kind `env`. */
#ifndef RUNBOOK_CHECK_ENV_GUARD_H
#define RUNBOOK_CHECK_ENV_GUARD_H

#include "runbook/base/strings.h"
#include "runbook/check/outcome.h"

struct rb_env_guard {
    struct rb_strings deny;  /* names, with `*` and `?` */
    struct rb_strings safe;  /* values with which a denied variable counts as not set, in any case; NULL items: 0 false no off and "" */
    struct rb_pairs require; /* a NULL value: any */
};

struct rb_env_variable {
    const char *name;
    const char *value; /* NULL: set to something that cannot be seen */
    unsigned line;     /* of its file; 0: not from a file */
};
struct rb_env_variables {
    struct rb_env_variable *items;
    size_t count;
};
/* Splits "K=V" strings (NULL-terminated, or `count` of them when count is not SIZE_MAX); entries without '=' are left out. In `arena`, strings borrowed or copied there. */
struct rb_env_variables rb_env_split(const char *const *items, size_t count, struct rb_arena *arena);

/* What was found in some environments; zeroed at first. */
struct rb_env_tally {
    size_t denied, wrong;     /* violations */
    size_t *unset;            /* for each of guard->require: environments without it; arena */
    const char **unset_where; /* the first of them */
};

/* True when a variable of this name may not have this value. */
bool rb_env_denies(const struct rb_env_guard *guard, const char *name, const char *value);
/* "1", "\"live\"" …, or NULL when the value must not be shown: by the variable's name, or because it is no plain flag, mode, number or path. */
const char *rb_env_show(const char *name, const char *value, struct rb_arena *arena);

/* Judges one environment. `where` completes "PT_ARMED is set to 1 in …"; for a file the line is appended to `where` with ':'. Violations are raised into the outcome at
 * once (reasons "denied_set", "wrong_value"); what is unset is only counted. Returns the number of violations. */
size_t rb_env_judge(const struct rb_env_guard *guard, const struct rb_env_variables *variables, const char *where,
                    struct rb_env_tally *tally, struct rb_outcome *out);
/* Raises a warning (reason "required_unset") for each required variable that is unset somewhere. Returns how many. */
size_t rb_env_tell_unset(const struct rb_env_guard *guard, const struct rb_env_tally *tally, struct rb_outcome *out);

#endif
