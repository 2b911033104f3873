/* The plan: common options, defaults, names, dependencies, identity, places, trust, runbook headings. */
#include <stdlib.h>
#include <string.h>

#include "../support/fake_kinds.h"
#include "../support/fixture_main.h"
#include "../support/scratch.h"

static struct rb_arena *arena;
static struct rb_diags diags;
static struct rb_buf out;
static struct rb_error err;
static struct scratch scratch;
static struct rb_plan *plan;
static char root[512], config[512], state[512];

static void setup(void)
{
    unsetenv("STATE_DIRECTORY");
    unsetenv("RUNBOOKD_CONFIG");
    arena = rb_arena_new((size_t)64 << 20);
    rb_diags_init(&diags, arena);
    rb_buf_init(&out, 1 << 20);
    scratch_make(&scratch);
    scratch_folder(&scratch, "tree");
    scratch_folder(&scratch, "tree/.git");
    scratch_path(&scratch, "tree", root);
    scratch_path(&scratch, "tree/runbookd.yml", config);
    scratch_path(&scratch, "state", state);
    plan = NULL;
}

static void teardown(void)
{
    rb_plan_unref(plan);
    scratch_remove(&scratch);
    rb_buf_fini(&out);
    rb_arena_free(arena);
}

static const char *errors(void)
{
    rb_buf_reset(&out);
    rb_diags_print(&diags, &out);
    return rb_buf_str(&out);
}

static int load_request(struct rb_plan_request *request)
{
    rb_plan_unref(plan);
    plan = NULL;
    rb_diags_init(&diags, arena);
    return rb_plan_load(request, &fake_kinds, &diags, &plan, &err);
}

static int load(const char *text)
{
    struct rb_plan_request request = {.config = config, .cwd = scratch.path, .state_dir = state};
    scratch_write(&scratch, "tree/runbookd.yml", text);
    return load_request(&request);
}

static void accept(const char *text)
{
    ck_assert_msg(load(text) == 0, "%s", errors());
    ck_assert_uint_eq(diags.count, 0);
}

static void refuse(const char *text, const char *message)
{
    ck_assert_int_eq(load(text), RB_ECONFIG);
    ck_assert_ptr_null(plan);
    ck_assert_msg(strstr(errors(), message) != NULL, "wanted '%s', got: %s", message, errors());
}

static const struct rb_check_spec *check(const char *name)
{
    size_t i = rb_plan_find(plan, name);
    ck_assert_uint_ne(i, SIZE_MAX);
    return &plan->checks[i];
}

static void identity_of(const char *text, char identity[RB_SHA256_HEX])
{
    accept(text);
    memcpy(identity, plan->checks[0].identity, RB_SHA256_HEX);
}

START_TEST(a_small_plan)
{
    accept("checks:\n  - {name: a, kind: probe, url: 'http://x'}\n  - {name: b, kind: program, url: 'http://x', depends_on: a}\n");
    ck_assert_uint_eq(plan->count, 2);
    ck_assert_int_eq(check("a")->phase, RB_PHASE_HEALTH);
    ck_assert_int_eq(check("b")->phase, RB_PHASE_GATE);
    ck_assert_int_eq(check("a")->every_ms, 60000);
    ck_assert_int_eq(check("b")->every_ms, 3600000);
    ck_assert_int_eq(check("a")->timeout_ms, 10000);
    ck_assert(check("a")->triage && !check("b")->triage);
    ck_assert_int_eq(check("a")->severity, RB_SEVERITY_WARN);
    ck_assert_int_eq(check("a")->presence, RB_PRESENCE_REQUIRED);
    ck_assert_uint_eq(check("a")->fail_after, 1);
    ck_assert_uint_eq(check("b")->depends_on_count, 1);
    ck_assert_uint_eq(check("b")->depends_on[0], 0);
    ck_assert_uint_eq(check("b")->mark.line, 3);
    const struct fake_options *options = check("a")->options;
    ck_assert_str_eq(options->url, "http://x");
    ck_assert(plan->trusted && !check("b")->untrusted && !plan->discovered);
    ck_assert_str_eq(plan->daemon.root, root);
    ck_assert_str_eq(plan->daemon.state_dir, state);
    ck_assert_uint_eq(plan->daemon.listen.count, 2);
    ck_assert_uint_eq(plan->files.count, 1);
    ck_assert_uint_eq(rb_plan_find(plan, "zz"), SIZE_MAX);
}
END_TEST

