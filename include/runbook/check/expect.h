/* Values of parsed documents against values that a configuration expects, typed by YAML's core schema on its side: quoted text is always a string. */
#ifndef RUNBOOK_CHECK_EXPECT_H
#define RUNBOOK_CHECK_EXPECT_H

#include <stdbool.h>

#include "runbook/base/buf.h"
#include "runbook/config/node.h"
#include "runbook/source/document.h"

/* Exact by type: false is neither "false" nor 0; integers and floats are compared as numbers; text with strings and with times as written; lists in order,
 * tables by their keys. Any thread. */
bool rb_expect_equals(const struct rb_node *wanted, const struct rb_doc_node *value);
/* True when the value equals one item of the list. */
bool rb_expect_one_of(const struct rb_node *list, const struct rb_doc_node *value);
/* The number that an INT or FLOAT holds. */
bool rb_expect_number(const struct rb_doc_node *value, double *out);

/* A found value for people: strings in quotes, masked, escaped, at most 80 columns; lists and tables by their size. The caller decides whether it may be shown. */
void rb_expect_print_value(struct rb_buf *out, const struct rb_doc_node *value);
/* An expected value as a file would have it; one that the configuration holds as a secret is masked. */
void rb_expect_print_wanted(struct rb_buf *out, const struct rb_node *wanted);

#endif
