/* Kind compose as a state machine, fed by hand: how services end, presence, images, crash loops, bounds, hostile names. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/test_check.h"
#include "runbook/check/notes.h"

static struct rb_fake_clock clock_now;

static void setup(void)
{
    rb_fake_clock_init(&clock_now, INT64_C(1787368061) * RB_NS_PER_S); /* 2026-08-22T03:07:41Z */
}

static struct rb_test_check *make(const char *yaml)
{
    struct rb_test_check *check = rb_test_check_new(yaml, &clock_now.clock);
    ck_assert_ptr_nonnull(check->kind);
    ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
    return check;
}

/* The worker part, then the first question. */
static struct rb_action begin(struct rb_test_check *check)
{
    struct rb_event started = {.type = RB_EVENT_START};
    check->ctx.state = check->state;
    check->kind->run(&check->ctx, &check->outcome);
    ck_assert(!check->outcome.final);
    struct rb_action action = rb_test_check_step(check, &started);
    ck_assert_str_eq(action.http.url, "http://docker/version");
    ck_assert_str_eq(action.http.unix_socket, "/run/x.sock");
    return action;
}

static struct rb_action answer(struct rb_test_check *check, long status, const char *body)
{
    struct rb_http_response response = {.status = status, .body = body, .body_len = strlen(body)};
    struct rb_event event = {.type = RB_EVENT_HTTP, .http = &response};
    struct rb_action action = rb_test_check_step(check, &event);
    if (action.type == RB_ACTION_HTTP)
        ck_assert_str_eq(action.http.method, "GET");
    return action;
}

static void lose(struct rb_test_check *check, enum rb_net_failure failure)
{
    struct rb_event event = {.type = RB_EVENT_FAILED, .failure = failure, .detail = "how it failed"};
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
    ck_assert_ptr_nonnull(rb_kind_reason(check->kind, check->outcome.reason));
}

static const char version[] = "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}";

#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABELS                                                                                                                         \
    "\"Labels\":{\"com.docker.compose.project\":\"p\",\"com.docker.compose.service\":\"web\",\"com.docker.compose.container-number\":" \
    "\"1\"}"

static const char yaml[] = "{kind: compose, socket: /run/x.sock, project: p, services: [web]}";

/* One container "web": the members of State, and of the document. */
static const char *inspected(struct rb_test_check *check, const char *state, const char *more)
{
    return rb_arena_printf(check->arena,
                           "{\"Id\":\"" ID
                           "\",\"Name\":\"/p-web-1\",\"Image\":\"sha256:1\",\"State\":{%s},\"Config\":{\"Image\":\"i:1\"," LABELS "}%s}",
                           state, more);
}

/* Runs up to the image of the tag; the action after it. */
static struct rb_action until_image(struct rb_test_check *check, const char *state, const char *more)
{
    begin(check);
    struct rb_action list = answer(check, 200, version);
    ck_assert_ptr_nonnull(strstr(list.http.url, "/v1.41/containers/json?all=1&filters=%7B%22label%22"));
    struct rb_action inspect = answer(check, 200, "[{\"Id\":\"" ID "\",\"State\":\"running\"," LABELS "}]");
    ck_assert_str_eq(inspect.http.url, "http://docker/v1.41/containers/" ID "/json");
    struct rb_action image = answer(check, 200, inspected(check, state, more));
    ck_assert_str_eq(image.http.url, "http://docker/v1.41/images/i%3A1/json");
    return answer(check, 200, "{\"Id\":\"sha256:1\"}");
}

static void expect(const struct rb_test_check *check, enum rb_result result, const char *reason, enum rb_sighting sighting)
{
    ck_assert_msg(check->outcome.result == result && strcmp(check->outcome.reason, reason) == 0, "%s %s: %s",
                  rb_result_name(check->outcome.result), check->outcome.reason, check->outcome.message);
    ck_assert_int_eq(check->outcome.sighting, sighting);
    ck_assert_ptr_nonnull(rb_kind_reason(check->kind, check->outcome.reason));
}