START_TEST(references_are_counted)
{
    accept("checks: [{name: a, kind: probe, url: 'http://x'}]\n");
    struct rb_plan *second = rb_plan_ref(plan);
    rb_plan_unref(plan);
    ck_assert_str_eq(second->checks[0].name, "a");
    rb_plan_unref(NULL);
}
END_TEST

START_TEST(defaults_reach_every_common_option)
{
    accept("defaults: {phase: safety, every: manual, timeout: 2s, presence: optional, severity: page, fail_after: 2, recover_after: 3, "
           "depends_on: [a],\n"
           "  hints: [x], triage: false}\n"
           "checks:\n  - {name: a, kind: probe, url: 'http://x'}\n  - {name: b, kind: program, url: 'http://x', every: 5s, severity: info, "
           "triage: true}\n");
    ck_assert(check("a")->manual && !check("b")->manual);
    ck_assert_int_eq(check("b")->every_ms, 5000);
    ck_assert_int_eq(check("a")->phase, RB_PHASE_SAFETY);
    ck_assert_int_eq(check("a")->presence, RB_PRESENCE_OPTIONAL);
    ck_assert_int_eq(check("a")->severity, RB_SEVERITY_PAGE);
    ck_assert_int_eq(check("b")->severity, RB_SEVERITY_INFO);
    ck_assert_uint_eq(check("a")->fail_after, 2);
    ck_assert_uint_eq(check("a")->recover_after, 3);
    ck_assert(!check("a")->triage && check("b")->triage);
    ck_assert_uint_eq(check("a")->hints.count, 1);
    ck_assert_uint_eq(check("a")->depends_on_count, 0);
    ck_assert_uint_eq(check("b")->depends_on_count, 1);
    ck_assert_ptr_nonnull(rb_node_get(check("a")->node, "timeout"));
    refuse("defaults: {evry: 5s, name: x}\nchecks: [{name: a, kind: probe, url: 'http://x'}, {name: b, kind: probe, url: 'http://x'}]\n",
           "unknown key 'evry' in defaults; did you mean 'every'?");
    ck_assert_uint_eq(diags.count, 2);
}
END_TEST

START_TEST(a_bad_default_is_told_once)
{
    refuse("defaults: {timeout: soon}\nchecks: [{name: a, kind: probe, url: 'http://x'}, {name: b, kind: probe, url: 'http://x'}]\n",
           "in defaults");
    ck_assert_uint_eq(diags.count, 1);
}
END_TEST

START_TEST(names_and_kinds)
{
    refuse("checks: [{kind: probe, url: 'http://x'}]\n", "a check needs a 'name'");
    refuse("checks: [{name: '-x', kind: probe, url: 'http://x'}]\n", "is no name for a check");
    refuse("checks: [{name: 'a b', kind: probe, url: 'http://x'}]\n", "is no name for a check");
    refuse("checks: [{name: a2345678901234567890123456789012345678901234567890123456789012345, kind: probe, url: 'http://x'}]\n",
           "at most 64");
    refuse("checks: [{name: a, url: 'http://x'}]\n", "check 'a' needs a 'kind'");
    refuse("checks: [{name: a, kind: prob, url: 'http://x'}]\n", "unknown kind 'prob' in check 'a'; did you mean 'probe'?");
    refuse("checks: [{name: a, kind: zzzzzz}]\n", "`runbookd explain` lists them");
    refuse("checks:\n  - {name: a, kind: probe, url: 'http://x'}\n  - {name: a, kind: probe, url: 'http://x'}\n",
           ":3:12: a check named 'a' is already at ");
    refuse("checks: [5]\n", "a check is a mapping");
    refuse("checks: {a: b}\n", "'checks' wants a list");
    refuse("checkz: []\n", "unknown key 'checkz' in the configuration; did you mean 'checks'?");
    refuse("checks: [{name: a, kind: probe, urll: 'http://x'}]\n", "unknown key 'urll' in check 'a' (kind probe); did you mean 'url'?");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', severity: loud}]\n", "must be one of page, warn, info; found 'loud'");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', every: 1ms}]\n", "allowed is 1s to 400d");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', timeout: 2h}]\n", "out of range");
}
END_TEST

