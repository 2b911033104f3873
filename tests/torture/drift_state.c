/* What the torture kills: `drift_state write DIR` accepts a baseline and then one item after the other, as the daemon does, and says "N" on standard output after each that was
 * acknowledged; `drift_state verify DIR N` proves that the N acknowledged acceptances stand, that no file is torn, and that the journal lost at most its last line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app_internal.h"
#include "drift.h"
#include "runbook/state/files.h"

enum { ROUNDS = 20, FACTS = 40 };

static const struct rb_kind kind = {.schema = {.schema = {.name = "drift"}}, .exec = RB_EXEC_WORKER};

static int die(const char *what, const struct rb_error *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err ? err->message : "");
    return EXIT_FAILURE;
}

struct world {
    struct rb_arena *arena;
    struct rb_plan plan;
    struct rb_check_spec spec;
    struct rb_drift_report report;
    struct rb_drift_item items[ROUNDS];
    struct rb_record record;
    struct rb_record *records[1];
    struct rb_snapshot snapshot;
};

/* A snapshot by hand whose one check has `round` - 1 as the number of the item that differs; round 0: no baseline. */
static void show(struct world *w, int round)
{
    w->report = (struct rb_drift_report){.baseline_wall_ns = round == 0 ? 0 : 1, .items = w->items, .item_count = round == 0 ? 0 : 1};
    if (round > 0)
        w->items[0] = (struct rb_drift_item){.id = rb_arena_printf(w->arena, "%012d", round),
                                             .key = rb_arena_printf(w->arena, "k%02d", round - 1),
                                             .change = RB_DRIFT_CHANGED,
                                             .old_value = "1",
                                             .new_value = "2"};
    w->record = (struct rb_record){.refs = 1000, .spec = &w->spec, .drift = &w->report};
    w->records[0] = &w->record;
    w->snapshot = (struct rb_snapshot){.refs = 1000, .plan = &w->plan, .records = w->records, .count = 1};
}

static int write_proposal(struct world *w, const char *folder, struct rb_error *err)
{
    struct rb_drift_baseline proposal = {.check = "cfg", .source = "files", .wall_ns = 1};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    rb_drift_facts_init(&proposal.facts, w->arena);
    for (int i = 0; i < FACTS; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%02d", i);
        if (!rb_drift_facts_add(&proposal.facts, key, "1"))
            return rb_error_set(err, RB_ENOMEM, "facts");
    }
    int rc = rb_drift_facts_finish(&proposal.facts, err);
    rc = rc == 0 ? rb_drift_baseline_encode(&proposal, &text, err) : rc;
    return rc == 0 ? rb_file_replace(folder, "cfg.proposed", text.data, text.len, 0600, err) : rc;
}

static bool accept_round(struct world *w, const char *dir, int round)
{
    int status = 0;
    char problem[32];
    RB_BUF_AUTO detail;
    rb_buf_init(&detail, 65536);
    show(w, round);
    static const char json[] = "{\"all\":true,\"reason\":\"PR #1\",\"who\":\"op\"}";
    struct rb_drift_job *job = rb_drift_job_new(&w->snapshot, dir, json, sizeof json - 1, 5, &status, problem, &detail);
    if (!job)
        return false;
    rb_drift_job_work(job);
    int rc = rb_drift_job_result(job, &detail);
    rb_drift_job_free(job);
    return rc == 0;
}

static void note(struct rb_journal *journal, int round)
{
    char text[32];
    snprintf(text, sizeof text, "round %d", round);
    rb_journal_append(journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_DRIFT, .check = "cfg", .text = text});
    struct rb_journal_batch *batch = rb_journal_take(journal);
    if (batch) {
        rb_journal_write(batch);
        (void)!rb_journal_written(journal, batch, NULL);
    }
}

