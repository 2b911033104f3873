/* The scan engine: one read for all jobs, nothing but regular files opened, incomplete scans told. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/program.h"
#include "../support/scratch.h"
#include "runbook/check/scan.h"

/* A kind that writes down what it sees. */
struct seen {
    struct rb_scan_request request;
    char text[2048];
    const char *bytes[32]; /* where the bytes lay */
    size_t visits;
    struct rb_scan_summary summary;
};

static void begin(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out)
{
    (void)state;
    *out = ((const struct seen *)ctx->options)->request;
}

static void visit(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    union {
        const void *in;
        struct seen *out;
    } seen = {.in = ctx->options};
    (void)state;
    (void)out;
    size_t used = strlen(seen.out->text);
    snprintf(seen.out->text + used, sizeof seen.out->text - used, "%s%s%s:%zu ", file->path, file->symlink ? "@" : "",
             file->problem ? file->problem : "", file->len);
    if (seen.out->visits < 32)
        seen.out->bytes[seen.out->visits] = file->bytes;
    seen.out->visits++;
}

static void finish(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    union {
        const void *in;
        struct seen *out;
    } seen = {.in = ctx->options};
    (void)state;
    (void)out;
    seen.out->summary = *summary;
}

static const struct rb_scan_ops ops = {.begin = begin, .visit = visit, .finish = finish};
static const struct rb_kind kind = {.exec = RB_EXEC_SCAN, .scan = &ops};

static int64_t late(void *ctx)
{
    (void)ctx;
    return 1000;
}
static const struct rb_clock late_clock = {late, late, late, NULL};

static int run(const char *root, struct seen *seen, size_t count, const atomic_bool *cancelled, int64_t deadline_ns)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_scan_job jobs[4];
    struct rb_outcome outcomes[4];
    struct rb_error err = {0};
    for (size_t i = 0; i < count; i++) {
        rb_outcome_init(&outcomes[i], arena);
        jobs[i] = (struct rb_scan_job){.kind = &kind,
                                       .ctx = {.options = &seen[i],
                                               .root = root,
                                               .arena = arena,
                                               .cancelled = cancelled,
                                               .clock = &late_clock,
                                               .deadline_ns = deadline_ns},
                                       .outcome = &outcomes[i]};
    }
    return rb_scan_run(root, jobs, count, &err);
}

static void make_tree(struct scratch *s)
{
    char path[512];
    scratch_make(s);
    git_run(s->path, "init", "-q", "-b", "main");
    scratch_write(s, "a.txt", "aaaa");
    scratch_write(s, "b.txt", "bb");
    scratch_write(s, "gone.txt", "x");
    scratch_write(s, "pipe", "x");
    scratch_folder(s, "dir");
    scratch_write(s, "dir/in.txt", "x");
    ck_assert_int_eq(symlink("/dev/zero", scratch_path(s, "zero", path)), 0);
    git_run(s->path, "add", "-A");
    scratch_write(s, "new.txt", "nnn");
    ck_assert_int_eq(unlink(scratch_path(s, "gone.txt", path)), 0);
    ck_assert_int_eq(unlink(scratch_path(s, "pipe", path)), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

START_TEST(one_pass_for_all)
{
    struct scratch s;
    make_tree(&s);
    static const char *const txt[] = {"*.txt", NULL}, *const b[] = {"b.*", NULL};
    struct seen seen[3] = {{.request = {.tracked = true}},
                           {.request = {.include = {txt, 1}, .exclude = {b, 1}, .tracked = true, .untracked = true}},
                           {.request = {.include = {b, 1}, .tracked = true, .max_file_bytes = 1}}};
    ck_assert_int_eq(run(s.path, seen, 3, NULL, 0), 0);
    ck_assert_str_eq(seen[0].text, "a.txt:4 b.txt:2 dir/in.txt:1 gone.txtdeleted:0 pipenot_regular:0 zero@not_regular:0 ");
    ck_assert_str_eq(seen[1].text, "a.txt:4 gone.txtdeleted:0 new.txt:3 ");
    ck_assert_str_eq(seen[2].text, "b.txttoo_large:0 "); /* its own limit, though the bytes were read for another */
    ck_assert_ptr_eq(seen[0].bytes[0], seen[1].bytes[0]);
    ck_assert_uint_eq(seen[0].summary.files, 6);
    ck_assert_uint_eq(seen[0].summary.bytes, 7);
    ck_assert_uint_eq(seen[0].summary.deleted, 1);
    ck_assert_uint_eq(seen[0].summary.unreadable, 1); /* the FIFO; a symlink is none of our business */
    ck_assert(seen[0].summary.complete);
    scratch_remove(&s);
}
END_TEST

START_TEST(folder_swapped_for_symlink)
{
    struct scratch s;
    char path[512], other[512];
    make_tree(&s);
    ck_assert_int_eq(rename(scratch_path(&s, "dir", path), scratch_path(&s, "moved", other)), 0);
    ck_assert_int_eq(symlink("/etc", path), 0);
    scratch_write(&s, "moved/in.txt", "yy");
    static const char *const in[] = {"dir/**", NULL};
    struct seen seen = {.request = {.include = {in, 1}, .tracked = true}};
    ck_assert_int_eq(run(s.path, &seen, 1, NULL, 0), 0);
    ck_assert(strcmp(seen.text, "dir/in.txtoutside:0 ") == 0 || strcmp(seen.text, "dir/in.txtdeleted:0 ") == 0);
    scratch_remove(&s);
}
END_TEST

START_TEST(huge_sparse_file)
{
    struct scratch s;
    char path[512];
    make_tree(&s);
    ck_assert_int_eq(truncate(scratch_path(&s, "a.txt", path), (off_t)1 << 40), 0);
    static const char *const a[] = {"a.txt", NULL};
    struct seen seen = {.request = {.include = {a, 1}, .tracked = true}};
    ck_assert_int_eq(run(s.path, &seen, 1, NULL, 0), 0);
    ck_assert_str_eq(seen.text, "a.txttoo_large:0 ");
    scratch_remove(&s);
}
END_TEST

START_TEST(incomplete_is_told)
{
    struct scratch s;
    make_tree(&s);
    struct seen seen = {.request = {.tracked = true}};
    ck_assert_int_eq(run(s.path, &seen, 1, NULL, 999), 0);
    ck_assert_uint_eq(seen.visits, 0);
    ck_assert(!seen.summary.complete);
    ck_assert_ptr_nonnull(strstr(seen.summary.incomplete_why, "time limit"));
    atomic_bool cancelled = true;
    ck_assert_int_eq(run(s.path, &seen, 1, &cancelled, 0), 0);
    ck_assert_str_eq(seen.summary.incomplete_why, "cancelled");
    ck_assert_int_eq(run("/nonexistent/root", &seen, 1, NULL, 0), RB_ESYS);
    ck_assert_int_eq(run(s.path, &seen, 0, NULL, 0), 0);
    scratch_remove(&s);
}
END_TEST

START_TEST(outside_git_everything_counts)
{
    struct scratch s;
    scratch_make(&s);
    scratch_write(&s, "x.txt", "x");
    struct seen seen = {.request = {.tracked = true}};
    ck_assert_int_eq(run(s.path, &seen, 1, NULL, 0), 0);
    ck_assert_str_eq(seen.text, "x.txt:1 ");
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("scan", one_pass_for_all, folder_swapped_for_symlink, huge_sparse_file, incomplete_is_told, outside_git_everything_counts)
