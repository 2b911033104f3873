/* The connection of a CONNECT/SEND/AWAIT exchange.
 *
 * Addresses are tried in the resolver's order; each gets an equal share of what is left, so that one black hole does not hide a server that answers. Of several
 * failures the one that says most is told (a refusal over a silence). SIGPIPE must be ignored by the process: OpenSSL writes without MSG_NOSIGNAL.
 *
 * Invariants: `state` names the one operation in progress; its event ends it; the descriptor is closed and unwatched in IDLE without a connection. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "runbook/base/buf.h"
#include "runbook/base/clock.h"

enum state { IDLE, RESOLVING, CONNECTING, HANDSHAKE, SENDING, AWAITING };

struct rb_socket {
    struct rb_socket_env env;
    enum state state;
    const char *host, *unix_path;
    uint16_t port;
    int ip_version;
    struct rb_tls_options tls;
    struct rb_resolve_wait wait;
    struct rb_resolve_result addresses;
    size_t next_address;
    int64_t until_ns; /* of the whole connect */
    int64_t mark_ns;  /* begin of the current phase */
    int fd;           /* -1: none */
    ev_io io;
    ev_timer share; /* of one address */
    SSL *ssl;
    struct rb_tls_probe probe;
    struct rb_phases phases;
    enum rb_net_failure failure; /* best known of the addresses so far */
    int failure_errno;
    const char *remote;
    const char *out;
    size_t out_len;
    struct rb_buf in;
    size_t shown, max;
    bool closed, has_sent;
};

static void try_next(struct rb_socket *sock);

static void emit(struct rb_socket *sock, const struct rb_event *event)
{
    ev_io_stop(sock->env.loop, &sock->io);
    ev_timer_stop(sock->env.loop, &sock->share);
    sock->state = IDLE;
    sock->env.event(sock->env.arg, event);
}

static void fail(struct rb_socket *sock, enum rb_net_failure failure, const char *detail)
{
    struct rb_event event = {
        .type = RB_EVENT_FAILED, .failure = failure, .detail = detail, .phases = &sock->phases, .remote_address = sock->remote};
    if (sock->probe.info.used)
        event.tls = &sock->probe.info;
    event.data = rb_buf_str(&sock->in);
    event.data_len = sock->in.len;
    emit(sock, &event);
}

