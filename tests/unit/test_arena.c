/* The arena: alignment, zeroed memory, the maximum, sticky failure. */
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/arena.h"

START_TEST(pieces_are_aligned_zeroed_and_apart)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    unsigned char *pieces[200];
    for (size_t i = 0; i < 200; i++) {
        size_t size = i * 7 % 300;
        pieces[i] = rb_arena_alloc(arena, size);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t b = 0; b < size; b++)
            ck_assert_uint_eq(pieces[i][b], 0);
        memset(pieces[i], (int)(i & 0xff), size);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t b = 0; b < i * 7 % 300; b++)
            ck_assert_uint_eq(pieces[i][b], i & 0xff);
    }
    ck_assert(!rb_arena_failed(arena));
}
END_TEST

START_TEST(large_pieces_do_not_waste_the_block)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 22);
    char *first = rb_arena_alloc(arena, 16);
    ck_assert_ptr_nonnull(rb_arena_alloc(arena, 1 << 20));
    char *second = rb_arena_alloc(arena, 16);
    ck_assert_ptr_eq(second, first + 16);
}
END_TEST

START_TEST(maximum_is_exact_and_failure_sticks)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1024);
    ck_assert_ptr_nonnull(rb_arena_alloc(arena, 1024));
    ck_assert_uint_eq(rb_arena_used(arena), 1024);
    ck_assert(!rb_arena_failed(arena));
    ck_assert_ptr_null(rb_arena_alloc(arena, 1));
    ck_assert(rb_arena_failed(arena));
    ck_assert_ptr_null(rb_arena_strdup(arena, "x"));
    ck_assert_ptr_null(rb_arena_printf(arena, "x"));
}
END_TEST

START_TEST(overflow_fails)
{
    RB_ARENA_AUTO *arena = rb_arena_new(SIZE_MAX);
    ck_assert_ptr_null(rb_arena_array(arena, SIZE_MAX / 2, 3));
    ck_assert(rb_arena_failed(arena));
    RB_ARENA_AUTO *other = rb_arena_new(SIZE_MAX);
    ck_assert_ptr_null(rb_arena_alloc(other, SIZE_MAX));
    ck_assert(rb_arena_failed(other));
    RB_ARENA_AUTO *third = rb_arena_new(SIZE_MAX);
    ck_assert_ptr_null(rb_arena_strndup(third, "x", SIZE_MAX));
}
END_TEST

START_TEST(texts)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    ck_assert_ptr_null(rb_arena_strdup(arena, NULL));
    ck_assert_str_eq(rb_arena_strdup(arena, "abc"), "abc");
    ck_assert_mem_eq(rb_arena_strndup(arena, "a\0bc", 3), "a\0b", 4);
    ck_assert_str_eq(rb_arena_printf(arena, "%s-%d", "n", 7), "n-7");
    ck_assert(!rb_arena_failed(arena));
    rb_arena_free(NULL);
}
END_TEST

RB_TEST_MAIN("arena", pieces_are_aligned_zeroed_and_apart, large_pieces_do_not_waste_the_block, maximum_is_exact_and_failure_sticks,
             overflow_fails, texts)
