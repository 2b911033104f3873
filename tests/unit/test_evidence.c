/* Facts of a repository and of a configuration, on a repository that libgit2 makes here. */
#include <git2.h>

#include "../../lib/evidence/repo.h"
#include "../support/check_main.h"
#include "../support/scratch.h"

#define PASSWORD \
    "hunter"     \
    "2hunter"

struct place {
    struct scratch scratch;
    git_repository *repo;
};

static void setup(struct place *place)
{
    scratch_make(&place->scratch);
    ck_assert_int_gt(git_libgit2_init(), 0);
    ck_assert_int_eq(git_repository_init(&place->repo, place->scratch.path, 0), 0);
}

static void teardown(struct place *place)
{
    git_repository_free(place->repo);
    git_libgit2_shutdown();
    scratch_remove(&place->scratch);
}

static void commit(struct place *place, const char *message, git_time_t when)
{
    git_index *index = NULL;
    git_oid tree_id, id, parent_id;
    git_tree *tree = NULL;
    git_signature *who = NULL;
    git_commit *parent = NULL;
    ck_assert_int_eq(git_repository_index(&index, place->repo), 0);
    ck_assert_int_eq(git_index_add_all(index, NULL, 0, NULL, NULL), 0);
    ck_assert_int_eq(git_index_write(index), 0);
    ck_assert_int_eq(git_index_write_tree(&tree_id, index), 0);
    ck_assert_int_eq(git_tree_lookup(&tree, place->repo, &tree_id), 0);
    ck_assert_int_eq(git_signature_new(&who, "A \x1b[31mname", "a@example.org", when, 120), 0);
    if (git_reference_name_to_id(&parent_id, place->repo, "HEAD") == 0)
        ck_assert_int_eq(git_commit_lookup(&parent, place->repo, &parent_id), 0);
    const git_commit *parents[] = {parent};
    ck_assert_int_eq(git_commit_create(&id, place->repo, "HEAD", who, who, NULL, message, tree, parent ? 1 : 0, parents), 0);
    git_commit_free(parent);
    git_signature_free(who);
    git_tree_free(tree);
    git_index_free(index);
}

static void expect_status(struct place *place, const char *expected)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    struct rb_error err = {0};
    ck_assert_int_eq(repo_status(place->repo, &text, &err), 0);
    ck_assert_str_eq(rb_buf_str(&text), expected);
}

START_TEST(status_letters)
{
    struct place place;
    setup(&place);
    expect_status(&place, "");
    scratch_write(&place.scratch, "b", "b");
    scratch_write(&place.scratch, "a\nx", "a");
    expect_status(&place, "?? a\\nx\n?? b\n");
    commit(&place, "first", 1700000000);
    expect_status(&place, "");
    scratch_write(&place.scratch, "b", "changed");
    char path[512];
    ck_assert_int_eq(unlink(scratch_path(&place.scratch, "a\nx", path)), 0);
    expect_status(&place, " D a\\nx\n M b\n");
    git_index *index = NULL;
    ck_assert_int_eq(git_repository_index(&index, place.repo), 0);
    scratch_write(&place.scratch, "new", "n");
    ck_assert_int_eq(git_index_add_bypath(index, "new"), 0);
    ck_assert_int_eq(git_index_add_bypath(index, "b"), 0);
    ck_assert_int_eq(git_index_remove_bypath(index, "a\nx"), 0);
    ck_assert_int_eq(git_index_write(index), 0);
    scratch_write(&place.scratch, "b", "changed again");
    expect_status(&place, "D  a\\nx\nMM b\nA  new\n");
    git_index_free(index);
    teardown(&place);
}
END_TEST