static void watch(struct rb_socket *sock, int events)
{
    if (sock->io.active && sock->io.fd == sock->fd && (sock->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(sock->env.loop, &sock->io);
    ev_io_set(&sock->io, sock->fd, events);
    ev_io_start(sock->env.loop, &sock->io);
}

static double lap(struct rb_socket *sock)
{
    int64_t now = rb_elapsed_ns(sock->env.clock), from = sock->mark_ns;
    sock->mark_ns = now;
    return (double)(now - from) / 1e9;
}

static enum rb_net_failure failure_of_errno(int number)
{
    switch (number) {
    case ECONNREFUSED:
    case EAGAIN: /* a unix socket whose backlog is full */
        return RB_NET_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return RB_NET_RESET;
    case ETIMEDOUT:
        return RB_NET_CONNECT_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return RB_NET_UNREACHABLE;
    case ENOENT:
    case ENOTSOCK:
    case ENOTDIR:
        return RB_NET_NO_SOCKET;
    case EACCES:
    case EPERM:
        return RB_NET_PERMISSION;
    default:
        return RB_NET_OTHER;
    }
}

/* ---- receiving and sending ---- */

static const char *error_text(struct rb_socket *sock, int number)
{
    return number ? rb_arena_strdup(sock->env.arena, strerror(number)) : NULL;
}

static void broken(struct rb_socket *sock, int number)
{
    enum rb_net_failure failure = number == 0 ? RB_NET_CLOSED : failure_of_errno(number);
    fail(sock, failure, number == 0 ? "the other side closed the connection" : error_text(sock, number));
}

/* What a TLS call wants: true when it must wait (the watcher is set). */
static bool tls_waits(struct rb_socket *sock, int result, int *out_error)
{
    *out_error = SSL_get_error(sock->ssl, result);
    if (*out_error != SSL_ERROR_WANT_READ && *out_error != SSL_ERROR_WANT_WRITE)
        return false;
    watch(sock, *out_error == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
    return true;
}

/* Bytes read; 0: closed; -1: wait; -2: failed with *out_errno. */
static ssize_t receive(struct rb_socket *sock, char *into, size_t room, int *out_errno)
{
    *out_errno = 0;
    if (!sock->ssl) {
        ssize_t got = recv(sock->fd, into, room, 0);
        if (got >= 0)
            return got;
        *out_errno = errno;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return -2;
        watch(sock, EV_READ);
        return -1;
    }
    int error;
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(sock->ssl, into, (int)room);
    if (got > 0)
        return got;
    if (tls_waits(sock, got, &error))
        return -1;
    *out_errno = error == SSL_ERROR_SYSCALL ? errno : 0;
    return *out_errno ? -2 : 0;
}

static void show_data(struct rb_socket *sock)
{
    sock->shown = sock->in.len;
    struct rb_event event = {.type = RB_EVENT_DATA, .data = rb_buf_str(&sock->in), .data_len = sock->in.len};
    emit(sock, &event);
}

static void continue_await(struct rb_socket *sock)
{
    char chunk[16384];
    int number = 0;
    ssize_t got = 0;
    /* One look at the buffer costs less than one event per packet; the bound keeps a flood from holding the loop. */
    for (int rounds = 0; rounds < 16 && !sock->closed; rounds++) {
        got = receive(sock, chunk, sizeof chunk, &number);
        if (got <= 0)
            break;
        rb_buf_add(&sock->in, chunk, (size_t)got);
        if (sock->in.failed || sock->in.len > sock->max) {
            fail(sock, RB_NET_TOO_LARGE, rb_arena_printf(sock->env.arena, "more than %zu bytes arrived", sock->max));
            return;
        }
        /* A short read has emptied the socket; asking again would only say so. */
        if (!sock->ssl && (size_t)got < sizeof chunk)
            break;
    }
    if (got == 0)
        sock->closed = true;
    if (sock->in.len > sock->shown) {
        show_data(sock);
    } else if (got == -2) {
        broken(sock, number);
    } else if (sock->closed) {
        struct rb_event event = {
            .type = RB_EVENT_CLOSED, .failure = RB_NET_CLOSED, .data = rb_buf_str(&sock->in), .data_len = sock->in.len};
        emit(sock, &event);
    }
}

static void continue_send(struct rb_socket *sock)
{
    while (sock->out_len > 0) {
        ssize_t sent;
        int error = 0;
        errno = 0;
        if (sock->ssl) {
            ERR_clear_error();
            sent = SSL_write(sock->ssl, sock->out, sock->out_len > INT32_MAX ? INT32_MAX : (int)sock->out_len);
            if (sent <= 0 && tls_waits(sock, (int)sent, &error))
                return;
        } else {
            sent = send(sock->fd, sock->out, sock->out_len, 0);
            if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                watch(sock, EV_WRITE);
                return;
            }
        }
        if (sent <= 0) {
            broken(sock, errno);
            return;
        }
        sock->out += sent;
        sock->out_len -= (size_t)sent;
    }
    struct rb_event event = {.type = RB_EVENT_SENT};
    emit(sock, &event);
}

/* ---- connecting ---- */

static void connected(struct rb_socket *sock)
{
    struct rb_event event = {
        .type = RB_EVENT_CONNECTED, .tls = sock->ssl ? &sock->probe.info : NULL, .phases = &sock->phases, .remote_address = sock->remote};
    emit(sock, &event);
}

static void continue_handshake(struct rb_socket *sock)
{
    int error;
    ERR_clear_error();
    errno = 0;
    int result = SSL_connect(sock->ssl);
    if (result != 1 && tls_waits(sock, result, &error))
        return;
    int number = errno;
    sock->phases.tls_s = lap(sock);
    if (result == 1) {
        connected(sock);
        return;
    }
    ERR_clear_error();
    enum rb_net_failure failure = rb_tls_failure(&sock->probe);
    if (failure == RB_NET_TLS_HANDSHAKE && error == SSL_ERROR_SYSCALL && number == ECONNRESET)
        failure = RB_NET_RESET;
    fail(sock, failure, rb_tls_detail(&sock->probe));
}

static void begin_handshake(struct rb_socket *sock)
{
    struct rb_error err;
    rb_tls_probe_init(&sock->probe, sock->env.arena);
    sock->state = HANDSHAKE;
    sock->ssl = rb_tls_connection(sock->env.cache, &sock->tls, sock->unix_path ? NULL : sock->host, &sock->probe, &err);
    if (!sock->ssl) {
        fail(sock, RB_NET_OTHER, rb_arena_strdup(sock->env.arena, err.message));
        return;
    }
    if (SSL_set_fd(sock->ssl, sock->fd) != 1) {
        fail(sock, RB_NET_OTHER, "no memory for a TLS connection");
        return;
    }
    continue_handshake(sock);
}

static void established(struct rb_socket *sock)
{
    ev_timer_stop(sock->env.loop, &sock->share);
    ev_io_stop(sock->env.loop, &sock->io);
    sock->phases.connect_s = lap(sock);
    if (sock->tls.enabled)
        begin_handshake(sock);
    else
        connected(sock);
}

static void close_fd(struct rb_socket *sock)
{
    ev_io_stop(sock->env.loop, &sock->io);
    ev_timer_stop(sock->env.loop, &sock->share);
    if (sock->fd >= 0)
        close(sock->fd);
    sock->fd = -1;
}

/* How much a failure tells about the service; of several addresses' the greatest is kept. */
static int weight(enum rb_net_failure failure)
{
    switch (failure) {
    case RB_NET_OK:
        return 0;
    case RB_NET_UNREACHABLE:
        return 1;
    case RB_NET_CONNECT_TIMEOUT:
        return 2;
    default:
        return 3;
    }
}

static void note_failure(struct rb_socket *sock, enum rb_net_failure failure, int number)
{
    if (weight(failure) >= weight(sock->failure)) {
        sock->failure = failure;
        sock->failure_errno = number;
    }
    close_fd(sock);
}

static void on_share_over(struct ev_loop *loop RB_UNUSED, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_socket *sock = timer->data;
    note_failure(sock, RB_NET_CONNECT_TIMEOUT, ETIMEDOUT);
    try_next(sock);
}

/* One system call where socket() takes the flags, three elsewhere. */
static int quiet_socket(int family)
{
#if defined SOCK_NONBLOCK && defined SOCK_CLOEXEC
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
#endif
}

static int open_socket(struct rb_socket *sock, int family)
{
    int fd = quiet_socket(family);
    if (fd >= 0 && !rb_fd_fits(sock->env.loop, fd)) {
        close(fd);
        errno = EMFILE; /* the one cause that an operator can mend */
        return -1;
    }
    return fd;
}

static void start_connect(struct rb_socket *sock, const struct sockaddr *address, socklen_t len)
{
    sock->fd = open_socket(sock, address->sa_family);
    if (sock->fd < 0) {
        note_failure(sock, errno == EAFNOSUPPORT ? RB_NET_UNREACHABLE : RB_NET_OTHER, errno);
        try_next(sock);
        return;
    }
    if (connect(sock->fd, address, len) == 0) {
        established(sock);
        return;
    }
    if (errno != EINPROGRESS) {
        note_failure(sock, failure_of_errno(errno), errno);
        try_next(sock);
        return;
    }
    watch(sock, EV_WRITE);
}

static void connect_unix(struct rb_socket *sock)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(sock->unix_path);
    sock->state = CONNECTING;
    if (len >= sizeof un.sun_path) {
        fail(sock, RB_NET_NO_SOCKET, "the path of the socket is longer than the system allows");
        return;
    }
    memcpy(un.sun_path, sock->unix_path, len + 1);
    sock->remote = sock->unix_path;
    start_connect(sock, (const struct sockaddr *)&un, (socklen_t)sizeof un);
}

static void connect_address(struct rb_socket *sock, const struct rb_address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(sock->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(sock->port), .sin6_scope_id = address->scope};
    char text[RB_ADDRESS_TEXT];
    rb_address_print(address, text);
    sock->remote = rb_arena_printf(sock->env.arena, address->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, (unsigned)sock->port);
    if (address->family == AF_INET6) {
        memcpy(&in6.sin6_addr, address->bytes, sizeof in6.sin6_addr);
        start_connect(sock, (const struct sockaddr *)&in6, (socklen_t)sizeof in6);
    } else {
        memcpy(&in.sin_addr, address->bytes, sizeof in.sin_addr);
        start_connect(sock, (const struct sockaddr *)&in, (socklen_t)sizeof in);
    }
}

static void try_next(struct rb_socket *sock)
{
    size_t left = sock->addresses.count - sock->next_address;
    if (left == 0) {
        int number = sock->failure_errno;
        fail(sock, sock->failure, error_text(sock, number));
        return;
    }
    sock->state = CONNECTING;
    if (left > 1) {
        double share_s = (double)(sock->until_ns - rb_elapsed_ns(sock->env.clock)) / 1e9 / (double)left;
        ev_timer_set(&sock->share, share_s > 0.01 ? share_s : 0.01, 0.);
        ev_timer_start(sock->env.loop, &sock->share);
    }
    connect_address(sock, &sock->addresses.items[sock->next_address++]);
}

static void on_resolved(void *arg, const struct rb_resolve_result *result)
{
    struct rb_socket *sock = arg;
    sock->phases.resolve_s = lap(sock);
    if (result->failure != RB_NET_OK) {
        fail(sock, result->failure, result->detail);
        return;
    }
    sock->addresses = *result;
    try_next(sock);
}

static void on_connect_ready(struct rb_socket *sock)
{
    int number = 0;
    socklen_t len = sizeof number;
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0)
        number = errno;
    if (number == 0) {
        established(sock);
        return;
    }
    note_failure(sock, failure_of_errno(number), number);
    try_next(sock);
}

