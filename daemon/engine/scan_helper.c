/* The scan helper's main: reads a job from stdin, walks the tree once for all checks in it, writes one outcome a line in the job's order and at last what it cost, and ends.
 * Whatever a parser does to it, the daemon is another process. Two programs begin here: runbookd-scan, and the daemon's own binary where that one is missing.
 *
 * Invariants: one line per check, also for one whose options no longer parse; nothing is written before everything is known, so that a helper that dies leaves no half
 * truth; its deadline is the job's, the daemon kills it a little later. */
#include "scan_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runbook/check/scan.h"

#define JOB_ARENA_MAX   ((size_t)256 * 1024 * 1024)
#define CHECK_ARENA_MAX ((size_t)64 * 1024 * 1024)
#define OUTPUT_MAX      ((size_t)64 * 1024 * 1024)
#define COMMON_KEYS_MAX 64u

struct helper {
    const struct rb_kind_list *kinds;
    struct rb_arena *arena;
    struct scan_job job;
    struct rb_check_spec *specs;
    struct rb_outcome *outcomes;
    struct rb_scan_job *scans; /* only checks that could be set up */
    size_t scan_count;
    const char *common_keys[COMMON_KEYS_MAX + 1];
    atomic_bool cancelled;
};

static int read_input(int fd, struct rb_buf *in)
{
    char bytes[16384];
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got == 0)
            return in->failed ? -1 : 0;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            rb_buf_add(in, bytes, (size_t)got);
    }
}

static int write_output(int fd, const struct rb_buf *out)
{
    size_t sent = 0;
    while (sent < out->len) {
        ssize_t written = write(fd, out->data + sent, out->len - sent);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0)
            sent += (size_t)written;
    }
    return 0;
}

static const struct rb_kind *find_kind(const struct rb_kind_list *kinds, const char *name)
{
    for (size_t i = 0; i < kinds->count; i++) {
        const struct rb_kind *kind = rb_kind_of(kinds->items[i]);
        if (kind->exec == RB_EXEC_SCAN && strcmp(kind->schema.schema.name, name) == 0)
            return kind;
    }
    return NULL;
}

/* Keys of a check's mapping that are not the kind's. */
static void collect_common_keys(struct helper *helper)
{
    size_t count = 0;
    helper->common_keys[count++] = "name";
    helper->common_keys[count++] = "kind";
    for (const struct rb_option *row = rb_common_schema.options; row->name && count < COMMON_KEYS_MAX; row++)
        helper->common_keys[count++] = row->name;
}

/* The kind's options from the order's node; NULL with the first diagnostic in the outcome when they do not parse. */
static const void *parse_options(struct helper *helper, const struct rb_schema *schema, const struct scan_order *order,
                                 struct rb_outcome *outcome)
{
    void *options = rb_arena_alloc(helper->arena, schema->size);
    struct rb_diags *diags = rb_arena_alloc(helper->arena, sizeof *diags);
    if (!options || !diags) {
        rb_outcome_set(outcome, RB_RESULT_UNKNOWN, "resource_limit", "the scan helper's memory is used up");
        return NULL;
    }
    rb_diags_init(diags, helper->arena);
    if (rb_options_parse(schema, order->node, helper->common_keys, helper->arena, options, diags) == 0)
        return options;
    rb_outcome_set(outcome, RB_RESULT_UNKNOWN, "internal_error", "the scan helper could not read the check's options: %s",
                   diags->count ? diags->items[0].message : "unknown");
    return NULL;
}

static void set_up(struct helper *helper, size_t index, const struct rb_platform *platform)
{
    const struct scan_order *order = &helper->job.orders[index];
    struct rb_outcome *outcome = &helper->outcomes[index];
    const struct rb_kind *kind = find_kind(helper->kinds, order->kind);
    struct rb_arena *arena = rb_arena_new(CHECK_ARENA_MAX);
    rb_outcome_init(outcome, arena ? arena : helper->arena);
    if (!kind || !arena) {
        rb_outcome_set(outcome, RB_RESULT_UNKNOWN, "internal_error", "the scan helper cannot run kind %s", order->kind);
        return;
    }
    const void *options = parse_options(helper, &kind->schema.schema, order, outcome);
    if (!options)
        return;
    struct rb_check_spec *spec = &helper->specs[index];
    *spec = (struct rb_check_spec){
        .name = order->name, .kind = &kind->schema, .timeout_ms = helper->job.timeout_ms, .options = options, .node = order->node};
    int64_t now_ns = rb_elapsed_ns(platform->clock);
    helper->scans[helper->scan_count++] = (struct rb_scan_job){.kind = kind,
                                                               .outcome = outcome,
                                                               .ctx = {.spec = spec,
                                                                       .options = options,
                                                                       .root = helper->job.root,
                                                                       .platform = platform,
                                                                       .clock = platform->clock,
                                                                       .deadline_ns = now_ns + helper->job.timeout_ms * RB_NS_PER_MS,
                                                                       .cancelled = &helper->cancelled,
                                                                       .arena = arena}};
}

