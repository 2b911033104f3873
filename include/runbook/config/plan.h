/* The plan: a validated, immutable configuration. Built whole or not at all; reference-counted, so that runs in flight keep the one they began with. */
#ifndef RUNBOOK_CONFIG_PLAN_H
#define RUNBOOK_CONFIG_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/digest.h"
#include "runbook/config/node.h"
#include "runbook/config/options.h"

enum rb_phase { RB_PHASE_PREFLIGHT, RB_PHASE_HEALTH, RB_PHASE_DRIFT, RB_PHASE_GATE, RB_PHASE_SAFETY, RB_PHASE_TEARDOWN, RB_PHASE_COUNT };
enum rb_presence { RB_PRESENCE_REQUIRED, RB_PRESENCE_OPTIONAL, RB_PRESENCE_ABSENT, RB_PRESENCE_COUNT };
enum rb_severity { RB_SEVERITY_PAGE, RB_SEVERITY_WARN, RB_SEVERITY_INFO, RB_SEVERITY_COUNT };
extern const struct rb_choice rb_phase_choices[]; /* "preflight" … */
extern const struct rb_choice rb_presence_choices[];
extern const struct rb_choice rb_severity_choices[];
const char *rb_phase_name(enum rb_phase phase);
const char *rb_presence_name(enum rb_presence presence);
const char *rb_severity_name(enum rb_severity severity);

/* What config must know of a kind; the registry in lib/kinds supplies the rows (check/kind.h embeds this). */
struct rb_kind_schema {
    struct rb_schema schema; /* name, one-line doc, option table */
    enum rb_phase default_phase;
    bool default_triage;  /* false for command and scans */
    bool starts_programs; /* needs trust */
    const char *const
        *program_options;      /* options with which one of its checks starts a program, and so needs trust; NULL-terminated, or NULL */
    bool opens_network;        /* makes connections; shown by explain --discovery */
    bool presence_aware;       /* `presence` other than required makes sense */
    const char *default_every; /* NULL: the common default */
    const char *
        needs_kind; /* its checks see through a check of this kind that has the same `needs_option`, and depend on it without saying so; or NULL */
    const char *needs_option;
    const char *example; /* one flow-style check, for docs */
};

/* All kinds, in the order of kinds.def; NULL-terminated. */
struct rb_kind_list {
    const struct rb_kind_schema *const *items;
    size_t count;
};

struct rb_daemon_options {
    struct rb_strings listen; /* "127.0.0.1:9112", "[::1]:9112", "unix:/path" */
    struct rb_strings allowed_hosts;
    const char *root;      /* absolute, resolved */
    const char *state_dir; /* absolute, the folder that holds one folder per root */
    const char *runbook;   /* relative to root, or NULL */
    int language;          /* enum rb_language of render/messages.h: 0 en, 1 de */
    const char *safety_title;
    const char *postmortem_template; /* relative to root or absolute, or NULL */
    int64_t workers;                 /* size of the worker pool */
    int log_level;
    bool file_events; /* changes of files bring checks forward */
};

struct rb_check_spec {
    const char *name; /* [A-Za-z0-9][A-Za-z0-9_.:-]{0,63}; unique */
    const struct rb_kind_schema *kind;
    struct rb_mark mark;
    enum rb_phase phase;
    enum rb_presence presence;
    enum rb_severity severity;
    bool manual;                  /* every: manual */
    int64_t every_ms, timeout_ms; /* every 1s … 400d, timeout 10ms … 1h */
    unsigned fail_after, recover_after;
    bool triage;
    bool untrusted;           /* its kind starts programs and the file is not trusted: never run */
    const size_t *depends_on; /* indexes into plan->checks */
    size_t depends_on_count;
    const char *runbook;         /* as written, or NULL */
    const char *runbook_file;    /* relative to root; NULL without `runbook` */
    const char *runbook_heading; /* the heading's text as the file has it */
    unsigned runbook_line;       /* of the heading, when the plan was loaded */
    struct rb_strings hints;
    const void *options;          /* the kind's struct */
    const struct rb_node *node;   /* the check's mapping, defaults merged */
    char identity[RB_SHA256_HEX]; /* digest of kind and every option that changes the meaning */
};

struct rb_plan {
    unsigned refs; /* atomic builtins only: rb_plan_ref/unref, any thread */
    struct rb_arena *arena;
    struct rb_daemon_options daemon;
    struct rb_check_spec *checks;
    size_t count;
    struct rb_strings files; /* every file read; empty when discovered */
    const char *source;      /* path of the main file, or "discovery" */
    bool discovered;
    bool trusted;
    const char *trust_dir; /* where rb_trust_record and rb_trust_check look for this plan: the state folder without the file's own wish */
    char digest[RB_SHA256_HEX]; /* rb_trust_digest of `files`; "" when discovered */
    struct rb_strings warnings; /* e.g. "not trusted: …" */
};

struct rb_plan_request {
    const char *config;                      /* --config or $RUNBOOKD_CONFIG (counts as trust), or NULL: search */
    const char *text;                        /* discovered configuration text, or NULL */
    const char *root;                        /* --root or NULL */
    const char *state_dir;                   /* --state-dir or NULL; $STATE_DIRECTORY wins over the file */
    const char *cwd;                         /* where the search starts */
    struct rb_strings listen;                /* --listen, replaces the file's */
    const struct rb_node_load_options *load; /* NULL: defaults */
};

#define RB_PLAN_MAX_CHECKS 5000u

/* Loads, validates and resolves. On failure returns RB_ECONFIG with every error in `diags` (whose arena must outlive it), or RB_ENOTFOUND when no file was found
 * and no text was given. The new plan has one reference. Config thread only. */
int rb_plan_load(const struct rb_plan_request *request, const struct rb_kind_list *kinds, struct rb_diags *diags, struct rb_plan **out,
                 struct rb_error *err) RB_MUST_CHECK;
struct rb_plan *rb_plan_ref(struct rb_plan *plan);
void rb_plan_unref(struct rb_plan *plan); /* NULL is fine */
/* Index of a check, or SIZE_MAX. */
size_t rb_plan_find(const struct rb_plan *plan, const char *name);
/* The file that a search finds, in SPEC 4's order; RB_ENOTFOUND when there is none. `out_found_here`: it was ./runbookd.yml. */
int rb_config_find(const char *cwd, char *out, size_t out_size, bool *out_found_here, struct rb_error *err) RB_MUST_CHECK;

/* The nearest folder at or above `dir` that has a .git entry. False when there is none, or it does not fit. */
bool rb_git_top(const char *dir, char *out, size_t out_size);

/* Option tables of the two common mappings, for explain, schema and docs. */
extern const struct rb_schema rb_daemon_schema;
extern const struct rb_schema rb_common_schema; /* options that every check has; also what `defaults` accepts */

/* JSON Schema (draft 2020-12) of the whole file. */
int rb_schema_json(const struct rb_kind_list *kinds, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* Trust: the digest of ./runbookd.yml and its includes, recorded in <state_dir>/trust (one "sha256  path" a line, mode 0600). */
int rb_trust_digest(const struct rb_strings *files, char out[RB_SHA256_HEX], struct rb_error *err) RB_MUST_CHECK;
int rb_trust_record(const char *state_dir, const char *path, const char *digest, struct rb_error *err) RB_MUST_CHECK;
bool rb_trust_check(const char *state_dir, const char *path, const char *digest);

/* Default state folder when nothing names one: ~/.local/state/runbookd (home from the password database). */
int rb_state_dir_default(char *out, size_t out_size, struct rb_error *err) RB_MUST_CHECK;

#endif
