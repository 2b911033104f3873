/* The journal: what is written comes back, whatever happened to the file in between. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/state_fixture.h"

struct bench {
    struct rb_fake_clock clock;
    char dir[64], path[96], old_path[96];
};

static void bench_init(struct bench *bench)
{
    rb_fake_clock_init(&bench->clock, WALL0);
    (void)snprintf(bench->dir, sizeof bench->dir, "/tmp/rb-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(bench->dir));
    (void)snprintf(bench->path, sizeof bench->path, "%s/journal", bench->dir);
    (void)snprintf(bench->old_path, sizeof bench->old_path, "%s/journal.1", bench->dir);
}

static void bench_fini(struct bench *bench)
{
    (void)unlink(bench->path);
    (void)unlink(bench->old_path);
    ck_assert_int_eq(rmdir(bench->dir), 0);
}

static struct rb_journal *open_ok(struct bench *bench, struct rb_journal_report *report)
{
    struct rb_journal *journal = NULL;
    struct rb_error err = {0};
    int rc = rb_journal_open(bench->dir, &bench->clock.clock, false, &journal, report, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    return journal;
}

static void note(struct rb_journal *journal, const char *text)
{
    rb_journal_append(journal,
                      &(struct rb_journal_event){.kind = RB_EVENT_KIND_NOTE, .check = "c0", .from = "ok", .to = "fail", .text = text});
}

static int flush(struct rb_journal *journal)
{
    struct rb_journal_batch *batch = rb_journal_take(journal);
    ck_assert_ptr_nonnull(batch);
    ck_assert_ptr_null(rb_journal_take(journal)); /* one at a time */
    rb_journal_write(batch);
    struct rb_error err = {0};
    return rb_journal_written(journal, batch, &err);
}

static size_t slurp(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(out, 1, size, file);
    (void)fclose(file);
    return len;
}

static void spill(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

static struct rb_event_entry *newest(struct rb_journal *journal)
{
    struct rb_event_entry *entry = NULL;
    ck_assert_uint_eq(rb_journal_recent(journal, &entry, 1), 1);
    return entry;
}

START_TEST(events_come_back_in_order_after_a_restart)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal_report report;
    struct rb_journal *journal = open_ok(&bench, &report);
    ck_assert(!rb_journal_dirty(journal));
    note(journal, "first");
    note(journal, "quote \" back\\slash\nnewline \x1b[31m \xff");
    ck_assert(rb_journal_dirty(journal));
    ck_assert_int_eq(flush(journal), 0);
    ck_assert(!rb_journal_dirty(journal));
    rb_journal_free(journal);

    rb_fake_clock_step(&bench.clock, -3600 * SECOND); /* order is by number, not by time */
    journal = open_ok(&bench, &report);
    ck_assert_uint_eq(report.events, 2);
    ck_assert_uint_eq(report.damaged + report.torn, 0);
    note(journal, "third");
    struct rb_event_entry *entries[4];
    ck_assert_uint_eq(rb_journal_recent(journal, entries, 4), 3);
    ck_assert_str_eq(entries[0]->text, "first");
    ck_assert_str_eq(entries[0]->check, "c0");
    ck_assert_str_eq(entries[0]->from, "ok");
    ck_assert_str_eq(entries[1]->text, "quote \" back\\slash\\nnewline \\x1b[31m \\xff");
    ck_assert_str_eq(entries[2]->text, "third");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(entries[i]->seq, i + 1);
        rb_event_entry_unref(entries[i]);
    }
    rb_journal_free(journal);
    bench_fini(&bench);
}
END_TEST

START_TEST(secrets_do_not_reach_the_file)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = open_ok(&bench, NULL);
    note(journal, "login with password=hunter2hunter2 failed");
    ck_assert_int_eq(flush(journal), 0);
    rb_journal_free(journal);
    static char bytes[4096];
    bytes[slurp(bench.path, bytes, sizeof bytes - 1)] = '\0';
    ck_assert_ptr_null(strstr(bytes, "hunter2"));
    ck_assert_ptr_nonnull(strstr(bytes, "[redacted]"));
    bench_fini(&bench);
}
END_TEST

