/* TOML behind a C interface (toml.cpp). Private to lib/source. */
#ifndef RUNBOOK_SOURCE_TOML_H
#define RUNBOOK_SOURCE_TOML_H

#include "doc_build.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parses `len` valid UTF-8 bytes. On success builds the tree into `arena` when it is not NULL. Returns 0, RB_EPARSE with the one problem that toml++ reports,
 * RB_ELIMIT or RB_ENOMEM. No C++ exception leaves it. */
int doc_parse_toml(const char *bytes, size_t len, struct rb_arena *arena, struct rb_doc_node **out_root, struct doc_place *out_place,
                   char *out_message, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif
