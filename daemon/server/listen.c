/* Listening sockets: parse, bind, name the holder of a taken port, and derive the Host names that may be used.
 *
 * Rules: an address that this machine does not have (::1 without IPv6) is a warning as long as another one is bound; a taken port is fatal and no other
 * port is tried; a unix socket replaces only a dead one of its own name. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"
#include "runbook/base/log.h"
#include "runbook/base/units.h"
#include "runbook/platform/platform.h"

#define BACKLOG   4096
#define HOSTS_MAX 128u

struct target {
    char host[128];
    char port[8];
    int port_number;
};

static int parse_target(const char *text, struct target *out, struct rb_error *err)
{
    const char *host = text, *end, *colon;
    if (*host == '[') {
        host++;
        end = strchr(host, ']');
        colon = end && end[1] == ':' ? end + 1 : NULL;
    } else {
        colon = strrchr(text, ':');
        end = colon;
    }
    int64_t port = -1;
    if (!colon || !end || end == host || (size_t)(end - host) >= sizeof out->host || strlen(colon + 1) >= sizeof out->port || !colon[1] ||
        rb_int_parse(colon + 1, &port, NULL) < 0 || port < 0 || port > 65535)
        return rb_error_set(err, RB_EINVAL, "listen address \"%.100s\" is not ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH", text);
    memcpy(out->host, host, (size_t)(end - host));
    out->host[end - host] = '\0';
    memcpy(out->port, colon + 1, strlen(colon + 1) + 1);
    out->port_number = (int)port;
    return 0;
}

/* ---- errors that say who ---- */

static int port_taken(const struct rb_server *server, const char *text, int port, struct rb_error *err)
{
    RB_ARENA_AUTO *arena = rb_arena_new((size_t)4 << 20);
    struct rb_listener *list = NULL;
    size_t count = 0;
    struct rb_error ignored;
    if (arena && server->platform->listeners(arena, (uint16_t)port, true, &list, &count, &ignored) < 0)
        count = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].port == port && list[i].owner == RB_OWNER_KNOWN)
            return rb_error_set(err, RB_EBUSY,
                                "%s is taken by process %ld (%s); stop it or choose another address with --listen. No other port is tried.",
                                text, (long)list[i].pid, list[i].name ? list[i].name : "?");
    }
    return rb_error_set(
        err, RB_EBUSY,
        "%s is taken by a process that this user may not see%s; choose another address with --listen. No other port is tried.", text,
        count ? " (another user's)" : "");
}

/* ---- sockets ---- */

static int prepare(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -1 : 0;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24) == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static char *bound_name(int fd, const struct target *target)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char port[8] = "";
    RB_BUF_AUTO text;
    rb_buf_init(&text, 256);
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    rb_buf_addf(&text, strchr(target->host, ':') ? "[%s]:%s" : "%s:%s", target->host, port[0] ? port : target->port);
    return rb_buf_steal(&text, NULL);
}

static int keep(struct rb_server *server, int fd, char *take_address, struct rb_listen_socket socket, struct rb_error *err)
{
    if (!take_address) {
        (void)close(fd);
        free(socket.path);
        return rb_error_set(err, RB_ENOMEM, "listen: out of memory");
    }
    socket.fd = fd;
    socket.address = take_address;
    server->listeners[server->listener_count] = socket;
    server->addresses[server->listener_count++] = take_address;
    return 0;
}

static int bind_one(struct rb_server *server, const char *text, const struct target *target, const struct addrinfo *info,
                    struct rb_error *err)
{
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM, 0);
    int rc = fd < 0 || prepare(fd) < 0 ? -1 : 0;
    if (rc == 0 && info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (rc == 0)
        rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (rc == 0)
        rc = bind(fd, info->ai_addr, info->ai_addrlen);
    if (rc == 0)
        rc = listen(fd, BACKLOG);
    if (rc == 0)
        return keep(server, fd, bound_name(fd, target), (struct rb_listen_socket){.local = is_loopback(info->ai_addr)}, err);
    int why = errno;
    if (fd >= 0)
        (void)close(fd);
    if (why == EADDRINUSE)
        return port_taken(server, text, target->port_number, err);
    return rb_error_sys(err, why, "cannot listen on %s", text);
}

static int listen_tcp(struct rb_server *server, const char *text, struct rb_error *err)
{
    struct target target = {.port_number = 0};
    int rc = parse_target(text, &target, err);
    if (rc < 0)
        return rc;
    /* Names are allowed only where no resolver is asked: localhost. */
    const char *host = strcmp(target.host, "localhost") == 0 ? "127.0.0.1" : target.host;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, target.port, &hints, &list) != 0 || !list)
        return rb_error_set(err, RB_EINVAL, "listen address \"%.100s\": write the address in numbers (or localhost)", text);
    rc = bind_one(server, text, &target, list, err);
    freeaddrinfo(list);
    return rc;
}