START_TEST(no_checks_is_a_warning)
{
    accept("checks:\n");
    ck_assert_uint_eq(plan->count, 0);
    ck_assert_uint_eq(plan->warnings.count, 1);
    ck_assert_ptr_nonnull(strstr(plan->warnings.items[0], "has no checks"));
}
END_TEST

START_TEST(presence_where_it_means_nothing)
{
    accept("checks: [{name: a, kind: probe, url: 'http://x', presence: optional}, {name: b, kind: program, url: 'http://x', presence: "
           "optional}]\n");
    ck_assert_uint_eq(plan->warnings.count, 1);
    ck_assert_ptr_nonnull(strstr(plan->warnings.items[0], "check 'b' (kind program)"));
    accept("defaults: {presence: optional}\nchecks: [{name: b, kind: program, url: 'http://x'}]\n");
    ck_assert_uint_eq(plan->warnings.count, 0);
    refuse("defaults: {every: 5s, every: 6s}\ndaemon: {language: en, language: de}\nchecks: []\n",
           ":1:23: duplicate key 'every', first at line 1");
    ck_assert_uint_eq(diags.count, 2);
}
END_TEST

START_TEST(dependencies)
{
    refuse("checks: [{name: docker, kind: probe, url: 'http://x'}, {name: b, kind: probe, url: 'http://x', depends_on: [dokcer]}]\n",
           "check 'b' depends on 'dokcer', which does not exist; did you mean 'docker'?");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', depends_on: a}]\n", "depends_on goes round in a circle: a → a");
    refuse("checks:\n"
           "  - {name: a, kind: probe, url: 'http://x', depends_on: [b]}\n  - {name: b, kind: probe, url: 'http://x', depends_on: [c, d]}\n"
           "  - {name: c, kind: probe, url: 'http://x', depends_on: [a]}\n  - {name: d, kind: probe, url: 'http://x', depends_on: [c]}\n",
           "a → b → c → a");
    ck_assert_uint_eq(diags.count, 1);
    accept("checks: [{name: a, kind: probe, url: 'http://x'}, {name: b, kind: probe, url: 'http://x', depends_on: [a, a]}]\n");
    ck_assert_uint_eq(check("b")->depends_on_count, 1);
}
END_TEST

START_TEST(a_long_chain_and_the_limit_of_checks)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_CONFIG_MAX_BYTES);
    rb_buf_adds(&text, "checks:\n");
    for (unsigned i = 0; i < RB_PLAN_MAX_CHECKS; i++)
        rb_buf_addf(&text, "- {name: c%u, kind: probe, url: 'http://x', depends_on: [c%u]}\n", i, i + 1 < RB_PLAN_MAX_CHECKS ? i + 1 : 0);
    refuse(rb_buf_str(&text), "depends_on goes round in a circle: c0 → c1 → ");
    ck_assert_uint_eq(diags.count, 1);
    ck_assert_uint_lt(strlen(diags.items[0].message), 2000);
    rb_buf_adds(&text, "- {name: more, kind: probe, url: 'http://x'}\n");
    refuse(rb_buf_str(&text), "more than 5000 checks");
}
END_TEST

