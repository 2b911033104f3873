/* git: every condition of SPEC 11 on real repositories. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "../support/check_main.h"
#include "../support/kind_real.h"
#include "../support/program.h"
#include "../support/scratch.h"

extern const struct rb_kind rb_kind_git;
const char *__lsan_default_suppressions(void);

/* libgit2 1.5 leaks a match context of PCRE2 in each git_remote_lookup (only ls-remote still needs it): not ours to free. */
const char *__lsan_default_suppressions(void)
{
    return "leak:git_remote_lookup\nleak:libgit2";
}

static void make_repository(struct scratch *s)
{
    scratch_make(s);
    git_run(s->path, "init", "-q", "-b", "main");
    scratch_write(s, "a", "1\n");
    scratch_write(s, ".gitignore", "secret\n");
    git_run(s->path, "add", "-A");
    git_run(s->path, "commit", "-q", "-m", "x");
}

static void expect(const char *root, const char *yaml, enum rb_result result, const char *reason, struct rb_outcome *out,
                   struct rb_arena *arena)
{
    kind_run(&rb_kind_git, root, yaml, arena, out);
    ck_assert_msg(out->result == result && strcmp(out->reason, reason) == 0, "%s: %s %s: %s", yaml, rb_result_name(out->result),
                  out->reason, out->message);
}

