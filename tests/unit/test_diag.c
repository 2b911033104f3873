/* Diagnostics: order, escaping, the limit. */
#include <string.h>

#include "../support/fixture_main.h"
#include "runbook/config/diag.h"

static struct rb_arena *arena;
static struct rb_diags diags;
static struct rb_buf out;

static void setup(void)
{
    arena = rb_arena_new(1 << 20);
    rb_diags_init(&diags, arena);
    rb_buf_init(&out, 1 << 20);
}

static void teardown(void)
{
    rb_buf_fini(&out);
    rb_arena_free(arena);
}

START_TEST(sorted_by_file_and_place)
{
    ck_assert_int_eq(rb_diag_add(&diags, (struct rb_mark){"main.yml", 9, 3}, "third"), RB_ECONFIG);
    ck_assert_int_eq(rb_diag_add(&diags, (struct rb_mark){"a.yml", 1, 1}, "other file"), RB_ECONFIG);
    ck_assert_int_eq(rb_diag_add(&diags, (struct rb_mark){"main.yml", 2, 7}, "second %d", 2), RB_ECONFIG);
    ck_assert_int_eq(rb_diag_add(&diags, (struct rb_mark){"main.yml", 2, 1}, "first"), RB_ECONFIG);
    rb_diags_print(&diags, &out);
    ck_assert_str_eq(rb_buf_str(&out), "main.yml:2:1: first\nmain.yml:2:7: second 2\nmain.yml:9:3: third\na.yml:1:1: other file\n");
}
END_TEST

START_TEST(whole_file_has_no_line)
{
    rb_diag_add(&diags, (struct rb_mark){.file = "x.yml"}, "unreadable");
    rb_diags_print(&diags, &out);
    ck_assert_str_eq(rb_buf_str(&out), "x.yml: unreadable\n");
}
END_TEST

START_TEST(hostile_text_is_escaped)
{
    rb_diag_add(&diags, (struct rb_mark){"a\x1b[2J.yml", 1, 1}, "key '%s'", "x\ny\xe2\x80\xae");
    rb_diags_print(&diags, &out);
    ck_assert_ptr_null(strchr(rb_buf_str(&out), '\x1b'));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "x\\ny\\u{202E}"));
}
END_TEST

START_TEST(beyond_the_limit_is_counted)
{
    for (unsigned i = 0; i < RB_DIAG_MAX + 5; i++)
        rb_diag_add(&diags, (struct rb_mark){"m.yml", i + 1, 1}, "e%u", i);
    ck_assert_uint_eq(diags.count, RB_DIAG_MAX);
    ck_assert_uint_eq(diags.dropped, 5);
    rb_diags_print(&diags, &out);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "\n5 more errors"));
}
END_TEST

START_TEST(file_names_outlive_their_owner)
{
    char name[] = "gone.yml";
    rb_diag_add(&diags, (struct rb_mark){name, 1, 1}, "x");
    memset(name, 'z', sizeof name - 1);
    ck_assert_str_eq(diags.items[0].mark.file, "gone.yml");
}
END_TEST

RB_FIXTURE_MAIN("diag", sorted_by_file_and_place, whole_file_has_no_line, hostile_text_is_escaped, beyond_the_limit_is_counted,
                file_names_outlive_their_owner)
