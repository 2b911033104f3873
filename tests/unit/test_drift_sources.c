/* Sources of drift that ask programs, servers and engines: driven step by step, without any of them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../support/check_main.h"
#include "../support/program.h"
#include "../support/scratch.h"
#include "../support/test_check.h"
#include "runbook/drift/baseline.h"

struct world {
    struct scratch tree, state;
    struct rb_fake_clock clock;
    struct rb_test_check *check;
    struct rb_action next;
};

static void begin(struct world *w, const char *yaml)
{
    scratch_make(&w->tree);
    scratch_make(&w->state);
    scratch_folder(&w->state, "baselines");
    rb_fake_clock_init(&w->clock, INT64_C(1790000000) * RB_NS_PER_S);
    w->check = rb_test_check_new(yaml, &w->clock.clock);
    ck_assert_msg(w->check->valid, "%s", rb_test_check_errors(w->check));
    w->check->ctx.root = w->tree.path;
    w->check->ctx.state_dir = w->state.path;
}

static void end(struct world *w)
{
    rb_test_check_free(w->check);
    scratch_remove(&w->tree);
    scratch_remove(&w->state);
}

/* The worker's part and the first step: what is asked for. */
static void start(struct world *w)
{
    rb_test_check_again(w->check);
    w->check->kind->run(&w->check->ctx, &w->check->outcome);
    ck_assert_msg(!w->check->outcome.final, "%s", w->check->outcome.message);
    w->next = rb_test_check_step(w->check, &(struct rb_event){.type = RB_EVENT_START});
}

static void prints(struct world *w, const char *out, int code)
{
    ck_assert_int_eq(w->next.type, RB_ACTION_CHILD);
    struct rb_child_result result = {.end = RB_CHILD_EXITED, .code = code, .out = out, .out_len = strlen(out), .err = ""};
    w->next = rb_test_check_step(w->check, &(struct rb_event){.type = RB_EVENT_CHILD, .child = &result});
}

static void ends(struct world *w, enum rb_child_end how)
{
    struct rb_child_result result = {.end = how, .code = 9, .out = "", .err = ""};
    w->next = rb_test_check_step(w->check, &(struct rb_event){.type = RB_EVENT_CHILD, .child = &result});
}

static void answers(struct world *w, long status, const char *body)
{
    ck_assert_int_eq(w->next.type, RB_ACTION_HTTP);
    struct rb_http_response response = {.status = status, .body = body, .body_len = strlen(body)};
    w->next = rb_test_check_step(w->check, &(struct rb_event){.type = RB_EVENT_HTTP, .http = &response});
}

static void is(const struct world *w, enum rb_result result, const char *reason)
{
    const struct rb_outcome *out = &w->check->outcome;
    ck_assert_int_eq(w->next.type, RB_ACTION_DONE);
    ck_assert_msg(out->result == result && strcmp(out->reason, reason) == 0, "%s: %s", out->reason, out->message);
}

/* What the daemon does with a proposal. */
static void adopt(struct world *w)
{
    is(w, RB_RESULT_UNKNOWN, "no_baseline");
    ck_assert_uint_gt(w->check->outcome.drift->proposal_len, 0);
    scratch_write(&w->state, "baselines/test.baseline", w->check->outcome.drift->proposal);
}

static bool has_item(const struct world *w, const char *key)
{
    const struct rb_drift_report *report = w->check->outcome.drift;
    bool has = false;
    for (size_t i = 0; report && i < report->item_count; i++)
        has |= strcmp(report->items[i].key, key) == 0;
    return has;
}

static struct rb_drift_item item(const struct world *w, const char *key)
{
    const struct rb_drift_report *report = w->check->outcome.drift;
    for (size_t i = 0; report && i < report->item_count; i++)
        if (strcmp(report->items[i].key, key) == 0)
            return report->items[i];
    ck_abort_msg("no item %s", key);
    return (struct rb_drift_item){0};
}

