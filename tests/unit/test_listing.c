/* The remembered listing of folders: whatever is done to the tree, a listing that may use it finds what one without it finds. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../support/check_main.h"
#include "../support/program.h"
#include "../support/scratch.h"
#include "runbook/base/buf.h"
#include "runbook/source/files.h"

enum { ARENA = 64 << 20, LATER_S = 10, RANDOM_STEPS = 150 };

struct world {
    struct scratch s;
    struct rb_file_request request;
    struct rb_arena *arena; /* of all listings: the next one shares what the one before found */
    struct rb_listing known;
    bool now; /* the listing's clock is the real one; else it says that all has rested */
};

static void shell(const struct world *w, const char *script)
{
    int code = program_run(w->s.path, (const char *const[]){"sh", "-ec", script, NULL});
    ck_assert_msg(code == 0, "%s: exit code %d", script, code);
}

/* File systems keep time in steps of some milliseconds. */
static void tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL);
}

static int64_t clock_of(const struct world *w)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
    return ((int64_t)now.tv_sec + (w->now ? 0 : LATER_S)) * 1000000000 + now.tv_nsec;
}

static void begin(struct world *w)
{
    *w = (struct world){.known = {0}};
    scratch_make(&w->s);
    w->request = (struct rb_file_request){.root = w->s.path, .tracked = true, .untracked = true};
    w->arena = rb_arena_new(ARENA);
    ck_assert_ptr_nonnull(w->arena);
    shell(
        w,
        "git init -q -b main; rm -f .git/info/exclude; mkdir -p .git/info a/b/c d empty 'odd name/-x' build .hidden\n"
        "for f in top a/one a/b/two a/b/c/three d/four 'odd name/-x/five' .hidden/six; do echo 1 > \"$f.txt\"; echo 2 > \"$f.log\"; done\n"
        "echo '*.log' > .gitignore; echo '!two.log' > a/b/.gitignore; echo out > build/out.txt; git add -A; git commit -qm x\n"
        "for f in top a/one a/b/two a/b/c/three d/four 'odd name/-x/five' .hidden/six; do echo 1 > \"$f.new\"; done; tar -cf ../x.tar "
        "--files-from /dev/null; rm ../x.tar");
    tick();
}

static void end(struct world *w)
{
    rb_arena_free(w->arena);
    scratch_remove(&w->s);
}

/* One path a line. */
static void list(const struct rb_file_request *request, struct rb_arena *arena, struct rb_buf *out)
{
    struct rb_file_entry *entries = NULL;
    size_t count = 0;
    struct rb_error err = {0};
    int code = rb_files_list(request, arena, &entries, &count, &err);
    ck_assert_msg(code == 0, "%s", err.message);
    for (size_t i = 0; i < count; i++)
        rb_buf_addf(out, "%c %s\n", entries[i].tracked ? 't' : 'u', entries[i].path);
    ck_assert(!out->failed);
}

/* Lists with what is remembered and without: the same has to come out. Remembers anew. */
static void agree(struct world *w, const char *after)
{
    RB_BUF_AUTO with;
    RB_BUF_AUTO without;
    rb_buf_init(&with, 1 << 20);
    rb_buf_init(&without, 1 << 20);
    struct rb_listing fresh = {0};
    size_t unreachable[2] = {0};
    struct rb_file_request request = w->request;
    request.out_unreachable = &unreachable[0];
    list(&request, w->arena, &without);
    request.known = &w->known;
    request.out_listing = &fresh;
    request.now_wall_ns = clock_of(w);
    request.out_unreachable = &unreachable[1];
    list(&request, w->arena, &with);
    ck_assert_msg(strcmp(rb_buf_str(&with), rb_buf_str(&without)) == 0, "after %s\nremembered:\n%s\nread:\n%s", after, rb_buf_str(&with),
                  rb_buf_str(&without));
    ck_assert_uint_eq(unreachable[0], unreachable[1]);
    w->known = fresh;
}

static struct rb_listed_folder *record_of(const struct world *w, const char *path)
{
    size_t i = 0;
    while (i < w->known.count && strcmp(w->known.items[i].path, path) != 0)
        i++;
    ck_assert_msg(i < w->known.count, "no record of %s", path);
    return &w->known.items[i];
}

