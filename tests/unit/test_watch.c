/* From file events to checks, on real trees: which checks a change names, what is never watched, what is told when something was lost. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/program.h"
#include "../support/scratch.h"
#include "runbook/check/kind.h"
#include "runbook/check/watch.h"
#include "runbook/config/diag.h"

static struct scratch scratch;
static struct rb_arena *arena;
static struct rb_plan *plan;
static struct rb_watch_set *set;
static struct rb_watch_news news;
static struct rb_error err;
static char root[512], state[512], named[4096];

static void begin(void)
{
    scratch_make(&scratch);
    scratch_folder(&scratch, "tree");
    scratch_path(&scratch, "tree", root);
    scratch_path(&scratch, "state", state);
    arena = rb_arena_new((size_t)64 << 20);
    plan = NULL;
    set = NULL;
}

static void finish(void)
{
    rb_watch_set_free(set);
    rb_plan_unref(plan);
    rb_arena_free(arena);
    scratch_remove(&scratch);
}

static void load(const char *checks)
{
    struct rb_diags diags;
    char *text = rb_arena_printf(arena, "checks:\n%s", checks);
    rb_diags_init(&diags, arena);
    struct rb_plan_request request = {.text = text, .root = root, .state_dir = state, .cwd = root};
    struct rb_buf out;
    rb_buf_init(&out, 1 << 16);
    int rc = rb_plan_load(&request, rb_kind_registry(), &diags, &plan, &err);
    rb_diags_print(&diags, &out);
    ck_assert_msg(rc == 0, "%s %s", err.message, rb_buf_str(&out));
    rb_buf_fini(&out);
}

static void watch_with(struct rb_watch_request request)
{
    rb_watch_set_free(set);
    request.plan = plan;
    request.platform = rb_platform_host();
    if (request.leave_out == NULL)
        request.leave_out = "";
    ck_assert_msg(rb_watch_set_new(&request, &set, &err) == 0, "%s", err.message);
}

static void watch(void)
{
    watch_with((struct rb_watch_request){.max_watches = 0});
}

static void add_name(void *ctx, size_t check)
{
    char one[80];
    (void)ctx;
    (void)snprintf(one, sizeof one, "%s ", plan->checks[check].name);
    if (strstr(named, one) == NULL && strlen(named) + strlen(one) < sizeof named)
        strcat(named, one); /* NOLINT: its room was looked at */
}

/* The names of the checks that are concerned, in the order in which they were. */
static const char *read_names(void)
{
    named[0] = '\0';
    rb_watch_set_read(set, add_name, NULL, &news);
    return named;
}

static bool is_named(const char *check)
{
    char one[80];
    (void)snprintf(one, sizeof one, "%s ", check);
    return strstr(named, one) != NULL;
}

static const char *at(const char *name, char out[512])
{
    (void)snprintf(out, 512, "%.250s/tree/%.250s", scratch.path, name);
    return out;
}

static void put(const char *name, const char *text)
{
    char path[200];
    (void)snprintf(path, sizeof path, "tree/%.190s", name);
    scratch_write(&scratch, path, text);
}

static void make_folder(const char *name)
{
    char path[512];
    ck_assert_int_eq(mkdir(at(name, path), 0700), 0);
}

static void move(const char *from, const char *to)
{
    char old[512], new[512];
    ck_assert_int_eq(rename(at(from, old), at(to, new)), 0);
}

static const char two_checks[] = "  - {name: globs, kind: drift, files: [\"config/**/*.toml\"], exclude: [\"config/local/**\"]}\n"
                                 "  - {name: literal, kind: keys, rules: [{file: live/on.toml, key: a, equals: 1}]}\n"
                                 "  - {name: byhand, kind: keys, every: manual, rules: [{file: live/on.toml, key: a, equals: 1}]}\n"
                                 "  - {name: blind, kind: tcp, address: \"127.0.0.1:1\"}\n";

static void begin_two(void)
{
    begin();
    make_folder("config");
    make_folder("config/sub");
    make_folder("config/local");
    make_folder("live");
    put("config/sub/a.toml", "a = 1\n");
    put("live/on.toml", "a = 1\n");
    load(two_checks);
    watch();
}