START_TEST(a_patch_masked_and_escaped)
{
    struct place place;
    setup(&place);
    scratch_write(&place.scratch, "a.yml", "x: 1\n");
    commit(&place, "first", 1700000000);
    scratch_write(&place.scratch, "a.yml",
                  "x: 1\npassword: " PASSWORD "\n-----BEGIN PRIVATE "
                  "KEY-----\nabcdefgh\nijklmnop\n-----END PRIVATE "
                  "KEY-----\n\tesc \x1b[0m\n");
    commit(&place, "Subject\n\ntoken=" PASSWORD "\n", 1700000001);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    struct rb_error err = {0};
    size_t masked = 0;
    ck_assert_int_eq(repo_show(place.repo, "HEAD", &text, &masked, &err), 0);
    ck_assert_uint_eq(masked, 3);
    ck_assert_ptr_null(strstr(rb_buf_str(&text), PASSWORD));
    ck_assert_ptr_null(strstr(rb_buf_str(&text), "ijklmnop"));
    ck_assert_ptr_null(strchr(rb_buf_str(&text), '\x1b'));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "\n+\tesc \\x1b[0m\n"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "\ndate 2023-11-14T22:13:21Z\n"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "\n--- a/a.yml\n+++ b/a.yml\n"));
    ck_assert_int_eq(repo_show(place.repo, "nothing", &text, &masked, &err), RB_ENOTFOUND);
    teardown(&place);
}
END_TEST

START_TEST(times_that_commits_claim)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {{1700000000, "2023-11-14T22:13:20Z"}, {0, "@0"}, {INT64_MAX, "@9223372036854775807"}, {-1, "1969-12-31T23:59:59Z"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 256);
        repo_add_time(&text, cases[i].seconds);
        ck_assert_str_eq(rb_buf_str(&text), cases[i].text);
    }
}
END_TEST

START_TEST(head_time)
{
    struct place place;
    setup(&place);
    ck_assert_int_eq(rb_evidence_head_time(place.scratch.path), 0);
    commit(&place, "first", 1700000000);
    ck_assert_int_eq(rb_evidence_head_time(place.scratch.path), 1700000000);
    commit(&place, "before time", -5);
    ck_assert_int_eq(rb_evidence_head_time(place.scratch.path), 0);
    ck_assert_int_eq(rb_evidence_head_time("/nonexistent"), 0);
    teardown(&place);
}
END_TEST

static int add_files(const char *root, const char *path, const char **out_missing)
{
    static char missing[512];
    struct rb_archive *archive = rb_archive_new("bundle", 0);
    struct rb_error err = {0};
    const char *const items[] = {path, NULL};
    struct rb_strings paths = {.items = items, .count = 1};
    int rc = rb_evidence_add_files(archive, root, "", &paths, &err);
    const char *first = rb_archive_missing(archive, 0);
    snprintf(missing, sizeof missing, "%s", first ? first : "");
    *out_missing = missing;
    rb_archive_free(archive);
    return rc;
}

START_TEST(files_of_the_tree)
{
    struct place place;
    setup(&place);
    scratch_write(&place.scratch, "a", "a");
    scratch_folder(&place.scratch, "d");
    scratch_write(&place.scratch, "d/[x]", "x");
    char path[512];
    ck_assert_int_eq(symlink("/etc/passwd", scratch_path(&place.scratch, "out", path)), 0);
    const char *root = place.scratch.path, *missing;
    ck_assert_int_eq(add_files(root, "a", &missing), 0);
    ck_assert_str_eq(missing, "");
    ck_assert_int_eq(add_files(root, "./d//[x]", &missing), 0);
    ck_assert_str_eq(missing, "");
    ck_assert_int_eq(add_files(root, scratch_path(&place.scratch, "a", path), &missing), 0);
    ck_assert_str_eq(missing, "");
    ck_assert_int_eq(add_files(root, "out", &missing), 0);
    ck_assert_str_eq(missing, "out");
    ck_assert_int_eq(add_files(root, "none*", &missing), 0);
    ck_assert_str_eq(missing, "none*");
    ck_assert_int_eq(add_files(root, ".git/config", &missing), 0);
    ck_assert_str_eq(missing, ".git/config");
    ck_assert_int_eq(add_files(root, "d/../../x", &missing), RB_EINVAL);
    ck_assert_int_eq(add_files(root, "/etc/passwd", &missing), RB_EINVAL);
    teardown(&place);
}
END_TEST

RB_TEST_MAIN("evidence", status_letters, a_patch_masked_and_escaped, times_that_commits_claim, head_time, files_of_the_tree)
