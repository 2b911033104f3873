/* The resolver against a name server of our own on loopback: it answers, denies, or stays silent, and the loop never stops. */
#include <arpa/inet.h>
#include <check.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange/http.h"
#include "exchange/resolver.h"
#include "exchange/socket.h"

enum { MANY = RB_RESOLVE_MAX_FLIGHT * 2 };

static struct {
    struct ev_loop *loop;
    struct rb_resolver *resolver;
    ev_io io;
    int fd;
    unsigned queries;
    bool silent;
} bed;

struct caller {
    struct rb_resolve_wait wait;
    bool done;
    struct rb_resolve_result result;
};

/* Answers A queries for names that begin with "yes" with 192.0.2.7, everything else with NXDOMAIN (RFC 1035). */
static void on_query(struct ev_loop *loop, ev_io *io, int events)
{
    static const unsigned char record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
    unsigned char packet[1024];
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    (void)loop;
    (void)events;
    ssize_t got = recvfrom(io->fd, packet, sizeof packet - sizeof record, 0, (struct sockaddr *)&peer, &len);
    bed.queries++;
    if (got < 17 || bed.silent)
        return;
    size_t end = 12;
    while (end < (size_t)got && packet[end] != 0)
        end += packet[end] + 1u;
    end += 5;
    bool positive = memcmp(packet + 13, "yes", 3) == 0, ipv4 = packet[end - 3] == 1;
    packet[2] = 0x81;
    packet[3] = positive ? 0x80 : 0x83;
    memset(packet + 6, 0, 6);
    if (positive && ipv4) {
        packet[7] = 1;
        memcpy(packet + end, record, sizeof record);
        end += sizeof record;
    }
    sendto(io->fd, packet, end, 0, (const struct sockaddr *)&peer, len);
}

static void setup(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char servers[64];
    struct rb_error err;
    memset(&bed, 0, sizeof bed);
    bed.loop = ev_loop_new(EVFLAG_AUTO);
    bed.fd = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(bed.fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(bed.fd, (struct sockaddr *)&address, &len), 0);
    ev_io_init(&bed.io, on_query, bed.fd, EV_READ);
    ev_io_start(bed.loop, &bed.io);
    bed.resolver = rb_resolver_new(bed.loop, &err);
    ck_assert_ptr_nonnull(bed.resolver);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", ntohs(address.sin_port));
    ck_assert(rb_resolver_use_servers(bed.resolver, servers));
}

static void teardown(void)
{
    rb_resolver_free(bed.resolver);
    ev_io_stop(bed.loop, &bed.io);
    close(bed.fd);
    ev_loop_destroy(bed.loop);
}

static void on_done(void *arg, const struct rb_resolve_result *result)
{
    struct caller *caller = arg;
    ck_assert(!caller->done);
    caller->done = true;
    caller->result = *result;
}

static void ask(struct caller *caller, const char *name, int ip_version)
{
    memset(caller, 0, sizeof *caller);
    caller->wait.done = on_done;
    caller->wait.arg = caller;
    rb_resolver_start(bed.resolver, name, ip_version, &caller->wait);
}

static void wait_for(const struct caller *caller)
{
    for (int i = 0; i < 2000 && !caller->done; i++)
        ev_run(bed.loop, EVRUN_ONCE);
    ck_assert(caller->done);
}

