/* The engine's place and answers: contexts, versions, containers of two API versions, framed logs, paths of Docker Desktop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "../support/scratch.h"
#include "runbook/base/digest.h"
#include "runbook/source/compose.h"
#include "runbook/source/docker.h"

static char home[64];

static const char *variables[8][2];

static const char *fake_getenv(void *ctx, const char *name)
{
    (void)ctx;
    for (size_t i = 0; variables[i][0]; i++) {
        if (strcmp(variables[i][0], name) == 0)
            return variables[i][1];
    }
    return NULL;
}

static void setup(void)
{
    snprintf(home, sizeof home, "/tmp/rb-docker-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    memset(variables, 0, sizeof variables);
}

static void teardown(void)
{
    struct scratch scratch;
    snprintf(scratch.path, sizeof scratch.path, "%s", home);
    scratch_remove(&scratch);
}

static void set(size_t i, const char *name, const char *value)
{
    variables[i][0] = name;
    variables[i][1] = value;
}

static void write_file(const char *relative, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", home, relative);
    for (char *slash = strchr(path + strlen(home) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static int make_socket(const char *relative)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char marker[200];
    snprintf(marker, sizeof marker, "%s.d", relative);
    write_file(marker, ""); /* makes the folders */
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", home, relative);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static struct rb_docker_endpoint find(const char *socket)
{
    struct rb_docker_endpoint endpoint;
    rb_docker_find(&(struct rb_docker_search){.socket = socket, .home = home, .getenv = fake_getenv, .system_prefix = home}, &endpoint);
    return endpoint;
}

START_TEST(the_option_wins_and_must_be_usable)
{
    set(0, "DOCKER_HOST", "unix:///elsewhere.sock");
    struct rb_docker_endpoint endpoint = find("/a/docker.sock");
    ck_assert_int_eq(endpoint.found, RB_DOCKER_FOUND);
    ck_assert_str_eq(endpoint.unix_socket, "/a/docker.sock");
    ck_assert_str_eq(endpoint.origin, "option socket");
    ck_assert_str_eq(find("unix:///b.sock").unix_socket, "/b.sock");
    ck_assert_int_eq(find("relative.sock").found, RB_DOCKER_UNSUPPORTED);
    char path[300];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(find(path).found, RB_DOCKER_UNSUPPORTED);
}
END_TEST

