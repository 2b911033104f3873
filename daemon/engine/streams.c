/* Ticks of passive and stream checks, and the line streams themselves.
 *
 * A tick is immediate. A stream lives between the ticks: it is opened by the first one, keeps the kind's memory while lines come in (the run's memory is a copy,
 * given back with each tick), reconnects with growing pauses, and is closed when a reload removes its check.
 *
 * A companion stream belongs to a check whose runs are exchanges. It is opened after the first run, which has found out where; each later run asks again, so that
 * a stream follows what it listens to. It never decides a result: its notes enter the timeline, and one that tells of a change brings the check forward, at most
 * once a second and never lost behind a run that is under way.
 *
 * The transport is HTTP over libcurl's multi interface, driven by the loop: one GET whose body is cut into lines. Only unix sockets and numeric or local hosts:
 * libcurl's own resolver could block the loop. Loop thread only.
 *
 * Invariant: while `transfer` is set it is in the multi handle, its callbacks get the stream, and nothing frees the stream from inside
 * them. */
#include "../run.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/check/notes.h"

#define PAUSE_FIRST_S   1.0
#define PAUSE_MAX_S     30.0
#define LINE_DEFAULT    ((size_t)64 * 1024)
#define LINE_MAX_BYTES  ((size_t)4 * 1024 * 1024)
#define LINE_ARENA      ((size_t)1024 * 1024)
#define CONNECT_TIMEOUT 5L
#define IDLE_INTERVALS  3
#define FORWARD_SOON_S  0.2 /* a stop is three events: let them all arrive */
#define FORWARD_EACH_S  1.0

struct stream {
    struct rb_streams *streams;
    struct stream *next;
    struct rb_plan *plan;
    struct rb_check_spec spec; /* of that plan */
    const struct rb_kind *kind;
    struct rb_check_ctx ctx;
    struct rb_arena *arena; /* the request's texts */
    struct rb_stream_request request;
    void *memory;
    atomic_bool cancelled;
    CURL *transfer;
    struct rb_buf line;
    bool line_too_long; /* the rest of it is dropped */
    bool companion;
    bool was_connected; /* at least once */
    bool had_gap;
    ev_timer reconnect, forward;
    double pause_s;
    int64_t last_tick_ns, gap_since_wall_ns, forwarded_ns;
    enum rb_net_failure failure;
    char problem[CURL_ERROR_SIZE];
};

struct socket_watch {
    struct rb_streams *streams;
    struct socket_watch *next;
    ev_io io;
    curl_socket_t fd;
};

struct rb_streams {
    struct ev_loop *loop;
    const struct rb_clock *clock;
    CURLM *multi;
    ev_timer timer;
    struct stream *first;
    struct socket_watch *watches;
    struct rb_notes notes; /* given to the kinds: adds through `sink` */
    struct rb_stream_sink sink;
};

/* ---- libcurl on the loop ---- */

static void stream_lost(struct stream *stream, CURLcode code);

static void take_messages(struct rb_streams *streams)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(streams->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct stream *stream = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &stream);
        if (stream)
            stream_lost(stream, code);
    }
}

static void on_socket(struct ev_loop *loop RB_UNUSED, ev_io *io, int events)
{
    struct socket_watch *watch = io->data;
    struct rb_streams *streams = watch->streams;
    int running;
    int what = ((events & EV_READ) ? CURL_CSELECT_IN : 0) | ((events & EV_WRITE) ? CURL_CSELECT_OUT : 0);
    (void)curl_multi_socket_action(streams->multi, watch->fd, what, &running);
    take_messages(streams);
}

