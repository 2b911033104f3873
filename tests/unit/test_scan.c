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

/* ---- a tree that is large enough for threads ---- */

enum { MANY = 1500 };

/* A kind that follows a large tree: the order of paths, and what the text says. */
struct follower {
    struct rb_scan_request request;
    char last[64];
    size_t files, hits, tracked, deleted, other_problem, wrong, stop_after;
    atomic_bool *cancel;
    bool complete;
};

static struct follower *follower_of(const struct rb_check_ctx *ctx)
{
    union {
        const void *in;
        struct follower *out;
    } follower = {.in = ctx->options};
    return follower.out;
}

static void follow_begin(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out)
{
    (void)state;
    *out = follower_of(ctx)->request;
}

static void follow_visit(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    struct follower *f = follower_of(ctx);
    (void)state;
    (void)out;
    f->wrong += strcmp(f->last, file->path) >= 0;
    snprintf(f->last, sizeof f->last, "%s", file->path);
    f->files++;
    f->tracked += file->tracked;
    f->hits += file->hit_count;
    f->deleted += file->problem && strcmp(file->problem, "deleted") == 0;
    f->other_problem += file->problem && strcmp(file->problem, "deleted") != 0;
    if (f->request.pattern_count == 0 && !file->problem) /* every file begins with its own path */
        f->wrong += file->len < strlen(file->path) || memcmp(file->bytes, file->path, strlen(file->path)) != 0;
    for (size_t i = 0; i < file->hit_count; i++)
        f->wrong += strncmp(file->text + file->hits[i].start, "NEEDLE", 6) != 0 || strncmp(file->text, file->path, strlen(file->path)) != 0;
    if (f->cancel && f->files == f->stop_after)
        atomic_store(f->cancel, true);
}

static void follow_finish(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    (void)state;
    (void)out;
    follower_of(ctx)->complete = summary->complete;
}

static const struct rb_scan_ops follow_ops = {.begin = follow_begin, .visit = follow_visit, .finish = follow_finish};
static const struct rb_kind follow_kind = {.exec = RB_EXEC_SCAN, .scan = &follow_ops};

static int follow(const char *root, struct follower *followers, size_t count, const atomic_bool *cancelled)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_scan_job jobs[2];
    struct rb_outcome outcomes[2];
    struct rb_error err = {0};
    for (size_t i = 0; i < count; i++) {
        rb_outcome_init(&outcomes[i], arena);
        jobs[i] = (struct rb_scan_job){
            .kind = &follow_kind,
            .ctx = {.options = &followers[i], .root = root, .arena = arena, .cancelled = cancelled, .clock = &late_clock},
            .outcome = &outcomes[i]};
    }
    return rb_scan_run(root, jobs, count, &err);
}

static void write_many(const struct scratch *s, const char *prefix, size_t first, const char *more)
{
    char name[64], text[256];
    for (size_t i = first; i < MANY; i += 3) {
        snprintf(name, sizeof name, "d%zu/%s%04zu.txt", i % 7, prefix, i);
        snprintf(text, sizeof text, "%s\n%s\n", name, more);
        scratch_write(s, name, text);
    }
}

/* A third of the names that git knows as they are, a third that changed since, a third that it does not know; names beside folders sort around them. */
static void make_many(struct scratch *s)
{
    char path[512];
    scratch_make(s);
    git_run(s->path, "init", "-q", "-b", "main");
    for (size_t i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%zu", i);
        scratch_folder(s, name);
        snprintf(name, sizeof name, "d%zu.txt", i);
        scratch_write(s, name, name);
        snprintf(name, sizeof name, "d%zu0", i);
        scratch_write(s, name, name);
    }
    write_many(s, "kept", 0, "NEEDLE");
    write_many(s, "changed", 1, "nothing yet");
    git_run(s->path, "add", "-A");
    write_many(s, "changed", 1, "a NEEDLE now");
    write_many(s, "new", 2, "another NEEDLE");
    for (size_t i = 0; i < 300; i += 3) {
        char name[64];
        snprintf(name, sizeof name, "d%zu/kept%04zu.txt", i % 7, i);
        ck_assert_int_eq(unlink(scratch_path(s, name, path)), 0);
    }
}