START_TEST(docker_host)
{
    static const struct {
        const char *host;
        enum rb_docker_found found;
        const char *url;
    } rows[] = {{"unix:///x/docker.sock", RB_DOCKER_FOUND, "http://docker"},
                {"tcp://127.0.0.1:2375", RB_DOCKER_FOUND, "http://127.0.0.1:2375"},
                {"tcp://localhost:2375/", RB_DOCKER_FOUND, "http://localhost:2375"},
                {"tcp://[::1]:2375", RB_DOCKER_FOUND, "http://[::1]:2375"},
                {"tcp://127.0.0.1.example.org:2375", RB_DOCKER_UNSUPPORTED, ""},
                {"tcp://10.0.0.1:2376", RB_DOCKER_UNSUPPORTED, ""},
                {"ssh://user@host", RB_DOCKER_UNSUPPORTED, ""},
                {"npipe:////./pipe/docker", RB_DOCKER_UNSUPPORTED, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set(0, "DOCKER_HOST", rows[i].host);
        struct rb_docker_endpoint endpoint = find(NULL);
        ck_assert_msg(endpoint.found == rows[i].found, "%s", rows[i].host);
        ck_assert_str_eq(endpoint.url, rows[i].url);
        ck_assert(endpoint.found == RB_DOCKER_FOUND || endpoint.problem[0]);
    }
    set(0, "DOCKER_HOST", "tcp://127.0.0.1:2376");
    set(1, "DOCKER_TLS_VERIFY", "1");
    ck_assert_int_eq(find(NULL).found, RB_DOCKER_UNSUPPORTED);
}
END_TEST

START_TEST(contexts)
{
    char digest[RB_SHA256_HEX], path[200];
    rb_sha256_of("colima", 6, digest);
    snprintf(path, sizeof path, ".docker/contexts/meta/%s/meta.json", digest);
    write_file(".docker/config.json", "{\"currentContext\": \"colima\"}");
    ck_assert_int_eq(find(NULL).found, RB_DOCKER_BAD_CONTEXT);
    write_file(path, "{\"Name\":\"colima\",\"Endpoints\":{\"docker\":{\"Host\":\"unix:///c/docker.sock\"}}}");
    struct rb_docker_endpoint endpoint = find(NULL);
    ck_assert_str_eq(endpoint.unix_socket, "/c/docker.sock");
    ck_assert_str_eq(endpoint.origin, "context colima");
    write_file(path, "{\"Name\": 3");
    ck_assert_int_eq(find(NULL).found, RB_DOCKER_BAD_CONTEXT);
    set(0, "DOCKER_CONTEXT", "default");
    ck_assert_int_eq(find(NULL).found, RB_DOCKER_NO_SOCKET);
}
END_TEST

START_TEST(usual_places)
{
    struct rb_docker_endpoint endpoint = find(NULL);
    ck_assert_int_eq(endpoint.found, RB_DOCKER_NO_SOCKET);
    ck_assert_ptr_nonnull(strstr(endpoint.unix_socket, "/var/run/docker.sock")); /* still somewhere to look */
    write_file("var/run/docker.sock", "a regular file is no socket");
    int fd = make_socket(".orbstack/run/docker.sock");
    endpoint = find(NULL);
    ck_assert_int_eq(endpoint.found, RB_DOCKER_FOUND);
    ck_assert_ptr_nonnull(strstr(endpoint.unix_socket, ".orbstack/run/docker.sock"));
    close(fd);
}
END_TEST

START_TEST(api_versions)
{
    ck_assert_uint_eq(rb_docker_api_minor("1.41"), 41);
    ck_assert_uint_eq(rb_docker_api_minor("1.52"), 52);
    ck_assert_uint_eq(rb_docker_api_minor("1.99"), RB_DOCKER_API_NEWEST);
    static const char *const bad[] = {"", "1.", "1.12", "2.0", "1.41x", "1.-3", "abc"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(rb_docker_api_minor(bad[i]) == 0, "%s", bad[i]);
    ck_assert_uint_eq(rb_docker_api_minor(NULL), 0);
    ck_assert_int_eq(rb_docker_time("0001-01-01T00:00:00Z"), 0);
    ck_assert_int_eq(rb_docker_time("2026-08-22T03:07:41.5Z"), INT64_C(1787368061500000000));
}
END_TEST

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *document = json_loads(text, 0, &error);
    ck_assert_msg(document != NULL, "%s", error.text);
    return document;
}

START_TEST(listing_of_both_versions)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_docker_container c;
    json_t *old = parse(
        "{\"Id\":\"abc\",\"Names\":[\"/web\"],\"Image\":\"i\",\"State\":\"running\",\"Status\":\"Up 5 minutes (unhealthy)\","
        "\"Labels\":{\"com.docker.compose.project\":\"p\",\"com.docker.compose.service\":\"s\",\"com.docker.compose.oneoff\":\"True\"}}");
    ck_assert(rb_docker_listed(old, arena, &c));
    ck_assert_str_eq(c.name, "web");
    ck_assert_str_eq(c.project, "p");
    ck_assert_int_eq(c.health, RB_DOCKER_HEALTH_UNHEALTHY);
    ck_assert(c.oneoff && !c.inspected);
    json_decref(old);
    json_t *ended = parse("{\"Id\":\"abc\",\"State\":\"exited\",\"Status\":\"Exited (137) 2 hours ago\",\"Names\":7,\"Labels\":null}");
    ck_assert(rb_docker_listed(ended, arena, &c));
    ck_assert_int_eq(c.exit_code, 137);
    ck_assert_str_eq(c.name, "");
    json_decref(ended);
    json_t *new = parse("{\"Id\":\"abc\",\"State\":\"running\",\"Status\":\"Up\",\"Health\":{\"Status\":\"starting\"}}");
    ck_assert(rb_docker_listed(new, arena, &c));
    ck_assert_int_eq(c.health, RB_DOCKER_HEALTH_STARTING);
    json_decref(new);
    json_t *none = parse("[1, {}, \"x\"]");
    for (size_t i = 0; i < 3; i++)
        ck_assert(!rb_docker_listed(json_array_get(none, i), arena, &c));
    json_decref(none);
}
END_TEST

