/* One check for tests of kinds: parsed from YAML through the real option tables, with a run's context around it. */
#ifndef RUNBOOK_TESTS_TEST_CHECK_H
#define RUNBOOK_TESTS_TEST_CHECK_H

#include "runbook/check/kind.h"
#include "runbook/config/diag.h"

struct rb_test_check {
    struct rb_arena *arena;
    struct rb_diags diags;
    const struct rb_kind *kind; /* NULL when the YAML does not name one */
    bool valid;                 /* no configuration error */
    struct rb_check_spec spec;
    struct rb_check_ctx ctx;
    struct rb_outcome outcome;
    atomic_bool cancelled;
    void *state; /* of an exchange kind */
};

/* `yaml` is a mapping with `kind`, as in a configuration. The clock is borrowed. Never NULL: aborts without memory. */
struct rb_test_check *rb_test_check_new(const char *yaml, const struct rb_clock *clock);
void rb_test_check_free(struct rb_test_check *check);
/* All configuration errors as text, in the check's arena. */
const char *rb_test_check_errors(struct rb_test_check *check);
/* One step of an exchange kind. */
struct rb_action rb_test_check_step(struct rb_test_check *check, const struct rb_event *event);
/* Forgets outcome and state, keeps memory: the next run. */
void rb_test_check_again(struct rb_test_check *check);
/* The outcome's value, or NaN. */
double rb_test_check_value(const struct rb_test_check *check, const char *name, const char *label);
/* True when message or evidence contain the text. */
bool rb_test_check_says(const struct rb_test_check *check, const char *text);

#endif
