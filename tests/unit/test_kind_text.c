/* text: forbidden and required patterns, per file or anywhere, the ratchet by fingerprint and by count, and never ok without having looked. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../support/check_main.h"
#include "../support/kind_real.h"
#include "../support/program.h"
#include "../support/scratch.h"

extern const struct rb_kind rb_kind_text;

static void make(struct scratch *s)
{
    scratch_make(s);
    scratch_folder(s, "config");
    scratch_write(s, "config/a.toml", "mode = \"paper\"\n# LIVE_ARMED=0\n");
    scratch_write(s, "config/b.toml", "x = 1\r\nLIVE_ARMED = 1\r\npassword = hunter2secret LIVE_ARMED=1\r\n");
    scratch_write(s, "notes.md", "EXEC (forbidden)\n");
}

START_TEST(forbidden)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    make(&s);
    kind_run(&rb_kind_text, s.path, "{forbid: [\"LIVE_ARMED\\\\s*=\\\\s*1\"]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "forbidden");
    ck_assert_str_eq(out.message, "2 forbidden lines in 1 files, first config/b.toml:2:1");
    ck_assert_str_eq(out.evidence[0], "config/b.toml:2:1: LIVE_ARMED = 1");
    ck_assert_ptr_null(strstr(out.evidence[1], "hunter2"));
    ck_assert_ptr_nonnull(strstr(out.evidence[1], "config/b.toml:3:26: "));
    ck_assert_uint_eq(out.fact_count, 1);
    ck_assert_str_eq(out.facts[0].value, "config/b.toml");
    ck_assert_double_eq(outcome_number(&out, "matches", "forbid_1"), 2);
    kind_run(&rb_kind_text, s.path, "{forbid: [live_armed], files: [\"config/a*\"]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    kind_run(&rb_kind_text, s.path, "{forbid: [live_armed], ignore_case: true, files: [\"config/a*\"]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    kind_run(&rb_kind_text, s.path, "{forbid: [LIVE_ARMED], exclude: [\"config/**\"]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    scratch_remove(&s);
}
END_TEST

START_TEST(required)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    make(&s);
    kind_run(&rb_kind_text, s.path, "{require: [\"EXEC \\\\(forbidden\\\\)\", paper]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    kind_run(&rb_kind_text, s.path, "{require: [paper, nowhere]}", arena, &out);
    ck_assert_str_eq(out.reason, "missing");
    ck_assert(outcome_mentions(&out, "no file has a match of \"nowhere\""));
    ck_assert(outcome_mentions(&out, "1 of 2 required"));
    kind_run(&rb_kind_text, s.path, "{require: [paper], per_file: true, files: [\"config/*\"]}", arena, &out);
    ck_assert_str_eq(out.reason, "missing");
    ck_assert(outcome_mentions(&out, "config/b.toml: has no match of \"paper\""));
    kind_run(&rb_kind_text, s.path, "{require: [\"=\"], per_file: true, files: [\"config/*\"]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    scratch_remove(&s);
}
END_TEST

static void print_of(const char *evidence, char print[17])
{
    const char *at = strrchr(evidence, '[');
    ck_assert_ptr_nonnull(at);
    memcpy(print, at + 1, 16);
    print[16] = '\0';
}

START_TEST(ratchet_by_fingerprint)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    char one[17], two[17], list[200];
    static const char yaml[] = "{forbid: [TODO], files: [\"*.c\"], accepted: accepted.txt}";
    scratch_make(&s);
    scratch_write(&s, "x.c", "// TODO a\n// TODO a\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_str_eq(out.reason, "accepted_unreadable"); /* a missing list is not an empty one */
    scratch_write(&s, "accepted.txt", "# nothing yet\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    print_of(out.evidence[0], one);
    print_of(out.evidence[1], two);
    ck_assert_str_ne(one, two); /* the second equal line is a finding of its own */
    snprintf(list, sizeof list, "# accepted\n%s old sin\n\n%s\n", one, two);
    scratch_write(&s, "accepted.txt", list);
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert_str_eq(out.message, "1 files: 2 accepted, 0 new");
    scratch_write(&s, "x.c", "\n\n\n\n  // TODO a\n\n// TODO a\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK); /* moved and indented: the same */
    scratch_write(&s, "x.c", "// TODO a\n// TODO b\n// TODO a\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_str_eq(out.message, "1 new forbidden lines in 1 files (2 accepted), first x.c:2:4");
    scratch_write(&s, "x.c", "// TODO a\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert(outcome_mentions(&out, "1 accepted entries cover more"));
    scratch_remove(&s);
}
END_TEST

START_TEST(ratchet_by_count)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    static const char yaml[] = "{forbid: [TODO], files: [\"*.c\"], accepted: accepted.txt}";
    scratch_make(&s);
    scratch_write(&s, "x y.c", "// TODO a\n// TODO b\n");
    scratch_write(&s, "accepted.txt", "./x y.c:2\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    scratch_write(&s, "x y.c", "// TODO a\n// TODO b\n// TODO c\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_str_eq(out.message, "1 new forbidden lines in 1 files (2 accepted), first x y.c:3:4");
    scratch_write(&s, "accepted.txt", "x y.c 2\n");
    kind_run(&rb_kind_text, s.path, yaml, arena, &out);
    ck_assert_str_eq(out.reason, "accepted_unreadable");
    ck_assert_ptr_nonnull(strstr(out.message, "accepted.txt:1:"));
    kind_run(&rb_kind_text, s.path, "{forbid: [TODO], ratchet: true}", arena, &out);
    ck_assert_ptr_nonnull(strstr(out.message, ".runbookd/text.accepted does not exist"));
    scratch_remove(&s);
}
END_TEST

START_TEST(never_ok_without_looking)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    char path[512];
    make(&s);
    kind_run(&rb_kind_text, s.path, "{forbid: [x], files: [\"nope/**\"]}", arena, &out);
    ck_assert_str_eq(out.reason, "no_files");
    ck_assert_int_eq(mkfifo(scratch_path(&s, "pipe", path), 0600), 0);
    kind_run(&rb_kind_text, s.path, "{forbid: [never_there]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK); /* never opened, and not ours */
    git_run(s.path, "init", "-q", "-b", "main");
    ck_assert_int_eq(unlink(path), 0);
    scratch_write(&s, "pipe", "tracked");
    git_run(s.path, "add", "-A");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    kind_run(&rb_kind_text, s.path, "{forbid: [never_there]}", arena, &out);
    ck_assert_str_eq(out.reason, "unreadable"); /* a tracked file that became one */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/dev/zero", path), 0); /* a symlink is its target's affair */
    kind_run(&rb_kind_text, s.path, "{forbid: [never_there]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    /* Above the limit: a text is undecided, a binary file is none of our business. */
    scratch_write(&s, "big", "text");
    ck_assert_int_eq(truncate(scratch_path(&s, "big", path), (off_t)65 << 20), 0);
    kind_run(&rb_kind_text, s.path, "{forbid: [never_there]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert_double_eq(outcome_number(&out, "binary", NULL), 1);
    static char page[128 << 10];
    memset(page, 'x', sizeof page - 1);
    scratch_write(&s, "big", page);
    ck_assert_int_eq(truncate(path, (off_t)65 << 20), 0);
    kind_run(&rb_kind_text, s.path, "{forbid: [never_there]}", arena, &out);
    ck_assert_str_eq(out.reason, "too_large");
    scratch_remove(&s);
}
END_TEST

/* Enough files for the threads: the same findings in the same order as one by one, and one check's patterns are not another's. */
START_TEST(many_files_on_threads)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome outs[2];
    struct rb_scan_job jobs[2];
    struct rb_error err = {0};
    char name[32], text[64];
    scratch_make(&s);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "f%04d.%s", i, i % 3 ? "txt" : "md");
        snprintf(text, sizeof text, "%s%d\n", i % 50 == 0 ? "needle " : "hay ", i);
        scratch_write(&s, name, text);
    }
    static const char *const yaml[] = {"{forbid: [needle]}", "{forbid: [\"hay 1\\\\b\"], files: [\"*.txt\"], require: [\"7$\"]}"};
    for (size_t i = 0; i < 2; i++) {
        rb_outcome_init(&outs[i], arena);
        jobs[i] = (struct rb_scan_job){.kind = &rb_kind_text,
                                       .outcome = &outs[i],
                                       .ctx = {.root = s.path, .arena = arena, .options = real_options(&rb_kind_text, yaml[i], arena)}};
    }
    ck_assert_int_eq(rb_scan_run(s.path, jobs, 2, &err), 0);
    ck_assert_str_eq(outs[0].message, "20 forbidden lines in 20 files, first f0000.md:1:1");
    for (size_t i = 1; i < outs[0].evidence_count; i++)
        ck_assert_str_lt(outs[0].evidence[i - 1], outs[0].evidence[i]);
    ck_assert_str_eq(outs[1].message, "1 forbidden lines in 1 files, first f0001.txt:1:1");
    ck_assert_double_eq(outcome_number(&outs[0], "files", NULL), 1000);
    ck_assert_double_eq(outcome_number(&outs[1], "files", NULL), 666);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("kind_text", forbidden, required, ratchet_by_fingerprint, ratchet_by_count, never_ok_without_looking, many_files_on_threads)