START_TEST(inspection)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_docker_container c;
    json_t *document = parse(
        "{\"Id\":\"abc\",\"Name\":\"/p-web-1\",\"RestartCount\":4,\"Image\":\"sha256:1\",\"Created\":\"2026-08-22T03:00:00Z\","
        "\"State\":{\"Status\":\"exited\",\"OOMKilled\":true,\"ExitCode\":137,\"Error\":\"x\",\"FinishedAt\":\"2026-08-22T03:07:41Z\","
        "\"Health\":{\"Status\":\"unhealthy\",\"FailingStreak\":3,\"Log\":[{\"Output\":\"a\"},{\"Output\":\"b\",\"ExitCode\":1}]}},"
        "\"Config\":{\"Image\":\"i:1\",\"Tty\":true,\"Env\":[\"A=1\",2,\"B=\"],\"Labels\":{}},"
        "\"HostConfig\":{\"Memory\":1024,\"RestartPolicy\":{\"Name\":\"always\"}},"
        "\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}],\"53/udp\":[{\"HostPort\":\"53\"}],\"1/"
        "tcp\":null}},"
        "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a\",\"Destination\":\"/b\"},{\"Type\":\"volume\",\"Source\":\"/v\"}]}");
    ck_assert(rb_docker_inspected(document, arena, &c));
    ck_assert(c.inspected && c.oom_killed && c.tty);
    ck_assert_int_eq(c.restart_count, 4);
    ck_assert_int_eq(c.memory_limit_bytes, 1024);
    ck_assert_str_eq(c.health_output, "b");
    ck_assert_uint_eq(c.publish_count, 1);
    ck_assert_uint_eq(c.publish[0].host_port, 8080);
    ck_assert_uint_eq(c.mount_count, 1);
    ck_assert_uint_eq(c.env_count, 2);
    ck_assert_str_eq(c.env[1], "B=");
    json_decref(document);
    json_t *empty = parse("{\"Id\":\"abc\"}");
    ck_assert(!rb_docker_inspected(empty, arena, &c));
    json_decref(empty);
}
END_TEST

START_TEST(logs)
{
    static const char framed[] = "\1\0\0\0\0\0\0\4one\n\2\0\0\0\0\0\0\4two\n\1\0\0\0\0\0\0\x63torn";
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1024);
    rb_docker_log_text(framed, sizeof framed - 1, false, &out);
    ck_assert_str_eq(rb_buf_str(&out), "one\ntwo\ntorn");
    rb_buf_reset(&out);
    rb_docker_log_text("plain terminal\r\n", 16, true, &out);
    ck_assert_str_eq(rb_buf_str(&out), "plain terminal\r\n");
    rb_buf_reset(&out);
    rb_docker_log_text("\1\0\0\0\xff\xff\xff\xff", 8, false, &out);
    ck_assert_uint_eq(out.len, 0);
    rb_buf_fini(&out);
    rb_buf_init(&out, 5);
    rb_docker_log_text(framed, sizeof framed - 1, false, &out);
    ck_assert_uint_le(out.len, 5);
}
END_TEST