/* A pass that failed as a whole says so in every check that took part. */
static void fail_all(struct helper *helper, const struct rb_error *error)
{
    for (size_t i = 0; i < helper->scan_count; i++) {
        struct rb_outcome *outcome = helper->scans[i].outcome;
        rb_outcome_init(outcome, outcome->arena);
        rb_outcome_set(outcome, RB_RESULT_UNKNOWN, error->code == RB_EPERM ? "not_permitted" : "internal_error", "the scan failed: %s",
                       error->message);
    }
}

static int write_outcomes(struct helper *helper, int fd)
{
    RB_BUF_AUTO out;
    rb_buf_init(&out, OUTPUT_MAX);
    for (size_t i = 0; i < helper->job.count; i++) {
        struct rb_outcome *outcome = &helper->outcomes[i];
        if (rb_arena_failed(outcome->arena)) {
            rb_outcome_init(outcome, outcome->arena);
            outcome->result = RB_RESULT_UNKNOWN;
            outcome->reason = "resource_limit";
            outcome->message = "the scan of this check needed more memory than its limit";
        }
        if (rb_outcome_to_json(outcome, &out, NULL) < 0)
            return -1;
        rb_buf_addc(&out, '\n');
    }
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    rb_buf_addf(&out, "{\"peak_resident_bytes\":%lld}\n", (long long)usage.ru_maxrss * RB_MAXRSS_UNIT);
    return out.failed ? -1 : write_output(fd, &out);
}

/* The daemon shows the end of what is written here. */
static int refuse(const struct rb_error *error)
{
    if (error->message[0] != '\0')
        (void)fprintf(stderr, "%s\n", error->message);
    return 1;
}

static int run(struct helper *helper, int in_fd, int out_fd)
{
    RB_BUF_AUTO in;
    rb_buf_init(&in, SCAN_JOB_MAX_BYTES);
    struct rb_error error = {0};
    if (read_input(in_fd, &in) != 0 || scan_job_read(rb_buf_str(&in), in.len, helper->arena, &helper->job, &error) < 0)
        return refuse(&error);
    rb_buf_fini(&in);
    size_t count = helper->job.count;
    helper->specs = rb_arena_array(helper->arena, count + 1, sizeof *helper->specs);
    helper->outcomes = rb_arena_array(helper->arena, count + 1, sizeof *helper->outcomes);
    helper->scans = rb_arena_array(helper->arena, count + 1, sizeof *helper->scans);
    if (!helper->specs || !helper->outcomes || !helper->scans)
        return 1;
    collect_common_keys(helper);
    for (size_t i = 0; i < count; i++)
        set_up(helper, i, rb_platform_host());
    if (helper->scan_count && rb_scan_run(helper->job.root, helper->scans, helper->scan_count, &error) < 0)
        fail_all(helper, &error);
    return write_outcomes(helper, out_fd) == 0 ? 0 : 1;
}

int scan_helper_run(const struct rb_kind_list *kinds, int in_fd, int out_fd)
{
    struct helper helper = {.kinds = kinds, .arena = rb_arena_new(JOB_ARENA_MAX)};
    if (!helper.arena)
        return 1;
    int rc = run(&helper, in_fd, out_fd);
    for (size_t i = 0; helper.outcomes && i < helper.job.count; i++) {
        if (helper.outcomes[i].arena != helper.arena)
            rb_arena_free(helper.outcomes[i].arena);
    }
    rb_arena_free(helper.arena);
    return rc;
}

int rb_scan_helper_main(void)
{
    return scan_helper_run(rb_kind_registry(), STDIN_FILENO, STDOUT_FILENO);
}
