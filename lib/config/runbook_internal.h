/* Private to lib/config: what the files about runbooks share. */
#ifndef RB_CONFIG_RUNBOOK_INTERNAL_H
#define RB_CONFIG_RUNBOOK_INTERNAL_H

#include "runbook/config/runbook.h"

#define RB_RUNBOOK_COMMENT_LEVEL 8u /* numbered comments in code, below bold lines (7) and the six levels of Markdown */

struct span {
    const char *text;
    size_t len;
};
struct span rb_span_trim(struct span span);

/* ---- runbook_shell.c */
struct rb_shell_out {
    struct rb_arena *arena;
    struct rb_runbook_command *items; /* RB_RUNBOOK_MAX_COMMANDS */
    size_t count, dropped;
};
/* Appends the commands of a shell text whose first line has the number `line`. */
void rb_shell_commands(const char *text, size_t len, unsigned line, struct rb_shell_out *out);

/* ---- runbook_objects.c: what a command is about, as text that can be compared with a check */
#define RB_OBJECTS_MAX 32u
struct rb_objects {
    const char *items[RB_OBJECTS_MAX]; /* "host:port" (an empty host: any), a path or glob, a word, a variable */
    size_t count;
    bool unclear; /* it has objects that cannot be told from the text: variables, another folder */
};
void rb_objects_endpoints(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out);
void rb_objects_paths(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out);
void rb_objects_pattern(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out);
void rb_objects_variables(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out);
void rb_objects_project(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out);
/* "host:port" of a URL or an address in `text`; the local machine's names become "localhost". False: it is none. */
bool rb_endpoint_parse(const char *text, struct rb_arena *arena, const char **out);
/* A path as the tree has it: "" when it is not below the root. */
const char *rb_path_in_tree(const char *path, const char *cwd, struct rb_arena *arena);

/* ---- runbook_match.c: what a check is about */
enum object { OF_ANY, OF_ENDPOINT, OF_PATH, OF_PATTERN, OF_VARIABLE, OF_PROJECT, OF_INPUT };
/* "git drift.git *": is the check of one of these kinds, with that option set? */
bool rb_check_is_target(const struct rb_check_spec *spec, const char *targets);
bool rb_check_has_object(const struct rb_check_spec *spec, enum object kind, const char *object, struct rb_arena *arena);
/* A `command` or `tool` check that runs the command's program. */
bool rb_check_runs(const struct rb_check_spec *spec, const struct rb_runbook_command *command, struct rb_arena *arena);
bool rb_command_asks_version(const struct rb_runbook_command *command, struct rb_arena *arena);
/* Is the word one of a list that blanks separate? */
bool rb_word_listed(const char *word, const char *list);
const char *rb_path_base(const char *path);

#endif