START_TEST(host_paths)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 16);
    struct rb_docker_endpoint endpoint = {0};
    static const struct {
        const char *source, *root, *path;
    } rows[] = {{"/host_mnt/Users/op/tree/a.yml", "/Users/op/tree", "a.yml"},
                {"/private/tmp/tree/a.yml", "/tmp/tree", "a.yml"},
                {"/tmp/tree/a.yml", "/private/tmp/tree", "a.yml"},
                {"/host_mnt/private/tmp/tree", "/tmp/tree", "."},
                {"/host_mnt/private/etc/x", "/tmp/tree", "/etc/x"},
                {"/host_mntx/a", "/tmp", "/host_mntx/a"},
                {"/srv/treehouse/a", "/srv/tree", "/srv/treehouse/a"},
                {"/srv/a", "/", "/srv/a"},
                {"/private/home/a", "/x", "/private/home/a"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_str_eq(rb_docker_host_path(&endpoint, rows[i].source, rows[i].root, arena), rows[i].path);
    endpoint.host_paths_are_ours = true;
    ck_assert_str_eq(rb_docker_host_path(&endpoint, "/host_mnt/a", "/x", arena), "/host_mnt/a");
}
END_TEST

START_TEST(events)
{
    struct rb_docker_event event;
    json_t *die = parse(
        "{\"Type\":\"container\",\"Action\":\"die\",\"timeNano\":5000000001,\"Actor\":{\"ID\":\"x\",\"Attributes\":{\"exitCode\":\"3\"}}}");
    ck_assert(rb_docker_event_of(die, &event) && rb_docker_event_tells(&event));
    ck_assert_str_eq(event.exit_code, "3");
    ck_assert_int_eq(event.wall_ns, INT64_C(5000000001));
    json_decref(die);
    json_t *exec = parse("{\"Type\":\"container\",\"Action\":\"exec_start: sh\",\"Actor\":{\"ID\":\"x\"}}");
    ck_assert(rb_docker_event_of(exec, &event) && !rb_docker_event_tells(&event));
    json_decref(exec);
    json_t *health = parse("{\"Action\":\"health_status: unhealthy\",\"Actor\":{\"ID\":\"x\"},\"time\":7}");
    ck_assert(rb_docker_event_of(health, &event) && rb_docker_event_tells(&event));
    ck_assert_int_eq(event.wall_ns, INT64_C(7000000000));
    json_decref(health);
    json_t *none = parse("[]");
    ck_assert(!rb_docker_event_of(none, &event));
    json_decref(none);
}
END_TEST

START_TEST(compose_files)
{
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_compose compose;
    struct rb_error err = {0};
    write_file("My.Stack/a.yml", "services:\n  web: {image: 'i:1', depends_on: {init: {condition: service_completed_successfully}}}\n"
                                 "  init: {image: 'x:${TAG}'}\n  debug: {image: d, profiles: [dev]}\n");
    write_file("My.Stack/b.yml", "services:\n  web: {image: 'i:2'}\n");
    const char *files[] = {"My.Stack/a.yml", "My.Stack/b.yml", NULL};
    ck_assert_msg(rb_compose_read(home, &(struct rb_strings){files, 2}, arena, &compose, &err) == 0, "%s", err.message);
    ck_assert_str_eq(compose.project, "mystack");
    ck_assert_uint_eq(compose.count, 3);
    ck_assert_str_eq(rb_compose_find(&compose, "web")->image, "i:2");
    ck_assert(rb_compose_find(&compose, "init")->once);
    ck_assert_ptr_null(rb_compose_find(&compose, "init")->image);
    ck_assert(rb_compose_find(&compose, "debug")->on_demand);
    ck_assert_ptr_null(rb_compose_find(&compose, "nobody"));
    write_file("bad.yml", "services: [\n");
    const char *bad[] = {"bad.yml", NULL};
    ck_assert_int_eq(rb_compose_read(home, &(struct rb_strings){bad, 1}, arena, &compose, &err), RB_EPARSE);
    ck_assert_ptr_nonnull(strstr(err.message, "bad.yml:"));
    const char *absent[] = {"absent.yml", NULL};
    ck_assert_int_lt(rb_compose_read(home, &(struct rb_strings){absent, 1}, arena, &compose, &err), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("docker_source");
    TCase *tcase = tcase_create("docker");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_option_wins_and_must_be_usable);
    tcase_add_test(tcase, docker_host);
    tcase_add_test(tcase, contexts);
    tcase_add_test(tcase, usual_places);
    tcase_add_test(tcase, api_versions);
    tcase_add_test(tcase, listing_of_both_versions);
    tcase_add_test(tcase, inspection);
    tcase_add_test(tcase, logs);
    tcase_add_test(tcase, host_paths);
    tcase_add_test(tcase, events);
    tcase_add_test(tcase, compose_files);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
