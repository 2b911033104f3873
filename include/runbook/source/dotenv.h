/* Dotenv files: NAME=value lines as python-dotenv, docker's env_file and a sourcing shell read them. Read as text, never executed, nothing expanded.
 *
 * Accepted: blank lines, `#` comments, an `export ` prefix, blanks around `=`, 'single quotes' (as they stand), "double quotes" (\n \t \r \" \\ \$ \` escapes),
 * both over several lines, `#` after a blank in an unquoted value as a comment, CRLF, a byte order mark, and a bare NAME (docker: taken from the environment; value NULL).
 * An assignment within an unquoted value (`A=1; B=2`: two for a shell) is an entry of its own, behind the one that holds it.
 * Everything else is a problem with its line: a guard has to know that it did not understand a file. */
#ifndef RUNBOOK_SOURCE_DOTENV_H
#define RUNBOOK_SOURCE_DOTENV_H

#include <stddef.h>

#include "runbook/base/arena.h"

enum { RB_DOTENV_MAX_BYTES = 1 << 20, RB_DOTENV_MAX_ENTRIES = 10000 };

struct rb_dotenv_entry {
    const char *name;  /* [A-Za-z_][A-Za-z0-9_.-]* */
    const char *value; /* NULL: only the name stands there */
    unsigned line;     /* 1-based, where the name stands */
};
struct rb_dotenv {
    struct rb_dotenv_entry *items; /* in file order; a name may stand more than once */
    size_t count;
};

/* Parses `text`. RB_EPARSE: "line N: what is wrong" for the first problem; RB_ELIMIT; RB_ENOMEM. Results live in `arena`. Any thread. */
int rb_dotenv_parse(const char *text, size_t len, struct rb_arena *arena, struct rb_dotenv *out, struct rb_error *err) RB_MUST_CHECK;

#endif
