/* The exchange engine for real: probes against servers that misbehave (tests/support/fault_server.py), on one loop, all at once.
 *
 * Every row is a check as a configuration would write it and the reason that it must end with; "@NAME" stands for the port of the fault server's NAME, "%F" for the
 * folder with certificates and sockets. SIGPIPE is ignored, as in the daemon. */
#include <check.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/certs.h"
#include "../support/test_check.h"
#include "run.h"

enum { MAX_PORTS = 64, MAX_CASES = 128, TIMEOUT_MS = 700 };

static struct {
    char folder[64];
    pid_t pid;
    int input;
    struct {
        char name[32];
        int port;
    } ports[MAX_PORTS];
    size_t count;
} server;

/* ---- the fault server ---- */

static bool read_ports(int fd)
{
    FILE *out = fdopen(fd, "r");
    char line[128], name[32];
    int port;
    bool ready = false;
    while (out && !ready && fgets(line, sizeof line, out)) {
        ready = strcmp(line, "ready\n") == 0;
        if (sscanf(line, "%31s %d", name, &port) == 2 && server.count < MAX_PORTS) {
            memcpy(server.ports[server.count].name, name, sizeof name);
            server.ports[server.count++].port = port;
        }
    }
    if (out)
        fclose(out);
    return ready;
}

static void start_server(void)
{
    int in[2], out[2];
    memset(&server, 0, sizeof server);
    snprintf(server.folder, sizeof server.folder, "/tmp/rb-exchange-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(server.folder));
    ck_assert(rb_test_make_certs(server.folder));
    ck_assert_int_eq(pipe(in), 0);
    ck_assert_int_eq(pipe(out), 0);
    fcntl(in[1], F_SETFD, FD_CLOEXEC);
    server.pid = fork();
    if (server.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]);
        close(out[0]);
        close(out[1]);
        execlp("python3", "python3", "-W", "ignore", FAULT_SERVER, server.folder, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server.input = in[1];
    ck_assert_msg(read_ports(out[0]), "the fault server did not start");
}

static void stop_server(void)
{
    static const char *const files[] = {"ca.pem",    "good.pem", "expired.pem", "future.pem", "otherhost.pem", "selfsigned.pem",
                                        "chain.pem", "ok.sock",  "mail.sock",   "dead.sock",  "regular"};
    close(server.input);
    waitpid(server.pid, NULL, 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", server.folder, files[i]);
        unlink(path);
    }
    rmdir(server.folder);
}

static int port_of(const char *name, size_t len)
{
    for (size_t i = 0; i < server.count; i++) {
        if (strlen(server.ports[i].name) == len && memcmp(server.ports[i].name, name, len) == 0)
            return server.ports[i].port;
    }
    ck_abort_msg("no fault server %.*s", (int)len, name);
    return 0;
}

static void expand(const char *text, struct rb_buf *out)
{
    while (*text) {
        size_t len = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_");
        if (*text == '@' && len > 0) {
            rb_buf_addf(out, "%d", port_of(text + 1, len));
            text += len + 1;
        } else if (text[0] == '%' && text[1] == 'F') {
            rb_buf_adds(out, server.folder);
            text += 2;
        } else {
            rb_buf_addc(out, *text++);
        }
    }
}

/* ---- runs ---- */

struct probe {
    struct rb_test_check *check;
    struct rb_run run;
    bool done;
    double seconds;
};

static struct {
    struct ev_loop *loop;
    struct rb_exchanges *exchanges;
    struct probe probes[MAX_CASES];
    size_t count, running, decided; /* decided: by the worker part, no exchange followed */
} bed;

/* The runner's half of the contract. */
void rb_run_finish(struct rb_run *run)
{
    struct probe *probe = run->done_arg;
    ck_assert(!probe->done);
    probe->done = true;
    probe->seconds = (double)(rb_elapsed_ns(run->ctx.clock) - run->started_ns) / 1e9;
    probe->check->outcome = run->outcome;
    if (--bed.running == 0)
        ev_break(bed.loop, EVBREAK_ALL);
}

double rb_run_remaining_s(const struct rb_run *run)
{
    int64_t left = run->deadline_ns - rb_elapsed_ns(run->ctx.clock);
    return left > 0 ? (double)left / 1e9 : 0;
}

static void setup_flags(unsigned flags)
{
    struct rb_error err;
    signal(SIGPIPE, SIG_IGN);
    memset(&bed, 0, sizeof bed);
    start_server();
    bed.loop = ev_loop_new(flags);
    ck_assert_ptr_nonnull(bed.loop);
    bed.exchanges = rb_exchanges_new(bed.loop, rb_platform_host()->clock, &err);
    ck_assert_msg(bed.exchanges != NULL, "%s", err.message);
}

static void setup(void)
{
    setup_flags(EVFLAG_AUTO);
}

static void setup_select(void)
{
    setup_flags(EVBACKEND_SELECT);
}

static void teardown(void)
{
    rb_exchanges_free(bed.exchanges);
    ev_loop_destroy(bed.loop);
    for (size_t i = 0; i < bed.count; i++)
        rb_test_check_free(bed.probes[i].check);
    stop_server();
}

static struct probe *start(const char *yaml)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 8192);
    expand(yaml, &text);
    ck_assert_uint_lt(bed.count, MAX_CASES);
    struct probe *probe = &bed.probes[bed.count++];
    const struct rb_clock *clock = rb_platform_host()->clock;
    memset(probe, 0, sizeof *probe);
    probe->check = rb_test_check_new(rb_buf_str(&text), clock);
    ck_assert_msg(probe->check->valid, "%s: %s", yaml, rb_test_check_errors(probe->check));
    struct rb_run *run = &probe->run;
    run->kind = probe->check->kind;
    run->spec = &probe->check->spec;
    run->arena = probe->check->arena;
    run->ctx = probe->check->ctx;
    run->started_ns = rb_elapsed_ns(clock);
    run->deadline_ns = run->ctx.deadline_ns = run->started_ns + TIMEOUT_MS * RB_NS_PER_MS;
    run->done_arg = probe;
    rb_outcome_init(&run->outcome, run->arena);
    bed.running++;
    /* As the runner does, but for the thread. */
    if (rb_kind_looks(run->kind, run->ctx.options)) {
        run->ctx.state = probe->check->state;
        run->kind->run(&run->ctx, &run->outcome);
    }
    bed.decided += run->outcome.final;
    if (run->outcome.final)
        rb_run_finish(run);
    else
        rb_exchanges_start(bed.exchanges, run);
    return probe;
}