START_TEST(names_who_looks)
{
    begin_two();
    struct rb_watch_totals totals = rb_watch_set_totals(set);
    ck_assert_uint_eq(totals.checks, 2);
    ck_assert_uint_eq(totals.unwatched, 0);
    ck_assert_str_eq(read_names(), "");
    put("config/sub/a.toml", "a = 2\n");
    ck_assert_str_eq(read_names(), "globs ");
    ck_assert_uint_gt(news.events, 0);
    put("live/on.toml", "a = 2\n");
    ck_assert_str_eq(read_names(), "literal ");
    ck_assert(!news.stale || rb_file_events_need_files());
    ck_assert_str_eq(read_names(), "");
    finish();
}
END_TEST

START_TEST(leaves_others_alone)
{
    begin_two();
    if (!rb_file_events_need_files()) { /* there, a folder does not tell which name */
        put("config/sub/a.txt", "x");
        put("config/local/b.toml", "x");
        put("live/off.toml", "x");
        put("elsewhere.toml", "x");
        ck_assert_str_eq(read_names(), "");
        ck_assert_uint_gt(news.events, 0);
    }
    finish();
}
END_TEST

START_TEST(replaced_and_removed)
{
    char path[512];
    begin_two();
    put("live/.on.toml.swp", "a = 3\n");
    (void)read_names();
    move("live/.on.toml.swp", "live/on.toml");
    ck_assert_str_eq(read_names(), "literal ");
    watch();
    ck_assert_int_eq(unlink(at("live/on.toml", path)), 0);
    ck_assert_str_eq(read_names(), "literal ");
    put("config/sub/b.toml", "b = 1\n");
    ck_assert_str_eq(read_names(), "globs ");
    finish();
}
END_TEST

START_TEST(folders_make_it_stale)
{
    begin_two();
    make_folder("config/new");
    ck_assert_str_eq(read_names(), "globs ");
    ck_assert(news.stale);
    watch();
    put("config/new/c.toml", "c = 1\n");
    ck_assert_str_eq(read_names(), "globs ");
    move("live", "dead");
    (void)read_names();
    ck_assert(is_named("literal"));
    ck_assert(news.stale);
    ck_assert_uint_eq(news.lost[RB_FILE_LOSS_FOLDER], 1);
    watch();
    make_folder("live"); /* the folder of a literal path was not there when the set was built */
    ck_assert_str_eq(read_names(), "literal ");
    ck_assert(news.stale);
    watch();
    put("live/on.toml", "a = 1\n");
    ck_assert_str_eq(read_names(), "literal ");
    finish();
}
END_TEST

START_TEST(a_missing_chain_of_folders)
{
    begin();
    load("  - {name: deep, kind: path, exist: [a/b/c/file, \"z/*/q\"]}\n");
    watch();
    make_folder("other");
    ck_assert_str_eq(read_names(), rb_file_events_need_files() ? "deep " : "");
    make_folder("a");
    ck_assert_str_eq(read_names(), "deep ");
    ck_assert(news.stale);
    watch();
    make_folder("a/b");
    ck_assert_str_eq(read_names(), "deep ");
    make_folder("z");
    ck_assert_str_eq(read_names(), "deep ");
    ck_assert(news.stale);
    finish();
}
END_TEST

START_TEST(grandparents_move)
{
    begin();
    make_folder("a");
    make_folder("a/b");
    make_folder("a/b/c");
    put("a/b/c/file", "x");
    load("  - {name: deep, kind: path, exist: [a/b/c/file]}\n");
    watch();
    move("a", "x");
    ck_assert_str_eq(read_names(), "deep ");
    ck_assert(news.stale);
    finish();
}
END_TEST

/* ---- what must not be watched ---- */