static int write_all(struct world *w, const char *base)
{
    struct rb_error err = {0};
    char dir[RB_PATH_MAX], folder[RB_PATH_MAX + 16];
    int lock = -1;
    struct rb_journal *journal = NULL;
    struct rb_journal_report seen;
    if (rb_state_dir_open(base, "/torture", true, dir, sizeof dir, &err) < 0 || rb_state_lock(dir, &lock, &err) < 0)
        return die("state", &err);
    snprintf(folder, sizeof folder, "%s/" RB_DRIFT_FOLDER, dir);
    if (mkdir(folder, 0700) != 0 && access(folder, W_OK) != 0)
        return die("folder", NULL);
    if (rb_journal_open(dir, rb_platform_host()->clock, false, &journal, &seen, &err) < 0)
        return die("journal", &err);
    int done = 0;
    if (write_proposal(w, folder, &err) == 0)
        for (int round = 0; round <= ROUNDS; round++) {
            if (accept_round(w, dir, round)) {
                char text[16];
                int len = snprintf(text, sizeof text, "%d\n", ++done);
                (void)!write(STDOUT_FILENO, text, (size_t)len);
            } else if (round == 0) {
                break; /* without a baseline there is nothing to accept */
            }
            note(journal, round);
        }
    rb_journal_free(journal);
    close(lock);
    return EXIT_SUCCESS;
}

static int verify_log(const char *dir, struct rb_arena *arena, size_t acknowledged)
{
    char path[RB_PATH_MAX + 32];
    struct rb_drift_log log;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_LOG_MAX);
    snprintf(path, sizeof path, "%s/" RB_DRIFT_LOG, dir);
    if (access(path, F_OK) != 0)
        return acknowledged == 0 ? 0 : die("the accept log is gone", NULL);
    if (rb_file_read(path, RB_DRIFT_LOG_MAX, true, &text, NULL) < 0 ||
        rb_drift_log_read(rb_buf_str(&text), text.len, arena, &log, NULL) < 0)
        return die("the accept log cannot be read", NULL);
    if (log.damaged > 0)
        return die("the accept log is damaged", NULL);
    return log.count + 1 >= acknowledged ? 0 : die("the accept log lost more than its last line", NULL);
}

static int verify(struct world *w, const char *base, size_t acknowledged)
{
    struct rb_error err = {0};
    char dir[RB_PATH_MAX];
    struct rb_drift_baseline baseline;
    struct rb_journal *journal = NULL;
    struct rb_journal_report seen = {0};
    int rc = rb_state_dir_open(base, "/torture", false, dir, sizeof dir, &err);
    if (rc == RB_ENOTFOUND)
        return acknowledged == 0 ? EXIT_SUCCESS : die("the folder is gone", &err);
    rc = rc == 0 ? rb_drift_baseline_read(dir, "cfg", w->arena, &baseline, &err) : rc;
    if (rc == RB_ENOTFOUND && acknowledged == 0)
        return EXIT_SUCCESS;
    if (rc < 0)
        return die("the baseline", &err);
    if (baseline.facts.count != FACTS || baseline.overlay_count + 1 < acknowledged)
        return die("the baseline lost what was acknowledged", NULL);
    if (verify_log(dir, w->arena, acknowledged) != 0)
        return EXIT_FAILURE;
    if (rb_journal_open(dir, rb_platform_host()->clock, true, &journal, &seen, &err) < 0)
        return die("the journal", &err);
    rb_journal_free(journal);
    return seen.damaged == 0 ? EXIT_SUCCESS : die("the journal is damaged", NULL);
}

int main(int argc, char **argv)
{
    struct world *w = calloc(1, sizeof *w);
    if (argc < 3 || !w || !(w->arena = rb_arena_new((size_t)64 << 20)))
        return EXIT_FAILURE;
    w->spec = (struct rb_check_spec){.name = "cfg", .kind = &kind.schema};
    w->plan = (struct rb_plan){.refs = 1000, .checks = &w->spec, .count = 1};
    int code = strcmp(argv[1], "write") == 0 ? write_all(w, argv[2])
                                             : verify(w, argv[2], argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 0);
    rb_arena_free(w->arena);
    free(w);
    return code;
}
