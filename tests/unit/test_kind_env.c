/* env: runbookd itself, dotenv files, made-up processes and a made-up engine; and that no value that could be a token enters an outcome. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/kind_run.h"
#include "../support/scratch.h"
#include "runbook/check/env_guard.h"

extern const struct rb_kind rb_kind_env;

/* ---- a machine ---- */

struct fake_process {
    struct rb_process process;
    const char *const *env; /* NULL: not permitted */
    bool ended;
};
static const char *const argv_bot[] = {"python3", "/srv/tree/src/bot.py", "--api-key=abcdefghijklmnopqrst", NULL};
static const char *const argv_shell[] = {"-bash", NULL};
static const char *const argv_other[] = {"python3", "/srv/tree2/x.py", NULL};
static const char *const argv_kernel[] = {NULL};
static const char *const env_clean[] = {"PATH=/bin", "PT_ARMED=0", "PEAK_TRADE_LIVE=0", NULL};
static const char *const env_armed[] = {"PATH=/bin", "PT_ARMED=1", NULL};
static const char *const env_token[] = {"PT_CONFIRM_TOKEN=hunter2-swordfish", "PT_CONFIRM=xyzzy-9041", NULL};

static struct fake_process machine[8];
static size_t machine_count;

static void add_process(pid_t pid, const char *name, const char *const *argv, const char *cwd, const char *const *env)
{
    machine[machine_count++] = (struct fake_process){
        .process = {.pid = pid, .ppid = 1, .name = name, .argv = argv, .cwd = cwd, .start_wall_ns = INT64_C(1750000000) * RB_NS_PER_S},
        .env = env};
}

static int list_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err)
{
    (void)err;
    *out = rb_arena_array(arena, machine_count + 1, sizeof **out);
    ck_assert_ptr_nonnull(*out);
    for (size_t i = 0; i < machine_count; i++)
        (*out)[i] = machine[i].process;
    *out_count = machine_count;
    return 0;
}

static int no_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err)
{
    (void)arena;
    *out = NULL;
    *out_count = 0;
    return rb_error_set(err, RB_EUNSUPPORTED, "this system does not list processes");
}

static int environ_of(struct rb_arena *arena, pid_t pid, const char *const **out, struct rb_error *err)
{
    (void)arena;
    for (size_t i = 0; i < machine_count; i++) {
        if (machine[i].process.pid != pid)
            continue;
        if (machine[i].ended)
            return rb_error_set(err, RB_ENOTFOUND, "process %d ended", (int)pid);
        *out = machine[i].env;
        return *out ? 0 : rb_error_set(err, RB_EPERM, "process %d is not ours", (int)pid);
    }
    return rb_error_set(err, RB_ENOTFOUND, "process %d does not exist", (int)pid);
}

static void setup(struct kind_run *run, const char *yaml)
{
    ck_assert_msg(kind_run_init(run, &rb_kind_env, yaml), "%s: %s", yaml, run->diags.count ? run->diags.items[0].message : "?");
    run->platform.processes = list_processes;
    run->platform.process_environ = environ_of;
}

static void look(struct kind_run *run)
{
    run->ctx.state = rb_arena_alloc(run->arena, run->kind->exchange->state_size);
    kind_run_worker(run);
}

static void expect(const struct kind_run *run, enum rb_result result, const char *reason)
{
    ck_assert_msg(run->outcome.result == result && strcmp(run->outcome.reason, reason) == 0, "%s %s: %s",
                  rb_result_name(run->outcome.result), run->outcome.reason, run->outcome.message);
}

static bool says(const struct kind_run *run, const char *part)
{
    return strstr(run->outcome.message, part) != NULL || kind_run_has_evidence(run, part);
}

static void assert_hidden(const struct kind_run *run, const char *value)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    ck_assert_int_eq(rb_outcome_to_json(&run->outcome, &text, NULL), 0);
    ck_assert_msg(strstr(rb_buf_str(&text), value) == NULL, "%s", rb_buf_str(&text));
}

/* ---- processes ---- */