START_TEST(ignored_folders)
{
    begin();
    put(".gitignore", "build/\nkept/\n");
    make_folder("build");
    make_folder("kept");
    make_folder("src");
    put("build/out.toml", "a = 1\n");
    put("kept/in.toml", "a = 1\n");
    put("src/a.toml", "a = 1\n");
    git_run(root, "init", "-q", "-b", "main");
    git_run(root, "add", "-A");
    git_run(root, "add", "-f", "kept/in.toml");
    load("  - {name: all, kind: syntax, files: [\"**/*.toml\"]}\n");
    watch();
    size_t without = rb_watch_set_totals(set).watched;
    put("build/out.toml", "a = 2\n");
    ck_assert_str_eq(read_names(), "");
    put("kept/in.toml", "a = 2\n"); /* ignored, and yet tracked */
    ck_assert_str_eq(read_names(), "all ");
    rb_watch_set_free(set);
    set = NULL;
    rb_plan_unref(plan);
    load("  - {name: even, kind: drift, files: [\"**/*.toml\"], ignored: true}\n");
    watch();
    ck_assert_uint_gt(rb_watch_set_totals(set).watched, without);
    put("build/out.toml", "a = 3\n");
    ck_assert_str_eq(read_names(), "even ");
    finish();
}
END_TEST

START_TEST(never_through_a_link)
{
    char path[512], outside[512];
    begin();
    scratch_folder(&scratch, "outside");
    scratch_write(&scratch, "outside/a.toml", "a = 1\n");
    make_folder("config");
    ck_assert_int_eq(symlink(scratch_path(&scratch, "outside", outside), at("config/link", path)), 0);
    ck_assert_int_eq(symlink(outside, at("far", path)), 0);
    load("  - {name: globs, kind: drift, files: [\"config/**\"]}\n"
         "  - {name: literal, kind: keys, rules: [{file: far/a.toml, key: a, equals: 1}]}\n");
    watch();
    struct rb_watch_totals totals = rb_watch_set_totals(set);
    ck_assert_uint_eq(totals.unwatched, 1);
    ck_assert(!totals.limited);
    ck_assert_ptr_nonnull(strstr(totals.why, "symlink"));
    scratch_write(&scratch, "outside/a.toml", "a = 2\n");
    ck_assert_str_eq(read_names(), "");
    ck_assert_uint_eq(news.events, 0);
    finish();
}
END_TEST

START_TEST(traps_are_not_opened)
{
    char path[512];
    begin();
    make_folder("config");
    ck_assert_int_eq(mkfifo(at("config/pipe", path), 0600), 0);
    ck_assert_int_eq(symlink("/dev/zero", at("config/zero", path)), 0);
    load("  - {name: globs, kind: drift, files: [\"config/**\"]}\n"
         "  - {name: literal, kind: path, exist: [config/pipe, config/zero, /etc/passwd, \"~/x\", config/pipe/below]}\n");
    watch_with((struct rb_watch_request){.files = true}); /* would hang if it opened the pipe for reading */
    ck_assert_uint_ge(rb_watch_set_totals(set).watched, 2);
    put("config/new", "x");
    (void)read_names();
    ck_assert(is_named("globs"));
    finish();
}
END_TEST

START_TEST(own_doings_are_left_out)
{
    begin();
    make_folder("mine");
    make_folder("mine/deep");
    put("mine/deep/journal.toml", "x");
    load("  - {name: all, kind: drift, files: [\"**\"]}\n");
    char mine[512];
    watch_with((struct rb_watch_request){.leave_out = at("mine", mine)});
    put("mine/deep/journal.toml", "y");
    put("mine/other.toml", "y");
    ck_assert_str_eq(read_names(), "");
    put("yours.toml", "y");
    ck_assert_str_eq(read_names(), "all ");
    finish();
}
END_TEST

/* ---- git ---- */