/* kill -9 at any byte: whatever length the file has, it opens, and at most the last line is gone. */
START_TEST(a_cut_at_any_byte_loses_at_most_the_last_line)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = open_ok(&bench, NULL);
    for (unsigned i = 0; i < 4; i++)
        note(journal, "something happened");
    ck_assert_int_eq(flush(journal), 0);
    rb_journal_free(journal);
    static char bytes[8192];
    size_t len = slurp(bench.path, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= len; cut++) {
        size_t whole_lines = 0;
        for (size_t i = 0; i < cut; i++)
            whole_lines += bytes[i] == '\n';
        spill(bench.path, bytes, cut);
        struct rb_journal_report report;
        journal = open_ok(&bench, &report);
        ck_assert_msg(report.events == (whole_lines ? whole_lines - 1 : 0), "cut at %zu: %zu events", cut, report.events);
        ck_assert_uint_eq(report.damaged, 0);
        note(journal, "after");
        ck_assert_int_eq(flush(journal), 0);
        rb_journal_free(journal);
        journal = open_ok(&bench, &report);
        ck_assert_msg(report.events == (whole_lines ? whole_lines : 1), "cut at %zu, reopened: %zu events", cut, report.events);
        ck_assert_uint_eq(report.damaged + report.torn, 0);
        rb_journal_free(journal);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(a_damaged_line_is_skipped_and_named)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = open_ok(&bench, NULL);
    for (unsigned i = 0; i < 5; i++)
        note(journal, "something happened");
    ck_assert_int_eq(flush(journal), 0);
    rb_journal_free(journal);
    static char bytes[8192];
    size_t len = slurp(bench.path, bytes, sizeof bytes);
    unsigned line = 1, flipped = 0;
    for (size_t i = 0; i < len; i++) {
        char kept = bytes[i];
        unsigned damaged_line = line;
        line += kept == '\n';
        if (damaged_line == 1 || damaged_line == 6 || kept == '\n')
            continue;
        bytes[i] = (char)(kept ^ 1);
        if (bytes[i] == '\n') {
            bytes[i] = kept;
            continue;
        }
        spill(bench.path, bytes, len);
        bytes[i] = kept;
        struct rb_journal_report report;
        journal = open_ok(&bench, &report);
        ck_assert_uint_eq(report.events, 4);
        ck_assert_uint_eq(report.damaged, 1);
        ck_assert_uint_eq(report.first_damaged_line, damaged_line);
        rb_journal_free(journal);
        flipped++;
    }
    ck_assert_uint_gt(flipped, 200);
    bench_fini(&bench);
}
END_TEST

START_TEST(what_is_not_a_journal_is_refused)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = NULL;
    struct rb_error err = {0};
    spill(bench.path, "#!/bin/sh\nrm -rf /\n", 19);
    ck_assert_int_eq(rb_journal_open(bench.dir, &bench.clock.clock, false, &journal, NULL, &err), RB_ECORRUPT);
    spill(bench.path, "runbookd journal 2\nnew things\n", 30);
    ck_assert_int_eq(rb_journal_open(bench.dir, &bench.clock.clock, false, &journal, NULL, &err), RB_EUNSUPPORTED);
    ck_assert_int_eq(unlink(bench.path), 0);
    ck_assert_int_eq(symlink("/etc/hosts", bench.path), 0);
    ck_assert_int_eq(rb_journal_open(bench.dir, &bench.clock.clock, false, &journal, NULL, &err), RB_ESYS);
    ck_assert_int_eq(unlink(bench.path), 0);
    ck_assert_int_eq(mkfifo(bench.path, 0600), 0);
    ck_assert_int_eq(rb_journal_open(bench.dir, &bench.clock.clock, false, &journal, NULL, &err), RB_EPERM);
    ck_assert_int_eq(rb_journal_open("/nonexistent/rb", &bench.clock.clock, false, &journal, NULL, &err), RB_ESYS);
    ck_assert_ptr_null(journal);
    bench_fini(&bench);
}
END_TEST