START_TEST(processes_of_the_tree)
{
    struct kind_run run;
    machine_count = 0;
    add_process(10, "python3", argv_bot, "/", env_clean);
    add_process(11, "bash", argv_shell, "/srv/tree/sub", env_clean);
    add_process(12, "python3", argv_other, "/srv/tree2", env_armed);
    add_process(13, "kthreadd", argv_kernel, "/srv/tree", env_armed);
    setup(&run, "{processes: true, deny: [PT_ARMED, \"PT_CONFIRM*\"]}");
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    ck_assert(run.outcome.final);
    ck_assert_str_eq(run.outcome.message, "2/2 processes");
    ck_assert(kind_run_has_evidence(&run, "2 of 2 processes inspected, 0 unreadable; each as of its start"));
    machine[0].env = env_armed;
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert_msg(says(&run, "PT_ARMED is set to 1 in python3 (pid 10), as of its start at 2025-06-15"), "%s", run.outcome.message);
    ck_assert_str_eq(kind_run_fact(&run, "pid"), "10");
    ck_assert(kind_run_has_evidence(&run, "pid 10 runs: python3 /srv/tree/src/bot.py"));
    assert_hidden(&run, "abcdefghijklmnopqrst");
    ck_assert_double_eq(kind_run_value(&run, "violations", NULL)->number, 1);
    machine[0].env = env_token;
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert(says(&run, "PT_CONFIRM_TOKEN is set (value hidden)"));
    ck_assert(says(&run, "PT_CONFIRM is set (value hidden)"));
    assert_hidden(&run, "hunter2");
    assert_hidden(&run, "xyzzy");
    kind_run_fini(&run);
}
END_TEST

START_TEST(values_in_a_command_line)
{
    static const char *const argv_env[] = {"env", "PT_CONFIRM_CODE=xyzzy-4711", "A=b", "/srv/tree/run", NULL};
    struct kind_run run;
    machine_count = 0;
    add_process(10, "env", argv_env, "/", env_armed);
    setup(&run, "{processes: true, deny: [PT_ARMED, \"PT_CONFIRM*\"]}");
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert(kind_run_has_evidence(&run, "pid 10 runs: env PT_CONFIRM_CODE=[redacted] A=b /srv/tree/run"));
    assert_hidden(&run, "xyzzy");
    kind_run_fini(&run);
}
END_TEST

START_TEST(processes_by_command_line)
{
    struct kind_run run;
    machine_count = 0;
    add_process(10, "python3", argv_bot, "/", env_clean);
    add_process(12, "python3", argv_other, "/srv/tree2", env_armed);
    setup(&run, "{processes: {argv: \"tree2/.*[.]py\"}, deny: [PT_ARMED]}");
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert(says(&run, "(pid 12)"));
    kind_run_fini(&run);
    setup(&run, "{processes: {argv: python3, below: /srv/tree/}, deny: [PT_ARMED]}");
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    ck_assert_str_eq(run.outcome.message, "1/1 processes");
    kind_run_fini(&run);
    setup(&run, "{processes: {argv: nothing}, deny: [PT_ARMED]}");
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    ck_assert_str_eq(run.outcome.message, "0/0 processes");
    kind_run_fini(&run);
}
END_TEST

START_TEST(what_cannot_be_read)
{
    struct kind_run run;
    machine_count = 0;
    add_process(10, "python3", argv_bot, "/", NULL);
    add_process(11, "bash", argv_shell, "/srv/tree", env_clean);
    setup(&run, "{processes: true, deny: [PT_ARMED]}");
    look(&run);
    expect(&run, RB_RESULT_UNKNOWN, "not_permitted");
    ck_assert(kind_run_has_evidence(&run, "1 of 2 processes inspected, 1 unreadable"));
    ck_assert_double_eq(kind_run_value(&run, "processes", "no")->number, 1);
    machine[0].ended = true; /* between the list and the look */
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    ck_assert_str_eq(run.outcome.message, "1/1 processes");
    machine[1].env = env_armed; /* a violation outweighs what is unseen */
    machine[0].ended = false;
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    run.platform.processes = no_processes;
    look(&run);
    expect(&run, RB_RESULT_UNKNOWN, "unsupported");
    kind_run_fini(&run);
}
END_TEST

/* ---- required ---- */