START_TEST(lines_of_a_program)
{
    struct world w;
    begin(&w, "{kind: drift, command: {argv: [tell, -a], env: {API_TOKEN: hunter2hunter2}, cwd: sub}}");
    start(&w);
    ck_assert_str_eq(w.next.child.argv[1], "-a");
    ck_assert_str_eq(w.next.child.env[0], "API_TOKEN=hunter2hunter2");
    ck_assert_str_eq(w.next.child.cwd, "sub");
    prints(&w, "b\na\nwith hunter2hunter2 inside\r\n", 0);
    ck_assert_ptr_null(strstr(w.check->outcome.drift->proposal, "hunter2"));
    adopt(&w);
    start(&w);
    prints(&w, "with hunter2hunter2 inside\na\nb", 0);
    is(&w, RB_RESULT_OK, "none");
    start(&w);
    prints(&w, "a\n", 0);
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_int_eq(item(&w, "b").change, RB_DRIFT_REMOVED);
    start(&w);
    prints(&w, "c\n", 1);
    is(&w, RB_RESULT_UNKNOWN, "failed");
    static const struct {
        enum rb_child_end end;
        const char *reason;
    } cases[] = {{RB_CHILD_SIGNALED, "failed"},
                 {RB_CHILD_TIMEOUT, "incomplete"},
                 {RB_CHILD_NOT_FOUND, "not_found"},
                 {RB_CHILD_NOT_EXECUTABLE, "not_executable"},
                 {RB_CHILD_SPAWN_FAILED, "failed"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(&w);
        ends(&w, cases[i].end);
        is(&w, RB_RESULT_UNKNOWN, cases[i].reason);
    }
    start(&w);
    w.next = rb_test_check_step(w.check, &(struct rb_event){.type = RB_EVENT_FAILED, .failure = RB_NET_OTHER, .detail = "no program here"});
    is(&w, RB_RESULT_UNKNOWN, "failed");
    end(&w);
}
END_TEST

START_TEST(keyed_lines)
{
    struct world w;
    char line[4096];
    begin(&w, "{kind: drift, command: {argv: [tell], order: keyed, separator: \":\"}}");
    start(&w);
    prints(&w, "kern.maxfiles : 10\nurl: http://x:1\nalone\npassword: one\n", 0);
    adopt(&w);
    start(&w);
    prints(&w, "url: http://x:2\nalone\nkern.maxfiles: 11\npassword: two\n", 0);
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_str_eq(item(&w, "kern.maxfiles").new_value, "\"11\"");
    ck_assert_str_eq(item(&w, "url").old_value, "\"http://x:1\"");
    ck_assert(!has_item(&w, "password")); /* masked before it is compared */
    ck_assert(!has_item(&w, "alone"));
    start(&w); /* a line longer than a key may be */
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    prints(&w, line, 0);
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_uint_eq(w.check->outcome.drift->open[RB_DRIFT_ADDED][RB_DRIFT_CLASS_NONE], 1);
    end(&w);
}
END_TEST

START_TEST(versions_of_tools)
{
    struct world w;
    begin(&w, "{kind: drift, tools: [{argv: [/usr/bin/one, -V]}, {name: two, argv: [x], after: 'engine '}]}");
    start(&w);
    prints(&w, "one 1.2.3\n", 3);
    prints(&w, "client 9.9\nengine 2.0\n", 0);
    adopt(&w);
    start(&w);
    ends(&w, RB_CHILD_NOT_FOUND);
    prints(&w, "client 9.8\nengine 2.0\n", 0);
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_str_eq(item(&w, "one").new_value, "null");
    ck_assert(!has_item(&w, "two"));
    start(&w);
    prints(&w, "no number", 0);
    is(&w, RB_RESULT_UNKNOWN, "parse");
    start(&w);
    ends(&w, RB_CHILD_TIMEOUT);
    is(&w, RB_RESULT_UNKNOWN, "incomplete");
    end(&w);
}
END_TEST

START_TEST(values_of_an_answer)
{
    struct world w;
    begin(&w, "{kind: drift, http: {url: 'http://h/api', json: [/checks, /n~1a], user: op, password: pw}}");
    start(&w);
    ck_assert_str_eq(w.next.http.user_password, "op:pw");
    answers(&w, 200, "{\"checks\": [\"b\", \"a\"], \"n/a\": {\"x\": [1, 2]}, \"other\": 1}");
    adopt(&w);
    start(&w);
    answers(&w, 200, "{\"other\": 2, \"checks\": [\"a\", \"b\"], \"n/a\": {\"x\": [1, 2]}}");
    is(&w, RB_RESULT_OK, "none");
    start(&w);
    answers(&w, 200, "{\"checks\": [\"a\", \"c\"], \"n/a\": {\"x\": [1, 3]}}");
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_int_eq(item(&w, "checks[b]").change, RB_DRIFT_REMOVED);
    ck_assert_int_eq(item(&w, "checks[c]").change, RB_DRIFT_ADDED);
    ck_assert_str_eq(item(&w, "n/a.x[1]").new_value, "3");
    static const struct {
        long status;
        const char *body, *reason;
    } cases[] = {{500, "{}", "failed"},
                 {401, "{}", "failed"},
                 {204, "", "parse"},
                 {200, "{\"a\":1,}", "parse"},
                 {200, "{\"message\": \"x\"}", "not_found"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(&w);
        answers(&w, cases[i].status, cases[i].body);
        is(&w, RB_RESULT_UNKNOWN, cases[i].reason);
    }
    start(&w);
    struct rb_http_response refused = {.failure = RB_NET_REFUSED};
    w.next = rb_test_check_step(w.check, &(struct rb_event){.type = RB_EVENT_HTTP, .http = &refused, .failure = RB_NET_REFUSED});
    is(&w, RB_RESULT_UNKNOWN, "refused");
    end(&w);
}
END_TEST

#define TARGET(job, url, more) "{\"labels\": {\"job\": \"" job "\"" more "}, \"scrapeUrl\": \"" url "\", \"health\": \"down\"}"
#define TARGETS(list)          "{\"status\": \"success\", \"data\": {\"activeTargets\": [" list "]}}"

START_TEST(targets_and_labels)
{
    struct world w;
    begin(&w, "{kind: drift, targets: {url: 'http://h:9092/prom//'}}");
    start(&w);
    ck_assert_str_eq(w.next.http.url, "http://h:9092/prom/api/v1/targets?state=active");
    answers(&w, 200, TARGETS(TARGET("a", "http://u:pw@x:1/m", ", \"stack\": \"s\", \"env\": \"e\"") "," TARGET("b", "http://y/m", "")));
    ck_assert_ptr_null(strstr(w.check->outcome.drift->proposal, "pw"));
    adopt(&w);
    start(&w);
    answers(&w, 200, TARGETS(TARGET("b", "http://y/m", "") "," TARGET("a", "http://u:pw@x:1/m", ", \"env\": \"e\", \"stack\": \"s\"")));
    is(&w, RB_RESULT_OK, "none");
    start(&w);
    answers(&w, 200, TARGETS(TARGET("b", "http://y/m", ", \"api_key\": \"visible?\"")));
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_uint_eq(w.check->outcome.drift->item_count, 2);
    ck_assert_str_eq(item(&w, "b http://y/m").new_value, "{\"api_key\":\"[redacted]\"}");
    start(&w);
    answers(&w, 200, TARGETS(""));
    is(&w, RB_RESULT_UNKNOWN, "not_found");
    start(&w);
    answers(&w, 200, "{\"status\": \"error\"}");
    is(&w, RB_RESULT_UNKNOWN, "parse");
    start(&w);
    answers(&w, 503, "");
    is(&w, RB_RESULT_UNKNOWN, "failed");
    end(&w);
}
END_TEST

#define CONTAINER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LABELS(hash)                                                                                                      \
    "{\"com.docker.compose.project\": \"obs\", \"com.docker.compose.service\": \"prom\", \"com.docker.compose.oneoff\": " \
    "\"False\", \"com.docker.compose.container-number\": \"1\", \"com.docker.compose.config-hash\": \"" hash "\"}"

static void engine_tells(struct world *w, const char *image, const char *hash)
{
    char list[1024], inspected[2048];
    start(w);
    answers(w, 200, "{\"ApiVersion\": \"1.41\"}");
    ck_assert_ptr_nonnull(strstr(w->next.http.url, "/containers/json?all=1&filters="));
    snprintf(list, sizeof list,
             "[{\"Id\": \"" CONTAINER
             "\", \"Names\": [\"/p\"], \"Image\": \"prom:2\", \"ImageID\": \"%s\", \"State\": \"running\", \"Labels\": " LABELS("%s") "}]",
             image, hash);
    answers(w, 200, list);
    snprintf(inspected, sizeof inspected,
             "{\"Id\": \"" CONTAINER
             "\", \"Name\": \"/p\", \"Image\": \"%s\", \"State\": {\"Status\": \"running\"}, \"Config\": {\"Image\": \"prom:2\", "
             "\"Labels\": " LABELS("%s") "}, \"HostConfig\": {}, \"Mounts\": [{\"Type\": \"bind\", \"Source\": \"%s/scrape.yml\", "
                                         "\"Destination\": \"/etc/p.yml\"}]}",
             image, hash, w->tree.path);
    answers(w, 200, inspected);
}

START_TEST(containers_of_a_project)
{
    struct world w;
    begin(&w, "{kind: drift, compose: {project: obs, socket: /run/docker.sock}}");
    engine_tells(&w, "sha256:aa", "h1");
    adopt(&w);
    engine_tells(&w, "sha256:bb", "h1");
    is(&w, RB_RESULT_WARN, "drift");
    ck_assert_uint_eq(w.check->outcome.drift->item_count, 1);
    ck_assert_str_eq(item(&w, "prom.image_id").new_value, "\"sha256:bb\"");
    start(&w);
    struct rb_http_response refused = {.failure = RB_NET_REFUSED};
    w.next = rb_test_check_step(w.check, &(struct rb_event){.type = RB_EVENT_HTTP, .http = &refused, .failure = RB_NET_REFUSED});
    is(&w, RB_RESULT_UNKNOWN, "no_engine");
    end(&w);
}
END_TEST

/* ---- files ---- */

/* One run of a check of files; its cache is written as the daemon does, unless nothing changed. What it found, one item a line. */
static void run_files(struct world *w, struct rb_buf *out)
{
    struct rb_test_check *check = w->check;
    struct rb_arena *arena = rb_arena_new(32 << 20);
    ck_assert_ptr_nonnull(arena);
    rb_test_check_again(check);
    check->ctx.arena = arena;
    rb_fake_clock_advance(&w->clock, 60 * RB_NS_PER_S);
    check->kind->run(&check->ctx, &check->outcome);
    const struct rb_drift_report *report = check->outcome.drift;
    ck_assert_msg(report != NULL, "%s", check->outcome.message);
    if (report->proposal_len > 0)
        scratch_write(&w->state, "baselines/test.baseline", report->proposal);
    if (report->cache_len > 0)
        scratch_write(&w->state, "baselines/test.cache", report->cache);
    rb_buf_addf(out, "%zu facts\n", report->facts);
    for (size_t i = 0; i < report->item_count; i++)
        rb_buf_addf(out, "%d %s %s\n", (int)report->items[i].change, report->items[i].key,
                    report->items[i].new_value ? report->items[i].new_value : "-");
    check->ctx.arena = check->arena;
    rb_arena_free(arena);
}

/* Runs with the cache and without one: both find the same, and that is `expected` in the end. */
static void files_agree(struct world *w, const char *after, const char *expected)
{
    RB_BUF_AUTO with;
    RB_BUF_AUTO without;
    char path[512];
    rb_buf_init(&with, 1 << 16);
    rb_buf_init(&without, 1 << 16);
    run_files(w, &with);
    (void)unlink(scratch_path(&w->state, "baselines/test.cache", path));
    run_files(w, &without);
    ck_assert_msg(strcmp(rb_buf_str(&with), rb_buf_str(&without)) == 0, "after %s\nwith:\n%s\nwithout:\n%s", after, rb_buf_str(&with),
                  rb_buf_str(&without));
    ck_assert_msg(strstr(rb_buf_str(&with), expected) != NULL, "after %s: no \"%s\" in\n%s", after, expected, rb_buf_str(&with));
}

/* The cache never hides a change: neither of files nor of folders, with stat data put back or not. */
START_TEST(files_cache_hides_nothing)
{
    static const struct {
        const char *script, *expected;
    } changes[] = {{"true", "6 facts\n"},
                   {"echo 2 > a/b/new", "0 a/b/new"},
                   {"echo 3 > a/b/new", "0 a/b/new"},
                   {"touch -r t a/b; touch -r t a/b/new", "0 a/b/new"},
                   {"echo 4 > a/b/new; touch -r t a/b/new; echo 5 > a/b/more; touch -r t a/b", "0 a/b/more"},
                   {"mv a/b/new a/b/new2", "0 a/b/new2"},
                   {"echo new2 > .gitignore", "0 a/b/more"},
                   {"git rm -q --cached t; echo t >> .gitignore", "1 t -"},
                   {"git add -f t", "0 a/b/more"},
                   {"echo 9 > u; touch -r t u", "2 u "},
                   {"mv a c; mkdir -p a/b; echo 5 > a/b/more", "0 c/b/more"},
                   {"d=$(printf 'o\\n\\t\"\\\\'); mkdir \"$d\"; echo 1 > \"$d/f\"", "0 o\n\t\"\\/f"}, /* names that have to be quoted */
                   {"true", "0 o\n\t\"\\/f"},
                   {"chmod 755 u", "100755"},
                   {"rm u; ln -s t u", "\"link\":\"t\""}};
    struct world w;
    begin(&w, "{kind: drift, files: [\"**\"], baseline: auto}");
    rb_fake_clock_init(&w.clock, ((int64_t)time(NULL) + 1000) * RB_NS_PER_S);
    ck_assert_int_eq(
        program_run(w.tree.path, (const char *const[]){"sh", "-ec",
                                                       "git init -q; mkdir -p a/b; echo 1 > t; echo 1 > a/x; echo 1 > a/b/y; git add .;"
                                                       "git commit -qm x; echo 1 > u; echo 1 > a/v; echo '*.o' > .gitignore",
                                                       NULL}),
        0);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL);
        ck_assert_int_eq(program_run(w.tree.path, (const char *const[]){"sh", "-ec", changes[i].script, NULL}), 0);
        files_agree(&w, changes[i].script, changes[i].expected);
    }
    end(&w);
}
END_TEST

