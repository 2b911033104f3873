/* Verification against archives that are made here, whole and damaged. The hostile ones that other tools make are in tests/integration/test_evidence.py. */
#include <limits.h>

#include "../../lib/evidence/verify_internal.h"
#include "../support/check_main.h"
#include "../support/scratch.h"

struct looked {
    struct scratch scratch;
    struct rb_arena *arena;
    struct rb_verify_report report;
    struct rb_buf good;
};

static void setup(struct looked *looked)
{
    scratch_make(&looked->scratch);
    looked->arena = rb_arena_new((size_t)64 << 20);
    struct rb_archive *archive = rb_archive_new("bundle", 1000);
    struct rb_error err = {0};
    struct rb_archive_totals totals;
    ck_assert_int_eq(rb_archive_add(archive, "a.txt", "a.txt", "alpha\n", 6, &err), 0);
    ck_assert_int_eq(rb_archive_add(archive, "b/c.txt", "b/c.txt", "password: one1two2\n", 19, &err), 0);
    ck_assert_int_eq(rb_archive_add_missing(archive, "d.txt", "is not there", &err), 0);
    rb_buf_init(&looked->good, 1 << 20);
    ck_assert_int_eq(rb_archive_finish(archive, &looked->good, &totals, &err), 0);
    rb_archive_free(archive);
}

static void teardown(struct looked *looked)
{
    rb_arena_free(looked->arena);
    rb_buf_fini(&looked->good);
    scratch_remove(&looked->scratch);
}

/* Writes bytes and looks at them. */
static void look(struct looked *looked, const void *bytes, size_t len)
{
    char path[512];
    struct rb_error err = {0};
    int fd = open(scratch_path(&looked->scratch, "x.tar.gz", path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    ck_assert_msg(rb_verify_file(path, looked->arena, &looked->report, &err) == 0, "%s", err.message);
}

static bool found(const struct looked *looked, enum rb_verify_code code)
{
    for (size_t i = 0; i < looked->report.count; i++)
        if (looked->report.problems[i].code == code)
            return true;
    return false;
}

START_TEST(a_good_one)
{
    struct looked looked;
    setup(&looked);
    look(&looked, looked.good.data, looked.good.len);
    ck_assert_uint_eq(looked.report.count, 0);
    ck_assert_uint_eq(looked.report.members, 5);
    ck_assert_uint_eq(looked.report.masked, 1);
    ck_assert_uint_eq(looked.report.missing, 1);
    ck_assert_str_eq(looked.report.folder, "bundle");
    ck_assert(!looked.report.sidecar);
    ck_assert_uint_eq(looked.report.note_count, 1);
    teardown(&looked);
}
END_TEST

START_TEST(every_bit)
{
    struct looked looked;
    setup(&looked);
    for (size_t at = 0; at < looked.good.len; at++) {
        struct rb_arena *arena = rb_arena_new((size_t)16 << 20);
        struct rb_arena *kept = looked.arena;
        looked.arena = arena;
        looked.good.data[at] = (char)(looked.good.data[at] ^ (1 << (at % 8)));
        look(&looked, looked.good.data, looked.good.len);
        ck_assert_msg(looked.report.count > 0, "byte %zu", at);
        looked.good.data[at] = (char)(looked.good.data[at] ^ (1 << (at % 8)));
        looked.arena = kept;
        rb_arena_free(arena);
    }
    teardown(&looked);
}
END_TEST

START_TEST(every_cut)
{
    struct looked looked;
    setup(&looked);
    for (size_t len = 0; len < looked.good.len; len += 7) {
        look(&looked, rb_buf_str(&looked.good), len);
        ck_assert_msg(found(&looked, RB_VERIFY_GZIP) || found(&looked, RB_VERIFY_TAR), "cut to %zu", len);
    }
    rb_buf_addc(&looked.good, 'x');
    look(&looked, looked.good.data, looked.good.len);
    ck_assert(found(&looked, RB_VERIFY_GZIP));
    teardown(&looked);
}
END_TEST

START_TEST(the_sum_beside_it)
{
    struct looked looked;
    setup(&looked);
    char line[128];
    look(&looked, looked.good.data, looked.good.len);
    snprintf(line, sizeof line, "%s  other-name.tar.gz\n", looked.report.sha256);
    scratch_write(&looked.scratch, "x.tar.gz.sha256", line);
    look(&looked, looked.good.data, looked.good.len);
    ck_assert_uint_eq(looked.report.count, 0);
    ck_assert(looked.report.sidecar);
    line[0] = line[0] == '0' ? '1' : '0';
    scratch_write(&looked.scratch, "x.tar.gz.sha256", line);
    look(&looked, looked.good.data, looked.good.len);
    ck_assert(found(&looked, RB_VERIFY_SIDECAR));
    scratch_write(&looked.scratch, "x.tar.gz.sha256", "");
    look(&looked, looked.good.data, looked.good.len);
    ck_assert(found(&looked, RB_VERIFY_SIDECAR));
    teardown(&looked);
}
END_TEST

START_TEST(what_cannot_be_read)
{
    struct looked looked;
    setup(&looked);
    struct rb_error err = {0};
    char path[512];
    ck_assert_int_eq(rb_verify_file(scratch_path(&looked.scratch, "none", path), looked.arena, &looked.report, &err), RB_ESYS);
    ck_assert_int_eq(rb_verify_file(looked.scratch.path, looked.arena, &looked.report, &err), RB_EINVAL);
    struct rb_arena *small = rb_arena_new(1000);
    ck_assert_int_eq(rb_verify_file(looked.scratch.path, small, &looked.report, &err), RB_ENOMEM);
    rb_arena_free(small);
    teardown(&looked);
}
END_TEST

START_TEST(lines_of_sums)
{
    static const char hex[] = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";
    char text[512], digest[RB_SHA256_HEX];
    snprintf(text, sizeof text, "%s  a b\r\n\n%s *c\n%s  \nnonsense\n%s  last", hex, hex, hex, hex);
    const char *at = text, *end = text + strlen(text);
    bool ok;
    RB_BUF_AUTO name;
    rb_buf_init(&name, 4096);
    ck_assert(rb_buf_str(&name)[0] == '\0');
    ck_assert(verify_sum_line(&at, end, digest, &name, &ok) && ok);
    ck_assert_str_eq(rb_buf_str(&name), "a b");
    ck_assert_str_eq(digest, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    ck_assert(verify_sum_line(&at, end, digest, &name, &ok) && ok);
    ck_assert_str_eq(rb_buf_str(&name), "c");
    ck_assert(verify_sum_line(&at, end, digest, &name, &ok) && !ok);
    ck_assert(verify_sum_line(&at, end, digest, &name, &ok) && !ok);
    ck_assert(verify_sum_line(&at, end, digest, &name, &ok) && ok);
    ck_assert_str_eq(rb_buf_str(&name), "last");
    ck_assert(!verify_sum_line(&at, end, digest, &name, &ok));
    ck_assert(verify_is_sums("SHA256SUMS.txt") && verify_is_sums("a/x.sha256") && !verify_is_sums("a/.sha256") &&
              !verify_is_sums("sha256"));
    for (int code = 0; code < RB_VERIFY_CODES; code++)
        ck_assert_ptr_nonnull(rb_verify_code_name((enum rb_verify_code)code));
}
END_TEST

RB_TEST_MAIN("verify", a_good_one, every_bit, every_cut, the_sum_beside_it, what_cannot_be_read, lines_of_sums)