static void on_io(struct ev_loop *loop RB_UNUSED, ev_io *io, int events RB_UNUSED)
{
    struct rb_socket *sock = io->data;
    switch (sock->state) {
    case CONNECTING:
        on_connect_ready(sock);
        break;
    case HANDSHAKE:
        continue_handshake(sock);
        break;
    case SENDING:
        continue_send(sock);
        break;
    case AWAITING:
        continue_await(sock);
        break;
    case IDLE:
    case RESOLVING:
        ev_io_stop(sock->env.loop, io);
        break;
    }
}

/* ---- public ---- */

struct rb_socket *rb_socket_new(const struct rb_socket_env *env, const struct rb_action *action, int64_t left_ms)
{
    struct rb_socket *sock = rb_arena_alloc(env->arena, sizeof *sock);
    if (!sock)
        return NULL;
    sock->env = *env;
    sock->fd = -1;
    sock->host = action->connect.host;
    sock->port = action->connect.port;
    sock->unix_path = action->connect.unix_socket;
    sock->ip_version = action->connect.ip_version;
    sock->tls = action->connect.tls;
    sock->phases = (struct rb_phases){-1, -1, -1, -1, -1, 0};
    sock->wait.done = on_resolved;
    sock->wait.arg = sock;
    sock->mark_ns = rb_elapsed_ns(env->clock);
    sock->until_ns = sock->mark_ns + left_ms * RB_NS_PER_MS;
    rb_buf_init(&sock->in, RB_SOCKET_MAX_RECEIVE);
    sock->in.wiped = true;
    ev_init(&sock->io, on_io);
    sock->io.data = sock;
    ev_init(&sock->share, on_share_over);
    sock->share.data = sock;
    return sock;
}

