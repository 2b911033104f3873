/* Ticks of passive checks, and a line stream over a unix socket: lines, a lost connection, the gap, lines that are too long, what is
 * refused. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/run_fixture.h"
#include "runbook/check/notes.h"

struct memory {
    int lines, gaps, ticks;
    int64_t gap_since;
    enum rb_net_failure failure;
    char last[32];
};

static char socket_path[80], last_request[1024];
static const char *url = "http://localhost/events";

static bool open_stream(const struct rb_check_ctx *ctx, struct rb_stream_request *out, struct rb_outcome *outcome)
{
    if (!url) {
        rb_outcome_set(outcome, RB_RESULT_SKIP, "absent", "no socket");
        return false;
    }
    out->unix_socket = socket_path[0] ? rb_arena_strdup(ctx->arena, socket_path) : NULL;
    out->url = url;
    out->max_line = 20;
    return true;
}

static void take_line(const struct rb_check_ctx *ctx, const char *line, size_t len)
{
    struct memory *memory = ctx->memory;
    memory->lines++;
    snprintf(memory->last, sizeof memory->last, "%.*s", (int)len, line);
}

static void take_gap(const struct rb_check_ctx *ctx, int64_t since_wall_ns, enum rb_net_failure failure)
{
    struct memory *memory = ctx->memory;
    memory->gaps++;
    memory->gap_since = since_wall_ns;
    memory->failure = failure;
}

static void tick(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    struct memory *memory = ctx->memory;
    memory->ticks++;
    rb_outcome_say(out, "%d lines", memory->lines);
}

static const struct rb_stream_ops stream_ops = {.open = open_stream, .line = take_line, .gap = take_gap, .tick = tick};
static const struct rb_passive_ops passive_ops = {.tick = tick};
static const struct rb_kind stream_kind = {
    .schema = {.schema = {.name = "stream"}}, .exec = RB_EXEC_STREAM, .memory_size = sizeof(struct memory), .stream = &stream_ops};
static const struct rb_kind passive_kind = {
    .schema = {.schema = {.name = "passive"}}, .exec = RB_EXEC_PASSIVE, .memory_size = sizeof(struct memory), .passive = &passive_ops};

/* ---- a server that answers the n-th connection with the n-th text and closes it, but keeps the last one ---- */

struct server {
    int fd, kept;
    ev_io accept;
    const char *const *answers;
    int next;
};

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct server *server = io->data;
    int fd = accept(server->fd, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    ssize_t len = read(fd, last_request,
                       sizeof last_request - 1); /* blocks a moment: libcurl has connected and writes in the kernel's buffer */
    ck_assert_int_gt(len, 0);
    last_request[len] = '\0';
    const char *text = server->answers[server->next++];
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    if (server->answers[server->next])
        close(fd);
    else
        server->kept = fd;
}

static void server_start(struct server *server, const char *const *answers)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *server = (struct server){.kept = -1, .answers = answers};
    snprintf(socket_path, sizeof socket_path, "/tmp/rb-stream-%d", (int)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    (void)unlink(socket_path);
    server->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server->fd, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(server->fd, 4), 0);
    ev_io_init(&server->accept, on_accept, server->fd, EV_READ);
    server->accept.data = server;
}

static struct rb_streams *streams_new(void)
{
    struct rb_error err = {0};
    struct rb_streams *streams = rb_streams_new(ev_default_loop(0), rb_platform_host()->clock, &err);
    ck_assert_msg(streams, "%s", err.message);
    return streams;
}

START_TEST(passive_tick_is_immediate)
{
    struct rb_streams *streams = streams_new();
    struct run_fixture fixture;
    run_fixture_init(&fixture, &passive_kind, NULL, "/", 1000);
    rb_streams_start(streams, &fixture.run);
    ck_assert(fixture.finished);
    ck_assert_int_eq(((struct memory *)fixture.run.ctx.memory)->ticks, 1);
    run_fixture_fini(&fixture);
    rb_streams_free(streams);
}
END_TEST

static struct memory tick_once(struct rb_streams *streams, const struct memory *kept)
{
    struct run_fixture fixture;
    run_fixture_init(&fixture, &stream_kind, NULL, "/", 1000);
    memcpy(fixture.run.ctx.memory, kept, sizeof *kept);
    rb_streams_start(streams, &fixture.run);
    ck_assert(fixture.finished);
    struct memory after;
    memcpy(&after, fixture.run.ctx.memory, sizeof after);
    run_fixture_fini(&fixture);
    return after;
}

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"

START_TEST(lines_arrive_gaps_are_told_and_memory_lives_on)
{
    static const char *const answers[] = {ANSWER "one\ntwo\nthis line is longer than twenty bytes\nthree\nhalf a li", ANSWER "four\n",
                                          NULL};
    struct ev_loop *loop = ev_default_loop(0);
    struct server server;
    server_start(&server, answers);
    ev_io_start(loop, &server.accept);
    struct rb_streams *streams = streams_new();
    struct memory memory = {.lines = 100};
    memory = tick_once(streams, &memory);
    ck_assert_int_eq(memory.lines, 100);
    bool never = false;
    (void)run_fixture_wait(loop, &never, 0.3);
    memory = tick_once(streams, &(struct memory){.lines = 7}); /* the stream's own memory counts, not the copy */
    ck_assert_int_eq(memory.lines, 103);
    ck_assert_str_eq(memory.last, "three");
    ck_assert_int_eq(memory.gaps, 0);
    (void)run_fixture_wait(loop, &never, 1.3);
    memory = tick_once(streams, &memory);
    ck_assert_int_eq(memory.lines, 104);
    ck_assert_str_eq(memory.last, "four");
    ck_assert_int_eq(memory.gaps, 1);
    ck_assert_int_eq(memory.failure, RB_NET_CLOSED);
    ck_assert_int_gt(memory.gap_since, 0);
    ck_assert_int_eq(memory.ticks, 3);
    ev_io_stop(loop, &server.accept);
    rb_streams_free(streams);
    close(server.kept);
    close(server.fd);
    unlink(socket_path);
}
END_TEST