/* A socket file that nobody listens on any more may be replaced; a living one, or another kind of file, may not. */
static int clear_path(const struct sockaddr_un *address, struct rb_error *err)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : rb_error_sys(err, errno, "cannot look at %s", address->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return rb_error_set(err, RB_EBUSY, "%s exists and is not a socket; move it away or choose another path", address->sun_path);
    int probe = socket(AF_UNIX, SOCK_STREAM, 0);
    bool alive = probe >= 0 &&
                 (prepare(probe) < 0 || connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED);
    if (probe >= 0)
        (void)close(probe);
    if (alive)
        return rb_error_set(err, RB_EBUSY, "unix:%s is in use by another process; stop it or choose another path", address->sun_path);
    return unlink(address->sun_path) == 0 ? 0 : rb_error_sys(err, errno, "cannot replace the dead socket %s", address->sun_path);
}

static int listen_unix(struct rb_server *server, const char *path, struct rb_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path[0] != '/' || strlen(path) >= sizeof address.sun_path)
        return rb_error_set(err, RB_EINVAL, "unix:%.200s: the path must be absolute and shorter than %zu bytes", path,
                            sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int rc = clear_path(&address, err);
    if (rc < 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || prepare(fd) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 ||
        listen(fd, BACKLOG) < 0) {
        int why = errno;
        if (fd >= 0)
            (void)close(fd);
        return rb_error_sys(err, why, "cannot listen on unix:%s", path);
    }
    RB_BUF_AUTO name;
    rb_buf_init(&name, 256);
    rb_buf_addf(&name, "unix:%s", path);
    return keep(server, fd, rb_buf_steal(&name, NULL), (struct rb_listen_socket){.unix_socket = true, .local = true, .path = strdup(path)},
                err);
}

/* ---- Host names ---- */

static void add_host(struct rb_server *server, size_t *count, const char *name, size_t len)
{
    if (*count >= HOSTS_MAX || len == 0)
        return;
    char *copy = strndup(name, len);
    for (char *c = copy; c && *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    if (copy)
        server->allowed_hosts[(*count)++] = copy;
}

static int make_hosts(struct rb_server *server, const struct rb_server_options *options, struct rb_error *err)
{
    size_t count = 0;
    server->allowed_hosts = calloc(HOSTS_MAX + 1, sizeof *server->allowed_hosts);
    if (!server->allowed_hosts)
        return rb_error_set(err, RB_ENOMEM, "listen: out of memory");
    add_host(server, &count, "localhost", 9);
    for (size_t i = 0; i < server->listener_count; i++) {
        struct target target = {.port_number = 0};
        if (server->listeners[i].unix_socket || parse_target(server->listeners[i].address, &target, err) < 0)
            continue;
        add_host(server, &count, target.host, strlen(target.host));
    }
    for (size_t i = 0; i < options->allowed_hosts.count; i++)
        add_host(server, &count, options->allowed_hosts.items[i], strlen(options->allowed_hosts.items[i]));
    return 0;
}

int rb_listen_all(struct rb_server *server, const struct rb_server_options *options, struct rb_error *err)
{
    if (options->listen.count + 1 > RB_LISTENERS_MAX)
        return rb_error_set(err, RB_ELIMIT, "at most %u listen addresses are possible", RB_LISTENERS_MAX - 1);
    for (size_t i = 0; i < options->listen.count; i++) {
        const char *text = options->listen.items[i];
        int rc = strncmp(text, "unix:", 5) == 0 ? listen_unix(server, text + 5, err) : listen_tcp(server, text, err);
        if (rc == RB_ESYS && (err->saved_errno == EADDRNOTAVAIL || err->saved_errno == EAFNOSUPPORT))
            rb_log(RB_LOG_WARNING, "server", "%s; going on without it", err->message);
        else if (rc < 0)
            return rc;
    }
    if (options->listen.count && server->listener_count == 0)
        return err->code; /* not one address could be bound: the last reason stands */
    int rc = options->control_socket ? listen_unix(server, options->control_socket, err) : 0;
    return rc < 0 ? rc : make_hosts(server, options, err);
}

void rb_listen_close(struct rb_server *server)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        struct rb_listen_socket *listener = &server->listeners[i];
        (void)close(listener->fd);
        if (listener->path)
            (void)unlink(listener->path);
        free(listener->path);
        free(listener->address);
    }
    for (size_t i = 0; server->allowed_hosts && server->allowed_hosts[i]; i++)
        free(server->allowed_hosts[i]);
    free(server->allowed_hosts);
    server->allowed_hosts = NULL;
    server->listener_count = 0;
}