#define ENDED(code) \
    "\"Status\":\"exited\",\"ExitCode\":" code ",\"StartedAt\":\"2026-08-22T03:00:00Z\",\"FinishedAt\":\"2026-08-22T03:07:00Z\""
#define EVENT(action) "{\"Type\":\"container\",\"Action\":\"" action "\",\"timeNano\":1787368020000000000,\"Actor\":{\"ID\":\"" ID "\"}}\n"

START_TEST(a_service_that_runs)
{
    struct rb_test_check *check = make(yaml);
    ck_assert_int_eq(
        until_image(check, "\"Status\":\"running\"", ",\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/host_mnt/srv/x.yml\"}]").type,
        RB_ACTION_DONE);
    expect(check, RB_RESULT_OK, "none", RB_SIGHTING_PRESENT);
    ck_assert_double_eq(rb_test_check_value(check, "service_up", "web"), 1);
    bool service = false;
    for (size_t i = 0; i < check->outcome.fact_count; i++)
        service = service || (strcmp(check->outcome.facts[i].key, "service") == 0 && strcmp(check->outcome.facts[i].value, "p/web") == 0);
    ck_assert(service);
    rb_test_check_free(check);
}
END_TEST

START_TEST(how_a_service_ends)
{
    static const struct {
        const char *state, *more, *events;
        enum rb_presence presence;
        enum rb_result result;
        const char *reason;
        enum rb_sighting sighting;
    } rows[] = {
        {ENDED("3"), "", EVENT("die"), RB_PRESENCE_REQUIRED, RB_RESULT_FAIL, "exited", RB_SIGHTING_GONE},
        {ENDED("3"), "", EVENT("die"), RB_PRESENCE_OPTIONAL, RB_RESULT_FAIL, "exited", RB_SIGHTING_GONE},
        {ENDED("0"), "", EVENT("die"), RB_PRESENCE_REQUIRED, RB_RESULT_FAIL, "exited", RB_SIGHTING_ENDED},
        {ENDED("0"), "", EVENT("die"), RB_PRESENCE_OPTIONAL, RB_RESULT_OK, "none", RB_SIGHTING_ENDED},
        {ENDED("137"), "", EVENT("kill") EVENT("die"), RB_PRESENCE_REQUIRED, RB_RESULT_FAIL, "stopped", RB_SIGHTING_ENDED},
        {ENDED("137"), "", EVENT("kill") EVENT("die"), RB_PRESENCE_OPTIONAL, RB_RESULT_OK, "none", RB_SIGHTING_ENDED},
        {ENDED("137") ",\"OOMKilled\":true", "", EVENT("die"), RB_PRESENCE_OPTIONAL, RB_RESULT_FAIL, "oom", RB_SIGHTING_GONE},
        {ENDED("137"), "", EVENT("die") EVENT("oom"), RB_PRESENCE_REQUIRED, RB_RESULT_FAIL, "oom", RB_SIGHTING_GONE},
        {ENDED("137"), ",\"HostConfig\":{\"Memory\":4096}", EVENT("die"), RB_PRESENCE_REQUIRED, RB_RESULT_FAIL, "oom", RB_SIGHTING_GONE},
        {ENDED("137"), ",\"HostConfig\":{\"Memory\":4096}", "", RB_PRESENCE_REQUIRED, RB_RESULT_FAIL, "exited", RB_SIGHTING_GONE},
        {ENDED("143"), "", "", RB_PRESENCE_OPTIONAL, RB_RESULT_OK, "none", RB_SIGHTING_ENDED},
        {ENDED("1"), ",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"unless-stopped\"}}", "", RB_PRESENCE_OPTIONAL, RB_RESULT_OK, "none",
         RB_SIGHTING_ENDED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make(yaml);
        check->spec.presence = rows[i].presence;
        struct rb_action events = until_image(check, rows[i].state, rows[i].more);
        ck_assert_ptr_nonnull(strstr(events.http.url, "/v1.41/events?since="));
        struct rb_action action = answer(check, 200, rows[i].events);
        if (action.type == RB_ACTION_HTTP) {
            ck_assert_ptr_nonnull(strstr(action.http.url, "/logs?stdout=1&stderr=1&tail=20"));
            ck_assert_int_eq(answer(check, 200, "first\nsecret=hunter2hunter2\nlast").type, RB_ACTION_DONE);
            ck_assert_uint_eq(check->outcome.last_words_count, 3);
            ck_assert_ptr_null(strstr(check->outcome.last_words[1], "hunter2"));
        }
        expect(check, rows[i].result, rows[i].reason, rows[i].sighting);
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(what_is_wrong_with_a_running_one)
{
    static const struct {
        const char *state, *more;
        enum rb_result result;
        const char *reason;
    } rows[] = {
        {"\"Status\":\"running\",\"Health\":{\"Status\":\"unhealthy\",\"Log\":[{\"Output\":\"db locked\"}]}", "", RB_RESULT_FAIL,
         "unhealthy"},
        {"\"Status\":\"running\",\"Health\":{\"Status\":\"starting\"}", "", RB_RESULT_WARN, "starting"},
        {"\"Status\":\"restarting\",\"ExitCode\":2", ",\"RestartCount\":9", RB_RESULT_FAIL, "crash_loop"},
        {"\"Status\":\"restarting\",\"ExitCode\":2", ",\"RestartCount\":1", RB_RESULT_FAIL, "exited"},
        {"\"Status\":\"running\",\"StartedAt\":\"2026-08-22T03:07:30Z\"", ",\"RestartCount\":5", RB_RESULT_FAIL, "crash_loop"},
        {"\"Status\":\"running\",\"StartedAt\":\"2026-08-21T03:07:30Z\"", ",\"RestartCount\":5", RB_RESULT_OK, "none"},
        {"\"Status\":\"running\",\"OOMKilled\":true", "", RB_RESULT_WARN, "oom"},
        {"\"Status\":\"paused\"", "", RB_RESULT_WARN, "paused"},
        {"\"Status\":\"dead\"", "", RB_RESULT_FAIL, "dead"},
        {"\"Status\":\"created\",\"Error\":\"port is already allocated\"", "", RB_RESULT_FAIL, "not_started"},
        {"\"Status\":\"created\"", ",\"Created\":\"2026-08-22T03:07:40Z\"", RB_RESULT_WARN, "starting"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make(yaml);
        struct rb_action action = until_image(check, rows[i].state, rows[i].more);
        if (action.type == RB_ACTION_HTTP)
            action = answer(check, 409, "{\"message\":\"no log\"}");
        ck_assert_int_eq(action.type, RB_ACTION_DONE);
        ck_assert_msg(check->outcome.result == rows[i].result && strcmp(check->outcome.reason, rows[i].reason) == 0, "row %zu: %s %s", i,
                      check->outcome.reason, check->outcome.message);
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(changes_are_seen_from_run_to_run)
{
    struct rb_test_check *check = make(yaml);
    until_image(check, "\"Status\":\"running\"", ",\"RestartCount\":0");
    expect(check, RB_RESULT_OK, "none", RB_SIGHTING_PRESENT);
    rb_test_check_again(check);
    rb_fake_clock_advance(&clock_now, 5 * RB_NS_PER_S);
    until_image(check, "\"Status\":\"running\"", ",\"RestartCount\":1");
    expect(check, RB_RESULT_WARN, "restarted", RB_SIGHTING_PRESENT);
    rb_test_check_again(check);
    until_image(check, "\"Status\":\"running\"", ",\"RestartCount\":3");
    answer(check, 200, "again\n");
    expect(check, RB_RESULT_FAIL, "crash_loop", RB_SIGHTING_PRESENT);
    rb_test_check_again(check);
    rb_fake_clock_advance(&clock_now, 700 * RB_NS_PER_S);
    until_image(check, "\"Status\":\"running\"", ",\"RestartCount\":3");
    expect(check, RB_RESULT_OK, "none", RB_SIGHTING_PRESENT);
    rb_test_check_free(check);
}
END_TEST

START_TEST(no_containers)
{
    struct rb_test_check *check = make(yaml);
    begin(check);
    answer(check, 200, version);
    ck_assert_int_eq(answer(check, 200, "[]").type, RB_ACTION_DONE);
    expect(check, RB_RESULT_FAIL, "missing", RB_SIGHTING_ENDED);
    rb_test_check_free(check);
    check = make(yaml);
    check->spec.presence = RB_PRESENCE_OPTIONAL;
    begin(check);
    answer(check, 200, version);
    /* Foreign projects, one-off containers and ids that must not enter a path are left out. */
    answer(check, 200, "[{\"Id\":\"../../x\"," LABELS "},{\"Id\":\"" ID "\",\"Labels\":{\"com.docker.compose.project\":\"other\"}},7]");
    expect(check, RB_RESULT_OK, "none", RB_SIGHTING_ENDED);
    rb_test_check_free(check);
}
END_TEST

START_TEST(the_engine_is_down)
{
    struct rb_test_check *check = make(yaml);
    begin(check);
    lose(check, RB_NET_REFUSED);
    expect(check, RB_RESULT_UNKNOWN, "engine_unreachable", RB_SIGHTING_GONE);
    rb_test_check_free(check);
    check = make(yaml);
    begin(check);
    answer(check, 200, version);
    lose(check, RB_NET_TIMEOUT);
    expect(check, RB_RESULT_UNKNOWN, "engine_unreachable", RB_SIGHTING_NONE);
    rb_test_check_free(check);
}
END_TEST

/* A small engine of containers: every question is answered from this list until there is none. */
struct container {
    const char *name, *id, *state, *more, *labels, *env, *log;
};

static const char *told(struct rb_test_check *check, const struct container *c)
{
    return rb_arena_printf(
        check->arena,
        "{\"Id\":\"%s\",\"Name\":\"/p-%s-1\",\"Image\":\"sha256:1\",\"State\":{%s},\"Config\":{\"Image\":\"sha256:1\",\"Env\":[\"%s\"],"
        "\"Labels\":{\"com.docker.compose.project\":\"p\",\"com.docker.compose.service\":\"%s\"%s}}%s}",
        c->id, c->name, c->state, c->env, c->name, c->labels, c->more);
}

static void play(struct rb_test_check *check, const struct container *containers, size_t count)
{
    begin(check);
    struct rb_action action = answer(check, 200, version);
    const char *list = "";
    for (size_t i = 0; i < count; i++)
        list = rb_arena_printf(check->arena,
                               "%s%s{\"Id\":\"%s\",\"State\":\"exited\",\"Labels\":{\"com.docker.compose.project\":\"p\",\"com.docker."
                               "compose.service\":\"%s\"}}",
                               list, i ? "," : "", containers[i].id, containers[i].name);
    action = answer(check, 200, rb_arena_printf(check->arena, "[%s]", list));
    for (unsigned rounds = 0; action.type == RB_ACTION_HTTP && rounds < 64; rounds++) {
        const struct container *about = NULL;
        for (size_t i = 0; i < count; i++)
            about = strstr(action.http.url, containers[i].id) ? &containers[i] : about;
        ck_assert_msg(about, "%s", action.http.url);
        if (strstr(action.http.url, "/events"))
            action = answer(check, 200, "");
        else
            action = strstr(action.http.url, "/logs") ? answer(check, 200, about->log) : answer(check, 200, told(check, about));
    }
    ck_assert_int_eq(action.type, RB_ACTION_DONE);
}

#define DB_ID "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
#define DIED(code, at) \
    "\"Status\":\"exited\",\"ExitCode\":" code ",\"StartedAt\":\"2026-08-22T03:00:00Z\",\"FinishedAt\":\"2026-08-22T" at "Z\""

/* However a need is known, the one that is needed gives the message, also when its end was recorded later. */
START_TEST(what_is_needed_is_told_first)
{
    static const struct container rows[][2] = {
        {{"web", ID, DIED("1", "03:07:00"), "", "", "X=postgres://u:p@db:5432/x", "boom"},
         {"db", DB_ID, DIED("3", "03:07:01"), "", "", "A=b", "no"}},
        {{"web", ID, DIED("1", "03:07:00"), "", "", "DB_HOST=db", "boom"}, {"db", DB_ID, DIED("3", "03:07:01"), "", "", "A=b", "no"}},
        {{"web", ID, DIED("1", "03:07:00"), "", ",\"com.docker.compose.depends_on\":\"x:service_started:false,db:service_healthy:true\"",
          "A=b", "boom"},
         {"db", DB_ID, DIED("3", "03:07:01"), "", "", "A=b", "no"}},
        {{"web", ID, DIED("1", "03:07:00"), ",\"HostConfig\":{\"NetworkMode\":\"container:" DB_ID "\"}", "", "A=b", "boom"},
         {"db", DB_ID, DIED("3", "03:07:01"), "", "", "A=b", "no"}},
        {{"web", ID, DIED("1", "03:07:00"), "", "", "A=b", "could not translate host name \"db\""},
         {"db", DB_ID, DIED("3", "03:07:01"), "", "", "A=b", "no"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make("{kind: compose, socket: /run/x.sock, project: p, services: [web, db]}");
        play(check, rows[i], 2);
        expect(check, RB_RESULT_FAIL, "exited", RB_SIGHTING_GONE);
        ck_assert_msg(strncmp(check->outcome.message, "p-db-1 exited with code 3", 25) == 0, "row %zu: %s", i, check->outcome.message);
        ck_assert_str_eq(check->outcome.last_words[0], "no");
        bool needs = false;
        for (size_t f = 0; f < check->outcome.fact_count; f++)
            needs = needs || (strcmp(check->outcome.facts[f].key, "needs") == 0 && strcmp(check->outcome.facts[f].value, "p/web db") == 0);
        ck_assert_msg(needs, "row %zu", i);
        rb_test_check_free(check);
    }
}
END_TEST

/* Versions, hosts of other domains, and words that only look like an address. */
START_TEST(what_only_looks_like_an_address_is_no_need)
{
    static const char *const values[] = {"IMAGE=db:7.2-alpine", "IMAGE=db:3",          "X=https://db.example.com/x",
                                         "X=db:prices",         "X=//db.example:5432", "X=my-db:5432/db",
                                         "X=db:5432x",          "DB_HOST=db.example",  "X=db:999999",
                                         "HOSTS=a,db:x:443",    "THE_DB=db",           "X=/srv/db/x"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct container both[] = {{"web", ID, DIED("1", "03:07:00"), "", "", values[i], "boom"},
                                   {"db", DB_ID, DIED("3", "03:07:01"), "", "", "A=b", "no"}};
        struct rb_test_check *check = make("{kind: compose, socket: /run/x.sock, project: p}");
        play(check, both, 2);
        for (size_t f = 0; f < check->outcome.fact_count; f++)
            ck_assert_msg(strcmp(check->outcome.facts[f].key, "needs") != 0, "%s", values[i]);
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(without_a_need_what_ended_first_is_told_first)
{
    static const struct container both[] = {{"web", ID, DIED("1", "03:07:01"), "", "", "TITLE=the db and cache book", "boom"},
                                            {"db", DB_ID, DIED("3", "03:07:00"), "", "", "A=b", "web is fine"}};
    struct rb_test_check *check = make("{kind: compose, socket: /run/x.sock, project: p}");
    play(check, both, 2);
    ck_assert_msg(strncmp(check->outcome.message, "p-db-1 exited with code 3", 25) != 0, "db's words name web: %s", check->outcome.message);
    rb_test_check_free(check);
    static const struct container quiet[] = {{"web", ID, DIED("1", "03:07:01"), "", "", "TITLE=the db and cache book", "boom"},
                                             {"db", DB_ID, DIED("3", "03:07:00"), "", "", "A=b", "full"}};
    check = make("{kind: compose, socket: /run/x.sock, project: p}");
    play(check, quiet, 2);
    ck_assert_msg(strncmp(check->outcome.message, "p-db-1 exited with code 3", 25) == 0, "%s", check->outcome.message);
    ck_assert_double_eq(rb_test_check_value(check, "service_up", "web"), 0);
    rb_test_check_free(check);
}
END_TEST

START_TEST(what_is_missing_and_needed_is_told_first)
{
    static const struct container one[] = {{"web", ID, DIED("1", "03:07:01"), "", "", "URL=redis://cache:6379", "boom"}};
    struct rb_test_check *check = make("{kind: compose, socket: /run/x.sock, project: p, services: [web, cache, other]}");
    play(check, one, 1);
    expect(check, RB_RESULT_FAIL, "missing", RB_SIGHTING_GONE);
    ck_assert_msg(strncmp(check->outcome.message, "cache has no container", 22) == 0, "%s", check->outcome.message);
    rb_test_check_free(check);
}
END_TEST

/* A container that has ended publishes nothing: the ports that it was made with are still told. */
START_TEST(an_ended_container_still_tells_its_ports)
{
    static const struct container one[] = {
        {"web", ID, DIED("1", "03:07:01"),
         ",\"NetworkSettings\":{\"Ports\":{}},\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}}", "",
         "A=b", "boom"}};
    struct rb_test_check *check = make("{kind: compose, socket: /run/x.sock, project: p}");
    play(check, one, 1);
    bool publishes = false;
    for (size_t f = 0; f < check->outcome.fact_count; f++)
        publishes = publishes ||
                    (strcmp(check->outcome.facts[f].key, "publish") == 0 && strcmp(check->outcome.facts[f].value, "8080") == 0);
    ck_assert(publishes);
    rb_test_check_free(check);
}
END_TEST

START_TEST(configuration)
{
    struct rb_test_check *check = rb_test_check_new("{kind: compose, services: [a]}", &clock_now.clock);
    ck_assert(!check->valid);
    rb_test_check_free(check);
    check = make("{kind: compose, socket: /run/x.sock, file: /nonexistent/compose.yml}");
    check->ctx.state = check->state;
    check->kind->run(&check->ctx, &check->outcome);
    ck_assert(check->outcome.final);
    ck_assert_str_eq(check->outcome.reason, "bad_file");
    rb_test_check_free(check);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kind_compose");
    TCase *tcase = tcase_create("kind_compose");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_service_that_runs);
    tcase_add_test(tcase, how_a_service_ends);
    tcase_add_test(tcase, what_is_wrong_with_a_running_one);
    tcase_add_test(tcase, changes_are_seen_from_run_to_run);
    tcase_add_test(tcase, no_containers);
    tcase_add_test(tcase, the_engine_is_down);
    tcase_add_test(tcase, what_is_needed_is_told_first);
    tcase_add_test(tcase, what_only_looks_like_an_address_is_no_need);
    tcase_add_test(tcase, without_a_need_what_ended_first_is_told_first);
    tcase_add_test(tcase, what_is_missing_and_needed_is_told_first);
    tcase_add_test(tcase, an_ended_container_still_tells_its_ports);
    tcase_add_test(tcase, configuration);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