static void on_timer(struct ev_loop *loop RB_UNUSED, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_streams *streams = timer->data;
    int running;
    (void)curl_multi_socket_action(streams->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_messages(streams);
}

static int set_timer(CURLM *multi RB_UNUSED, long timeout_ms, void *arg)
{
    struct rb_streams *streams = arg;
    ev_timer_stop(streams->loop, &streams->timer);
    if (timeout_ms < 0)
        return 0;
    ev_now_update(streams->loop);
    ev_timer_set(&streams->timer, (double)timeout_ms / 1000.0, 0.);
    ev_timer_start(streams->loop, &streams->timer);
    return 0;
}

static void watch_remove(struct rb_streams *streams, struct socket_watch *watch)
{
    struct socket_watch **link = &streams->watches;
    while (*link && *link != watch)
        link = &(*link)->next;
    if (*link)
        *link = watch->next;
    ev_io_stop(streams->loop, &watch->io);
    free(watch);
}

static int set_socket(CURL *easy RB_UNUSED, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct rb_streams *streams = arg;
    struct socket_watch *watch = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            watch_remove(streams, watch);
        return 0;
    }
    if (!watch) {
        watch = calloc(1, sizeof *watch);
        if (!watch)
            return -1;
        *watch = (struct socket_watch){.streams = streams, .next = streams->watches, .fd = fd};
        streams->watches = watch;
        ev_init(&watch->io, on_socket);
        watch->io.data = watch;
        (void)curl_multi_assign(streams->multi, fd, watch);
    }
    ev_io_stop(streams->loop, &watch->io);
    ev_io_set(&watch->io, fd, ((what & CURL_POLL_IN) ? EV_READ : 0) | ((what & CURL_POLL_OUT) ? EV_WRITE : 0));
    ev_io_start(streams->loop, &watch->io);
    return 0;
}

/* ---- lines ---- */

/* Calls the kind with an arena of its own for the call. */
static void give_line(struct stream *stream)
{
    RB_ARENA_AUTO *arena = rb_arena_new(LINE_ARENA);
    if (!arena)
        return;
    stream->ctx.arena = arena;
    stream->kind->stream->line(&stream->ctx, rb_buf_str(&stream->line), stream->line.len);
    stream->ctx.arena = NULL;
}

static void end_line(struct stream *stream)
{
    if (!stream->line_too_long && stream->line.len)
        give_line(stream);
    stream->line_too_long = false;
    rb_buf_reset(&stream->line);
}

/* The header of a good answer came: only now is it known that a gap is over. */
static void connected(struct stream *stream)
{
    bool tells = stream->had_gap && stream->was_connected;
    stream->pause_s = PAUSE_FIRST_S;
    stream->had_gap = false;
    stream->was_connected = true;
    if (!tells)
        return;
    RB_ARENA_AUTO *arena = rb_arena_new(LINE_ARENA);
    if (!arena)
        return;
    stream->ctx.arena = arena;
    stream->kind->stream->gap(&stream->ctx, stream->gap_since_wall_ns, stream->failure);
    stream->ctx.arena = NULL;
    stream->failure = RB_NET_OK;
}

/* libcurl declares the bytes writable. NOLINTNEXTLINE(readability-non-const-parameter) */
static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct stream *stream = arg;
    size_t len = size * count;
    long status = 0;
    bool ends = len > 0 && (bytes[0] == '\r' || bytes[0] == '\n');
    if (ends && curl_easy_getinfo(stream->transfer, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200)
        connected(stream);
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct stream *stream = arg;
    size_t len = size * count, left = len;
    while (left > 0) {
        const char *newline = memchr(bytes, '\n', left);
        size_t part = newline ? (size_t)(newline - bytes) : left;
        rb_buf_add(&stream->line, bytes, part);
        stream->line_too_long = stream->line_too_long || stream->line.failed;
        if (newline)
            end_line(stream);
        part += newline != NULL;
        bytes += part;
        left -= part;
    }
    return len;
}

/* ---- bringing forward ---- */

static void on_forward(struct ev_loop *loop, ev_timer *timer, int events RB_UNUSED)
{
    struct stream *stream = timer->data;
    const struct rb_stream_sink *sink = &stream->streams->sink;
    ev_timer_stop(loop, timer);
    /* A run under way may have looked before the change: it does not count. */
    if (sink->changed(sink->arg, &stream->spec)) {
        stream->forwarded_ns = rb_elapsed_ns(stream->streams->clock);
        return;
    }
    ev_timer_set(timer, FORWARD_SOON_S, 0.);
    ev_timer_start(loop, timer);
}

