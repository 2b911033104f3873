/* All kinds, made from kinds.def: a row there declares `rb_kind_<name>` here and puts it into the list.
 *
 * Invariant: the list holds one pointer per row, in the order of the file, and a NULL at its end. Nothing registers itself at run time, so that
 * the set of kinds is a constant that schema, reference and metrics can be generated from. */
#include "runbook/check/kind.h"

#define RB_KIND(name) extern const struct rb_kind rb_kind_##name;
#include "kinds.def"
#undef RB_KIND

static const struct rb_kind_schema *const rows[] = {
#define RB_KIND(name) &rb_kind_##name.schema,
#include "kinds.def"
#undef RB_KIND
    NULL,
};

static const struct rb_kind_list registry = {.items = rows, .count = sizeof rows / sizeof rows[0] - 1};

const struct rb_kind_list *rb_kind_registry(void)
{
    return &registry;
}