START_TEST(head_moves)
{
    begin();
    put("a.txt", "1\n");
    git_run(root, "init", "-q", "-b", "main");
    git_run(root, "add", "-A");
    git_run(root, "commit", "-q", "-m", "one");
    load("  - {name: refs, kind: drift, git: [head, branch, tags]}\n"
         "  - {name: tree, kind: drift, files: [\"*.toml\"]}\n"
         "  - {name: other, kind: path, exist: [a.txt]}\n");
    watch();
    git_run(root, "commit", "-q", "--allow-empty", "-m", "two");
    (void)read_names();
    ck_assert(is_named("refs"));
    ck_assert(is_named("tree"));
    ck_assert(!is_named("other"));
    watch();
    git_run(root, "tag", "v1");
    (void)read_names();
    ck_assert(is_named("refs"));
    watch();
    git_run(root, "checkout", "-q", "-b", "feature/x");
    (void)read_names();
    ck_assert(is_named("refs"));
    ck_assert(news.stale); /* refs/heads/feature came */
    watch();
    git_run(root, "commit", "-q", "--allow-empty", "-m", "three");
    (void)read_names();
    ck_assert(is_named("refs"));
    watch();
    put(".git/index.lock", "");
    put(".git/COMMIT_EDITMSG", "x");
    (void)read_names();
    ck_assert(!is_named("refs") || rb_file_events_need_files());
    finish();
}
END_TEST

START_TEST(a_linked_work_tree)
{
    begin();
    put("a.txt", "1\n");
    git_run(root, "init", "-q", "-b", "main");
    git_run(root, "add", "-A");
    git_run(root, "commit", "-q", "-m", "one");
    git_run(root, "worktree", "add", "-q", "../linked", "-b", "side");
    scratch_path(&scratch, "linked", root);
    load("  - {name: refs, kind: drift, git: [head]}\n");
    watch();
    git_run(root, "commit", "-q", "--allow-empty", "-m", "two");
    (void)read_names();
    ck_assert(is_named("refs"));
    finish();
}
END_TEST

/* ---- bounds ---- */

START_TEST(overflow_names_all)
{
    begin_two();
    if (rb_file_events_need_files()) {
        finish();
        return;
    }
    put("config/one", "");
    for (int i = 0; i < 20000; i++) {
        move("config/one", "config/two");
        move("config/two", "config/one");
    }
    /* The queue may be longer than what one read takes: read on until it has told. */
    bool lost = false, all = false;
    for (int i = 0; i < 1000 && !lost; i++) {
        (void)read_names();
        lost = news.lost[RB_FILE_LOSS_OVERFLOW] > 0;
        all = is_named("globs") && is_named("literal");
        ck_assert(!lost || news.stale);
        if (news.events == 0)
            break;
    }
    ck_assert(lost);
    ck_assert(all);
    finish();
}
END_TEST

START_TEST(effort_is_bounded)
{
    char name[64];
    begin();
    make_folder("d");
    struct rb_buf checks;
    rb_buf_init(&checks, 1 << 20);
    rb_buf_adds(&checks, "  - {name: literal, kind: path, exist: [d/file]}\n");
    for (int i = 0; i < 100; i++)
        rb_buf_addf(&checks, "  - {name: g%d, kind: drift, files: [\"**/*.a*%d\", \"**/*.b*%d\"]}\n", i, i % 10, i % 10);
    for (int i = 0; i < 100; i++)
        rb_buf_addf(&checks, "  - {name: x%d, kind: drift, files: [\"e%d/*.a\", \"*.b%d\"]}\n", i, i, i);
    load(rb_buf_str(&checks));
    rb_buf_fini(&checks);
    watch();
    for (int i = 0; i < 2000; i++) { /* 800,000 comparisons, if it were not for how they begin and end */
        (void)snprintf(name, sizeof name, "d/n%d.other", i);
        put(name, "");
    }
    ck_assert_str_eq(read_names(), "");
    ck_assert_uint_eq(news.lost[RB_FILE_LOSS_OVERFLOW], 0);
    for (int i = 0; i < 1500; i++) { /* twenty of a hundred globs have to be matched */
        (void)snprintf(name, sizeof name, "d/m%d.o%d", i, i % 10);
        put(name, "");
    }
    (void)read_names();
    ck_assert_uint_eq(news.lost[RB_FILE_LOSS_OVERFLOW], 1);
    ck_assert(is_named("g0"));
    ck_assert(is_named("g99"));
    ck_assert(is_named("x99"));
    ck_assert(!is_named("literal")); /* needs no effort */
    put("x.a7", "");
    (void)read_names();
    ck_assert_uint_eq(news.lost[RB_FILE_LOSS_OVERFLOW], 0);
    ck_assert(is_named("g7"));
    ck_assert(is_named("g97"));
    ck_assert(!is_named("g8"));
    finish();
}
END_TEST