static void want_forward(struct stream *stream)
{
    if (!stream->companion || !stream->streams->sink.changed || ev_is_active(&stream->forward))
        return;
    double since_s = (double)(rb_elapsed_ns(stream->streams->clock) - stream->forwarded_ns) / (double)RB_NS_PER_S;
    double wait_s = stream->forwarded_ns && since_s < FORWARD_EACH_S ? FORWARD_EACH_S - since_s : 0.;
    ev_now_update(stream->streams->loop);
    ev_timer_set(&stream->forward, wait_s > FORWARD_SOON_S ? wait_s : FORWARD_SOON_S, 0.);
    ev_timer_start(stream->streams->loop, &stream->forward);
}

static void on_note(void *ctx, const struct rb_check_spec *spec, const struct rb_note *note)
{
    struct rb_streams *streams = ctx;
    if (streams->sink.note)
        streams->sink.note(streams->sink.arg, spec, note);
    for (struct stream *stream = streams->first; note->changed && stream; stream = stream->next) {
        if (&stream->spec == spec)
            want_forward(stream);
    }
}

/* ---- connection ---- */

static enum rb_net_failure failure_of(CURLcode code)
{
    if (code == CURLE_COULDNT_CONNECT)
        return RB_NET_REFUSED;
    if (code == CURLE_OPERATION_TIMEDOUT)
        return RB_NET_TIMEOUT;
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        return RB_NET_DNS;
    if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
        return RB_NET_RESET;
    bool closed = code == CURLE_OK || code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING;
    return closed ? RB_NET_CLOSED : RB_NET_OTHER;
}

static void drop_transfer(struct stream *stream)
{
    if (!stream->transfer)
        return;
    (void)curl_multi_remove_handle(stream->streams->multi, stream->transfer);
    curl_easy_cleanup(stream->transfer);
    stream->transfer = NULL;
}

static void stream_lost(struct stream *stream, CURLcode code)
{
    drop_transfer(stream);
    rb_buf_reset(&stream->line);
    stream->line_too_long = false;
    if (!stream->had_gap) {
        stream->gap_since_wall_ns = rb_wall_ns(stream->streams->clock);
        stream->failure = failure_of(code);
        if (stream->was_connected)
            want_forward(stream);
    }
    stream->had_gap = true;
    ev_now_update(stream->streams->loop);
    ev_timer_set(&stream->reconnect, stream->pause_s, 0.);
    ev_timer_start(stream->streams->loop, &stream->reconnect);
    stream->pause_s = 2 * stream->pause_s < PAUSE_MAX_S ? 2 * stream->pause_s : PAUSE_MAX_S;
}

/* After a gap also what came during it; one second more, because the loss was noticed a little after it happened. */
static bool set_url(CURL *easy, const struct stream *stream)
{
    const struct rb_stream_request *request = &stream->request;
    RB_BUF_AUTO url;
    rb_buf_init(&url, 8192);
    rb_buf_adds(&url, request->url);
    if (request->since_query && stream->was_connected && stream->gap_since_wall_ns > RB_NS_PER_S) {
        int64_t since_ns = stream->gap_since_wall_ns - RB_NS_PER_S;
        rb_buf_addf(&url, "%c%s=%" PRId64 ".%09" PRId64, strchr(request->url, '?') ? '&' : '?', request->since_query,
                    since_ns / RB_NS_PER_S, since_ns % RB_NS_PER_S);
    }
    return !url.failed && curl_easy_setopt(easy, CURLOPT_URL, rb_buf_str(&url)) == CURLE_OK;
}

static bool set_options(CURL *easy, struct stream *stream)
{
    bool good = set_url(easy, stream);
    good = good && curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_HEADERDATA, stream) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_WRITEDATA, stream) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PRIVATE, stream) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, stream->problem) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT) == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK;
    good = good && curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK;
    if (good && stream->request.unix_socket)
        good = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, stream->request.unix_socket) == CURLE_OK;
    return good;
}

static void connect_stream(struct stream *stream)
{
    CURL *easy = curl_easy_init();
    if (!easy || !set_options(easy, stream) || curl_multi_add_handle(stream->streams->multi, easy) != CURLM_OK) {
        curl_easy_cleanup(easy);
        stream_lost(stream, CURLE_OUT_OF_MEMORY);
        return;
    }
    stream->transfer = easy;
}

