/* The application object: plan, store, runner, server and their loop, put together once. `serve` runs it with listeners, `check` and `triage` once without.
 *
 * Thread: everything here runs on the caller's thread, which becomes the loop thread. */
#ifndef RUNBOOKD_APP_H
#define RUNBOOKD_APP_H

#include "runbook/config/discovery.h"
#include "runbook/state/snapshot.h"

struct rb_app_options {
    const char *config;       /* --config, or NULL */
    const char *root;         /* --root, or NULL */
    const char *state_dir;    /* --state-dir, or NULL */
    struct rb_strings listen; /* --listen …, replaces the file's */
    bool discover;            /* plan from where it stands, even when a file exists */
    int log_level;            /* enum rb_log_level; 0: the configuration's */
};

/* Process exit codes of SPEC 10. */
enum rb_exit { RB_EXIT_OK = 0, RB_EXIT_BAD = 1, RB_EXIT_CANNOT = 2, RB_EXIT_USAGE = 64, RB_EXIT_CONFIG = 78 };

/* Room for what loading needs beside the plan: diagnostics, and what kinds parse to see whether it is well-formed, for as many checks as there may be. */
#define RB_LOAD_ARENA ((size_t)128 << 20)
/* Finds (or discovers) and loads the configuration as every command does it. `arena` holds the diagnostics' texts. Returns 0 with one reference in *out, RB_ECONFIG with
 * diagnostics, or another negative code with `err`. */
int rb_app_load_plan(const struct rb_app_options *options, struct rb_arena *arena, struct rb_diags *diags, struct rb_plan **out,
                     struct rb_error *err) RB_MUST_CHECK;

/* The daemon: returns an enum rb_exit after a graceful stop, or when it could not start (and then has said why on stderr). */
int rb_app_serve(const struct rb_app_options *options);

/* One round of checks without listeners: dependencies first, raw results (fail_after not applied), stored state read-only. */
struct rb_app_accept {
    const char *json; /* the request, as /api/v1/drift/accept takes it */
    int status;       /* HTTP status of the answer */
    struct rb_buf *answer;
};
struct rb_app_check {
    const struct rb_app_options *options;
    struct rb_strings names;      /* empty: every check that `phase` and `triage_only` leave */
    int phase;                    /* enum rb_phase, or -1 */
    bool triage_only;             /* only checks with `triage: true` */
    bool without_head;            /* the result does not tell branch, commit and work tree: their look takes as long as a scan */
    int64_t deadline_ms;          /* 0: each check's own timeout is the only limit */
    struct rb_app_accept *accept; /* NULL, or what to accept when the round has ended: then the folder of state is locked and written */
    void (*progress)(void *ctx, size_t done, size_t total, const char *name, enum rb_state state); /* may be NULL */
    void *ctx;
};
struct rb_app_result {
    struct rb_snapshot *snapshot; /* one reference */
    bool *chosen;                 /* free(): one flag per check of the plan */
    double duration_s;
};
/* Returns 0; RB_ECONFIG (diagnostics filled); RB_ENOTFOUND when a name is no check (err names it, with a suggestion); or another negative code. */
int rb_app_check(const struct rb_app_check *request, struct rb_arena *arena, struct rb_diags *diags, struct rb_app_result *out,
                 struct rb_error *err) RB_MUST_CHECK;

/* Drops the link to the plan's folder of state: where this root's state lies, whether it exists or not. */
int rb_app_state_path(const struct rb_plan *plan, char *out, size_t out_size, struct rb_error *err) RB_MUST_CHECK;

#endif