START_TEST(branch_and_clean)
{
    struct scratch s;
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    expect(s.path, "{clean: true, branch: main}", RB_RESULT_OK, "none", &out, arena);
    ck_assert_ptr_nonnull(strstr(out.message, "main@"));
    expect(s.path, "{branch: \"m*\"}", RB_RESULT_OK, "none", &out, arena);
    expect(s.path, "{branch: release}", RB_RESULT_FAIL, "wrong_branch", &out, arena);
    scratch_write(&s, "a", "22\n");
    scratch_write(&s, "new", "n\n");
    expect(s.path, "{clean: true}", RB_RESULT_FAIL, "not_clean", &out, arena);
    ck_assert(outcome_mentions(&out, "changed: a"));
    ck_assert(outcome_hints(&out, "status --short"));
    ck_assert_double_eq(outcome_number(&out, "modified", NULL), 1);
    ck_assert_double_eq(outcome_number(&out, "untracked", NULL), 1);
    expect(s.path, "{}", RB_RESULT_OK, "none", &out, arena); /* only what is asked for is judged */
    ck_assert_ptr_nonnull(strstr(out.message, "2 files uncommitted"));
    git_run(s.path, "checkout", "-q", "a");
    expect(s.path, "{clean: true, untracked: false}", RB_RESULT_OK, "none", &out, arena);
    git_run(s.path, "checkout", "-q", "--detach");
    expect(s.path, "{branch: main}", RB_RESULT_FAIL, "detached", &out, arena);
    expect(s.path, "{}", RB_RESULT_OK, "none", &out, arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(no_repository)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome out;
    expect(s.path, "{}", RB_RESULT_UNKNOWN, "not_a_repository", &out, arena);
    git_run(s.path, "init", "-q", "-b", "main");
    expect(s.path, "{branch: main}", RB_RESULT_OK, "none", &out, arena);
    ck_assert_ptr_nonnull(strstr(out.message, "no commit yet"));
    scratch_write(&s, ".git/HEAD", "garbage");
    expect(s.path, "{}", RB_RESULT_UNKNOWN, "unreadable", &out, arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(locks_and_operations)
{
    struct scratch s;
    char path[512];
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    scratch_write(&s, ".git/index.lock", "");
    expect(s.path, "{}", RB_RESULT_OK, "none", &out, arena); /* a young lock is a git at work */
    struct utimbuf old = {1000000000, 1000000000};
    ck_assert_int_eq(utime(scratch_path(&s, ".git/index.lock", path), &old), 0);
    expect(s.path, "{}", RB_RESULT_FAIL, "stuck_lock", &out, arena);
    ck_assert(outcome_mentions(&out, "index.lock"));
    ck_assert(outcome_hints(&out, "index.lock"));
    ck_assert_int_eq(unlink(path), 0);
    scratch_write(&s, ".git/MERGE_HEAD", "0123456789012345678901234567890123456789\n");
    expect(s.path, "{}", RB_RESULT_FAIL, "operation", &out, arena);
    ck_assert_ptr_nonnull(strstr(out.message, "merge"));
    scratch_remove(&s);
}
END_TEST

START_TEST(upstream_fetch_remote)
{
    struct scratch s;
    char clone[512];
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    expect(s.path, "{max_behind: 0}", RB_RESULT_UNKNOWN, "no_upstream", &out, arena);
    expect(s.path, "{max_fetch_age: 7d}", RB_RESULT_WARN, "fetch_old", &out, arena);
    git_run(s.path, "clone", "-q", "--no-local", ".", "inner");
    scratch_path(&s, "inner", clone);
    expect(clone, "{max_behind: 0, max_ahead: 0, max_fetch_age: 7d, remote: true, clean: true}", RB_RESULT_OK, "none", &out, arena);
    ck_assert_double_eq(outcome_number(&out, "remote_reachable", NULL), 1);
    scratch_write(&s, "a", "2\n");
    git_run(s.path, "commit", "-q", "-a", "-m", "y");
    expect(clone, "{max_behind: 0}", RB_RESULT_OK, "none", &out, arena);
    expect(clone, "{max_behind: 0, remote: true}", RB_RESULT_WARN, "remote_ahead", &out, arena);
    git_run(clone, "fetch", "-q");
    expect(clone, "{max_behind: 0, remote: true}", RB_RESULT_FAIL, "behind", &out, arena);
    ck_assert_double_eq(outcome_number(&out, "behind", NULL), 1);
    expect(clone, "{max_behind: 1}", RB_RESULT_OK, "none", &out, arena);
    char fetch_head[600];
    struct utimbuf old = {1000000000, 1000000000};
    snprintf(fetch_head, sizeof fetch_head, "%s/.git/FETCH_HEAD", clone);
    ck_assert_int_eq(utime(fetch_head, &old), 0);
    expect(clone, "{max_fetch_age: 7d}", RB_RESULT_WARN, "fetch_old", &out, arena);
    git_run(clone, "remote", "set-url", "origin", "/nonexistent");
    expect(clone, "{remote: true}", RB_RESULT_OK, "none", &out, arena); /* unreachable never worsens it */
    ck_assert_double_eq(outcome_number(&out, "remote_reachable", NULL), 0);
    scratch_remove(&s);
}
END_TEST

START_TEST(tags_ignored_shallow)
{
    struct scratch s;
    make_repository(&s);
    git_run(s.path, "tag", "v1");
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_outcome out;
    expect(s.path, "{tags: [v1], ignored: [secret], shallow: false}", RB_RESULT_OK, "none", &out, arena);
    expect(s.path, "{tags: [v1, v2]}", RB_RESULT_FAIL, "missing_tag", &out, arena);
    expect(s.path, "{ignored: [a]}", RB_RESULT_FAIL, "not_ignored", &out, arena);
    expect(s.path, "{shallow: true}", RB_RESULT_FAIL, "shallow", &out, arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(hostile_folder_name_enters_no_command)
{
    struct scratch s;
    char root[512];
    scratch_make(&s);
    scratch_folder(&s, "evil\n$(touch x)");
    scratch_path(&s, "evil\n$(touch x)", root);
    git_run(root, "init", "-q", "-b", "main");
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome out;
    scratch_write(&s, "evil\n$(touch x)/f", "");
    expect(root, "{clean: true}", RB_RESULT_FAIL, "not_clean", &out, arena);
    ck_assert_uint_eq(out.hint_count, 0);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("kind_git", branch_and_clean, no_repository, locks_and_operations, upstream_fetch_remote, tags_ignored_shallow,
             hostile_folder_name_enters_no_command)