/* What the others prove nothing without: the record is what is believed. */
START_TEST(a_record_saves_the_reading)
{
    struct world w;
    begin(&w);
    agree(&w, "begin");
    agree(&w, "nothing");
    ck_assert(!w.known.changed);
    struct rb_listed_folder *record = record_of(&w, "a/b");
    ck_assert_int_ne(record->stat.mtime_ns, 0);
    ck_assert_int_ne(record->ignore.mtime_ns, 0);
    ck_assert_ptr_null(record_of(&w, "empty")->names);
    ck_assert_str_eq(record->names->name, "c/"); /* of interest: what is tracked is in the index */
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    record->names = record->names->next->next; /* forget two.new */
    struct rb_listing fresh = {0};
    struct rb_file_request request = w.request;
    request.known = &w.known;
    request.out_listing = &fresh;
    request.now_wall_ns = clock_of(&w);
    list(&request, w.arena, &text);
    ck_assert_ptr_null(strstr(rb_buf_str(&text), "two.new"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "one.new"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "t a/b/two.txt"));
    end(&w);
}
END_TEST

START_TEST(no_change_is_hidden)
{
    static const char *const changes[] = {
        "echo x > a/b/c/added",
        "mkdir -p d/e/f; echo x > d/e/f/deep",
        "rm a/b/c/added",
        "mv a/b/two.new a/b/two.newer",
        "mv a/one.new d/one.new",
        "mv d/e 'odd name/e'",
        "touch -r top.txt a/b",
        "echo x > a/b/back; touch -r top.txt a/b", /* the folder's time is put back */
        "cp -p a/b/.gitignore /tmp/$$; echo '*.new*' > a/b/.gitignore; touch -r /tmp/$$ a/b/.gitignore; rm /tmp/$$",
        "echo '!two.log' > a/b/.gitignore",
        "echo 'c/' >> a/.gitignore",
        "rm a/.gitignore",
        "rm a/b/.gitignore",
        "echo 'six.*' > .hidden/.gitignore",
        "printf '*.log\\n*.newer\\n' > .gitignore",
        "mv .gitignore .gitignore.off",
        "mv .gitignore.off .gitignore",
        "ln -s ../top.txt d/.gitignore; echo '1' >> top.txt",
        "printf 'four.new\\n' > top.txt",
        "rm d/.gitignore",
        "echo 'five.new' > .git/info/exclude",
        "echo '' > .git/info/exclude",
        "echo 'top.*' > .git/user; git config core.excludesFile \"$PWD/.git/user\"",
        "echo 'four.*' > .git/user",
        "git config core.excludesFile relative",
        "git config --unset core.excludesFile",
        "git config core.ignorecase true; echo 'TOP.NEW' > .git/info/exclude",
        "git config core.ignorecase false",
        "git add -f a/b/two.newer",
        "git rm -q --cached a/b/two.newer a/one.txt",
        "git rm -q --cached -r d",
        "git add -A",
        "git rm -q -r --cached .",
        "git reset -q",
        "mv a/b a/kept; mkdir -p a/b/c; echo x > a/b/c/other", /* the folder is another one */
        "rm -r a/b; mv a/kept a/b",
        "mv d d.off; ln -s a d",
        "rm d; mv d.off d",
        "rm -r empty; echo x > empty",
        "rm empty; mkdir empty; mkfifo empty/pipe",
        "git init -q d",
        "rm -rf d/.git",
        "git init -q empty; git -C empty -c user.name=t -c user.email=t@e commit -q --allow-empty -m x; git add empty; git commit -qm sub",
        "git rm -q --cached empty",
        "chmod 0 a/b/c",
        "chmod 700 a/b/c",
        "chmod 600 a/b",
        "chmod 700 a/b",
        "git update-index --index-version 4",
        "git -c index.skipHash=true add -A; echo y > a/y",
        "git update-index --skip-worktree top.txt; rm top.txt; echo z > z",
        "rm -rf .git; echo q > q.log",
        "git init -q"};
    struct world w;
    begin(&w);
    agree(&w, "begin");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        agree(&w, "nothing");
        tick();
        shell(&w, changes[i]);
        tick();
        agree(&w, changes[i]);
        agree(&w, changes[i]);
    }
    end(&w);
}
END_TEST

