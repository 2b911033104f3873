/* Trust: what an untrusted file may not do, and what makes it trusted. */
#include <stdlib.h>
#include <string.h>

#include "../support/fake_kinds.h"
#include "../support/fixture_main.h"
#include "../support/scratch.h"

static struct rb_arena *arena;
static struct rb_diags diags;
static struct rb_error err;
static struct scratch scratch;
static struct rb_plan *plan;
static char state[512];

static void setup(void)
{
    unsetenv("STATE_DIRECTORY");
    unsetenv("RUNBOOKD_CONFIG");
    arena = rb_arena_new((size_t)16 << 20);
    rb_diags_init(&diags, arena);
    scratch_make(&scratch);
    scratch_path(&scratch, "state", state);
    scratch_write(&scratch, "secret", "s");
    scratch_write(&scratch, "extra.yml", "checks: [{name: extra, kind: program, url: 'http://x'}]\n");
    scratch_write(&scratch, "runbookd.yml",
                  "include: extra.yml\ndaemon: {state_dir: mine}\n"
                  "checks:\n  - {name: probe, kind: probe, url: 'http://x'}\n  - {name: program, kind: program, url: 'http://x'}\n"
                  "  - {name: leak, kind: probe, url: 'http://x', pairs: {token: !file secret}}\n");
    plan = NULL;
}

static void teardown(void)
{
    rb_plan_unref(plan);
    scratch_remove(&scratch);
    rb_arena_free(arena);
}

static void load(void)
{
    struct rb_plan_request request = {.cwd = scratch.path, .state_dir = state};
    rb_plan_unref(plan);
    plan = NULL;
    ck_assert_msg(rb_plan_load(&request, &fake_kinds, &diags, &plan, &err) == 0, "%s", err.message);
}

static bool is_held(const char *name)
{
    return plan->checks[rb_plan_find(plan, name)].untrusted;
}

START_TEST(a_found_file_starts_no_program)
{
    load();
    ck_assert(!plan->trusted);
    ck_assert(!is_held("probe") && is_held("program") && is_held("extra"));
    ck_assert_msg(is_held("leak"), "a secret must not leave before somebody read the file");
    ck_assert_uint_eq(plan->warnings.count, 1);
    ck_assert_ptr_nonnull(strstr(plan->warnings.items[0], "3 checks"));
    ck_assert_ptr_nonnull(strstr(plan->warnings.items[0], "runbookd trust"));
}
END_TEST

START_TEST(recorded_it_is_trusted_until_it_changes)
{
    load();
    ck_assert_int_eq(rb_trust_record(plan->trust_dir, plan->source, plan->digest, &err), 0);
    load();
    ck_assert(plan->trusted && !is_held("program") && !is_held("leak"));
    ck_assert_uint_eq(plan->warnings.count, 0);
    scratch_write(&scratch, "extra.yml", "checks: [{name: extra, kind: program, url: 'http://y'}]\n");
    load();
    ck_assert(!plan->trusted && is_held("extra"));
}
END_TEST

START_TEST(the_file_cannot_bring_its_own_record)
{
    char mine[512];
    load();
    ck_assert_int_eq(rb_trust_record(scratch_path(&scratch, "mine", mine), plan->source, plan->digest, &err), 0);
    load();
    ck_assert(!plan->trusted);
}
END_TEST

START_TEST(a_named_file_is_trusted)
{
    struct rb_plan_request request = {.config = "runbookd.yml", .cwd = scratch.path, .state_dir = state};
    ck_assert_int_eq(rb_plan_load(&request, &fake_kinds, &diags, &plan, &err), 0);
    ck_assert(plan->trusted && !is_held("program"));
}
END_TEST

START_TEST(the_record)
{
    char a[RB_SHA256_HEX], b[RB_SHA256_HEX], path[512];
    struct stat st;
    rb_sha256_of("a", 1, a);
    rb_sha256_of("b", 1, b);
    ck_assert(!rb_trust_check(state, "/x/runbookd.yml", a));
    ck_assert_int_eq(rb_trust_record(state, "/x/runbookd.yml", a, &err), 0);
    ck_assert_int_eq(rb_trust_record(state, "/y/runbookd.yml", a, &err), 0);
    ck_assert(rb_trust_check(state, "/x/runbookd.yml", a) && rb_trust_check(state, "/y/runbookd.yml", a));
    ck_assert_int_eq(rb_trust_record(state, "/x/runbookd.yml", b, &err), 0);
    ck_assert(!rb_trust_check(state, "/x/runbookd.yml", a) && rb_trust_check(state, "/x/runbookd.yml", b));
    ck_assert(rb_trust_check(state, "/y/runbookd.yml", a) && !rb_trust_check(state, "/x/runbookd.ym", b));
    ck_assert_int_eq(stat(scratch_path(&scratch, "state/trust", path), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(rb_trust_record(state, "/x\n/y", a, &err), RB_EINVAL);
    ck_assert_int_eq(rb_trust_record(scratch_path(&scratch, "secret", path), "/x", a, &err), RB_ESYS);
}
END_TEST

START_TEST(the_digest_sees_where_files_end)
{
    char one[512], two[512], before[RB_SHA256_HEX], after[RB_SHA256_HEX];
    const char *items[] = {scratch_path(&scratch, "one", one), scratch_path(&scratch, "two", two), NULL};
    const struct rb_strings files = {.items = items, .count = 2};
    scratch_write(&scratch, "one", "ab");
    scratch_write(&scratch, "two", "c");
    ck_assert_int_eq(rb_trust_digest(&files, before, &err), 0);
    scratch_write(&scratch, "one", "a");
    scratch_write(&scratch, "two", "bc");
    ck_assert_int_eq(rb_trust_digest(&files, after, &err), 0);
    ck_assert_str_ne(before, after);
    unlink(two);
    ck_assert_int_lt(rb_trust_digest(&files, after, &err), 0);
}
END_TEST

RB_FIXTURE_MAIN("trust", a_found_file_starts_no_program, recorded_it_is_trusted_until_it_changes, the_file_cannot_bring_its_own_record,
                a_named_file_is_trusted, the_record, the_digest_sees_where_files_end)