START_TEST(read_only_creates_and_cuts_nothing)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = NULL;
    struct rb_journal_report report;
    ck_assert_int_eq(rb_journal_open(bench.dir, &bench.clock.clock, true, &journal, &report, NULL), 0);
    note(journal, "only here");
    ck_assert(!rb_journal_dirty(journal));
    ck_assert_ptr_null(rb_journal_take(journal));
    ck_assert_uint_eq(rb_journal_ring_count(journal), 1);
    rb_journal_free(journal);
    ck_assert_int_ne(access(bench.path, F_OK), 0);
    spill(bench.path, "runbookd journal 1\n1 2 3 1 no", 29);
    ck_assert_int_eq(rb_journal_open(bench.dir, &bench.clock.clock, true, &journal, &report, NULL), 0);
    ck_assert_uint_eq(report.torn, 1);
    rb_journal_free(journal);
    struct stat st;
    ck_assert_int_eq(stat(bench.path, &st), 0);
    ck_assert_int_eq(st.st_size, 29);
    bench_fini(&bench);
}
END_TEST

START_TEST(the_file_rotates_and_keeps_one_old)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = open_ok(&bench, NULL);
    static char text[2001];
    memset(text, 'x', 2000);
    for (unsigned i = 0; i < 5000; i++) { /* more than 9 MB in all: two rotations */
        note(journal, text);
        if (i % 500 == 499)
            ck_assert_int_eq(flush(journal), 0);
    }
    rb_journal_free(journal);
    struct stat current, old;
    ck_assert_int_eq(stat(bench.path, &current), 0);
    ck_assert_int_eq(stat(bench.old_path, &old), 0);
    ck_assert_int_le(current.st_size, 4 << 20);
    ck_assert_int_le(old.st_size, 4 << 20);
    struct rb_journal_report report;
    journal = open_ok(&bench, &report);
    ck_assert_uint_gt(report.events, RB_TIMELINE_MAX);
    ck_assert_uint_eq(report.damaged, 0);
    struct rb_event_entry *entry = newest(journal);
    ck_assert_uint_eq(entry->seq, 5000);
    rb_event_entry_unref(entry);
    rb_journal_free(journal);
    bench_fini(&bench);
}
END_TEST

START_TEST(the_queue_is_bounded_and_tells_what_it_lost)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = open_ok(&bench, NULL);
    for (unsigned i = 0; i < 4096 + 7; i++)
        note(journal, "x");
    ck_assert_uint_eq(rb_journal_dropped(journal), 7);
    ck_assert_uint_eq(rb_journal_count(journal), 4096 + 7);
    ck_assert_int_eq(flush(journal), 0);
    note(journal, "later");
    ck_assert_int_eq(flush(journal), 0);
    rb_journal_free(journal);
    struct rb_journal_report report;
    journal = open_ok(&bench, &report);
    ck_assert_uint_eq(report.events, 4096 + 2);
    struct rb_event_entry *entries[2];
    ck_assert_uint_eq(rb_journal_recent(journal, entries, 2), 2);
    ck_assert_int_eq(entries[0]->kind, RB_EVENT_KIND_GAP);
    ck_assert_ptr_nonnull(strstr(entries[0]->text, "7 events"));
    rb_event_entry_unref(entries[0]);
    rb_event_entry_unref(entries[1]);
    rb_journal_free(journal);
    bench_fini(&bench);
}
END_TEST

