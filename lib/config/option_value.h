/* Private to lib/config: how one value of an option table is read. */
#ifndef RB_CONFIG_OPTION_VALUE_H
#define RB_CONFIG_OPTION_VALUE_H

#include "runbook/config/options.h"

/* What a parse of one table needs to know. */
struct rb_options_context {
    struct rb_arena *arena;
    struct rb_diags *diags;
    const char *where;         /* "check 'x' (kind http)", "daemon": for messages */
    const char *const *ignore; /* keys of somebody else, NULL-terminated, or NULL */
    bool keys_checked;         /* unknown and duplicate keys were reported by another table */
};

/* As rb_options_parse, with the words for its messages. */
int rb_options_parse_in(const struct rb_options_context *context, const struct rb_schema *schema, const struct rb_node *node,
                        void *out) RB_MUST_CHECK;

/* Fills the field of a single value (not STRUCT, STRUCTS or a list). 0 or RB_ECONFIG. */
int rb_option_read_scalar(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                          void *field) RB_MUST_CHECK;
/* Checks text of a STRING-like type and gives the form to keep. 0 or RB_ECONFIG. */
int rb_option_check_text(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                         enum rb_option_type type, const char **out) RB_MUST_CHECK;
/* "a list", "'abc'": what was found, for messages; never a secret. In the arena. */
const char *rb_option_found(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node);
/* "a | b | c" of a list of choices; in the arena. */
const char *rb_option_choice_names(struct rb_arena *arena, const struct rb_choice *choices);
/* The type of a list's items; the type itself when it is no list. */
enum rb_option_type rb_option_item_type(enum rb_option_type type);

#endif
