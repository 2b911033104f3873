/* path: what must lie, or must not lie, in the tree: existence, executability, owner, mode, age, size, number of matches.
 *
 * Patterns are literal paths or globs, below the root or absolute. A pattern of `exist` or `executable` that matches nothing is a failure: that is what a missing file looks
 * like. What cannot be seen (a folder without permission) is unknown, never absent. `owner`, `mode`, ages and sizes hold for every match of `exist`. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/watch.h"
#include "runbook/source/files.h"

enum { MAX_MATCHES = 20000, AGE_EACH = 0, AGE_NEWEST, AGE_OLDEST };

struct count_options {
    int64_t min, max;
};

struct path_options {
    struct rb_strings exist, absent, executable;
    const char *owner, *mode, *max_mode;
    int64_t max_age, min_age; /* ms */
    int age_of;
    struct count_options count;
    int64_t max_size, min_size;
};

static const struct rb_choice age_choices[] = {
    {"each", AGE_EACH, "Every match must keep the limits."},
    {"newest", AGE_NEWEST, "Only the newest match of a pattern counts: is there a fresh backup?"},
    {"oldest", AGE_OLDEST, "Only the oldest match counts."},
    {NULL, 0, NULL}};

static const struct rb_option count_table[] = {{.name = "min",
                                                .type = RB_OPT_INT,
                                                .offset = offsetof(struct count_options, min),
                                                .doc = "Least number of matches; -1: no limit.",
                                                .fallback = "-1",
                                                .min = -1,
                                                .max = 1000000},
                                               {.name = "max",
                                                .type = RB_OPT_INT,
                                                .offset = offsetof(struct count_options, max),
                                                .doc = "Greatest number of matches; -1: no limit.",
                                                .fallback = "-1",
                                                .min = -1,
                                                .max = 1000000},
                                               {NULL}};

static const struct rb_option options[] = {{.name = "exist",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct path_options, exist),
                                            .doc = "Paths or globs that must match something; relative to root, absolute, or from ~.",
                                            .example = "[\"src/**/l1_runner.py\"]"},
                                           {.name = "absent",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct path_options, absent),
                                            .doc = "Paths or globs that must match nothing.",
                                            .example = "[\"**/*.orig\"]"},
                                           {.name = "executable",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct path_options, executable),
                                            .doc = "Paths or globs that must match something, every match a file that may be executed.",
                                            .example = "[\"scripts/ops/*.sh\"]"},
                                           {.name = "owner",
                                            .type = RB_OPT_STRING,
                                            .offset = offsetof(struct path_options, owner),
                                            .doc = "User (name or number) that must own every match of `exist`.",
                                            .example = "root"},
                                           {.name = "mode",
                                            .type = RB_OPT_STRING,
                                            .offset = offsetof(struct path_options, mode),
                                            .doc = "Permission bits, octal, that every match of `exist` must have exactly.",
                                            .example = "\"0600\""},
                                           {.name = "max_mode",
                                            .type = RB_OPT_STRING,
                                            .offset = offsetof(struct path_options, max_mode),
                                            .doc = "Permission bits, octal, beyond which no match of `exist` may have any.",
                                            .example = "\"0750\""},
                                           {.name = "max_age",
                                            .type = RB_OPT_DURATION,
                                            .offset = offsetof(struct path_options, max_age),
                                            .doc = "Matches of `exist` must have changed within this time.",
                                            .example = "26h"},
                                           {.name = "min_age",
                                            .type = RB_OPT_DURATION,
                                            .offset = offsetof(struct path_options, min_age),
                                            .doc = "Matches of `exist` must not have changed within this time.",
                                            .example = "1m"},
                                           {.name = "age_of",
                                            .type = RB_OPT_CHOICE,
                                            .offset = offsetof(struct path_options, age_of),
                                            .doc = "Which matches the ages hold for.",
                                            .fallback = "each",
                                            .choices = age_choices},
                                           {.name = "count",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct path_options, count),
                                            .doc = "Number of matches of all patterns of `exist` together.",
                                            .sub = count_table,
                                            .sub_size = sizeof(struct count_options),
                                            .example = "{min: 1, max: 10}"},
                                           {.name = "max_size",
                                            .type = RB_OPT_SIZE,
                                            .offset = offsetof(struct path_options, max_size),
                                            .doc = "Greatest size of a file that `exist` matches.",
                                            .example = "100MiB"},
                                           {.name = "min_size",
                                            .type = RB_OPT_SIZE,
                                            .offset = offsetof(struct path_options, min_size),
                                            .doc = "Least size of a file that `exist` matches; 1 B finds empty ones.",
                                            .example = "1B"},
                                           {NULL}};

