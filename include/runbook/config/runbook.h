/* The team's own runbook, a Markdown file: its outline, the addresses of its sections, the commands in it, and which checks stand for them.
 *
 * An address is "[FILE#]Heading > Sub". Each part is a heading's text, its beginning up to the end of a word, or the anchor that a forge makes of it; without regard to case. Headings
 * are those of Markdown, paragraphs that are bold as a whole ("**2) Mitigation**") and numbered comments in fenced code ("# 2) Dependency drift"). An address must name one
 * section: exact words go before beginnings, and what is still ambiguous is refused with the lines it could mean. docs/runbooks.md has the rules for people.
 *
 * Everything here is pure but rb_runbook_read; all memory is the caller's arena; text of the file is hostile and handed on as it is. Any thread. */
#ifndef RUNBOOK_CONFIG_RUNBOOK_H
#define RUNBOOK_CONFIG_RUNBOOK_H

#include "runbook/config/plan.h"

#define RB_RUNBOOK_MAX_BYTES    (4u << 20)
#define RB_RUNBOOK_MAX_LINES    100000u
#define RB_RUNBOOK_MAX_HEADINGS 5000u
#define RB_RUNBOOK_MAX_COMMANDS 2000u
#define RB_RUNBOOK_ARENA        ((size_t)32 << 20) /* enough for one file and its commands */

enum rb_runbook_line_kind { RB_RUNBOOK_PROSE, RB_RUNBOOK_FENCE, RB_RUNBOOK_CODE };
struct rb_runbook_line {
    const char *text; /* not terminated; without the line end */
    size_t len;
    enum rb_runbook_line_kind kind;
};
struct rb_runbook_heading {
    unsigned level; /* 1 to 6, 7 bold, 8 numbered comment */
    unsigned line;  /* from 1 */
    const char *text;
};
struct rb_runbook {
    const char *file; /* as addressed */
    struct rb_runbook_line *lines;
    size_t line_count;
    struct rb_runbook_heading *headings;
    size_t heading_count;
};

/* The outline of a text that must outlive it. NULL when memory is out. */
struct rb_runbook *rb_runbook_parse(const char *file, const char *text, size_t len, struct rb_arena *arena);
/* Reads a file below `root`. Blocks. */
int rb_runbook_read(const char *root, const char *file, struct rb_arena *arena, struct rb_runbook **out,
                    struct rb_error *err) RB_MUST_CHECK;

/* The heading that an address (its part behind '#') names. RB_ENOTFOUND: none does, and `err` has the nearest; RB_EINVAL: several do, and `err` has their lines. */
int rb_runbook_find(const struct rb_runbook *book, const char *address, struct rb_arena *arena, const struct rb_runbook_heading **out,
                    struct rb_error *err) RB_MUST_CHECK;
/* The last line of a heading's section. */
unsigned rb_runbook_section_end(const struct rb_runbook *book, const struct rb_runbook_heading *heading);
/* "FILE#heading" in its parts: where the heading begins; `*out_file` is NULL when no file is named, and "" never. */
const char *rb_runbook_split(const char *address, struct rb_arena *arena, const char **out_file);
/* The files that the plan names: `daemon.runbook` and those of the checks' addresses, each once. */
struct rb_strings rb_runbook_files(const struct rb_plan *plan, struct rb_arena *arena);

/* ---- commands */

struct rb_runbook_command {
    unsigned line;    /* where it begins */
    const char *text; /* as written, in one line, secrets masked */
    const char *const
        *words; /* of what it runs: variables that the block sets are replaced, `sudo` and the like are gone; NULL-terminated */
    size_t word_count;
    const char *input; /* the here-document, or NULL */
    const char *cwd;   /* "" the root, or a folder below it; NULL: elsewhere */
};
struct rb_runbook_commands {
    const struct rb_runbook_command *items;
    size_t count;
    size_t dropped; /* beyond RB_RUNBOOK_MAX_COMMANDS */
};
/* The commands of the fenced shell blocks in lines `first` to `last`. `with_spans`: those in code spans of the prose, too, where a first word is known as a program. */
void rb_runbook_commands(const struct rb_runbook *book, unsigned first, unsigned last, bool with_spans, struct rb_arena *arena,
                         struct rb_runbook_commands *out);

/* ---- which checks stand for a command: the table is in lib/config/runbook_cover.c */

enum rb_cover {
    RB_COVER_CHECKED, /* by `checks` */
    RB_COVER_OPEN,    /* it looks at something that no check looks at */
    RB_COVER_ACTS,    /* it changes something: no check may stand for it */
    RB_COVER_NOTHING  /* of the shell itself: nothing to check */
};
struct rb_covered {
    enum rb_cover cover;
    const size_t *checks; /* indexes into plan->checks; with OPEN those that stand for a part of it */
    size_t count;
    const char *missing; /* OPEN: the objects that no check names, "localhost:9090, localhost:9091"; or NULL */
};
void rb_runbook_cover(const struct rb_plan *plan, const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_covered *out);
/* True for a program that the table knows. */
bool rb_runbook_knows_program(const char *name);

/* ---- the checks that a section names */

/* Sets chosen[i] for the checks whose own address lies in the section, whose names its text has, that stand for one of its commands, or that belong to another section of the file it
 * names ("Phases 2-6"). Returns how many. */
size_t rb_runbook_select(const struct rb_plan *plan, const struct rb_runbook *book, const struct rb_runbook_heading *heading,
                         struct rb_arena *arena, bool *chosen);

/* ---- sections as a report quotes them */

#define RB_RUNBOOK_TEXT_LINES 40u
#define RB_RUNBOOK_TEXT_BYTES 400u /* of one line */

enum rb_runbook_state { RB_RUNBOOK_NONE, RB_RUNBOOK_FOUND, RB_RUNBOOK_GONE, RB_RUNBOOK_UNREADABLE };
struct rb_runbook_text {
    enum rb_runbook_state state; /* NONE: the check names no section */
    unsigned line;               /* FOUND: of the heading, when it was read */
    const char *heading;
    const char **lines; /* behind the heading, without blank lines and fences, secrets masked */
    size_t line_count;
    size_t more; /* lines left out */
};
/* The sections of all checks of a plan as their files have them now. Immutable, reference-counted. */
struct rb_runbook_texts {
    unsigned refs; /* atomic builtins only */
    struct rb_arena *arena;
    struct rb_plan *plan; /* a reference: the texts are for its checks */
    struct rb_runbook_text *items;
};
/* Reads every file that the checks name. Blocks. NULL when memory is out. */
struct rb_runbook_texts *rb_runbook_texts_read(struct rb_plan *plan);
struct rb_runbook_texts *rb_runbook_texts_ref(struct rb_runbook_texts *texts); /* NULL is fine */
void rb_runbook_texts_unref(struct rb_runbook_texts *texts);                   /* any thread; NULL is fine */

#endif
