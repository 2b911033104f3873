/* Option tables: one row declares an option; parsing, validation, help, schema and documentation are generated from it. */
#ifndef RUNBOOK_CONFIG_OPTIONS_H
#define RUNBOOK_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/strings.h"
#include "runbook/base/units.h"
#include "runbook/config/node.h"

enum rb_option_type {                  /* C type of the field */
                      RB_OPT_BOOL,     /* bool */
                      RB_OPT_TRISTATE, /* int8_t: -1 not given, 0, 1 */
                      RB_OPT_INT,      /* int64_t */
                      RB_OPT_NUMBER,   /* double; NaN when not given and without default */
                      RB_OPT_DURATION, /* int64_t milliseconds; -1 when not given and without default; `choices`: words with a value of their own */
                      RB_OPT_SIZE,    /* int64_t bytes; -1 when not given and without default */
                      RB_OPT_AMOUNT,  /* struct rb_amount */
                      RB_OPT_STRING,  /* const char *; NULL when not given */
                      RB_OPT_PATH,    /* const char *, as STRING; ~ expanded; otherwise left relative */
                      RB_OPT_GLOB,    /* const char *; checked by rb_glob_check */
                      RB_OPT_REGEX,   /* const char *; compiled once for the check (PCRE2, UTF), kept as text */
                      RB_OPT_URL,     /* const char *; http, https (or the schemes in `choices`); credentials in it are refused */
                      RB_OPT_CHOICE,  /* int: value of the named choice */
                      RB_OPT_STRINGS, /* struct rb_strings; one scalar is a list of one */
                      RB_OPT_PATHS,   /* struct rb_strings */
                      RB_OPT_GLOBS,   /* struct rb_strings */
                      RB_OPT_REGEXES, /* struct rb_strings */
                      RB_OPT_ARGV,    /* struct rb_strings; a scalar is refused with "write it as a list; there is no shell" */
                      RB_OPT_PAIRS,   /* struct rb_pairs: mapping of scalars, in order; a NULL value where the scalar is null */
                      RB_OPT_STRUCT,  /* nested struct at offset, `sub` table; zero (defaults applied) when not given */
                      RB_OPT_STRUCTS, /* struct rb_structs: list of mappings */
                      RB_OPT_NODE     /* const struct rb_node *: the kind reads it itself; duplicate keys in it were reported */
};

struct rb_choice {
    const char *name; /* NULL ends the list */
    int value;
    const char *doc;
};

struct rb_structs {
    const void *items; /* array of the sub struct */
    size_t count;
};

enum rb_option_flag {
    RB_OPT_REQUIRED = 1,
    RB_OPT_SECRET = 2,   /* never printed */
    RB_OPT_COSMETIC = 4, /* a change does not change the check's meaning (interval, hints …): state survives a reload */
    RB_OPT_NONEMPTY = 8,
    RB_OPT_ELSEWHERE = 16 /* NODE: another option table reads it and reports its duplicate keys */
};

struct rb_option {
    const char *name; /* NULL ends the table */
    enum rb_option_type type;
    unsigned flags; /* enum rb_option_flag */
    size_t offset;
    const char *doc;      /* one sentence */
    const char *fallback; /* default as YAML scalar text or flow list or mapping, or NULL */
    int64_t min, max;     /* INT, DURATION (ms), SIZE; both 0: no range. STRINGS, STRUCTS: number of items */
    const struct rb_choice *choices;
    const struct rb_option *sub;
    size_t sub_size;
    const char *example; /* for docs and schema, YAML flow */
};

/* A table that belongs together: a kind's options, the daemon's, one nested mapping. */
struct rb_schema {
    const char *name;
    const char *doc;
    const struct rb_option *options;
    size_t size; /* of the struct that the table fills */
    /* Cross-field rules; adds diagnostics at the node's or a key's mark. May be NULL. */
    void (*validate)(void *options, const struct rb_node *node, struct rb_diags *diags);
};

/* Fills `out` (options->size bytes, zeroed first, defaults applied) from a mapping (NULL or RB_NODE_NULL: defaults only). Keys of `ignore` (NULL-terminated, may
 * be NULL) belong to somebody else. Reports all errors; returns 0 or RB_ECONFIG. */
int rb_options_parse(const struct rb_schema *schema, const struct rb_node *node, const char *const *ignore, struct rb_arena *arena,
                     void *out, struct rb_diags *diags) RB_MUST_CHECK;

/* Reference text of one table, as `explain` prints it (80 columns). */
void rb_options_explain(const struct rb_schema *schema, struct rb_buf *out);
/* Name of an option's type for docs: "duration", "list of globs". */
const char *rb_option_type_name(enum rb_option_type type);

#endif
