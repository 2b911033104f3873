/* path: existence, absence, executability and attributes of real files. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "../support/check_main.h"
#include "../support/kind_real.h"
#include "../support/scratch.h"

extern const struct rb_kind rb_kind_path;

static void expect(const struct scratch *s, const char *yaml, enum rb_result result, const char *reason, struct rb_outcome *out,
                   struct rb_arena *arena)
{
    kind_run(&rb_kind_path, s->path, yaml, arena, out);
    ck_assert_msg(out->result == result && strcmp(out->reason, reason) == 0, "%s: %s %s: %s", yaml, rb_result_name(out->result),
                  out->reason, out->message);
}

static void make_tree(struct scratch *s)
{
    char path[512];
    scratch_make(s);
    scratch_folder(s, "bin");
    scratch_write(s, "bin/run.sh", "#!/bin/sh\n");
    scratch_write(s, "bin/plain.sh", "");
    ck_assert_int_eq(chmod(scratch_path(s, "bin/run.sh", path), 0755), 0);
    ck_assert_int_eq(symlink("nowhere", scratch_path(s, "dead", path)), 0);
}

START_TEST(existence)
{
    struct scratch s;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    expect(&s, "{exist: [bin/run.sh, \"**/*.sh\", bin, /etc/passwd], absent: [\"*.orig\"]}", RB_RESULT_OK, "none", &out, arena);
    ck_assert_double_eq(outcome_number(&out, "matches", NULL), 5);
    expect(&s, "{exist: [\"src/**/x.py\", none]}", RB_RESULT_FAIL, "missing", &out, arena);
    ck_assert(outcome_mentions(&out, "nothing matches src/**/x.py"));
    ck_assert(outcome_mentions(&out, "none does not exist"));
    expect(&s, "{exist: [dead]}", RB_RESULT_FAIL, "missing", &out, arena);
    expect(&s, "{absent: [\"bin/*.sh\"]}", RB_RESULT_FAIL, "present", &out, arena);
    ck_assert(outcome_mentions(&out, "present: bin/plain.sh"));
    expect(&s, "{absent: [dead]}", RB_RESULT_FAIL, "present", &out, arena); /* a dead link is there */
    expect(&s, "{executable: [bin/run.sh]}", RB_RESULT_OK, "none", &out, arena);
    expect(&s, "{executable: [\"bin/*.sh\"]}", RB_RESULT_FAIL, "not_executable", &out, arena);
    expect(&s, "{executable: [bin]}", RB_RESULT_FAIL, "not_executable", &out, arena);
    expect(&s, "{executable: [\"none/*\"]}", RB_RESULT_FAIL, "missing", &out, arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(attributes)
{
    struct scratch s;
    char yaml[256];
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    snprintf(
        yaml, sizeof yaml,
        "{exist: [bin/run.sh], owner: \"%u\", mode: \"0755\", max_mode: \"0755\", max_size: 1KiB, min_size: 1B, count: {min: 1, max: 1}}",
        (unsigned)geteuid());
    expect(&s, yaml, RB_RESULT_OK, "none", &out, arena);
    expect(&s, "{exist: [bin/run.sh], owner: \"54321\"}", RB_RESULT_FAIL, "wrong_owner", &out, arena);
    expect(&s, "{exist: [bin/run.sh], owner: nobody-of-that-name}", RB_RESULT_UNKNOWN, "unknown_owner", &out, arena);
    expect(&s, "{exist: [bin/run.sh], mode: \"0600\"}", RB_RESULT_FAIL, "wrong_mode", &out, arena);
    expect(&s, "{exist: [bin/run.sh], max_mode: \"0700\"}", RB_RESULT_FAIL, "wrong_mode", &out, arena);
    expect(&s, "{exist: [\"bin/*\"], min_size: 1B}", RB_RESULT_FAIL, "wrong_size", &out, arena);
    expect(&s, "{exist: [\"bin/*\"], max_size: 5B}", RB_RESULT_FAIL, "wrong_size", &out, arena);
    expect(&s, "{exist: [\"bin/*\"], count: {min: 3}}", RB_RESULT_FAIL, "wrong_count", &out, arena);
    expect(&s, "{exist: [\"bin/*\"], count: {max: 1}}", RB_RESULT_FAIL, "wrong_count", &out, arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(ages)
{
    struct scratch s;
    char path[512];
    make_tree(&s);
    struct utimbuf old = {1000000000, 1000000000};
    ck_assert_int_eq(utime(scratch_path(&s, "bin/plain.sh", path), &old), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    expect(&s, "{exist: [bin/run.sh], max_age: 1h}", RB_RESULT_OK, "none", &out, arena);
    expect(&s, "{exist: [\"bin/*.sh\"], max_age: 1h}", RB_RESULT_FAIL, "too_old", &out, arena);
    expect(&s, "{exist: [\"bin/*.sh\"], max_age: 1h, age_of: newest}", RB_RESULT_OK, "none", &out, arena);
    expect(&s, "{exist: [\"bin/*.sh\"], min_age: 1h, age_of: newest}", RB_RESULT_FAIL, "too_new", &out, arena);
    expect(&s, "{exist: [\"bin/*.sh\"], min_age: 1h, age_of: oldest}", RB_RESULT_OK, "none", &out, arena);
    ck_assert_double_gt(outcome_number(&out, "oldest_age", NULL), 1e8);
    scratch_remove(&s);
}
END_TEST

START_TEST(no_permission_is_unknown)
{
    if (geteuid() == 0)
        return; /* root may look everywhere */
    struct scratch s;
    char path[512];
    make_tree(&s);
    ck_assert_int_eq(chmod(scratch_path(&s, "bin", path), 0), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome out;
    expect(&s, "{exist: [\"bin/*.sh\"]}", RB_RESULT_UNKNOWN, "unreadable", &out, arena);
    expect(&s, "{absent: [bin/x]}", RB_RESULT_UNKNOWN, "unreadable", &out, arena);
    ck_assert_int_eq(chmod(path, 0700), 0);
    scratch_remove(&s);
}
END_TEST

START_TEST(wrong_options_are_told)
{
    static const char *const wrong[] = {"{}",
                                        "{exist: [\"a[\"]}",
                                        "{exist: [a], mode: \"9z\"}",
                                        "{exist: [a], max_mode: rwx}",
                                        "{exist: [a], count: {min: 2, max: 1}}",
                                        "{exist: [../x]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
        struct rb_diags *diags = rb_arena_alloc(arena, sizeof *diags);
        ck_assert_ptr_nonnull(diags);
        rb_diags_init(diags, arena);
        struct rb_node *node = NULL;
        struct rb_node_load_options load = {0};
        ck_assert_int_eq(rb_node_load_text("t", "/", wrong[i], strlen(wrong[i]), &load, arena, diags, &node), 0);
        void *options = rb_arena_alloc(arena, rb_kind_path.schema.schema.size);
        ck_assert_msg(rb_options_parse(&rb_kind_path.schema.schema, node, NULL, arena, options, diags) == RB_ECONFIG, "%s", wrong[i]);
    }
}
END_TEST

RB_TEST_MAIN("kind_path", existence, attributes, ages, no_permission_is_unknown, wrong_options_are_told)
