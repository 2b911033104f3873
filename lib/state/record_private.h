/* What the store and the tests of lib/state share about making records. */
#ifndef RB_STATE_RECORD_PRIVATE_H
#define RB_STATE_RECORD_PRIVATE_H

#include "runbook/state/record.h"

/* Everything but the reference count, which another thread may be changing: the only way to copy a record that is published. */
struct rb_record rb_record_content(const struct rb_record *record);
/* A new record with one reference: a deep copy of `from`, whose pointers may lead anywhere. Reasons and value names of the kind's closed sets are
 * not copied; `spec` and `suppressed_by` stay borrowed from the plan. NULL when memory is out. */
struct rb_record *rb_record_make(const struct rb_record *from);
/* A copy that shares the strings: for changes of clocks and flags only. NULL when memory is out. */
struct rb_record *rb_record_clone(const struct rb_record *record);
/* The static string of a reason (the store's own, then the kind's), or NULL. */
const char *rb_record_static_reason(const struct rb_check_spec *spec, const char *reason);

#endif