static const struct rb_value_def values[] = {
    {"matches", "", RB_VALUE_GAUGE, "Files and folders that the patterns of `exist` match.", NULL},
    {"newest_age", "seconds", RB_VALUE_GAUGE, "Time since the last change of the newest match.", NULL},
    {"oldest_age", "seconds", RB_VALUE_GAUGE, "Time since the last change of the oldest match.", NULL},
    {"size", "bytes", RB_VALUE_GAUGE, "Size of all matching files together.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"missing", "A pattern that must match something matches nothing, or only a link that leads nowhere."},
    {"present", "A pattern that must match nothing matches."},
    {"not_executable", "A match is no regular file or may not be executed."},
    {"wrong_owner", "A match belongs to another user."},
    {"wrong_mode", "A match has other permission bits."},
    {"too_old", "A match changed longer ago than max_age."},
    {"too_new", "A match changed more recently than min_age."},
    {"wrong_count", "There are fewer or more matches than allowed."},
    {"wrong_size", "A file is larger or smaller than allowed."},
    {"unknown_owner", "The user of `owner` does not exist on this host."},
    {"unreadable", "A folder could not be looked into, or the walk reached its limit."},
    {NULL}};

struct run {
    const struct rb_check_ctx *ctx;
    const struct path_options *o;
    struct rb_outcome *out;
    int64_t now_ns;
    bool owner_known;
    unsigned owner_uid;
    size_t matches;
    int64_t newest_ns, oldest_ns, size_bytes;
};

static bool parse_mode(const char *text, unsigned *out)
{
    size_t len = strlen(text);
    if (len < 3 || len > 5 || strspn(text, "01234567") != len)
        return false;
    *out = (unsigned)strtoul(text, NULL, 8);
    return *out <= 07777;
}

static void fail_match(struct run *run, const struct rb_found *found, const char *reason, const char *what)
{
    rb_outcome_raise(run->out, RB_RESULT_FAIL, reason, "%s %s", found->path, what);
    rb_outcome_fact(run->out, found->path[0] == '/' ? RB_FACT_PATH : RB_FACT_FILE, "%s", found->path);
}

static const char *age_words(struct run *run, int64_t mtime_ns, const char *suffix)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 256);
    rb_buf_adds(&text, "changed ");
    rb_duration_print(&text, (run->now_ns - mtime_ns) / RB_NS_PER_MS);
    rb_buf_adds(&text, suffix);
    const char *copy = rb_arena_strdup(run->ctx->arena, rb_buf_str(&text));
    return copy ? copy : "has the wrong age";
}

static void check_age(struct run *run, const struct rb_found *found)
{
    int64_t age_ms = (run->now_ns - found->mtime_wall_ns) / RB_NS_PER_MS;
    if (run->o->max_age >= 0 && age_ms > run->o->max_age)
        fail_match(run, found, "too_old", age_words(run, found->mtime_wall_ns, " ago: longer than max_age"));
    if (run->o->min_age >= 0 && age_ms < run->o->min_age)
        fail_match(run, found, "too_new", age_words(run, found->mtime_wall_ns, " ago: less than min_age"));
}

static void check_attributes(struct run *run, const struct rb_found *found)
{
    const struct path_options *o = run->o;
    char what[96];
    unsigned mode = 0, bits = found->mode & 07777;
    if (found->dangling) {
        fail_match(run, found, "missing", "is a link that leads nowhere");
        return;
    }
    if (run->owner_known && found->uid != run->owner_uid) {
        snprintf(what, sizeof(what), "belongs to uid %u, not to %.48s", found->uid, o->owner);
        fail_match(run, found, "wrong_owner", what);
    }
    if (o->mode && parse_mode(o->mode, &mode) && bits != mode) {
        snprintf(what, sizeof(what), "has mode %04o, not %04o", bits, mode);
        fail_match(run, found, "wrong_mode", what);
    }
    if (o->max_mode && parse_mode(o->max_mode, &mode) && (bits & ~mode) != 0) {
        snprintf(what, sizeof(what), "has mode %04o, more than %04o", bits, mode);
        fail_match(run, found, "wrong_mode", what);
    }
    if (!S_ISREG(found->mode))
        return;
    if ((o->max_size >= 0 && found->size_bytes > o->max_size) || (o->min_size >= 0 && found->size_bytes < o->min_size)) {
        snprintf(what, sizeof(what), "has %lld bytes", (long long)found->size_bytes);
        fail_match(run, found, "wrong_size", what);
    }
}