static void on_reconnect(struct ev_loop *loop, ev_timer *timer, int events RB_UNUSED)
{
    ev_timer_stop(loop, timer);
    connect_stream(timer->data);
}

/* ---- streams of checks ---- */

static void stream_free(struct stream *stream)
{
    drop_transfer(stream);
    ev_timer_stop(stream->streams->loop, &stream->reconnect);
    ev_timer_stop(stream->streams->loop, &stream->forward);
    rb_buf_fini(&stream->line);
    rb_arena_free(stream->arena);
    free(stream->memory);
    if (stream->plan)
        rb_plan_unref(stream->plan);
    free(stream);
}

static struct stream *find(struct rb_streams *streams, const struct rb_run *run)
{
    for (struct stream *stream = streams->first; stream; stream = stream->next) {
        if (strcmp(stream->spec.name, run->spec->name) == 0 && strcmp(stream->spec.identity, run->spec->identity) == 0)
            return stream;
    }
    return NULL;
}

/* Closes what no tick asked for any more. */
static void sweep(struct rb_streams *streams, int64_t now_ns)
{
    struct stream **link = &streams->first;
    while (*link) {
        struct stream *stream = *link;
        int64_t patience_ns = (IDLE_INTERVALS * stream->spec.every_ms + stream->spec.timeout_ms) * RB_NS_PER_MS;
        if (stream->spec.manual || now_ns - stream->last_tick_ns <= patience_ns) {
            link = &stream->next;
            continue;
        }
        *link = stream->next;
        stream_free(stream);
    }
}

static bool is_local_url(const char *url)
{
    static const char *const hosts[] = {"http://localhost", "http://127.", "http://[::1]"};
    for (size_t i = 0; url && i < sizeof hosts / sizeof hosts[0]; i++) {
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0)
            return true;
    }
    return false;
}

static struct stream *stream_new(struct rb_streams *streams, struct rb_run *run)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->streams = streams;
    ev_timer_init(&stream->reconnect, on_reconnect, 0., 0.);
    stream->reconnect.data = stream;
    ev_timer_init(&stream->forward, on_forward, 0., 0.);
    stream->forward.data = stream;
    stream->arena = rb_arena_new(LINE_ARENA);
    stream->memory = calloc(1, run->kind->memory_size + 1);
    if (!stream->arena || !stream->memory) {
        stream_free(stream);
        return NULL;
    }
    if (run->kind->memory_size)
        memcpy(stream->memory, run->ctx.memory, run->kind->memory_size);
    stream->plan = run->plan ? rb_plan_ref(run->plan) : NULL;
    stream->spec = *run->spec;
    stream->kind = run->kind;
    stream->ctx = run->ctx;
    stream->ctx.spec = &stream->spec;
    stream->ctx.memory = stream->memory;
    stream->ctx.cancelled = &stream->cancelled;
    stream->ctx.arena = stream->arena;
    stream->ctx.state = NULL;
    stream->ctx.notes = &streams->notes;
    stream->companion = run->kind->exec != RB_EXEC_STREAM;
    stream->pause_s = PAUSE_FIRST_S;
    return stream;
}

/* Asks the kind where to listen and begins; NULL with the outcome set when it does not want to or cannot. */
static struct stream *open_stream(struct rb_streams *streams, struct rb_run *run)
{
    struct stream *stream = stream_new(streams, run);
    if (!stream) {
        rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "resource_limit", "the stream was not opened: out of memory");
        return NULL;
    }
    if (!run->kind->stream->open(&stream->ctx, &stream->request, &run->outcome)) {
        stream_free(stream);
        return NULL;
    }
    if (!stream->request.url || (!stream->request.unix_socket && !is_local_url(stream->request.url))) {
        rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "unsupported", "streams are read from unix sockets and from this host only");
        stream_free(stream);
        return NULL;
    }
    size_t max_line = stream->request.max_line ? stream->request.max_line : LINE_DEFAULT;
    rb_buf_init(&stream->line, max_line < LINE_MAX_BYTES ? max_line : LINE_MAX_BYTES);
    stream->next = streams->first;
    streams->first = stream;
    connect_stream(stream);
    return stream;
}