START_TEST(required_variables)
{
    struct kind_run run;
    machine_count = 0;
    add_process(10, "python3", argv_bot, "/", env_clean);
    add_process(11, "bash", argv_shell, "/srv/tree", env_armed);
    setup(&run, "{processes: true, require: {PEAK_TRADE_LIVE: \"0\"}}");
    look(&run);
    expect(&run, RB_RESULT_WARN, "required_unset");
    ck_assert_msg(says(&run, "PEAK_TRADE_LIVE=0 is wanted, but not set in bash (pid 11)"), "%s", run.outcome.message);
    ck_assert_double_eq(kind_run_value(&run, "unset", NULL)->number, 1);
    static const char *const env_live[] = {"PEAK_TRADE_LIVE=1", NULL};
    machine[1].env = env_live;
    look(&run);
    expect(&run, RB_RESULT_FAIL, "wrong_value");
    ck_assert(says(&run, "PEAK_TRADE_LIVE is set to 1 in bash (pid 11)") && says(&run, "expected 0"));
    kind_run_fini(&run);
    setup(&run, "{processes: true, require: {PEAK_TRADE_LIVE: ~}}");
    look(&run);
    expect(&run, RB_RESULT_OK, "none"); /* any value will do */
    kind_run_fini(&run);
}
END_TEST

/* ---- runbookd itself, dotenv files ---- */

START_TEST(own_environment)
{
    struct kind_run run;
    machine_count = 0;
    unsetenv("RB_TEST_ARMED");
    setup(&run, "{deny: [RB_TEST_ARMED]}");
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    ck_assert_str_eq(run.outcome.message, "own environment");
    ck_assert_int_eq(setenv("RB_TEST_ARMED", "1", 1), 0);
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert(says(&run, "RB_TEST_ARMED is set to 1 in runbookd's own environment"));
    ck_assert_int_eq(setenv("RB_TEST_ARMED", "False", 1), 0);
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    kind_run_fini(&run);
    ck_assert_int_eq(setenv("RB_TEST_ARMED", "1", 1), 0);
    setup(&run, "{processes: true, deny: [RB_TEST_ARMED]}");
    look(&run);
    expect(&run, RB_RESULT_OK, "none"); /* with processes only those */
    run.ctx.by_hand = true;
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set"); /* but whoever calls `check` is told of the shell that it was called from */
    kind_run_fini(&run);
    unsetenv("RB_TEST_ARMED");
}
END_TEST

START_TEST(dotenv_files)
{
    struct kind_run run;
    struct scratch s;
    scratch_make(&s);
    setup(&run, "{files: [\".env*\"], deny: [PT_ARMED], require: {PEAK_TRADE_LIVE: \"0\"}}");
    run.ctx.root = s.path;
    look(&run);
    expect(&run, RB_RESULT_OK, "none"); /* a glob may match nothing */
    ck_assert_str_eq(run.outcome.message, "0 dotenv files");
    scratch_write(&s, ".env", "# PT_ARMED=1\nPEAK_TRADE_LIVE=0\nPT_ARMED=0 # PT_ARMED=1\n");
    look(&run);
    expect(&run, RB_RESULT_OK, "none");
    scratch_write(&s, ".env.local", "export PT_ARMED='yes'\nPEAK_TRADE_LIVE=0\n");
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert_msg(says(&run, "PT_ARMED is set to yes in .env.local:1"), "%s", run.outcome.message);
    scratch_write(&s, ".env.local", "A=1\nPT_ARMED: 1\n");
    look(&run);
    expect(&run, RB_RESULT_FAIL, "broken");
    ck_assert(says(&run, ".env.local: line 2"));
    scratch_write(&s, ".env.local", "PT_ARMED\n");
    look(&run);
    expect(&run, RB_RESULT_FAIL, "denied_set"); /* whatever the environment has: cannot be seen */
    ck_assert(says(&run, "PEAK_TRADE_LIVE=0 is wanted, but not set in .env.local"));
    kind_run_fini(&run);
    setup(&run, "{files: [.env.gone], deny: [PT_ARMED]}");
    run.ctx.root = s.path;
    look(&run);
    expect(&run, RB_RESULT_FAIL, "file_missing");
    kind_run_fini(&run);
    scratch_remove(&s);
}
END_TEST

/* ---- what may be shown ---- */

