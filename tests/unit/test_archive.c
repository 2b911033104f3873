/* Packing: names, masking, limits, determinism, writing. */
#include <limits.h>

#include "../../lib/evidence/gzip.h"
#include "../../lib/evidence/name.h"
#include "../support/check_main.h"
#include "../support/scratch.h"
#include "runbook/base/redact.h"
#include "runbook/evidence/archive.h"

#define TOKEN \
    "gh"      \
    "p_abcdefghijklmnopqrstuvwxyz0123456789"

static void add(struct rb_archive *archive, const char *name, const char *text)
{
    struct rb_error err = {0};
    ck_assert_msg(rb_archive_add(archive, name, "test", text, strlen(text), &err) == 0, "%s", err.message);
}

static struct rb_archive_totals finish(struct rb_archive *archive, struct rb_buf *out)
{
    struct rb_error err = {0};
    struct rb_archive_totals totals = {0};
    rb_buf_init(out, 64 << 20);
    ck_assert_msg(rb_archive_finish(archive, out, &totals, &err) == 0, "%s", err.message);
    return totals;
}

/* The tar inside. */
static void unpack(const struct rb_buf *packed, struct rb_buf *out)
{
    z_stream stream = {0};
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    rb_buf_init(out, 256 << 20);
    unsigned char copy[65536], chunk[65536];
    int rc = Z_OK;
    for (size_t at = 0; at < packed->len && rc == Z_OK; at += sizeof copy) {
        size_t part = packed->len - at < sizeof copy ? packed->len - at : sizeof copy;
        memcpy(copy, packed->data + at, part);
        stream.next_in = copy;
        stream.avail_in = (uInt)part;
        do {
            stream.next_out = chunk;
            stream.avail_out = sizeof chunk;
            rc = inflate(&stream, Z_NO_FLUSH);
            rb_buf_add(out, chunk, sizeof chunk - stream.avail_out);
        } while (rc == Z_OK && stream.avail_out == 0);
    }
    ck_assert_int_eq(rc, Z_STREAM_END);
    inflateEnd(&stream);
}

static bool holds(const struct rb_buf *text, const char *needle)
{
    return text->len > 0 && memmem(text->data, text->len, needle, strlen(needle)) != NULL;
}

START_TEST(order_does_not_matter)
{
    RB_BUF_AUTO one, two;
    struct rb_archive *a = rb_archive_new("evidence", 1000), *b = rb_archive_new("evidence", 1000);
    add(a, "x", "1");
    add(a, "a/b", "2");
    add(b, "a/b", "2");
    add(b, "x", "1");
    add(b, "x", "1"); /* the same again is the same */
    struct rb_archive_totals totals = finish(a, &one);
    ck_assert_uint_eq(totals.members, 2);
    finish(b, &two);
    ck_assert_uint_eq(one.len, two.len);
    ck_assert_int_eq(memcmp(one.data, two.data, one.len), 0);
    ck_assert(rb_archive_is_ours(one.data, one.len));
    ck_assert(!rb_archive_is_ours(one.data, RB_ARCHIVE_MARK_BYTES - 1));
    rb_archive_free(a);
    rb_archive_free(b);
}
END_TEST

START_TEST(secrets_are_masked)
{
    RB_BUF_AUTO packed, tar;
    struct rb_archive *archive = rb_archive_new("bundle", 0);
    rb_archive_hide(archive, "swordfish\n");
    rb_archive_hide(archive, "ab"); /* too short to hide anything */
    add(archive, "a.txt", "password: x1y2z3\nabc swordfishswordfish end\n");
    add(archive, "name-" TOKEN, "1");
    add(archive, "name-" TOKEN "x", "2");
    struct rb_error err = {0};
    ck_assert_int_eq(rb_archive_add_missing(archive, "gone-" TOKEN, "because of swordfish", &err), 0);
    ck_assert_ptr_null(strstr(rb_archive_missing(archive, 0), TOKEN));
    ck_assert_ptr_null(rb_archive_missing(archive, 1));
    struct rb_archive_totals totals = finish(archive, &packed);
    ck_assert_uint_ge(totals.masked, 6);
    ck_assert_uint_eq(totals.missing, 1);
    ck_assert_uint_eq(totals.members, 4);
    unpack(&packed, &tar);
    ck_assert(!holds(&tar, TOKEN));
    ck_assert(!holds(&tar, "swordfish"));
    ck_assert(!holds(&tar, "x1y2z3"));
    ck_assert(holds(&tar, "abc " RB_REDACTED RB_REDACTED " end"));
    ck_assert(holds(&tar, RB_ARCHIVE_MISSING));
    rb_archive_free(archive);
}
END_TEST