/* A cache that was cut or edited is no cache; one of another version neither. */
START_TEST(files_cache_damaged)
{
    struct world w;
    char path[512], text[8192];
    begin(&w, "{kind: drift, files: [\"**\"], baseline: auto}");
    rb_fake_clock_init(&w.clock, ((int64_t)time(NULL) + 1000) * RB_NS_PER_S);
    scratch_folder(&w.tree, "a");
    scratch_write(&w.tree, "a/x", "1");
    files_agree(&w, "begin", "1 facts\n");
    FILE *file = fopen(scratch_path(&w.state, "baselines/test.cache", path), "r");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    ck_assert_ptr_nonnull(strstr(text, "\nw\t\"a\"\t"));
    for (size_t cut = 0; cut <= len; cut++) {
        char damaged[8192];
        memcpy(damaged, text, len + 1);
        damaged[cut] = cut % 2 ? '\0' : (char)(damaged[cut] ^ 1);
        scratch_write(&w.state, "baselines/test.cache", damaged);
        RB_BUF_AUTO found;
        rb_buf_init(&found, 1 << 16);
        run_files(&w, &found);
        ck_assert_str_eq(rb_buf_str(&found), "1 facts\n");
    }
    end(&w);
}
END_TEST

RB_TEST_MAIN("drift_sources", files_cache_hides_nothing, files_cache_damaged, lines_of_a_program, keyed_lines, versions_of_tools,
             values_of_an_answer, targets_and_labels, containers_of_a_project)
