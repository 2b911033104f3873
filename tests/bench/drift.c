/* Cost of the drift kind alone: `bench_drift ROOT STATE_DIR ROUNDS OPTIONS…` (OPTIONS: the check as a YAML flow mapping without braces). The first run makes the baseline, the
 * rest find nothing changed. With OPTIONS `status` it is git's status as the kind git asks for it. Prints JSON: milliseconds of wall and CPU time of the first run, least and
 * median of the others, growth of private memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../support/test_check.h"
#include "runbook/drift/baseline.h"
#include "runbook/source/git.h"
#include "runbook/state/files.h"

struct cost {
    double wall_ms, cpu_ms;
};

static double cpu_ms(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static int keep(const char *folder, const char *name, const char *bytes, size_t len)
{
    struct rb_error err = {0};
    if (len == 0 || rb_file_replace(folder, name, bytes, len, 0600, &err) == 0)
        return 0;
    (void)fprintf(stderr, "%s\n", err.message);
    return -1;
}

/* One run in an arena of its own, as the daemon makes it. */
static struct cost run_once(const char *yaml, const char *root, const char *state, int64_t *observed, bool *out_ok)
{
    const struct rb_clock *clock = rb_platform_host()->clock;
    struct rb_test_check *check = rb_test_check_new(yaml, clock);
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/" RB_DRIFT_FOLDER, state);
    struct rb_arena *arena = rb_arena_new((size_t)48 << 20);
    check->ctx.arena = arena;
    check->ctx.root = root;
    check->ctx.state_dir = state;
    rb_outcome_init(&check->outcome, arena);
    memcpy(check->ctx.memory, observed, sizeof *observed);
    double cpu = cpu_ms();
    int64_t start = rb_elapsed_ns(clock);
    check->kind->run(&check->ctx, &check->outcome);
    struct cost cost = {.wall_ms = (double)(rb_elapsed_ns(clock) - start) / 1e6, .cpu_ms = cpu_ms() - cpu};
    memcpy(observed, check->ctx.memory, sizeof *observed);
    const struct rb_drift_report *report = check->outcome.drift;
    *out_ok = report && rb_drift_open(report) == 0 && !rb_arena_failed(arena);
    if (*out_ok)
        *out_ok = keep(folder, "test.baseline", report->proposal, report->proposal_len) == 0 &&
                  keep(folder, "test.cache", report->cache, report->cache_len) == 0;
    if (!*out_ok)
        (void)fprintf(stderr, "%s: %s\n", check->outcome.reason, check->outcome.message);
    rb_arena_free(arena);
    rb_test_check_free(check);
    return cost;
}

/* The repository opened, compared and closed, as each run of the kind git does. */
static struct cost status_once(const char *root, bool *out_ok)
{
    const struct rb_clock *clock = rb_platform_host()->clock;
    struct rb_arena *arena = rb_arena_new((size_t)48 << 20);
    struct rb_git *git = NULL;
    struct rb_git_status status;
    struct rb_error err = {0};
    double cpu = cpu_ms();
    int64_t start = rb_elapsed_ns(clock);
    *out_ok = rb_git_open(root, &git, &err) == 0 && rb_git_status(git, true, NULL, arena, &status, &err) == 0;
    rb_git_close(git);
    struct cost cost = {.wall_ms = (double)(rb_elapsed_ns(clock) - start) / 1e6, .cpu_ms = cpu_ms() - cpu};
    if (!*out_ok)
        (void)fprintf(stderr, "%s\n", err.message);
    rb_arena_free(arena);
    return cost;
}

struct subject {
    const char *yaml; /* NULL: git's status */
    const char *root, *state;
    int64_t observed;
};

static struct cost measure_once(struct subject *subject, bool *out_ok)
{
    return subject->yaml ? run_once(subject->yaml, subject->root, subject->state, &subject->observed, out_ok)
                         : status_once(subject->root, out_ok);
}

static int compare_doubles(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static int64_t private_bytes(void)
{
    struct rb_self_info info = {0};
    return rb_platform_host()->self_info(&info, NULL) == 0 ? info.private_bytes : 0;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return EXIT_FAILURE;
    size_t rounds = (size_t)strtoul(argv[3], NULL, 10);
    double *wall = calloc(rounds + 1, sizeof *wall), *cpu = calloc(rounds + 1, sizeof *cpu);
    char yaml[4096], folder[4096];
    int64_t before = private_bytes();
    bool ok = wall && cpu && rounds > 0;
    struct subject subject = {.yaml = strcmp(argv[4], "status") == 0 ? NULL : yaml, .root = argv[1], .state = argv[2]};
    snprintf(yaml, sizeof yaml, "{kind: drift, baseline: auto, %s}", argv[4]);
    snprintf(folder, sizeof folder, "%s/" RB_DRIFT_FOLDER, argv[2]);
    (void)mkdir(folder, 0700);
    struct cost first = ok ? measure_once(&subject, &ok) : (struct cost){0};
    if (ok)
        (void)measure_once(&subject, &ok); /* makes the cache */
    for (size_t i = 0; ok && i < rounds; i++) {
        struct cost cost = measure_once(&subject, &ok);
        wall[i] = cost.wall_ms;
        cpu[i] = cost.cpu_ms;
    }
    if (ok) {
        qsort(wall, rounds, sizeof *wall, compare_doubles);
        qsort(cpu, rounds, sizeof *cpu, compare_doubles);
        printf("{\"first_wall_ms\": %.2f, \"first_cpu_ms\": %.2f, \"unchanged_wall_ms\": {\"min\": %.2f, \"median\": %.2f}, "
               "\"unchanged_cpu_ms\": {\"min\": %.2f, "
               "\"median\": %.2f}, \"private_growth_bytes\": %lld}\n",
               first.wall_ms, first.cpu_ms, wall[0], wall[rounds / 2], cpu[0], cpu[rounds / 2], (long long)(private_bytes() - before));
    }
    free(wall);
    free(cpu);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