START_TEST(only_harmless_values_are_shown)
{
    static const struct {
        const char *name, *value, *shown;
    } rows[] = {{"PT_ARMED", "1", "1"},
                {"PT_ARMED", "TRUE", "TRUE"},
                {"PT_ARMED", "", "\"\""},
                {"PT_ARMED", "12345", NULL},
                {"PT_CONFIRM", "yes", "yes"},
                {"PT_CONFIRM", "I_UNDERSTAND", NULL},
                {"PT_CONFIRM_TOKEN", "yes", NULL},
                {"KRAKEN_API_KEY", "1", NULL},
                {"PEAK_TRADE_CONFIG", "/tmp/x.toml", "/tmp/x.toml"},
                {"PEAK_TRADE_CONFIG", "./live.toml", "./live.toml"},
                {"PEAK_TRADE_CONFIG", "https://u:p@h/x", NULL},
                {"X", "/ghp_abcdefghijklmnopqrstuvwxyz0123456789", NULL},
                {"X", NULL, NULL}};
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *shown = rb_env_show(rows[i].name, rows[i].value, arena);
        ck_assert_msg((shown == NULL) == (rows[i].shown == NULL) && (!shown || strcmp(shown, rows[i].shown) == 0), "%s=%s: %s",
                      rows[i].name, rows[i].value ? rows[i].value : "?", shown ? shown : "hidden");
    }
    const char *const deny[] = {"A*", "B?", NULL}, *const safe[] = {"harmless", NULL};
    struct rb_env_guard guard = {.deny = {deny, 2}};
    ck_assert(rb_env_denies(&guard, "ABC", "1") && rb_env_denies(&guard, "B1", "x") && rb_env_denies(&guard, "A", NULL));
    ck_assert(!rb_env_denies(&guard, "B", "1") && !rb_env_denies(&guard, "a", "1") && !rb_env_denies(&guard, "ABC", "OFF"));
    guard.safe = (struct rb_strings){safe, 1};
    ck_assert(rb_env_denies(&guard, "ABC", "0") && !rb_env_denies(&guard, "ABC", "Harmless"));
}
END_TEST

/* ---- containers ---- */

static struct rb_action answer(struct kind_run *run, long status, const char *body)
{
    struct rb_action next = {0};
    struct rb_http_response response = {.status = status, .body = body ? body : "", .body_len = body ? strlen(body) : 0};
    if (status == 0)
        response.failure = RB_NET_REFUSED;
    const struct rb_event event = {.type = RB_EVENT_HTTP, .http = &response};
    run->kind->exchange->step(&run->ctx, run->ctx.state, &event, &next, &run->outcome);
    return next;
}

static void begin_containers(struct kind_run *run, const struct scratch *s, const char *more)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "{containers: %s, socket: %s/docker.sock, deny: [PT_ARMED, \"*_API_KEY\"]}", more, s->path);
    setup(run, yaml);
}

static struct rb_action start(struct kind_run *run)
{
    struct rb_action next = {0};
    const struct rb_event event = {.type = RB_EVENT_START};
    look(run);
    ck_assert_msg(!run->outcome.final, "%s", run->outcome.message);
    run->kind->exchange->step(&run->ctx, run->ctx.state, &event, &next, &run->outcome);
    return next;
}

#define ID1 "1111111111111111111111111111111111111111111111111111111111111111"
#define ID2 "2222222222222222222222222222222222222222222222222222222222222222"
static const char version[] = "{\"ApiVersion\": \"1.41\", \"Version\": \"20.10\"}";
static const char list[] =
    "[{\"Id\": \"" ID1 "\", \"Names\": [\"/bot\"], \"Image\": \"i\", \"State\": \"running\", \"Labels\": {\"com.docker.compose.project\": "
    "\"peaktrade-x\"}}, {\"Id\": \"" ID2 "\", \"Names\": [\"/web\"], \"Image\": \"i\", \"State\": \"running\", \"Labels\": {}}]";

static void inspect_text(char out[1024], const char *id, const char *env)
{
    snprintf(out, 1024,
             "{\"Id\": \"%s\", \"Name\": \"/bot\", \"State\": {\"Status\": \"running\", \"Running\": true}, \"Config\": {\"Image\": \"i\", "
             "\"Env\": [%s], "
             "\"Labels\": {}}, \"HostConfig\": {}, \"Image\": \"sha256:1\", \"RestartCount\": 0}",
             id, env);
}