START_TEST(what_cannot_be_opened_is_said)
{
    struct rb_streams *streams = streams_new();
    struct run_fixture fixture;
    socket_path[0] = '\0';
    url = "http://elsewhere.example/events";
    run_fixture_init(&fixture, &stream_kind, NULL, "/", 1000);
    rb_streams_start(streams, &fixture.run);
    ck_assert_int_eq(fixture.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(fixture.reason, "unsupported");
    run_fixture_fini(&fixture);
    url = NULL;
    run_fixture_init(&fixture, &stream_kind, NULL, "/", 1000);
    rb_streams_start(streams, &fixture.run);
    ck_assert_int_eq(fixture.result, RB_RESULT_SKIP);
    run_fixture_fini(&fixture);
    url = "http://localhost/events";
    rb_streams_free(streams);
    rb_streams_free(NULL);
}
END_TEST

/* ---- a stream beside an exchange ---- */

struct heard {
    int notes, gaps, changes, refusals;
};

static void hear_note(void *arg, const struct rb_check_spec *spec, const struct rb_note *note)
{
    struct heard *heard = arg;
    ck_assert_str_eq(spec->name, "test");
    heard->notes += !note->gap;
    heard->gaps += note->gap;
}

/* The first time the check is said to be running: the wish must not be lost. */
static bool hear_change(void *arg, const struct rb_check_spec *spec)
{
    struct heard *heard = arg;
    ck_assert_str_eq(spec->name, "test");
    return heard->refusals++ > 0 && ++heard->changes > 0;
}

static bool open_beside(const struct rb_check_ctx *ctx, struct rb_stream_request *out, struct rb_outcome *outcome)
{
    if (!open_stream(ctx, out, outcome))
        return false;
    out->since_query = "since";
    return true;
}

static void note_line(const struct rb_check_ctx *ctx, const char *line, size_t len)
{
    take_line(ctx, line, len);
    rb_note(ctx, &(struct rb_note){.text = "something happened", .changed = true});
}

static void note_gap(const struct rb_check_ctx *ctx, int64_t since_wall_ns, enum rb_net_failure failure)
{
    take_gap(ctx, since_wall_ns, failure);
    rb_note(ctx, &(struct rb_note){.text = "a gap", .gap = true});
}

static const struct rb_stream_ops beside_ops = {.open = open_beside, .line = note_line, .gap = note_gap};
static const struct rb_kind beside_kind = {
    .schema = {.schema = {.name = "beside"}}, .exec = RB_EXEC_EXCHANGE, .memory_size = sizeof(struct memory), .stream = &beside_ops};

static void follow(struct rb_streams *streams)
{
    struct run_fixture fixture;
    run_fixture_init(&fixture, &beside_kind, NULL, "/", 1000);
    rb_outcome_set(&fixture.run.outcome, RB_RESULT_WARN, "stale", "of the run");
    rb_streams_follow(streams, &fixture.run);
    ck_assert_str_eq(fixture.run.outcome.message, "of the run");
    run_fixture_fini(&fixture);
}

START_TEST(a_companion_notes_asks_for_what_it_missed_and_brings_forward)
{
    static const char *const answers[] = {ANSWER "one\ntwo\n", ANSWER "three\n", NULL};
    struct ev_loop *loop = ev_default_loop(0);
    struct server server;
    struct heard heard = {0};
    server_start(&server, answers);
    ev_io_start(loop, &server.accept);
    struct rb_streams *streams = streams_new();
    rb_streams_set_sink(streams, &(struct rb_stream_sink){.note = hear_note, .changed = hear_change, .arg = &heard});
    follow(streams);
    follow(streams); /* one stream, however often a run ends */
    bool never = false;
    (void)run_fixture_wait(loop, &never, 0.6);
    ck_assert_int_eq(heard.notes, 2);
    ck_assert_int_eq(heard.changes, 1); /* two lines and a lost stream: one run, asked for again after the refusal */
    ck_assert_ptr_null(strstr(last_request, "since="));
    (void)run_fixture_wait(loop, &never, 1.0);
    ck_assert_ptr_nonnull(strstr(last_request, "/events?since="));
    ck_assert_int_eq(heard.gaps, 1);
    ck_assert_int_eq(heard.notes, 3);
    ck_assert_int_le(heard.changes, 2); /* at most once a second */
    url = NULL;
    follow(streams); /* the kind does not want it any more */
    (void)run_fixture_wait(loop, &never, 0.1);
    char byte;
    ck_assert_int_eq(read(server.kept, &byte, 1), 0);
    url = "http://localhost/events";
    ev_io_stop(loop, &server.accept);
    rb_streams_free(streams);
    close(server.kept);
    close(server.fd);
    unlink(socket_path);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("streams");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, passive_tick_is_immediate);
    tcase_add_test(tcase, lines_arrive_gaps_are_told_and_memory_lives_on);
    tcase_add_test(tcase, what_cannot_be_opened_is_said);
    tcase_add_test(tcase, a_companion_notes_asks_for_what_it_missed_and_brings_forward);
    Suite *suite = suite_create("streams");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
