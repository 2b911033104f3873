/* A real server on a free port of loopback with a loop thread behind it: publishes snapshots of a real store and answers commands as a test tells it. */
#ifndef RUNBOOK_TESTS_SERVER_FIXTURE_H
#define RUNBOOK_TESTS_SERVER_FIXTURE_H

#include <arpa/inet.h>
#include <ev.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "command.h"
#include "server.h"
#include "state_fixture.h"

#define FIXTURE_TOKEN "0123456789abcdef0123456789abcdef"

struct server_fixture {
    struct rb_platform platform;
    struct rb_fake_clock clock;
    struct rb_clock shown; /* what the server sees: the fake clock behind a lock */
    pthread_mutex_t clock_lock;
    struct rb_journal *journal;
    struct rb_store *store;
    struct rb_plan *plan;
    struct ev_loop *loop;
    ev_async stop;
    pthread_t thread;
    struct rb_command_queue *queue;
    struct rb_server *server;
    atomic_int answer_status; /* what commands are answered with; 0: never */
    atomic_int commands;
    struct rb_command *held[64]; /* loop thread */
    size_t held_count;
    int port;
    char unix_path[64];
};

static struct server_fixture *fixture_of_clock(void *ctx)
{
    return ctx;
}

/* The real time since the start on top of the fake clock's: deadlines pass, and a test can still jump ahead. */
static int64_t fixture_elapsed(void *ctx)
{
    struct server_fixture *f = fixture_of_clock(ctx);
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    pthread_mutex_lock(&f->clock_lock);
    int64_t base = f->clock.elapsed_ns;
    pthread_mutex_unlock(&f->clock_lock);
    return base + (int64_t)ts.tv_sec * RB_NS_PER_S + ts.tv_nsec;
}

static int64_t fixture_wall(void *ctx)
{
    return WALL0 + fixture_elapsed(ctx);
}

static void fixture_jump(struct server_fixture *f, int64_t ns)
{
    pthread_mutex_lock(&f->clock_lock);
    f->clock.elapsed_ns += ns;
    pthread_mutex_unlock(&f->clock_lock);
}

static void fixture_publish(struct server_fixture *f)
{
    struct rb_snapshot_extra extra = {.host = "testhost", .os = "null", .ready = true, .config = {.last_reload_successful = true}};
    struct rb_snapshot *snapshot = rb_store_snapshot(f->store, &extra);
    ck_assert_ptr_nonnull(snapshot);
    rb_server_publish(f->server, snapshot);
    rb_snapshot_unref(snapshot);
}

static void fixture_command(struct rb_command *command, void *arg)
{
    struct server_fixture *f = arg;
    int status = atomic_load(&f->answer_status);
    atomic_fetch_add(&f->commands, 1);
    if (status == 0 && f->held_count < 64) {
        f->held[f->held_count++] = command;
        return;
    }
    command->status = status;
    command->duration_s = 0.4;
    if (status >= 400) {
        memcpy(command->problem, "config", sizeof "config");
        rb_buf_adds(&command->detail, "runbookd.yml:3:5: unknown key \"colour\"");
    }
    rb_command_complete(command);
}

static void fixture_on_stop(struct ev_loop *loop, ev_async *watcher, int events)
{
    (void)watcher;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void *fixture_loop(void *arg)
{
    struct server_fixture *f = arg;
    ev_run(f->loop, 0);
    return NULL;
}

static void server_fixture_start(struct server_fixture *f, struct rb_plan *plan, const struct rb_server_options *options)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->clock_lock, NULL);
    rb_fake_clock_init(&f->clock, WALL0);
    f->shown = (struct rb_clock){fixture_elapsed, fixture_elapsed, fixture_wall, f};
    f->platform = *rb_platform_host();
    f->platform.clock = &f->shown;
    f->journal = rb_journal_new_memory(&f->shown);
    f->store = rb_store_new(&f->shown, f->journal);
    f->plan = plan;
    ck_assert_int_eq(rb_store_set_plan(f->store, plan, NULL), 0);
    f->loop = ev_loop_new(0);
    atomic_store(&f->answer_status, 200);
    f->queue = rb_command_queue_new(f->loop, fixture_command, f);
    ev_async_init(&f->stop, fixture_on_stop);
    ev_async_start(f->loop, &f->stop);
    static const char *const listen[] = {"127.0.0.1:0", NULL};
    static const char *const hosts[] = {"host.docker.internal", NULL};
    struct rb_server_options all = options ? *options : (struct rb_server_options){0};
    (void)snprintf(f->unix_path, sizeof f->unix_path, "/tmp/rb-test-%ld.sock", (long)getpid());
    if (!all.listen.items)
        all.listen = (struct rb_strings){listen, 1};
    all.allowed_hosts = (struct rb_strings){hosts, 1};
    all.control_socket = f->unix_path;
    all.token = FIXTURE_TOKEN;
    all.platform = &f->platform;
    all.queue = f->queue;
    struct rb_error err = {0};
    int rc = rb_server_new(&all, &f->server, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    f->port = atoi(strrchr(rb_server_addresses(f->server).items[0], ':') + 1);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, fixture_loop, f), 0);
}

static void server_fixture_end(struct server_fixture *f)
{
    rb_server_free(f->server);
    ev_async_send(f->loop, &f->stop);
    pthread_join(f->thread, NULL);
    for (size_t i = 0; i < f->held_count; i++)
        rb_command_complete(f->held[i]);
    rb_command_queue_free(f->queue);
    ev_async_stop(f->loop, &f->stop);
    ev_loop_destroy(f->loop);
    rb_store_free(f->store);
    rb_journal_free(f->journal);
    rb_plan_unref(f->plan);
    pthread_mutex_destroy(&f->clock_lock);
}

/* ---- a client that sends exactly the bytes it is told ---- */

static int client_connect(const struct server_fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int client_connect_unix(const struct server_fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, f->unix_path, strlen(f->unix_path) + 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Reads until the server closes; the whole answer, terminated; free() it. */
static char *client_read(int fd, size_t *out_len)
{
    struct rb_buf text;
    rb_buf_init(&text, (size_t)64 << 20);
    char chunk[16384];
    ssize_t got;
    while ((got = recv(fd, chunk, sizeof chunk, 0)) > 0)
        rb_buf_add(&text, chunk, (size_t)got);
    (void)close(fd);
    return rb_buf_steal(&text, out_len);
}

static char *client_send(int fd, const void *bytes, size_t len)
{
    ck_assert_int_eq((int)send(fd, bytes, len, MSG_NOSIGNAL), (int)len);
    return client_read(fd, NULL);
}

/* "METHOD target" with the usual headers and `more` header lines ("" or "Name: value\r\n…"). */
static char *client_ask(const struct server_fixture *f, const char *line, const char *more)
{
    char request[2048];
    int len = snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", line, more);
    ck_assert_int_lt(len, (int)sizeof request);
    return client_send(client_connect(f), request, (size_t)len);
}

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : -1;
}

#define ASSERT_STATUS(answer, wanted) ck_assert_msg(status_of(answer) == (wanted), "wanted %d: %.300s", wanted, answer)
#define ASSERT_HAS(text, part)        ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is missing in: %.600s", part, text)
#define ASSERT_HAS_NOT(text, part)    ck_assert_msg(strstr(text, part) == NULL, "\"%s\" must not be in: %.600s", part, text)

#endif
