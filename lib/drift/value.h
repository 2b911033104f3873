/* Canonical JSON values, and texts for people from them. Private to lib/drift. */
#ifndef RUNBOOK_DRIFT_VALUE_H
#define RUNBOOK_DRIFT_VALUE_H

#include "runbook/base/buf.h"
#include "runbook/source/document.h"

/* A JSON string with the fewest escapes. */
void rb_drift_value_string(struct rb_buf *out, const char *text, size_t len);
/* What stands for a secret: {"secret":"sha256:…"}. */
void rb_drift_value_secret(struct rb_buf *out, const char *text, size_t len);
/* A scalar of a document; `secret`: its digest instead. */
void rb_drift_value_node(struct rb_buf *out, const struct rb_doc_node *node, bool secret);
/* The last key of "a.b[name].c": "c". */
const char *rb_drift_last_segment(const char *key);

/* Every leaf of a document as "a.b[name].c" → value, in document order. `leaf` returns false to stop. Keys are at most RB_DRIFT_KEY_MAX bytes: deeper ones are left out
 * and the walk returns false. */
typedef bool rb_drift_leaf(void *ctx, const char *key, const struct rb_doc_node *node);
bool rb_drift_flatten(const struct rb_doc_node *root, const char *prefix, rb_drift_leaf *leaf, void *ctx);

#endif