START_TEST(numbers_and_localhost_need_no_server)
{
    static const struct {
        const char *name, *first;
        int ip_version;
        size_t count;
    } rows[] = {{"127.0.0.1", "127.0.0.1", 0, 1}, {"[::1]", "::1", 0, 1},      {"[fe80::1%1]", "fe80::1", 0, 1},
                {"localhost", "::1", 0, 2},       {"LOCALHOST.", "::1", 6, 1}, {"a.localhost", "127.0.0.1", 4, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct caller caller;
        char text[RB_ADDRESS_TEXT];
        ask(&caller, rows[i].name, rows[i].ip_version);
        ck_assert(caller.done);
        ck_assert_uint_eq(caller.result.count, rows[i].count);
        ck_assert_str_eq(rb_address_print(&caller.result.items[0], text), rows[i].first);
    }
    ck_assert_uint_eq(bed.queries, 0);
}
END_TEST

START_TEST(an_interface_must_exist)
{
    struct rb_address address;
    ck_assert(rb_address_parse("fe80::1%7", &address));
    ck_assert_uint_eq(address.scope, 7);
    ck_assert(!rb_address_parse("fe80::1%nosuch0", &address));
    ck_assert(!rb_address_parse("fe80::1%", &address));
    ck_assert(!rb_address_parse("127.0.0.1%1", &address));
    ck_assert(!rb_address_parse("fe80::1%a-name-that-is-longer-than-any-interface", &address));
}
END_TEST

START_TEST(the_server_answers_and_denies)
{
    struct caller yes, no, empty;
    char text[RB_ADDRESS_TEXT];
    ask(&yes, "yes.test.", 4);
    wait_for(&yes);
    ck_assert_int_eq(yes.result.failure, RB_NET_OK);
    ck_assert_str_eq(rb_address_print(&yes.result.items[0], text), "192.0.2.7");
    ask(&no, "no.test.", 4);
    wait_for(&no);
    ck_assert_int_eq(no.result.failure, RB_NET_DNS);
    ck_assert_ptr_nonnull(no.result.detail);
    ask(&empty, "yes.test.", 6);
    wait_for(&empty);
    ck_assert_int_eq(empty.result.failure, RB_NET_DNS);
    ck_assert_uint_eq(rb_resolver_in_flight(bed.resolver), 0);
}
END_TEST

START_TEST(names_that_are_none)
{
    struct caller caller;
    char longest[400];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    ask(&caller, "", 0);
    ck_assert(caller.done);
    ck_assert_int_eq(caller.result.failure, RB_NET_DNS);
    ask(&caller, longest, 0);
    ck_assert(caller.done);
    ck_assert_int_eq(caller.result.failure, RB_NET_DNS);
}
END_TEST

START_TEST(equal_lookups_share_one_query)
{
    struct caller first, second;
    ask(&first, "yes.test.", 4);
    ask(&second, "YES.test.", 4);
    ck_assert_uint_eq(rb_resolver_in_flight(bed.resolver), 1);
    wait_for(&first);
    wait_for(&second);
    ck_assert_uint_eq(bed.queries, 1);
    ck_assert_uint_eq(second.result.count, 1);
}
END_TEST

START_TEST(a_silent_server_fills_only_its_places)
{
    static struct caller callers[MANY];
    bed.silent = true;
    for (size_t i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "hung%zu.test.", i);
        ask(&callers[i], name, 4);
    }
    ck_assert_uint_eq(rb_resolver_in_flight(bed.resolver), RB_RESOLVE_MAX_FLIGHT);
    ev_run(bed.loop, EVRUN_NOWAIT);
    for (size_t i = 0; i < MANY; i++) {
        rb_resolver_cancel(&callers[i].wait);
        rb_resolver_cancel(&callers[i].wait);
        ck_assert(!callers[i].done);
    }
    /* What was asked goes on unattended; local names still work. */
    ck_assert_uint_eq(rb_resolver_in_flight(bed.resolver), RB_RESOLVE_MAX_FLIGHT);
    struct caller local;
    ask(&local, "localhost", 0);
    ck_assert(local.done);
}
END_TEST

static void on_response(void *arg, const struct rb_http_response *response)
{
    *(enum rb_net_failure *)arg = response->failure;
}

static void on_event(void *arg, const struct rb_event *event)
{
    *(enum rb_net_failure *)arg = event->failure;
}

START_TEST(a_probe_that_ran_out_of_time_blames_the_name)
{
    enum rb_net_failure http_failure = RB_NET_OK, socket_failure = RB_NET_OK;
    struct rb_error err;
    RB_ARENA_AUTO *arena = rb_arena_new(1u << 20);
    const struct rb_clock *clock = rb_platform_host()->clock;
    struct rb_tls_cache *cache = rb_tls_cache_new();
    struct rb_http *http = rb_http_new(bed.loop, clock, bed.resolver, cache, &err);
    ck_assert_ptr_nonnull(http);
    bed.silent = true;
    struct rb_http_request request = {.url = "http://hung.test.:80/", .max_body = 100};
    struct rb_http_call call = {.request = &request, .arena = arena, .left_ms = 100, .done = on_response, .arg = &http_failure};
    struct rb_http_transfer *transfer = rb_http_start(http, &call);
    ck_assert_ptr_nonnull(transfer);
    struct rb_socket_env env = {.loop = bed.loop,
                                .clock = clock,
                                .resolver = bed.resolver,
                                .cache = cache,
                                .arena = arena,
                                .event = on_event,
                                .arg = &socket_failure};
    struct rb_action action = {.type = RB_ACTION_CONNECT, .connect = {.host = "hung.test.", .port = 80}};
    struct rb_socket *sock = rb_socket_new(&env, &action, 100);
    ck_assert_ptr_nonnull(sock);
    rb_socket_begin(sock);
    ev_run(bed.loop, EVRUN_NOWAIT);
    ck_assert_int_eq(http_failure, RB_NET_OK);
    rb_http_expire(transfer);
    rb_http_expire(transfer);
    rb_socket_expire(sock);
    ck_assert_int_eq(http_failure, RB_NET_DNS_TIMEOUT);
    ck_assert_int_eq(socket_failure, RB_NET_DNS_TIMEOUT);
    rb_http_transfer_free(transfer);
    rb_socket_close(sock);
    rb_http_free(http);
    rb_tls_cache_free(cache);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("resolver");
    TCase *tc = tcase_create("resolver");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, numbers_and_localhost_need_no_server);
    tcase_add_test(tc, an_interface_must_exist);
    tcase_add_test(tc, the_server_answers_and_denies);
    tcase_add_test(tc, names_that_are_none);
    tcase_add_test(tc, equal_lookups_share_one_query);
    tcase_add_test(tc, a_silent_server_fills_only_its_places);
    tcase_add_test(tc, a_probe_that_ran_out_of_time_blames_the_name);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