static void run_all(void)
{
    if (bed.running > 0)
        ev_run(bed.loop, 0);
}

/* ---- cases ---- */

static const struct {
    const char *yaml, *reason;
    enum rb_sighting sighting;
} cases[] = {
    {"{kind: http, url: 'http://127.0.0.1:@ok/'}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://localhost:@ok/', expect: {status: 200, headers: {content-type: json}, body: ok, json: {/database: ok, /n: "
     "'>= 3'}}}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://localhost.:@ok/'}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://a.localhost:@ok/', ip_version: 4}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@closed/'}", "refused", RB_SIGHTING_GONE},
    {"{kind: http, url: 'http://localhost:@closed/'}", "refused", RB_SIGHTING_GONE},
    {"{kind: http, url: 'http://127.0.0.1:@status_page/503'}", "status", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@status_page/404', expect: {status: [200, 404]}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@closes/'}", "closed", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@resets/'}", "reset", RB_SIGHTING_NONE},
    {"{kind: http, url: 'http://127.0.0.1:@hangs/'}", "timeout", RB_SIGHTING_NONE},
    {"{kind: http, url: 'http://127.0.0.1:@drips/'}", "timeout", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@blackhole/'}", "connect_timeout", RB_SIGHTING_NONE},
    {"{kind: http, url: 'http://127.0.0.1:@blackhole/', connect_timeout: 200ms}", "connect_timeout", RB_SIGHTING_NONE},
    {"{kind: http, url: 'http://127.0.0.1:@many_headers/'}", "header_too_large", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@long_header/'}", "header_too_large", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@big_body/'}", "too_large", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@big_body/', max_body: 8MiB}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@truncated/'}", "truncated", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@chunk_cut/'}", "truncated", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@chunk_wrong/'}", "protocol", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@garbage/'}", "protocol", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/loop', redirects: 5}", "redirects", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/loop'}", "status", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/302//here', redirects: 1, expect: {body: arrived}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/301/http://localhost:@ok/', redirects: 1, expect: {json: {/database: ok}}}", "none",
     RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/302/file:///etc/passwd', redirects: 3}", "redirect_blocked", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/302/ftp://127.0.0.1:@ok/', redirects: 3}", "redirect_blocked", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/302/http://u:p@127.0.0.1:@ok/', redirects: 3}", "redirect_blocked",
     RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_redirect/302/http://127.0.0.1:@ok/', redirects: 3, tls: {ca_file: '%F/ca.pem'}}",
     "redirect_blocked", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/307/http://localhost:@echo/', method: POST, body: secret, redirects: 3}",
     "redirect_blocked", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@redirect/302/http://127.0.0.1:@echo/x', bearer: tok, headers: {X-Api-Key: k, Accept: a/b}, "
     "redirects: 3, expect: {json: "
     "{/path: /x, /headers/authorization: {exists: false}, /headers/x-api-key: {exists: false}, /headers/accept: a/b}}}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@echo/', bearer: tok, headers: {X-Api-Key: k, X-None: ''}, expect: {json: "
     "{/headers/authorization: Bearer tok, "
     "/headers/x-api-key: k, /headers/x-none: '', /method: GET, /headers/cookie: {exists: false}}}}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@echo/', user: u, password: p, expect: {json: {/headers/authorization: Basic dTpw}}}", "none",
     RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@echo/p?q=1', method: POST, body: hello, expect: {json: {/method: POST, /body: hello, /path: "
     "'/p?q=1'}}}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://127.0.0.1:@echo/', method: HEAD}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://localhost/', unix_socket: '%F/ok.sock', expect: {json: {/database: ok}}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'http://localhost/', unix_socket: '%F/dead.sock'}", "refused", RB_SIGHTING_GONE},
    {"{kind: http, url: 'http://localhost/', unix_socket: '%F/none.sock'}", "no_socket", RB_SIGHTING_GONE},
    {"{kind: http, url: 'https://localhost:@tls_good/', tls: {ca_file: '%F/ca.pem'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://127.0.0.1:@tls_good/', tls: {ca_file: '%F/ca.pem'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_good/', tls: {ca_file: '%F/ca.pem', warn_expiry: 60d}}", "tls_expires_soon",
     RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_good/'}", "tls_untrusted", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_chain/'}", "tls_untrusted", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_chain/', tls: {ca_file: '%F/ca.pem'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_twelve/', tls: {ca_file: '%F/ca.pem'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_twelve/', tls: {ca_file: '%F/ca.pem', min_version: '1.3'}}", "tls_version",
     RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@tls_twelve', tls: {ca_file: '%F/ca.pem', min_version: '1.3'}}", "tls_version", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_expired/', tls: {ca_file: '%F/ca.pem'}}", "tls_expired", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_expired/', tls: {insecure: true}}", "tls_expired", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_future/', tls: {ca_file: '%F/ca.pem'}}", "tls_not_yet_valid", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_selfsigned/', tls: {ca_file: '%F/ca.pem'}}", "tls_self_signed", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_selfsigned/', tls: {insecure: true}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_selfsigned/', tls: {ca_file: '%F/selfsigned.pem'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_otherhost/', tls: {ca_file: '%F/ca.pem'}}", "tls_host_mismatch", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_otherhost/', tls: {ca_file: '%F/ca.pem', server_name: other.example}}", "none",
     RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://127.0.0.1:@tls_otherhost/', tls: {ca_file: '%F/ca.pem', server_name: other.example}}", "none",
     RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_old/', tls: {ca_file: '%F/ca.pem'}}", "tls_version", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@tls_old/', tls: {ca_file: '%F/ca.pem', min_version: '1.0'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@mail/', tls: {ca_file: '%F/ca.pem'}}", "tls_handshake", RB_SIGHTING_PRESENT},
    {"{kind: http, url: 'https://localhost:@hangs/', tls: {ca_file: '%F/ca.pem'}}", "timeout", RB_SIGHTING_NONE},
    {"{kind: http, url: 'https://localhost:@tls_good/', tls: {ca_file: '%F/none.pem'}}", "network", RB_SIGHTING_NONE},
    {"{kind: tcp, address: '127.0.0.1:@ok'}", "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@ok'}", "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@closed'}", "refused", RB_SIGHTING_GONE},
    {"{kind: tcp, address: '127.0.0.1:@blackhole'}", "connect_timeout", RB_SIGHTING_NONE},
    {"{kind: tcp, address: '127.0.0.1:@blackhole', connect_timeout: 100ms}", "connect_timeout", RB_SIGHTING_NONE},
    {"{kind: tcp, address: 'localhost:@mail', steps: [{expect: '^220 '}, {expect: '^250 '}, {send: \"QUIT\\r\\n\"}, {expect: '^221 '}]}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@mail', steps: [{expect: '^220 '}, {send: \"HELO\\r\\n\"}, {expect: '^250 sec'}, {send: "
     "\"QUIT\\r\\n\"}, {expect: '^221'}]}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@mail', steps: [{expect: '^421 '}]}", "expect", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@silent', steps: [{expect: '^220 '}]}", "timeout", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@closes', steps: [{send: \"\\r\\n\\r\\n\"}, {expect: x}]}", "closed", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@resets', steps: [{send: x}, {expect: x}]}", "reset", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@flood', steps: [{expect: never}]}", "too_large", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'unix:%F/mail.sock', steps: [{expect: '^220 '}]}", "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'unix:%F/none.sock'}", "no_socket", RB_SIGHTING_GONE},
    {"{kind: tcp, address: 'unix:%F/dead.sock'}", "refused", RB_SIGHTING_GONE},
    {"{kind: tcp, address: 'localhost:@tls_mail', tls: {ca_file: '%F/ca.pem'}, steps: [{expect: '^220 '}, {send: \"QUIT\\r\\n\"}, {expect: "
     "'^221 '}]}",
     "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: '127.0.0.1:@tls_good', tls: {ca_file: '%F/ca.pem'}}", "none", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@tls_expired', tls: {ca_file: '%F/ca.pem'}}", "tls_expired", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@tls_selfsigned', tls: {ca_file: '%F/ca.pem'}}", "tls_self_signed", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@tls_otherhost', tls: {ca_file: '%F/ca.pem'}}", "tls_host_mismatch", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@tls_otherhost', tls: {ca_file: '%F/ca.pem', server_name: other.example}}", "none",
     RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@tls_old', tls: {ca_file: '%F/ca.pem'}}", "tls_version", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@mail', tls: {ca_file: '%F/ca.pem'}}", "tls_handshake", RB_SIGHTING_PRESENT},
    {"{kind: tcp, address: 'localhost:@hangs', tls: {ca_file: '%F/ca.pem'}}", "timeout", RB_SIGHTING_NONE},
    {"{kind: prometheus, url: 'http://localhost:@ok'}", "api_error", RB_SIGHTING_PRESENT},
    {"{kind: prometheus, url: 'http://localhost:@closed'}", "refused", RB_SIGHTING_GONE},
    {"{kind: prometheus, url: 'http://localhost:@hangs'}", "timeout", RB_SIGHTING_NONE},
};