/* The matches of a pattern; false when the outcome already says why there are none to look at. */
static bool expand(struct run *run, const char *pattern, struct rb_found_list *out)
{
    struct rb_error err = {0};
    int code = rb_files_expand(run->ctx->root, pattern, MAX_MATCHES, run->ctx->cancelled, run->ctx->arena, out, &err);
    if (code == RB_ETIMEOUT)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "cancelled", "%s", err.message);
    else if (code < 0)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "unreadable", "%s", err.message);
    else if (out->unreachable > 0)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "unreadable", "%s: %zu folder%s could not be looked into", pattern, out->unreachable,
                         out->unreachable == 1 ? "" : "s");
    return code == 0;
}

static void fail_missing(struct run *run, const char *pattern, const struct rb_found_list *list)
{
    if (list->unreachable > 0)
        return; /* unknown: it may lie where we cannot look */
    rb_outcome_raise(run->out, RB_RESULT_FAIL, "missing", rb_glob_is_literal(pattern) ? "%s does not exist" : "nothing matches %s",
                     pattern);
    if (rb_glob_is_literal(pattern))
        rb_outcome_fact(run->out, pattern[0] == '/' ? RB_FACT_PATH : RB_FACT_FILE, "%s", pattern);
}

static void check_exist(struct run *run, const char *pattern)
{
    struct rb_found_list list;
    if (!expand(run, pattern, &list))
        return;
    if (list.count == 0) {
        fail_missing(run, pattern, &list);
        return;
    }
    const struct rb_found *newest = &list.items[0], *oldest = &list.items[0];
    for (size_t i = 0; i < list.count; i++) {
        const struct rb_found *found = &list.items[i];
        newest = found->mtime_wall_ns > newest->mtime_wall_ns ? found : newest;
        oldest = found->mtime_wall_ns < oldest->mtime_wall_ns ? found : oldest;
        run->size_bytes += S_ISREG(found->mode) ? found->size_bytes : 0;
        check_attributes(run, found);
        if (run->o->age_of == AGE_EACH)
            check_age(run, found);
    }
    if (run->o->age_of == AGE_NEWEST)
        check_age(run, newest);
    if (run->o->age_of == AGE_OLDEST)
        check_age(run, oldest);
    run->newest_ns = run->matches == 0 || newest->mtime_wall_ns > run->newest_ns ? newest->mtime_wall_ns : run->newest_ns;
    run->oldest_ns = run->matches == 0 || oldest->mtime_wall_ns < run->oldest_ns ? oldest->mtime_wall_ns : run->oldest_ns;
    run->matches += list.count;
}

static void check_absent(struct run *run, const char *pattern)
{
    struct rb_found_list list;
    if (!expand(run, pattern, &list) || list.count == 0)
        return;
    rb_outcome_raise(run->out, RB_RESULT_FAIL, "present", "%s must not be there (%zu matches of %s)", list.items[0].path, list.count,
                     pattern);
    for (size_t i = 0; i < list.count && i < RB_OUTCOME_MAX_EVIDENCE; i++) {
        rb_outcome_evidence(run->out, "present: %s", list.items[i].path);
        rb_outcome_fact(run->out, list.items[i].path[0] == '/' ? RB_FACT_PATH : RB_FACT_FILE, "%s", list.items[i].path);
    }
}

static void check_executable(struct run *run, const char *pattern)
{
    struct rb_found_list list;
    if (!expand(run, pattern, &list))
        return;
    if (list.count == 0)
        fail_missing(run, pattern, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct rb_found *found = &list.items[i];
        if (found->dangling)
            fail_match(run, found, "missing", "is a link that leads nowhere");
        else if (!S_ISREG(found->mode))
            fail_match(run, found, "not_executable", "is no regular file");
        else if ((found->mode & 0111) == 0)
            fail_match(run, found, "not_executable", "may not be executed");
    }
}

static void find_owner(struct run *run)
{
    char buffer[16384];
    struct passwd entry, *found = NULL;
    const char *owner = run->o->owner;
    if (!owner)
        return;
    size_t len = strlen(owner);
    if (len > 0 && len < 10 && strspn(owner, "0123456789") == len) {
        run->owner_uid = (unsigned)strtoul(owner, NULL, 10);
        run->owner_known = true;
    } else if (getpwnam_r(owner, &entry, buffer, sizeof(buffer), &found) == 0 && found) {
        run->owner_uid = (unsigned)found->pw_uid;
        run->owner_known = true;
    } else {
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "unknown_owner", "user %s does not exist on this host", owner);
    }
}