START_TEST(identity_is_the_meaning)
{
    char a[RB_SHA256_HEX], b[RB_SHA256_HEX];
    identity_of("checks: [{name: a, kind: probe, url: 'http://x', port: 1}]\n", a);
    identity_of("defaults: {timeout: 3s}\nchecks: [{port: 1, name: a, every: 5s, severity: page, fail_after: 3, hints: [x], title: t, "
                "kind: probe, url: http://x}]\n",
                b);
    ck_assert_str_ne(a, "");
    identity_of("checks: [{name: a, kind: probe, url: http://x, port: 1}]\n", a);
    ck_assert_str_eq(a, b);
    identity_of("checks: [{name: a, kind: probe, url: http://y, port: 1}]\n", b);
    ck_assert_str_ne(a, b);
    identity_of("checks: [{name: a, kind: program, url: http://x, port: 1}]\n", b);
    ck_assert_str_ne(a, b);
    identity_of("checks: [{name: a, kind: probe, url: http://x, port: 1, presence: optional}]\n", b);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(every_error_in_one_run)
{
    scratch_write(&scratch, "tree/inc.yml", "checks:\n  - {name: z, kind: probe, url: 'http://x', port: x}\n");
    refuse("include: [missing.yml, inc.yml]\nchecks:\n  - {name: a, kind: probe, url: 'http://x', url: 'http://y', depends_on: [b]}\n"
           "  - {name: b, kind: probe, urll: 1, url: 'http://x', depends_on: [a, gone]}\n  - {name: c, kind: probe, url: 'http://x', flag: "
           "yes}\n",
           "missing.yml");
    ck_assert_ptr_nonnull(strstr(errors(), "runbookd.yml:3:45: duplicate key 'url'"));
    ck_assert_ptr_nonnull(strstr(errors(), "unknown key 'urll'"));
    ck_assert_ptr_nonnull(strstr(errors(), "write true"));
    ck_assert_ptr_nonnull(strstr(errors(), "a → b → a"));
    ck_assert_ptr_nonnull(strstr(errors(), "inc.yml:2:51: 'port'"));
    ck_assert_ptr_null(strstr(errors(), "gone")); /* may be in the missing file */
    ck_assert_int_eq(err.code, RB_ECONFIG);
    ck_assert_str_eq(err.message, "6 errors in the configuration");
}
END_TEST

START_TEST(listeners)
{
    accept("daemon: {listen: [localhost:9112, '[::]:1', 0.0.0.0:2, unix:/run/x.sock]}\nchecks: []\n");
    ck_assert_uint_eq(plan->daemon.listen.count, 5);
    ck_assert_str_eq(plan->daemon.listen.items[0], "127.0.0.1:9112");
    ck_assert_str_eq(plan->daemon.listen.items[1], "[::1]:9112");
    refuse("daemon: {listen: ['9112', 'host:1', '[::x]:1', '127.0.0.1:70000', unix:rel]}\n", "write an address with its port");
    ck_assert_uint_eq(diags.count, 5);
    refuse("daemon: {listen: []}\n", "at least 1 item");
    accept("daemon: {allowed_hosts: [host.docker.internal, 10.0.0.1, '::1', '[::1]']}\nchecks: []\n");
    refuse("daemon: {allowed_hosts: ['a:9112', '*.example.org', 'http://x', '']}\nchecks: []\n", "without its port");
    ck_assert_uint_eq(diags.count, 4);
    static const char *const given[] = {"127.0.0.1:0", NULL};
    struct rb_plan_request request = {.config = config, .cwd = root, .state_dir = state, .listen = {.items = given, .count = 1}};
    scratch_write(&scratch, "tree/runbookd.yml", "checks: []\n");
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_uint_eq(plan->daemon.listen.count, 1);
    static const char *const bad[] = {"nonsense", NULL};
    request.listen.items = bad;
    ck_assert_int_eq(load_request(&request), RB_ECONFIG);
    ck_assert_ptr_nonnull(strstr(errors(), "--listen: "));
}
END_TEST

START_TEST(the_root)
{
    char path[512];
    struct rb_plan_request request = {.config = config, .cwd = scratch.path, .state_dir = state};
    scratch_folder(&scratch, "tree/sub");
    scratch_folder(&scratch, "other");
    accept("daemon: {root: sub}\nchecks: []\n");
    ck_assert_str_eq(plan->daemon.root, scratch_path(&scratch, "tree/sub", path));
    request.root = "other";
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_str_eq(plan->daemon.root, scratch_path(&scratch, "other", path));
    refuse("daemon: {root: nowhere}\nchecks: []\n", "runbookd.yml:1:16: root ");
    refuse("daemon: {root: runbookd.yml}\nchecks: []\n", "is not a folder");
    request.root = "nowhere";
    ck_assert_int_eq(load_request(&request), RB_ECONFIG);
    ck_assert_ptr_nonnull(strstr(errors(), "--root: root "));
}
END_TEST

START_TEST(the_root_without_a_word_about_it)
{
    char path[512];
    struct rb_plan_request request = {.cwd = root, .state_dir = state};
    scratch_folder(&scratch, "source");
    scratch_folder(&scratch, "source/.git");
    scratch_folder(&scratch, "source/examples");
    scratch_folder(&scratch, "source/lib");
    scratch_folder(&scratch, "source/lib/kinds");
    scratch_write(&scratch, "source/lib/kinds/kinds.def", "");
    scratch_write(&scratch, "source/examples/e.yml", "checks: []\n");
    scratch_write(&scratch, "source/e.yml", "checks: []\n");
    scratch_write(&scratch, "plain.yml", "checks: []\n");
    request.config = scratch_path(&scratch, "source/examples/e.yml", path);
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_str_eq(plan->daemon.root, root);
    request.config = scratch_path(&scratch, "source/e.yml", path);
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_ptr_nonnull(strstr(plan->daemon.root, "/source"));
    request.config = scratch_path(&scratch, "plain.yml", path);
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_str_eq(plan->daemon.root, root);
}
END_TEST

START_TEST(the_state_folder)
{
    struct rb_plan_request request = {.config = config, .cwd = scratch.path};
    scratch_write(&scratch, "tree/runbookd.yml", "daemon: {state_dir: here}\nchecks: []\n");
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_ptr_nonnull(strstr(plan->daemon.state_dir, "/tree/here"));
    ck_assert_ptr_null(strstr(plan->trust_dir, "/tree/here"));
    request.state_dir = "given";
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_ptr_nonnull(strstr(plan->daemon.state_dir, "/given"));
    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert_str_eq(plan->daemon.state_dir, "/var/lib/one");
    unsetenv("STATE_DIRECTORY");
    char path[512];
    ck_assert_int_eq(rb_state_dir_default(path, sizeof path, &err), 0);
    ck_assert_ptr_nonnull(strstr(path, "/.local/state/runbookd"));
    ck_assert_int_eq(rb_state_dir_default(path, 4, &err) < 0, 1);
}
END_TEST

START_TEST(the_search)
{
    char path[512];
    bool here = false;
    scratch_folder(&scratch, "xdg");
    scratch_folder(&scratch, "xdg/runbookd");
    scratch_write(&scratch, "xdg/runbookd/runbookd.yml", "checks: []\n");
    setenv("XDG_CONFIG_HOME", scratch_path(&scratch, "xdg", path), 1);
    ck_assert_int_eq(rb_config_find(root, path, sizeof path, &here, &err), 0);
    ck_assert(!here && strstr(path, "/xdg/runbookd/runbookd.yml") != NULL);
    scratch_write(&scratch, "tree/runbookd.yml", "checks: []\n");
    ck_assert_int_eq(rb_config_find(root, path, sizeof path, &here, &err), 0);
    ck_assert(here);
    ck_assert_str_eq(path, config);
    setenv("RUNBOOKD_CONFIG", "named.yml", 1);
    ck_assert_int_eq(rb_config_find(root, path, sizeof path, &here, &err), 0);
    ck_assert(!here && strstr(path, "/tree/named.yml") != NULL);
    unsetenv("RUNBOOKD_CONFIG");
    setenv("XDG_CONFIG_HOME", scratch.path, 1);
    if (access("/etc/runbookd/runbookd.yml", F_OK) != 0) {
        ck_assert_int_eq(rb_config_find(scratch.path, path, sizeof path, &here, &err), RB_ENOTFOUND);
        struct rb_plan_request request = {.cwd = scratch.path, .state_dir = state};
        ck_assert_int_eq(load_request(&request), RB_ENOTFOUND);
        ck_assert_ptr_nonnull(strstr(err.message, "runbookd init"));
    }
    unsetenv("XDG_CONFIG_HOME");
}
END_TEST

START_TEST(a_named_file_that_is_missing)
{
    struct rb_plan_request request = {.config = "missing.yml", .cwd = scratch.path, .state_dir = state};
    ck_assert_int_eq(load_request(&request), RB_ECONFIG);
    ck_assert_ptr_nonnull(strstr(errors(), "missing.yml"));
}
END_TEST

START_TEST(a_text)
{
    struct rb_plan_request request = {.text = "checks: [{name: a, kind: program, url: 'http://x'}]\n", .cwd = root, .state_dir = state};
    ck_assert_int_eq(load_request(&request), 0);
    ck_assert(plan->discovered && plan->trusted && !plan->checks[0].untrusted);
    ck_assert_uint_eq(plan->files.count, 0);
    ck_assert_str_eq(plan->source, "discovery");
    ck_assert_str_eq(plan->daemon.root, root);
}
END_TEST

START_TEST(runbook_headings)
{
    scratch_write(&scratch, "tree/book.md",
                  "Title\n=====\n\n## Phase 2 — Start: Host\n\n```sh\n# Not a heading\n```\n\n### Steps (Commands)\ntext\n## Phase 20\n### "
                  "Other\n## Phase 3\n\n"
                  "**2) Mitigation (no live)**\n\n~~~\n## In code\n~~~\n\nSetext two\n---\n");
    const char *const good[][2] = {
        {"Phase 2", "4"},           {"phase 2 > steps", "10"},    {"Phase 2 — Start: Host", "4"},   {"Phase 3 > 2) Mitigation", "16"},
        {"Title > Phase 20", "12"}, {"book.md#Setext two", "22"}, {"book.md#steps-commands", "10"}, {"#Title", "1"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "daemon: {runbook: book.md}\nchecks: [{name: a, kind: probe, url: 'http://x', runbook: '%s'}]\n",
                 good[i][0]);
        accept(text);
        ck_assert_uint_eq(plan->checks[0].runbook_line, (unsigned)atoi(good[i][1]));
        ck_assert_str_eq(plan->checks[0].runbook_file, "book.md");
        ck_assert_ptr_nonnull(plan->checks[0].runbook_heading);
    }
    const char *const bad[] = {"Phase 1", "Not a heading", "In code", "Phase 20 > Steps", "Phase 3 > Steps"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "daemon: {runbook: book.md}\nchecks: [{name: a, kind: probe, url: 'http://x', runbook: '%s'}]\n",
                 bad[i]);
        refuse(text, "is not in book.md");
    }
    refuse("daemon: {runbook: book.md}\nchecks: [{name: a, kind: probe, url: 'http://x', runbook: 'Pase 20'}]\n",
           "did you mean 'Phase 20'?");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', runbook: Phase 2}]\n", "no runbook is configured");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', runbook: 'gone.md#x'}]\n", "runbook gone.md cannot be read");
    refuse("checks: [{name: a, kind: probe, url: 'http://x', runbook: '../tree/book.md#Title'}]\n", "cannot be read");
}
END_TEST

RB_FIXTURE_MAIN("plan", a_small_plan, references_are_counted, defaults_reach_every_common_option, a_bad_default_is_told_once,
                names_and_kinds, no_checks_is_a_warning, presence_where_it_means_nothing, dependencies,
                a_long_chain_and_the_limit_of_checks, identity_is_the_meaning, every_error_in_one_run, listeners, the_root,
                the_root_without_a_word_about_it, the_state_folder, the_search, a_named_file_that_is_missing, a_text, runbook_headings)