static void check_all_cases(void)
{
    const size_t count = sizeof cases / sizeof cases[0];
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        start(cases[i].yaml);
    run_all();
    for (size_t i = 0; i < count; i++) {
        const struct probe *probe = &bed.probes[i];
        const struct rb_outcome *outcome = &probe->run.outcome;
        ck_assert(probe->done);
        bool fine = strcmp(outcome->reason, cases[i].reason) == 0 && outcome->sighting == cases[i].sighting &&
                    !rb_arena_failed(probe->run.arena);
        /* Generous: a wall clock on a busy machine is no judge; a hang is. */
        fine = fine && probe->seconds < TIMEOUT_MS / 1e3 + 2.0;
        if (fine)
            continue;
        wrong++;
        fprintf(stderr, "%s\n  wanted %s (sighting %d), got %s (%d) after %.3f s: %s\n", cases[i].yaml, cases[i].reason,
                (int)cases[i].sighting, outcome->reason, (int)outcome->sighting, probe->seconds, outcome->message);
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(rb_exchanges_stats(bed.exchanges).active, 0);
    ck_assert_uint_eq(rb_exchanges_stats(bed.exchanges).completed + bed.decided, count);
}

START_TEST(every_fault_has_its_reason)
{
    check_all_cases();
}
END_TEST

START_TEST(every_fault_has_its_reason_on_select)
{
    ck_assert_uint_eq(ev_backend(bed.loop), EVBACKEND_SELECT);
    check_all_cases();
}
END_TEST

START_TEST(values_tell_phases_and_certificate)
{
    struct probe *http = start("{kind: http, url: 'https://localhost:@tls_good/', tls: {ca_file: '%F/ca.pem'}}");
    struct probe *tcp = start("{kind: tcp, address: 'localhost:@tls_good', tls: {ca_file: '%F/ca.pem'}}");
    run_all();
    double now = (double)rb_wall_ns(rb_platform_host()->clock) / 1e9;
    ck_assert_double_eq(rb_test_check_value(http->check, "status_code", NULL), 200);
    ck_assert_double_gt(rb_test_check_value(http->check, "phase", "tls"), 0);
    ck_assert_double_gt(rb_test_check_value(http->check, "phase", "connect"), 0);
    ck_assert_double_gt(rb_test_check_value(http->check, "body", NULL), 10);
    ck_assert_double_gt(rb_test_check_value(http->check, "duration", NULL), rb_test_check_value(http->check, "phase", "tls"));
    ck_assert_double_gt(rb_test_check_value(http->check, "tls_not_after_timestamp", NULL), now + 29.0 * 86400);
    ck_assert_double_lt(rb_test_check_value(http->check, "tls_not_after_timestamp", NULL), now + 31.0 * 86400);
    ck_assert_double_gt(rb_test_check_value(tcp->check, "phase", "tls"), 0);
    ck_assert_double_gt(rb_test_check_value(tcp->check, "tls_not_after_timestamp", NULL), now + 29.0 * 86400);
}
END_TEST

START_TEST(a_failure_leaves_nothing_for_the_next_one)
{
    /* One after the other, so that the second gets what the first used. */
    struct probe *reset = start("{kind: http, url: 'http://127.0.0.1:@resets/'}");
    run_all();
    struct probe *closed = start("{kind: http, url: 'http://127.0.0.1:@closes/'}");
    run_all();
    ck_assert_str_eq(reset->run.outcome.reason, "reset");
    ck_assert_str_eq(closed->run.outcome.reason, "closed");
}
END_TEST

START_TEST(a_changed_ca_file_is_read_again)
{
    char bundle[128], good[128], text[256];
    snprintf(bundle, sizeof bundle, "%s/regular", server.folder);
    snprintf(good, sizeof good, "%s/ca.pem", server.folder);
    snprintf(text, sizeof text, "{kind: http, url: 'https://localhost:@tls_good/', tls: {ca_file: '%s'}}", bundle);
    FILE *file = fopen(bundle, "w");
    ck_assert_ptr_nonnull(file);
    fputs("no certificate here\n", file);
    fclose(file);
    struct probe *before = start(text);
    run_all();
    ck_assert_str_eq(before->run.outcome.reason, "network");
    ck_assert_int_eq(before->run.outcome.result, RB_RESULT_UNKNOWN);
    unlink(bundle);
    ck_assert_int_eq(link(good, bundle), 0);
    struct probe *after = start(text);
    run_all();
    ck_assert_str_eq(after->run.outcome.reason, "none");
}
END_TEST

/* A file system that hangs must not hold the loop: whatever the worker part has read is enough. */
START_TEST(the_loop_opens_no_ca_file)
{
    char good[128], away[128];
    snprintf(good, sizeof good, "%s/ca.pem", server.folder);
    snprintf(away, sizeof away, "%s/regular", server.folder);
    struct probe *http = start("{kind: http, url: 'https://localhost:@tls_good/', tls: {ca_file: '%F/ca.pem'}}");
    struct probe *tcp = start("{kind: tcp, address: 'localhost:@tls_good', tls: {ca_file: '%F/ca.pem'}}");
    ck_assert_int_eq(rename(good, away), 0);
    run_all();
    ck_assert_str_eq(http->run.outcome.reason, "none");
    ck_assert_str_eq(tcp->run.outcome.reason, "none");
}
END_TEST

START_TEST(stopping_cancels_what_runs)
{
    struct probe *http = start("{kind: http, url: 'http://127.0.0.1:@hangs/'}");
    struct probe *tcp = start("{kind: tcp, address: '127.0.0.1:@blackhole'}");
    ck_assert_uint_eq(rb_exchanges_stats(bed.exchanges).active, 2);
    rb_exchanges_free(bed.exchanges);
    bed.exchanges = NULL;
    ck_assert(http->done && tcp->done);
    ck_assert_str_eq(http->run.outcome.reason, "cancelled");
    ck_assert_int_eq(tcp->run.outcome.result, RB_RESULT_UNKNOWN);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("exchange");
    TCase *tc = tcase_create("faults");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_fault_has_its_reason);
    tcase_add_test(tc, values_tell_phases_and_certificate);
    tcase_add_test(tc, a_failure_leaves_nothing_for_the_next_one);
    tcase_add_test(tc, the_loop_opens_no_ca_file);
    tcase_add_test(tc, a_changed_ca_file_is_read_again);
    tcase_add_test(tc, stopping_cancels_what_runs);
    suite_add_tcase(s, tc);
    TCase *portable = tcase_create("select");
    tcase_add_checked_fixture(portable, setup_select, teardown);
    tcase_set_timeout(portable, 60);
    tcase_add_test(portable, every_fault_has_its_reason_on_select);
    suite_add_tcase(s, portable);
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