/* A full disk, by the file size limit of this process: the write stops in the middle of a line. */
START_TEST(a_failed_write_is_cut_back_and_tried_again)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal *journal = open_ok(&bench, NULL);
    for (unsigned i = 0; i < 20; i++)
        note(journal, "something happened");
    struct rlimit before, tight;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1000;
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int rc = flush(journal);
    note(journal, "meanwhile");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, old_handler);
    ck_assert_int_eq(rc, RB_ESYS);
    ck_assert(rb_journal_dirty(journal));
    static char bytes[8192];
    size_t len = slurp(bench.path, bytes, sizeof bytes);
    ck_assert_uint_gt(len, 300);
    ck_assert_int_eq(bytes[len - 1], '\n');
    ck_assert_int_eq(flush(journal), 0);
    rb_journal_free(journal);
    struct rb_journal_report report;
    journal = open_ok(&bench, &report);
    ck_assert_uint_eq(report.events, 21);
    ck_assert_uint_eq(report.damaged, 0);
    struct rb_event_entry *entry = newest(journal);
    ck_assert_str_eq(entry->text, "meanwhile");
    rb_event_entry_unref(entry);
    rb_journal_free(journal);
    bench_fini(&bench);
}
END_TEST

START_TEST(the_ring_keeps_the_newest)
{
    struct rb_fake_clock clock;
    rb_fake_clock_init(&clock, WALL0);
    struct rb_journal *journal = rb_journal_new_memory(&clock.clock);
    for (unsigned i = 0; i < RB_TIMELINE_MAX + 10; i++)
        note(journal, "x");
    static struct rb_event_entry *entries[RB_TIMELINE_MAX];
    ck_assert_uint_eq(rb_journal_recent(journal, entries, RB_TIMELINE_MAX), RB_TIMELINE_MAX);
    ck_assert_uint_eq(entries[0]->seq, 11);
    ck_assert_uint_eq(entries[RB_TIMELINE_MAX - 1]->seq, RB_TIMELINE_MAX + 10);
    rb_journal_free(journal); /* entries outlive it */
    for (size_t i = 0; i < RB_TIMELINE_MAX; i++)
        rb_event_entry_unref(entries[i]);
}
END_TEST

/* Numbers that others have kept are not given again, neither now nor by the next one to open it; lower ones change nothing. */
START_TEST(numbers_go_on_behind_what_others_have_kept)
{
    struct bench bench;
    bench_init(&bench);
    struct rb_journal_report report;
    struct rb_journal *journal = open_ok(&bench, &report);
    static const uint64_t after[] = {0, 41, 7, UINT64_MAX}, wanted[] = {1, 42, 43, 44};
    for (size_t i = 0; i < 4; i++) {
        rb_journal_number_after(journal, after[i]);
        note(journal, "one");
        struct rb_event_entry *entry = newest(journal);
        ck_assert_uint_eq(entry->seq, wanted[i]);
        rb_event_entry_unref(entry);
    }
    ck_assert_int_eq(flush(journal), 0);
    rb_journal_free(journal);
    journal = open_ok(&bench, &report);
    ck_assert_uint_eq(report.events, 4);
    note(journal, "another");
    struct rb_event_entry *entry = newest(journal);
    ck_assert_uint_eq(entry->seq, 45);
    rb_event_entry_unref(entry);
    rb_journal_free(journal);
    bench_fini(&bench);
}
END_TEST

START_TEST(every_kind_has_a_name_of_its_own)
{
    for (unsigned i = 0; i < RB_EVENT_KIND_COUNT; i++) {
        for (unsigned j = 0; j < i; j++)
            ck_assert_str_ne(rb_event_kind_name((enum rb_event_kind)i), rb_event_kind_name((enum rb_event_kind)j));
    }
}
END_TEST

RB_TEST_MAIN("journal", events_come_back_in_order_after_a_restart, secrets_do_not_reach_the_file,
             a_cut_at_any_byte_loses_at_most_the_last_line, a_damaged_line_is_skipped_and_named, what_is_not_a_journal_is_refused,
             read_only_creates_and_cuts_nothing, the_file_rotates_and_keeps_one_old, the_queue_is_bounded_and_tells_what_it_lost,
             a_failed_write_is_cut_back_and_tried_again, the_ring_keeps_the_newest, numbers_go_on_behind_what_others_have_kept,
             every_kind_has_a_name_of_its_own)
