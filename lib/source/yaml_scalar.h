/* The type of a YAML scalar (core schema). Private to lib/source. */
#ifndef RUNBOOK_SOURCE_YAML_SCALAR_H
#define RUNBOOK_SOURCE_YAML_SCALAR_H

#include "runbook/source/document.h"

/* Sets type and value of a node whose `string` is the scalar's text. The text stays readable in `string` whatever the type. */
void yaml_scalar_type(struct rb_doc_node *node, bool plain, const char *tag, size_t tag_len);

#endif
