/* Connections of libgit2 that end: a socket with a deadline for the whole of its life.
 *
 * libgit2 before 1.7 waits for ever for a server that accepts and says nothing. Its way out is git2/sys/stream.h: constructors of streams can be registered, and its TLS rests
 * on a plain one. Ours connects and reads without blocking and gives up at the deadline, which begins with the stream; so a server that says one byte a second ends too.
 * Not for ssh: libssh2 takes the socket out of libgit2's own stream and waits by itself. The caller refuses such addresses (git.c); they would want a key, which we have not.
 *
 * Names are resolved by the C library, whose patience is its own (resolv.conf). Registering is global in libgit2, always the same, and guarded by it. */
#include "git_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <git2/sys/stream.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if __has_include(<git2/sys/errors.h>) /* where libgit2 1.9 declares git_error_set_str */
#include <git2/sys/errors.h>
#endif

#include "runbook/platform/platform.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* the daemon ignores SIGPIPE */
#endif

struct stream {
    git_stream parent; /* first: libgit2 gives this one back */
    char host[256], port[16];
    int fd;
    int64_t deadline_ns;
};

static struct stream *stream_of(git_stream *parent)
{
    return (struct stream *)(void *)parent;
}

static int64_t now_ns(void)
{
    return rb_elapsed_ns(rb_platform_host()->clock);
}

static int fail(const struct stream *stream, const char *what)
{
    char text[512];
    (void)snprintf(text, sizeof text, "%s:%s %s", stream->host, stream->port, what);
    (void)git_error_set_str(GIT_ERROR_NET, text);
    return -1;
}

static int fail_late(const struct stream *stream)
{
    char text[64];
    (void)snprintf(text, sizeof text, "did not answer within %d s", GIT_REMOTE_TIMEOUT_S);
    return fail(stream, text);
}

/* Waits until the socket is ready or the time is over; 0 when it is ready. */
static int wait_for(const struct stream *stream, int fd, short events)
{
    for (;;) {
        int64_t left_ms = (stream->deadline_ns - now_ns()) / RB_NS_PER_MS;
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int ready = left_ms > 0 ? poll(&poll_fd, 1, (int)left_ms) : 0;
        if (ready > 0)
            return 0;
        if (ready == 0)
            return fail_late(stream);
        if (errno != EINTR)
            return fail(stream, "cannot be waited for");
    }
}

/* A connected socket, -1 when this address does not answer, -2 when the time is over. */
static int connect_to(const struct stream *stream, const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
    if (fd < 0)
        return -1;
    int failure = 0;
    socklen_t size = sizeof failure;
    bool late = false;
    bool ready = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
    if (ready && connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        late = errno == EINPROGRESS && wait_for(stream, fd, POLLOUT) != 0;
        ready = !late && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0;
    }
    if (ready)
        return fd;
    close(fd);
    return late ? -2 : -1;
}

static int stream_connect(git_stream *parent)
{
    struct stream *stream = stream_of(parent);
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(stream->host, stream->port, &hints, &list) != 0)
        return fail(stream, "has no address");
    for (const struct addrinfo *at = list; at != NULL && stream->fd == -1; at = at->ai_next)
        stream->fd = connect_to(stream, at);
    freeaddrinfo(list);
    if (stream->fd >= 0)
        return 0;
    bool late = stream->fd == -2;
    stream->fd = -1;
    return late ? fail_late(stream) : fail(stream, "cannot be connected to");
}

static ssize_t stream_read(git_stream *parent, void *data, size_t len)
{
    struct stream *stream = stream_of(parent);
    for (;;) {
        if (wait_for(stream, stream->fd, POLLIN) < 0)
            return -1;
        ssize_t got = recv(stream->fd, data, len, 0);
        if (got >= 0)
            return got;
        if (errno != EINTR && errno != EAGAIN)
            return fail(stream, "broke the connection");
    }
}

static ssize_t stream_write(git_stream *parent, const char *data, size_t len, int flags)
{
    struct stream *stream = stream_of(parent);
    size_t sent = 0;
    (void)flags;
    while (sent < len) {
        if (wait_for(stream, stream->fd, POLLOUT) < 0)
            return -1;
        ssize_t part = send(stream->fd, data + sent, len - sent, MSG_NOSIGNAL);
        if (part < 0 && errno != EINTR && errno != EAGAIN)
            return fail(stream, "broke the connection");
        sent += part > 0 ? (size_t)part : 0;
    }
    return (ssize_t)sent;
}

static int stream_close(git_stream *parent)
{
    struct stream *stream = stream_of(parent);
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    return 0;
}

static void stream_free(git_stream *parent)
{
    (void)stream_close(parent);
    free(stream_of(parent));
}

static int stream_init(git_stream **out, const char *host, const char *port)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        git_error_set_oom();
        return -1;
    }
    stream->parent = (git_stream){.version = GIT_STREAM_VERSION,
                                  .connect = stream_connect,
                                  .read = stream_read,
                                  .write = stream_write,
                                  .close = stream_close,
                                  .free = stream_free};
    stream->fd = -1;
    stream->deadline_ns = now_ns() + GIT_REMOTE_TIMEOUT_S * RB_NS_PER_S;
    if ((size_t)snprintf(stream->host, sizeof stream->host, "%s", host) >= sizeof stream->host ||
        (size_t)snprintf(stream->port, sizeof stream->port, "%s", port) >= sizeof stream->port) {
        free(stream);
        (void)git_error_set_str(GIT_ERROR_NET, "the remote's address is too long");
        return -1;
    }
    *out = &stream->parent;
    return 0;
}

int git_stream_use(void)
{
    git_stream_registration registration = {.version = GIT_STREAM_VERSION, .init = stream_init};
    return git_stream_register(GIT_STREAM_STANDARD, &registration);
}

bool git_is_ssh(const char *url)
{
    static const char *const schemes[] = {"ssh://", "git+ssh://", "ssh+git://", NULL};
    for (size_t i = 0; schemes[i]; i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return true;
    const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
    return colon != NULL && strstr(url, "://") == NULL && (slash == NULL || colon < slash); /* host:path, as git-clone(1) reads it */
}