void rb_socket_begin(struct rb_socket *sock)
{
    struct rb_address numeric;
    if (sock->unix_path) {
        connect_unix(sock);
    } else if (sock->host && rb_address_parse(sock->host, &numeric)) {
        sock->addresses.items[0] = numeric;
        sock->addresses.count = 1;
        try_next(sock);
    } else if (sock->host) {
        sock->state = RESOLVING;
        rb_resolver_start(sock->env.resolver, sock->host, sock->ip_version, &sock->wait);
    } else {
        fail(sock, RB_NET_OTHER, "no host to connect to");
    }
}

void rb_socket_send(struct rb_socket *sock, const void *bytes, size_t len)
{
    sock->out = bytes;
    sock->out_len = len;
    sock->shown = 0;
    sock->state = SENDING;
    /* Only what follows unacknowledged bytes could be held back (RFC 896). */
    if (sock->has_sent && sock->fd >= 0 && !sock->unix_path)
        setsockopt(sock->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    sock->has_sent = true;
    if (sock->fd < 0)
        fail(sock, RB_NET_CLOSED, "there is no connection");
    else
        continue_send(sock);
}

static void consume_bytes(struct rb_socket *sock, size_t count)
{
    if (count == 0 || sock->in.len == 0)
        return;
    size_t drop = count < sock->in.len ? count : sock->in.len;
    memmove(sock->in.data, sock->in.data + drop, sock->in.len - drop);
    sock->in.len -= drop;
    sock->in.data[sock->in.len] = '\0';
    sock->shown = 0;
}

void rb_socket_await(struct rb_socket *sock, size_t consume, size_t max)
{
    consume_bytes(sock, consume);
    sock->max = max > 0 && max < RB_SOCKET_MAX_RECEIVE ? max : RB_SOCKET_MAX_RECEIVE;
    sock->state = AWAITING;
    if (sock->fd < 0)
        fail(sock, RB_NET_CLOSED, "there is no connection");
    else if (sock->in.len > sock->shown)
        show_data(sock);
    else if (!sock->ssl && !sock->closed)
        watch(sock, EV_READ); /* an answer is hardly ever there yet: looking first costs a system call */
    else
        continue_await(sock);
}

void rb_socket_expire(struct rb_socket *sock)
{
    enum state state = sock->state;
    if (state == IDLE)
        return;
    rb_resolver_cancel(&sock->wait);
    if (state == RESOLVING) {
        sock->phases.resolve_s = lap(sock);
        fail(sock, RB_NET_DNS_TIMEOUT, "no answer from the name server");
    } else if (state == CONNECTING) {
        close_fd(sock);
        fail(sock, RB_NET_CONNECT_TIMEOUT, "the connection was not accepted in time");
    } else {
        fail(sock, RB_NET_TIMEOUT, state == HANDSHAKE ? "the TLS handshake was not finished in time" : "no answer in time");
    }
}

void rb_socket_close(struct rb_socket *sock)
{
    if (!sock)
        return;
    rb_resolver_cancel(&sock->wait);
    if (sock->ssl) {
        /* One attempt at a close_notify, so that servers do not log a truncated session. */
        if (SSL_is_init_finished(sock->ssl))
            SSL_shutdown(sock->ssl);
        ERR_clear_error();
        SSL_free(sock->ssl);
        sock->ssl = NULL;
    }
    close_fd(sock);
    rb_buf_fini(&sock->in);
    sock->state = IDLE;
}