START_TEST(many_files_in_order)
{
    struct scratch s;
    make_many(&s);
    const struct rb_pattern needle[] = {{.regex = "NEEDLE"}};
    struct follower f[2] = {{.request = {.tracked = true, .untracked = true, .patterns = needle, .pattern_count = 1}},
                            {.request = {.tracked = true, .untracked = true}}};
    ck_assert_int_eq(follow(s.path, f, 2, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(f[i].wrong, 0);
        ck_assert_uint_eq(f[i].files, MANY + 14);
        ck_assert_uint_eq(f[i].tracked, MANY / 3 * 2 + 14);
        ck_assert_uint_eq(f[i].deleted, 100);
        ck_assert_uint_eq(f[i].other_problem, 0);
        ck_assert(f[i].complete);
    }
    ck_assert_uint_eq(f[0].hits, MANY - 100); /* also in what changed since git looked */
    struct follower tracked = {.request = {.tracked = true}};
    ck_assert_int_eq(follow(s.path, &tracked, 1, NULL), 0);
    ck_assert_uint_eq(tracked.files, MANY / 3 * 2 + 14);
    ck_assert_uint_eq(tracked.wrong, 0);
    scratch_remove(&s);
}
END_TEST

START_TEST(many_files_that_became_something_else)
{
    struct scratch s;
    char path[512];
    make_many(&s);
    for (size_t i = 300; i < 600; i += 3) {
        char name[64];
        snprintf(name, sizeof name, "d%zu/kept%04zu.txt", i % 7, i);
        ck_assert_int_eq(unlink(scratch_path(&s, name, path)), 0);
        ck_assert_int_eq(i % 2 ? mkfifo(path, 0600) : symlink("/etc/passwd", path), 0);
    }
    struct follower f = {.request = {.tracked = true, .untracked = true}};
    ck_assert_int_eq(follow(s.path, &f, 1, NULL), 0);
    ck_assert_uint_eq(f.other_problem, 100);
    ck_assert_uint_eq(f.wrong, 0);
    ck_assert(f.complete);
    scratch_remove(&s);
}
END_TEST

/* A tree that was copied: git's index describes other inodes, and nothing may be believed of it. */
START_TEST(many_files_of_a_copy)
{
    struct scratch s, copy;
    char git[512], to[512];
    make_many(&s);
    scratch_make(&copy);
    ck_assert_int_eq(rename(scratch_path(&s, ".git", git), scratch_path(&copy, ".git", to)), 0);
    for (size_t i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%zu", i);
        scratch_folder(&copy, name);
    }
    write_many(&copy, "kept", 0, "NEEDL_");
    write_many(&copy, "changed", 1, "nothing yet");
    struct follower f = {.request = {.tracked = true, .untracked = true}};
    ck_assert_int_eq(follow(copy.path, &f, 1, NULL), 0);
    ck_assert_uint_eq(f.files, MANY / 3 * 2 + 14);
    ck_assert_uint_eq(f.deleted, 14);
    ck_assert_uint_eq(f.wrong, 0);
    scratch_remove(&s);
    scratch_remove(&copy);
}
END_TEST

START_TEST(cancelled_on_the_way)
{
    struct scratch s;
    make_many(&s);
    for (size_t after = 1; after < MANY; after += 499) {
        atomic_bool cancelled = false;
        struct follower f = {.request = {.tracked = true, .untracked = true}, .cancel = &cancelled, .stop_after = after};
        int code = follow(s.path, &f, 1, &cancelled);
        ck_assert(code == 0 || code == RB_ETIMEOUT); /* whoever sees it first: the listing or the visit */
        ck_assert_uint_eq(f.files, after);
        ck_assert(!f.complete);
    }
    scratch_remove(&s);
}
END_TEST

START_TEST(a_list_that_breaks_off)
{
    struct scratch s;
    make_many(&s);
    scratch_write(&s, ".git/index", "DIRC and then nothing that is an index");
    struct follower f = {.request = {.tracked = true, .untracked = true}};
    ck_assert_int_eq(follow(s.path, &f, 1, NULL), RB_ESYS);
    ck_assert_uint_eq(f.files, 0);
    ck_assert(!f.complete);
    scratch_remove(&s);
}
END_TEST

START_TEST(a_folder_that_cannot_be_read)
{
    struct scratch s;
    char path[512];
    make_many(&s);
    if (geteuid() == 0) { /* root reads all: a folder too deep to be looked at does as well */
        char deep[512];
        snprintf(deep, sizeof deep, "%s/x", s.path);
        for (size_t i = 0; i < 130; i++) {
            ck_assert_int_eq(mkdir(deep, 0700), 0);
            snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "/x");
        }
    } else {
        ck_assert_int_eq(mkdir(scratch_path(&s, "closed", path), 0), 0);
    }
    struct follower f = {.request = {.tracked = true, .untracked = true}};
    ck_assert_int_eq(follow(s.path, &f, 1, NULL), 0);
    ck_assert(!f.complete);
    ck_assert_uint_eq(f.files, MANY + 14); /* the rest was looked at */
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("scan", one_pass_for_all, folder_swapped_for_symlink, huge_sparse_file, incomplete_is_told, outside_git_everything_counts,
             many_files_in_order, many_files_that_became_something_else, many_files_of_a_copy, cancelled_on_the_way, a_list_that_breaks_off,
             a_folder_that_cannot_be_read)