static void tick_stream(struct rb_streams *streams, struct rb_run *run)
{
    int64_t now_ns = rb_elapsed_ns(streams->clock);
    sweep(streams, now_ns);
    struct stream *stream = find(streams, run);
    if (!stream)
        stream = open_stream(streams, run);
    if (!stream)
        return;
    stream->last_tick_ns = now_ns;
    void *copy = run->ctx.memory;
    run->ctx.memory = stream->memory;
    run->kind->stream->tick(&run->ctx, &run->outcome);
    run->ctx.memory = copy;
    if (run->kind->memory_size)
        memcpy(copy, stream->memory, run->kind->memory_size);
}

/* ---- companions ---- */

static void close_stream(struct rb_streams *streams, struct stream *stream)
{
    struct stream **link = &streams->first;
    while (*link && *link != stream)
        link = &(*link)->next;
    if (*link)
        *link = stream->next;
    stream_free(stream);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether the kind would still open the stream where it is. */
static bool leads_there(const struct stream *stream, struct rb_run *run)
{
    struct rb_stream_request wanted = {0};
    return run->kind->stream->open(&run->ctx, &wanted, &run->outcome) && same_text(wanted.url, stream->request.url) &&
           same_text(wanted.unix_socket, stream->request.unix_socket);
}

void rb_streams_follow(struct rb_streams *streams, struct rb_run *run)
{
    /* The run's outcome is complete: whether a stream can be opened does not change it. */
    struct rb_outcome outcome = run->outcome;
    sweep(streams, rb_elapsed_ns(streams->clock));
    struct stream *stream = find(streams, run);
    if (stream && !leads_there(stream, run)) {
        close_stream(streams, stream);
        stream = NULL;
    }
    if (!stream)
        stream = open_stream(streams, run);
    run->outcome = outcome;
    if (!stream)
        return;
    stream->last_tick_ns = rb_elapsed_ns(streams->clock);
    if (ev_is_active(&stream->reconnect) && run->outcome.sighting == RB_SIGHTING_PRESENT) {
        stream->pause_s = PAUSE_FIRST_S;
        on_reconnect(streams->loop, &stream->reconnect, 0);
    }
}

void rb_streams_keep(struct rb_streams *streams, const struct rb_plan *plan)
{
    struct stream *next;
    for (struct stream *stream = streams->first; stream; stream = next) {
        next = stream->next;
        size_t index = rb_plan_find(plan, stream->spec.name);
        if (index == SIZE_MAX || strcmp(plan->checks[index].identity, stream->spec.identity) != 0)
            close_stream(streams, stream);
    }
}

/* ---- interface ---- */

void rb_streams_set_sink(struct rb_streams *streams, const struct rb_stream_sink *sink)
{
    streams->sink = *sink;
}

struct rb_streams *rb_streams_new(struct ev_loop *loop, const struct rb_clock *clock, struct rb_error *err)
{
    struct rb_streams *streams = calloc(1, sizeof *streams);
    CURLM *multi = streams ? curl_multi_init() : NULL;
    if (!multi) {
        free(streams);
        rb_error_set(err, RB_ENOMEM, "cannot prepare streams: out of memory");
        return NULL;
    }
    *streams = (struct rb_streams){.loop = loop, .clock = clock, .multi = multi};
    streams->notes = (struct rb_notes){.add = on_note, .ctx = streams};
    ev_timer_init(&streams->timer, on_timer, 0., 0.);
    streams->timer.data = streams;
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, streams);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, streams);
    return streams;
}

void rb_streams_start(struct rb_streams *streams, struct rb_run *run)
{
    if (run->kind->exec == RB_EXEC_STREAM)
        tick_stream(streams, run);
    else
        run->kind->passive->tick(&run->ctx, &run->outcome);
    rb_run_finish(run);
}

void rb_streams_free(struct rb_streams *streams)
{
    if (!streams)
        return;
    while (streams->first) {
        struct stream *stream = streams->first;
        streams->first = stream->next;
        stream_free(stream);
    }
    (void)curl_multi_cleanup(streams->multi);
    while (streams->watches)
        watch_remove(streams, streams->watches);
    ev_timer_stop(streams->loop, &streams->timer);
    free(streams);
}