START_TEST(names_that_are_refused)
{
    static const char *const bad[] = {"", "/a", "a//b", "../x", "a/../b", "./a", "a/", "a/.", "..", "manifest.json", "SHA256SUMS.txt"};
    struct rb_archive *archive = rb_archive_new("bundle", 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rb_error err = {0};
        ck_assert_int_eq(rb_archive_add(archive, bad[i], "test", "x", 1, &err), RB_EINVAL);
        ck_assert_str_ne(err.message, "");
    }
    add(archive, "sub/manifest.json", "{}");
    add(archive, "twice", "1");
    add(archive, "twice", "2");
    struct rb_error err = {0};
    struct rb_archive_totals totals;
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1 << 20);
    ck_assert_int_eq(rb_archive_finish(archive, &out, &totals, &err), RB_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "twice"));
    rb_archive_free(archive);
}
END_TEST

static void expect_name(const char *raw, bool ascii, const char *expected)
{
    RB_BUF_AUTO out;
    rb_buf_init(&out, 4096);
    name_encode(&out, raw, ascii);
    ck_assert_str_eq(rb_buf_str(&out), expected);
}

START_TEST(hostile_names)
{
    expect_name("plain/\xc3\xa4.txt", false, "plain/\xc3\xa4.txt");
    expect_name("plain/\xc3\xa4.txt", true, "plain/%C3%A4.txt");
    expect_name("a\nb\x1b[0m", false, "a%0Ab%1B[0m");
    expect_name("100%\\", false, "100%25%5C");
    expect_name("bad\xff\xc3", false, "bad%FF%C3");
    expect_name("\xe2\x80\xae", false, "%E2%80%AE");
    expect_name("\xf0\x9f\x98\x80", false, "\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(ustar_fields)
{
    char name[300];
    memset(name, 'a', sizeof name);
    name[99] = '\0';
    ck_assert(name_fits_ustar("bundle", name)); /* the folder is the prefix */
    name[99] = 'a';
    name[100] = '\0';
    ck_assert(!name_fits_ustar("bundle", name));
    name[100] = 'a';
    name[140] = name[60] = '/';
    name[200] = '\0';
    ck_assert(name_fits_ustar("bundle", name));
    name[200] = 'a';
    name[250] = '\0';
    ck_assert(!name_fits_ustar("bundle", name));
    name[250] = 'a';
    name[299] = '\0';
    ck_assert(!name_fits_ustar("bundle", name));
}
END_TEST

START_TEST(limits)
{
    struct rb_archive *archive = rb_archive_new("bundle", -5);
    struct rb_error err = {0};
    size_t len = RB_ARCHIVE_MAX_MEMBER + 1;
    char *large = calloc(1, len);
    ck_assert_ptr_nonnull(large);
    ck_assert_int_eq(rb_archive_add(archive, "large", "test", large, len, &err), RB_ELIMIT);
    for (size_t i = 0; i < RB_ARCHIVE_MAX_BYTES / RB_ARCHIVE_MAX_MEMBER; i++) {
        char name[8];
        snprintf(name, sizeof name, "%zu", i);
        ck_assert_int_eq(rb_archive_add(archive, name, "test", large, len - 1, &err), 0);
    }
    ck_assert_int_eq(rb_archive_add(archive, "one more", "test", "x", 1, &err), RB_ELIMIT);
    ck_assert_ptr_nonnull(strstr(err.message, "leave it out"));
    free(large);
    rb_archive_free(archive);
    archive = rb_archive_new("bundle", 0);
    char name[RB_ARCHIVE_MAX_NAME + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    add(archive, name, "x");
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1 << 20);
    struct rb_archive_totals totals;
    ck_assert_int_eq(rb_archive_finish(archive, &out, &totals, &err), RB_ELIMIT);
    rb_archive_free(archive);
    ck_assert_ptr_null(rb_archive_new("a folder with a name that is much too long for it", 0));
    rb_archive_free(NULL);
}
END_TEST

START_TEST(zeros_do_not_look_like_a_bomb)
{
    struct rb_archive *archive = rb_archive_new("bundle", 0);
    struct rb_error err = {0};
    size_t len = 4 << 20;
    char *zeros = calloc(1, len);
    ck_assert_ptr_nonnull(zeros);
    ck_assert_int_eq(rb_archive_add(archive, "zeros", "test", zeros, len, &err), 0);
    RB_BUF_AUTO out;
    finish(archive, &out);
    enum gzip_form form = GZIP_BEST;
    ck_assert(gzip_header_form(out.data, out.len, &form));
    ck_assert_int_eq(form, GZIP_PLAIN);
    ck_assert_uint_gt(out.len, len / 100);
    free(zeros);
    rb_archive_free(archive);
}
END_TEST

static int refuse(void *ctx, const unsigned char *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    return --*(int *)ctx < 0;
}

START_TEST(a_sink_that_stops)
{
    for (int after = 0; after < 3; after++) {
        int left = after;
        struct gzip_writer writer;
        gzip_begin(&writer, GZIP_BEST, refuse, &left);
        gzip_add(&writer, "abc", 3);
        ck_assert(!gzip_end(&writer));
    }
}
END_TEST

START_TEST(writing)
{
    struct scratch scratch;
    scratch_make(&scratch);
    char path[512], text[4096] = "", sha[65];
    struct rb_error err = {0};
    RB_BUF_AUTO bytes;
    rb_buf_init(&bytes, 64);
    rb_buf_adds(&bytes, "bytes");
    scratch_path(&scratch, "a.tar.gz", path);
    ck_assert_int_eq(rb_archive_check_target(path, false, &err), 0);
    ck_assert_int_eq(rb_archive_write(path, &bytes, false, sha, &err), 0);
    ck_assert_int_eq(rb_archive_write(path, &bytes, false, sha, &err), RB_EBUSY);
    ck_assert_int_eq(rb_archive_write(path, &bytes, true, sha, &err), 0);
    char sidecar[512];
    int fd = open(scratch_path(&scratch, "a.tar.gz.sha256", sidecar), O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
    close(fd);
    ck_assert_ptr_nonnull(strstr(text, "  a.tar.gz\n"));
    ck_assert_int_eq(strncmp(text, sha, 64), 0);
    ck_assert_int_lt(rb_archive_check_target(scratch_path(&scratch, "none/a", path), false, &err), 0);
    ck_assert_int_eq(rb_archive_check_target(scratch_path(&scratch, "", path), false, &err), RB_EINVAL);
    scratch_folder(&scratch, "b.tar.gz");
    ck_assert_int_eq(rb_archive_check_target(scratch_path(&scratch, "b.tar.gz", path), true, &err), RB_EINVAL);
    scratch_remove(&scratch);
}
END_TEST

START_TEST(never_inside_git)
{
    struct scratch scratch;
    scratch_make(&scratch);
    char path[512];
    struct rb_error err = {0};
    scratch_folder(&scratch, ".git");
    scratch_folder(&scratch, ".git/hooks");
    scratch_folder(&scratch, ".github");
    scratch_folder(&scratch, "bare");
    scratch_folder(&scratch, "bare/objects");
    scratch_write(&scratch, "bare/HEAD", "ref: refs/heads/main\n");
    ck_assert_int_eq(rb_archive_check_target(scratch_path(&scratch, ".git/x", path), true, &err), RB_EPERM);
    ck_assert_int_eq(rb_archive_check_target(scratch_path(&scratch, ".git/hooks/pre-commit", path), true, &err), RB_EPERM);
    ck_assert_int_eq(rb_archive_check_target(scratch_path(&scratch, "bare/x", path), true, &err), RB_EPERM);
    ck_assert_int_eq(rb_archive_check_target(scratch_path(&scratch, ".github/x", path), true, &err), 0);
    scratch_remove(&scratch);
}
END_TEST

RB_TEST_MAIN("archive", order_does_not_matter, secrets_are_masked, names_that_are_refused, hostile_names, ustar_fields, limits,
             zeros_do_not_look_like_a_bomb, a_sink_that_stops, writing, never_inside_git)
