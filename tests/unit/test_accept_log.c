/* The accept log: what was written reads back, damage and lost lines are told with their number, a torn end is no damage. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/drift/accept.h"

static void write_log(struct rb_buf *out)
{
    uint32_t checksum = 0;
    rb_buf_init(out, 65536);
    rb_drift_log_header(out);
    for (int i = 0; i < 4; i++) {
        struct rb_drift_log_entry entry = {.wall_ns = 100 + i,
                                           .check = "cfg",
                                           .id = "0123456789ab",
                                           .key = "a\tb\"",
                                           .change = "changed",
                                           .old_text = i ? "old" : NULL,
                                           .new_text = "new",
                                           .accepted = {.who = "op", .why = "why", .ref = i ? "ref" : NULL, .until_wall_ns = i}};
        rb_drift_log_line(&entry, &checksum, out);
    }
}

static struct rb_drift_log read_log(const struct rb_buf *text, size_t len, struct rb_arena *arena)
{
    struct rb_drift_log log;
    ck_assert_int_eq(rb_drift_log_read(rb_buf_str(text), len, arena, &log, NULL), 0);
    return log;
}

static size_t line_start(const struct rb_buf *text, unsigned line)
{
    size_t at = 0;
    for (unsigned i = 1; i < line; i++)
        at = (size_t)(strchr(text->data + at, '\n') - text->data) + 1;
    return at;
}

START_TEST(reads_back)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    RB_BUF_AUTO text;
    write_log(&text);
    struct rb_drift_log log = read_log(&text, text.len, arena);
    ck_assert_uint_eq(log.count, 4);
    ck_assert_uint_eq(log.damaged, 0);
    ck_assert(!log.torn);
    ck_assert_uint_eq(log.whole_len, text.len);
    ck_assert_str_eq(log.items[0].key, "a\tb\"");
    ck_assert_ptr_null(log.items[0].old_text);
    ck_assert_ptr_null(log.items[0].accepted.ref);
    ck_assert_int_eq(log.items[3].accepted.until_wall_ns, 3);
    struct rb_drift_log empty = read_log(&text, 0, arena);
    ck_assert_uint_eq(empty.count + empty.damaged, 0);
}
END_TEST

START_TEST(damage_has_a_line)
{
    RB_BUF_AUTO text;
    write_log(&text);
    size_t begin = line_start(&text, 3), end = line_start(&text, 4);
    for (size_t i = begin; i + 1 < end; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        text.data[i] ^= 2;
        struct rb_drift_log log = read_log(&text, text.len, arena);
        ck_assert_msg(log.damaged > 0 && log.first_damaged_line == 3, "byte %zu: %zu from line %u", i, log.damaged, log.first_damaged_line);
        text.data[i] ^= 2;
    }
}
END_TEST

START_TEST(a_lost_line_is_seen)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    RB_BUF_AUTO text, cut;
    write_log(&text);
    rb_buf_init(&cut, 65536);
    rb_buf_add(&cut, text.data, line_start(&text, 3));
    rb_buf_adds(&cut, text.data + line_start(&text, 4));
    struct rb_drift_log log = read_log(&cut, cut.len, arena);
    ck_assert_uint_eq(log.damaged, 1);
    ck_assert_uint_eq(log.first_damaged_line, 3);
    ck_assert_uint_eq(log.count, 2);
}
END_TEST

START_TEST(a_torn_end_loses_one_line)
{
    RB_BUF_AUTO text;
    write_log(&text);
    size_t whole = line_start(&text, 5);
    for (size_t len = whole + 1; len < text.len; len++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        struct rb_drift_log log = read_log(&text, len, arena);
        ck_assert(log.torn);
        ck_assert_uint_eq(log.count, 3);
        ck_assert_uint_eq(log.damaged, 0);
        ck_assert_uint_eq(log.whole_len, whole);
    }
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_drift_log log;
    ck_assert_int_eq(rb_drift_log_read("runbookd drift log 9\n", 21, arena, &log, NULL), RB_EUNSUPPORTED);
}
END_TEST

RB_TEST_MAIN("accept_log", reads_back, damage_has_a_line, a_lost_line_is_seen, a_torn_end_loses_one_line)