/* How a glob begins and ends must never keep a match away. */
START_TEST(every_form_of_glob)
{
    static const char *const cases[][2] = {{"**/on.toml", "on.toml"}, {"**/on.toml", "d/e/on.toml"},    {"d/**/on.toml", "d/on.toml"},
                                           {"d/**", "d/e/x"},         {"d/{e,f}/x.*", "d/e/x.y"},       {"d/e/[a-c].tom[l]", "d/e/b.toml"},
                                           {"d/\\\\*.t", "d/*.t"},    {"d/e/{x,y.toml}", "d/e/y.toml"}, {"**", "z"},
                                           {"d/e/?", "d/e/\xc3\xa4"}, {"{d,e}/e/**/q", "d/e/q"},        {"d/e/x\\\\{", "d/e/x{"}};
    begin();
    make_folder("d");
    make_folder("d/e");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "  - {name: one, kind: drift, files: [\"%s\", nothing]}\n", cases[i][0]);
        rb_plan_unref(plan);
        load(text);
        watch();
        put(cases[i][1], "");
        ck_assert_msg(strcmp(read_names(), "one ") == 0, "%s does not see %s", cases[i][0], cases[i][1]);
    }
    finish();
}
END_TEST

START_TEST(room_is_bounded)
{
    begin_two();
    watch_with((struct rb_watch_request){.max_watches = 2});
    struct rb_watch_totals totals = rb_watch_set_totals(set);
    ck_assert_uint_eq(totals.watched, 2);
    ck_assert_uint_ge(totals.unwatched, 2);
    ck_assert(totals.limited);
    ck_assert(totals.why[0] != '\0');
    put("live/on.toml", "a = 5\n"); /* literal paths have their place first */
    ck_assert_str_eq(read_names(), "literal ");
    put("config/sub/a.toml", "a = 5\n");
    ck_assert_str_eq(read_names(), "");
    finish();
}
END_TEST

START_TEST(files_of_their_own)
{
    begin_two();
    watch_with((struct rb_watch_request){.files = true});
    ck_assert_uint_eq(rb_watch_set_totals(set).watched, 7); /* five folders, two files */
    put("live/on.toml", "a = 5\n");
    ck_assert_str_eq(read_names(), "literal ");
    put("live/new", "a = 6\n");
    (void)read_names();
    move("live/new", "live/on.toml");
    (void)read_names();
    ck_assert(is_named("literal"));
    ck_assert(news.stale); /* the new file wants a watch */
    finish();
}
END_TEST

START_TEST(nothing_to_watch)
{
    begin();
    load("  - {name: blind, kind: tcp, address: \"127.0.0.1:1\"}\n");
    watch();
    ck_assert_int_eq(rb_watch_set_fd(set), -1);
    ck_assert_str_eq(read_names(), "");
    rb_watch_set_free(set);
    set = NULL;
    rb_plan_unref(plan);
    load(two_checks);
    struct rb_platform null;
    rb_platform_null(&null, rb_platform_host()->clock);
    const struct rb_watch_request request = {.plan = plan, .platform = &null, .leave_out = ""};
    ck_assert_int_eq(rb_watch_set_new(&request, &set, &err), RB_EUNSUPPORTED);
    ck_assert_ptr_null(set);
    atomic_bool cancelled = true;
    const struct rb_watch_request ended = {.plan = plan, .platform = rb_platform_host(), .leave_out = "", .cancelled = &cancelled};
    ck_assert_int_eq(rb_watch_set_new(&ended, &set, &err), RB_ETIMEOUT);
    rb_watch_set_free(NULL);
    finish();
}
END_TEST

RB_TEST_MAIN("watch", names_who_looks, leaves_others_alone, replaced_and_removed, folders_make_it_stale, a_missing_chain_of_folders,
             grandparents_move, ignored_folders, never_through_a_link, traps_are_not_opened, own_doings_are_left_out, head_moves,
             a_linked_work_tree, overflow_names_all, effort_is_bounded, every_form_of_glob, room_is_bounded, files_of_their_own,
             nothing_to_watch)