/* A root below the top obeys the .gitignore files above it; one without git has none. */
START_TEST(other_roots)
{
    static const char *const changes[] = {"echo '*.new' >> .gitignore",
                                          "echo '*.log' > .gitignore",
                                          "echo 'two.*' > a/.gitignore",
                                          "echo x > a/b/c/n",
                                          "rm a/.gitignore",
                                          "mv a/b/c a/b/e",
                                          "mkdir a/b/.git; echo > a/b/x",
                                          "rm -r a/b/.git"};
    struct world w;
    char below[512];
    for (int round = 0; round < 2; round++) {
        begin(&w);
        w.request.root = scratch_path(&w.s, "a/b", below);
        w.request.no_git = round == 1;
        w.request.tracked = round == 0;
        agree(&w, "begin");
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
            agree(&w, "nothing");
            tick();
            shell(&w, changes[i]);
            tick();
            agree(&w, changes[i]);
        }
        w.request.include = (struct rb_strings){.items = (const char *const[]){"c/**"},
                                                .count = 1}; /* another request: nothing is believed */
        agree(&w, "other globs");
        end(&w);
    }
}
END_TEST

/* What changed a moment ago is not settled: neither a folder nor the rules of a .gitignore enter, whatever the stat data say. */
START_TEST(the_last_seconds_prove_nothing)
{
    struct world w;
    begin(&w);
    w.now = true;
    agree(&w, "begin"); /* the index, too, is young, but its checksum vouches for it */
    ck_assert_ptr_nonnull(w.known.key);
    for (size_t i = 0; i < w.known.count; i++) {
        ck_assert_int_eq(w.known.items[i].stat.mtime_ns, 0);
        ck_assert_ptr_null(w.known.items[i].names);
    }
    ck_assert(record_of(&w, "a/b")->ignore_unsettled);
    agree(&w, "nothing");
    ck_assert(!w.known.changed); /* nothing to write down */
    shell(&w, "echo x > .git/info/exclude");
    agree(&w, "exclude");
    ck_assert_ptr_null(w.known.key);
    w.now = false;
    agree(&w, "later");
    ck_assert_ptr_nonnull(w.known.key);
    ck_assert_int_ne(record_of(&w, "a/b")->stat.mtime_ns, 0);
    ck_assert(w.known.changed);
    end(&w);
}
END_TEST

/* One of many small changes, by a generator with a seed of ours. */
static void random_step(const struct world *w, uint64_t *seed, char out[256])
{
    static const char *const folders[] = {".", "a", "a/b", "a/b/c", "d", "d/-e", ".hidden", "odd name", "odd name/-x", "n.d"};
    static const char *const names[] = {"x.new", "y.log", "z.txt", "-", "a.b", "two.new"};
    static const char *const scripts[] = {"mkdir -p \"./$1\"; echo x > \"./$1/$2\"",
                                          "rm -rf \"./$1/$2\"",
                                          "mkdir -p \"./$1\"; echo \"$2\" > \"./$1/.gitignore\"",
                                          "mkdir -p \"./$1\"; echo '*.new' > \"./$1/.gitignore\"",
                                          "rm -f \"./$1/.gitignore\"",
                                          "[ \"$1\" = . ] || rm -rf \"./$1\"",
                                          "git checkout -q -- . || true",
                                          "git add -f -- \"./$1/$2\" || true",
                                          "git rm -qrf --cached -- \"./$1\" || true",
                                          "touch -d @1000000000 \"./$1\" || true",
                                          "[ \"$1\" = . ] || { mv \"./$1\" moved && cp -a moved \"./$1\" && rm -r moved; } || true",
                                          "mv \"./$1/$2\" \"./$3\" || true",
                                          "mv \"./$1\" \"./$3\" || true"};
    uint64_t next[4];
    for (size_t i = 0; i < 4; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        next[i] = *seed >> 33;
    }
    const char *script = scripts[next[3] % (sizeof scripts / sizeof scripts[0])];
    const char *folder = folders[next[0] % 10], *name = names[next[1] % 6], *other = folders[1 + next[2] % 9];
    snprintf(out, 256, "%s (%s, %s, %s)", script, folder, name, other);
    int code = program_run(w->s.path, (const char *const[]){"sh", "-ec", script, "sh", folder, name, other, NULL});
    ck_assert_msg(code == 0, "%s: exit code %d", out, code);
}

START_TEST(random_changes)
{
    struct world w;
    uint64_t seed = 20261122;
    char change[256];
    begin(&w);
    agree(&w, "begin");
    for (int i = 0; i < RANDOM_STEPS; i++) {
        tick();
        random_step(&w, &seed, change);
        agree(&w, change);
    }
    end(&w);
}
END_TEST

RB_TEST_MAIN("listing", a_record_saves_the_reading, no_change_is_hidden, other_roots, the_last_seconds_prove_nothing, random_changes)