START_TEST(containers)
{
    struct kind_run run;
    struct scratch s;
    char body[1024];
    machine_count = 0;
    scratch_make(&s);
    scratch_write(&s, "docker.sock", "");
    begin_containers(&run, &s, "true");
    struct rb_action next = start(&run);
    ck_assert_int_eq(next.type, RB_ACTION_HTTP);
    ck_assert_str_eq(next.http.method, "GET");
    next = answer(&run, 200, version);
    ck_assert_msg(strstr(next.http.url, "/v1.41/containers/json") != NULL, "%s", next.http.url);
    next = answer(&run, 200, list);
    ck_assert_msg(strstr(next.http.url, "/containers/" ID1 "/json") != NULL, "%s", next.http.url);
    inspect_text(body, ID1, "\"PT_ARMED=1\", \"KRAKEN_API_KEY=hunter2-swordfish\"");
    next = answer(&run, 200, body);
    ck_assert_msg(strstr(next.http.url, ID2) != NULL, "%s", next.http.url);
    inspect_text(body, ID2, "\"PT_ARMED=0\"");
    next = answer(&run, 200, body);
    ck_assert_int_eq(next.type, RB_ACTION_DONE);
    expect(&run, RB_RESULT_FAIL, "denied_set");
    ck_assert(says(&run, "PT_ARMED is set to 1 in container bot, as it was created"));
    ck_assert(says(&run, "KRAKEN_API_KEY is set (value hidden)"));
    ck_assert(says(&run, "inspected: 2/2 containers"));
    assert_hidden(&run, "swordfish");
    ck_assert_str_eq(kind_run_fact(&run, "container"), "bot");
    kind_run_verify(&run);
    /* The engine goes away while they ran: they may run on. */
    start(&run);
    next = answer(&run, 0, NULL);
    ck_assert_int_eq(next.type, RB_ACTION_DONE);
    expect(&run, RB_RESULT_UNKNOWN, "engine_gone");
    kind_run_fini(&run);
    scratch_remove(&s);
}
END_TEST

START_TEST(containers_by_project_and_trouble)
{
    struct kind_run run;
    struct scratch s;
    char body[1024];
    machine_count = 0;
    scratch_make(&s);
    scratch_write(&s, "docker.sock", "");
    begin_containers(&run, &s, "{project: \"peaktrade-*\"}");
    start(&run); /* never answered before: no engine, no containers */
    ck_assert_int_eq(answer(&run, 0, NULL).type, RB_ACTION_DONE);
    expect(&run, RB_RESULT_OK, "none");
    ck_assert_str_eq(run.outcome.message, "0/0 containers");
    start(&run);
    (void)answer(&run, 200, version);
    (void)answer(&run, 200, list);
    inspect_text(body, ID1, "\"PT_ARMED=0\"");
    ck_assert_int_eq(answer(&run, 200, body).type, RB_ACTION_DONE); /* the other one is of no project */
    expect(&run, RB_RESULT_OK, "none");
    ck_assert_str_eq(run.outcome.message, "1/1 containers");
    start(&run);
    (void)answer(&run, 200, version);
    (void)answer(&run, 200, list);
    ck_assert_int_eq(answer(&run, 404, "{\"message\": \"No such container\"}").type, RB_ACTION_DONE);
    expect(&run, RB_RESULT_OK, "none"); /* it ended meanwhile */
    start(&run);
    (void)answer(&run, 200, version);
    (void)answer(&run, 200, list);
    (void)answer(&run, 500, "{\"message\": \"broken\"}");
    expect(&run, RB_RESULT_UNKNOWN, "api_error");
    ck_assert(says(&run, "inspected: 0/1 containers"));
    start(&run);
    (void)answer(&run, 200, version);
    (void)answer(&run, 200, "garbage");
    expect(&run, RB_RESULT_UNKNOWN, "protocol");
    kind_run_fini(&run);
    scratch_remove(&s);
}
END_TEST

START_TEST(wrong_options_are_told)
{
    static const char *const wrong[] = {"{processes: true}",
                                        "{deny: [A], processes: maybe}",
                                        "{deny: [A], processes: {argv: \"(\"}}",
                                        "{deny: [A], processes: {arg: x}}",
                                        "{deny: [A], processes: {argv: [x]}}",
                                        "{deny: [A], containers: {project: \"a[\"}}",
                                        "{deny: [\"A[\"]}",
                                        "{deny: [A], self: false}",
                                        "{deny: [A], files: [\"../x\"]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct kind_run run;
        ck_assert_msg(!kind_run_init(&run, &rb_kind_env, wrong[i]), "%s was taken", wrong[i]);
        kind_run_fini(&run);
    }
}
END_TEST

RB_TEST_MAIN("kind_env", processes_of_the_tree, values_in_a_command_line, processes_by_command_line, what_cannot_be_read,
             required_variables, own_environment, dotenv_files, only_harmless_values_are_shown, containers,
             containers_by_project_and_trouble, wrong_options_are_told)
