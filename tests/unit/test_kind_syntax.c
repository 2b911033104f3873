/* syntax: broken files with their place, mending, what cannot be judged, JSON with comments. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/kind_real.h"
#include "../support/program.h"
#include "../support/scratch.h"

extern const struct rb_kind rb_kind_syntax;

static void make_repository(struct scratch *s)
{
    scratch_make(s);
    git_run(s->path, "init", "-q", "-b", "main");
    scratch_write(s, "a.toml", "a = 1\n");
    scratch_write(s, "b.yml", "b: 1\n");
    scratch_write(s, "c.json", "{\"c\": 1}\n");
    scratch_write(s, "tsconfig.json", "{/* known for comments */ \"c\": 1,}\n");
    scratch_write(s, "d.txt", "{{{");
    git_run(s->path, "add", "-A");
}

START_TEST(break_and_mend)
{
    struct scratch s;
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert_str_eq(out.message, "4 files parse: 1 TOML, 1 YAML, 2 JSON");
    scratch_write(&s, "b.yml", "b: 1\nx: [1\n");
    scratch_write(&s, "c.json", "{\"c\": 1, \"c\": 2}\n");
    scratch_write(&s, "untracked.json", "{");
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "broken");
    ck_assert_ptr_nonnull(strstr(out.message, "2 of 4 files broken: b.yml:3:1: "));
    ck_assert(outcome_mentions(&out, "c.json:1:10: duplicate key"));
    ck_assert_double_eq(outcome_number(&out, "broken", "yaml"), 1);
    ck_assert_double_eq(outcome_number(&out, "broken", "toml"), 0);
    ck_assert_double_eq(outcome_number(&out, "files", "json"), 2);
    ck_assert_uint_eq(out.fact_count, 2);
    kind_run(&rb_kind_syntax, s.path, "{untracked: true}", arena, &out);
    ck_assert(outcome_mentions(&out, "untracked.json:2:1") || outcome_mentions(&out, "untracked.json:1:2"));
    scratch_write(&s, "b.yml", "b: 1\n");
    scratch_write(&s, "c.json", "{}");
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    scratch_remove(&s);
}
END_TEST

START_TEST(json_modes)
{
    struct scratch s;
    make_repository(&s);
    scratch_write(&s, "c.json", "{\"c\": 1, // why\n}\n");
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert(outcome_mentions(&out, "c.json:1:10"));
    ck_assert(outcome_mentions(&out, "valid only as JSON with comments"));
    kind_run(&rb_kind_syntax, s.path, "{json: lenient}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    kind_run(&rb_kind_syntax, s.path, "{json: strict, exclude: [c.json]}", arena, &out);
    ck_assert(outcome_mentions(&out, "tsconfig.json:1:2"));
    scratch_remove(&s);
}
END_TEST

START_TEST(never_ok_without_looking)
{
    struct scratch s;
    char path[512];
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    kind_run(&rb_kind_syntax, s.path, "{files: [\"nope/*.toml\"]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(out.reason, "no_files");
    kind_run(&rb_kind_syntax, s.path, "{files: [\"d.txt\"]}", arena, &out);
    ck_assert_str_eq(out.reason, "no_files");
    ck_assert(outcome_mentions(&out, "tell no format"));
    ck_assert_int_eq(unlink(scratch_path(&s, "c.json", path)), 0);
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK); /* deleted: skipped and counted */
    ck_assert_double_eq(outcome_number(&out, "deleted", NULL), 1);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_str_eq(out.reason, "unreadable");
    ck_assert_int_eq(unlink(path), 0);
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = '\0';
    scratch_write(&s, "c.json", deep);
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(out.reason, "too_large");
    /* A symlink is its target's affair. */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    scratch_remove(&s);
}
END_TEST

START_TEST(many_broken_files_are_counted)
{
    struct scratch s;
    scratch_make(&s);
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%03d.json", i);
        scratch_write(&s, name, "{");
    }
    scratch_write(&s, "evil\n\x1b[31m.json", "{");
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    kind_run(&rb_kind_syntax, s.path, "{}", arena, &out);
    ck_assert_ptr_nonnull(strstr(out.message, "101 of 101 files broken"));
    ck_assert_uint_eq(out.evidence_count, RB_OUTCOME_MAX_EVIDENCE);
    ck_assert_uint_eq(out.evidence_dropped, 101 - RB_OUTCOME_MAX_EVIDENCE);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("kind_syntax", break_and_mend, json_modes, never_ok_without_looking, many_broken_files_are_counted)