static void conclude(struct run *run)
{
    const struct count_options *count = &run->o->count;
    rb_outcome_value(run->out, "matches", NULL, (double)run->matches);
    rb_outcome_value(run->out, "size", NULL, (double)run->size_bytes);
    if (run->matches > 0) {
        rb_outcome_value(run->out, "newest_age", NULL, (double)(run->now_ns - run->newest_ns) / (double)RB_NS_PER_S);
        rb_outcome_value(run->out, "oldest_age", NULL, (double)(run->now_ns - run->oldest_ns) / (double)RB_NS_PER_S);
    }
    if (count->min >= 0 && run->matches < (size_t)count->min)
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "wrong_count", "%zu matches, at least %lld expected", run->matches,
                         (long long)count->min);
    if (count->max >= 0 && run->matches > (size_t)count->max)
        rb_outcome_raise(run->out, RB_RESULT_FAIL, "wrong_count", "%zu matches, at most %lld allowed", run->matches, (long long)count->max);
    size_t patterns = run->o->exist.count + run->o->absent.count + run->o->executable.count;
    if (run->out->result == RB_RESULT_OK)
        rb_outcome_say(run->out, "%zu patterns hold, %zu matches", patterns, run->matches);
}

static void run_check(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    struct run run = {.ctx = ctx, .o = ctx->options, .out = out, .now_ns = rb_wall_ns(ctx->clock)};
    find_owner(&run);
    for (size_t i = 0; i < run.o->exist.count; i++)
        check_exist(&run, run.o->exist.items[i]);
    for (size_t i = 0; i < run.o->absent.count; i++)
        check_absent(&run, run.o->absent.items[i]);
    for (size_t i = 0; i < run.o->executable.count; i++)
        check_executable(&run, run.o->executable.items[i]);
    conclude(&run);
}

/* ---- the table's cross rules ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = rb_node_get(node, key);
    return item ? item->mark : node->mark;
}

static void validate_patterns(const struct rb_strings *patterns, const char *key, const struct rb_node *node, struct rb_diags *diags)
{
    const struct rb_node *list = rb_node_get(node, key);
    for (size_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        struct rb_error err;
        const char *relative = pattern[0] == '/' ? pattern + 1 : strncmp(pattern, "~/", 2) == 0 ? pattern + 2 : pattern;
        struct rb_mark mark = list && list->type == RB_NODE_SEQUENCE && i < list->count ? list->items[i]->mark : mark_of(node, key);
        if (rb_glob_check(relative, &err) < 0)
            (void)rb_diag_add(diags, mark, "%s: %s", key, err.message);
    }
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    const struct path_options *o = opts;
    unsigned mode;
    if (o->exist.count + o->absent.count + o->executable.count == 0)
        (void)rb_diag_add(diags, node->mark, "path: give at least one pattern in exist, absent or executable");
    validate_patterns(&o->exist, "exist", node, diags);
    validate_patterns(&o->absent, "absent", node, diags);
    validate_patterns(&o->executable, "executable", node, diags);
    if (o->mode && !parse_mode(o->mode, &mode))
        (void)rb_diag_add(diags, mark_of(node, "mode"), "mode: \"%s\" is no octal mode; write for example \"0600\"", o->mode);
    if (o->max_mode && !parse_mode(o->max_mode, &mode))
        (void)rb_diag_add(diags, mark_of(node, "max_mode"), "max_mode: \"%s\" is no octal mode; write for example \"0750\"", o->max_mode);
    if (o->count.min >= 0 && o->count.max >= 0 && o->count.min > o->count.max)
        (void)rb_diag_add(diags, mark_of(node, "count"), "count: min is greater than max");
}

/* A pattern may be absolute or from ~: what is not below the root is left to the interval. */
static void watches(const void *opts, struct rb_watch_sink *sink)
{
    const struct path_options *o = opts;
    const struct rb_strings *const lists[] = {&o->exist, &o->absent, &o->executable};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (size_t k = 0; k < lists[i]->count; k++) {
            const char *const *pattern = &lists[i]->items[k];
            if (rb_glob_is_literal(*pattern))
                rb_watch_path(sink, *pattern);
            else if (rb_glob_check(*pattern, NULL) == 0)
                rb_watch_globs(sink, (struct rb_strings){pattern, 1}, (struct rb_strings){0}, true);
        }
    }
}

const struct rb_kind rb_kind_path = {
    .schema = {.schema = {.name = "path",
                          .doc = "Files that must or must not exist, with owner, mode, age, size and number.",
                          .options = options,
                          .size = sizeof(struct path_options),
                          .validate = validate},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = true,
               .example = "{name: runners, kind: path, exist: [\"src/**/l1_runner.py\"], executable: [\"scripts/ops/*.sh\"]}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_WORKER,
    .run = run_check,
    .watches = watches,
};
