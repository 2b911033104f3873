/* The list of accepted findings: both forms of a line, remarks, order, and every way in which a file is refused. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/scratch.h"
#include "runbook/source/accepted.h"

static int load(const struct scratch *s, const char *text, struct rb_arena *arena, struct rb_accepted *out, struct rb_error *err)
{
    scratch_write(s, "accepted.txt", text);
    return rb_accepted_load(s->path, "accepted.txt", arena, out, err);
}

START_TEST(fingerprints_and_counts)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_accepted list = {0};
    ck_assert_int_eq(load(&s,
                          "# what we live with\n\n  \t\r\n"
                          "fedcba9876543210  moved to the vault in May\r\n"
                          "0123456789abcdef # test key\n"
                          "./src/a file: odd.py:3 # three of them\n"
                          "00000000000000aa see issue:12\n"
                          "src/b.py:12",
                          arena, &list, NULL),
                     0);
    ck_assert_uint_eq(list.count, 5);
    ck_assert_uint_eq(rb_accepted_find(&list, "00000000000000aa")->count, 0); /* its remark ends like a count */
    for (size_t i = 1; i < list.count; i++)
        ck_assert_int_lt(strcmp(list.items[i - 1].key, list.items[i].key), 0);
    ck_assert_uint_eq(rb_accepted_find(&list, "0123456789abcdef")->count, 0);
    ck_assert_ptr_nonnull(rb_accepted_find(&list, "fedcba9876543210"));
    ck_assert_uint_eq(rb_accepted_find(&list, "src/a file: odd.py")->count, 3);
    ck_assert_uint_eq(rb_accepted_find(&list, "src/b.py")->count, 12);
    ck_assert_uint_eq(rb_accepted_find(&list, "src/b.py")->used, 0);
    ck_assert_ptr_null(rb_accepted_find(&list, "src/b"));
    scratch_remove(&s);
}
END_TEST

START_TEST(nothing_is_accepted)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    static const char *const empty[] = {"", "\n", "# only words", "\r\n\r\n"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct rb_accepted list = {0};
        ck_assert_int_eq(load(&s, empty[i], arena, &list, NULL), 0);
        ck_assert_uint_eq(list.count, 0);
        ck_assert_ptr_null(rb_accepted_find(&list, "0123456789abcdef"));
    }
    scratch_remove(&s);
}
END_TEST

START_TEST(what_cannot_be_understood_is_told)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    static const char *const bad[] = {
        "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "src/a.py", "src/a.py:",
        "src/a.py:0",      "src/a.py:-1",       "src/a.py:many",    ":3",       "src/a.py:99999999999999999999",
        "src/a.py:1 2 3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rb_accepted list = {.count = 7};
        struct rb_error err = {0};
        char text[128];
        snprintf(text, sizeof text, "# one\n0123456789abcdef\n%s\n", bad[i]);
        ck_assert_msg(load(&s, text, arena, &list, &err) == RB_EPARSE, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(err.message, "accepted.txt:3: "));
        ck_assert_uint_eq(list.count, 7); /* untouched */
    }
    scratch_remove(&s);
}
END_TEST

START_TEST(only_a_small_regular_text_file)
{
    struct scratch s;
    char path[512];
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_accepted list = {0};
    struct rb_error err = {0};
    ck_assert_int_eq(rb_accepted_load(s.path, "none.txt", arena, &list, &err), RB_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "create it"));
    scratch_write(&s, "plain", "");
    ck_assert_int_eq(rb_accepted_load(s.path, "plain/none.txt", arena, &list, &err), RB_ENOTFOUND);
    scratch_folder(&s, "dir");
    ck_assert_int_eq(rb_accepted_load(s.path, "dir", arena, &list, &err), RB_EINVAL);
    ck_assert_int_eq(mkfifo(scratch_path(&s, "pipe", path), 0600), 0);
    ck_assert_int_eq(rb_accepted_load(s.path, "pipe", arena, &list, &err), RB_EINVAL); /* and does not wait for a writer */
    ck_assert_int_eq(symlink("plain", scratch_path(&s, "link", path)), 0);
    ck_assert_int_eq(rb_accepted_load(s.path, "link", arena, &list, &err), RB_ESYS);
    ck_assert_int_eq(err.saved_errno, ELOOP);
    ck_assert_int_eq(rb_accepted_load(s.path, "../outside", arena, &list, &err), RB_ESYS);
    ck_assert_int_eq(rb_accepted_load("/nonexistent/root", "x", arena, &list, &err), RB_ESYS);
    scratch_write(&s, "large", "");
    ck_assert_int_eq(truncate(scratch_path(&s, "large", path), RB_ACCEPTED_MAX_BYTES + 1), 0);
    ck_assert_int_eq(rb_accepted_load(s.path, "large", arena, &list, &err), RB_ELIMIT);
    ck_assert_int_eq(truncate(path, 10), 0); /* of NUL bytes */
    ck_assert_int_eq(rb_accepted_load(s.path, "large", arena, &list, &err), RB_EPARSE);
    scratch_remove(&s);
}
END_TEST

START_TEST(memory_ends)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64);
    struct rb_accepted list = {0};
    struct rb_error err = {0};
    char text[600];
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(load(&s, text, arena, &list, &err), RB_ENOMEM);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("accepted", fingerprints_and_counts, nothing_is_accepted, what_cannot_be_understood_is_told, only_a_small_regular_text_file,
             memory_ends)
