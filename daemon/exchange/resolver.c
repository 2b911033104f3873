/* Names to addresses on the loop thread.
 *
 * libcurl's and libc's resolvers block or need a thread per lookup; a hung DNS server would then hold the daemon. c-ares gives us its sockets and timeouts
 * instead. It cannot cancel one query, therefore a lookup outlives waiters that gave up: it keeps its place among the RB_RESOLVE_MAX_FLIGHT until c-ares'
 * own tries are used up (about 7 s), and equal lookups share one place. The rest queues, in order.
 *
 * Invariants: a lookup is in exactly one of `running` and `queue`; a queued lookup has a waiter; a wait is active exactly while wait->lookup is set. The
 * channel is never destroyed from inside one of its own callbacks (`depth`). */
#include "resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "runbook/base/units.h"

static const char RESOLV_CONF[] = "/etc/resolv.conf";
enum { TRY_MS = 1000, TRIES = 3, NAME_MAX_BYTES = 254 };

struct rb_lookup {
    struct rb_resolver *owner;
    struct rb_lookup *next, *prev;
    struct rb_resolve_wait *waiters;
    int ip_version;
    bool running; /* stays set while it concludes: only a queued lookup is freed by its last waiter */
    char name[NAME_MAX_BYTES];
};

struct lookup_list {
    struct rb_lookup *head, *tail;
    size_t count;
};

struct watcher {
    ev_io io;
    struct rb_resolver *owner;
    struct watcher *next;
};

struct conf_stamp {
    time_t mtime;
    off_t size;
    ino_t inode;
};

struct rb_resolver {
    struct ev_loop *loop;
    ares_channel channel;
    ev_timer timer;
    struct watcher *watchers;
    struct lookup_list running, queue;
    unsigned depth; /* inside c-ares */
    bool reloading;
    struct conf_stamp conf;
};

static void start_queued(struct rb_resolver *resolver);

static void list_append(struct lookup_list *list, struct rb_lookup *lookup)
{
    lookup->next = NULL;
    lookup->prev = list->tail;
    if (list->tail)
        list->tail->next = lookup;
    else
        list->head = lookup;
    list->tail = lookup;
    list->count++;
}

static void list_remove(struct lookup_list *list, struct rb_lookup *lookup)
{
    if (lookup->prev)
        lookup->prev->next = lookup->next;
    else
        list->head = lookup->next;
    if (lookup->next)
        lookup->next->prev = lookup->prev;
    else
        list->tail = lookup->prev;
    list->count--;
}

static struct rb_lookup *list_take_first(struct lookup_list *list)
{
    struct rb_lookup *lookup = list->head;
    if (!lookup)
        return NULL;
    list->head = lookup->next;
    if (list->head)
        list->head->prev = NULL;
    else
        list->tail = NULL;
    list->count--;
    return lookup;
}

/* "eth0" or "2"; 0 when there is no such interface. */
static uint32_t scope_of(const char *text, size_t len)
{
    char name[IF_NAMESIZE];
    int64_t number;
    if (len == 0 || len >= sizeof name)
        return 0;
    memcpy(name, text, len);
    name[len] = '\0';
    unsigned index = if_nametoindex(name);
    if (index == 0 && rb_int_parse(name, &number, NULL) == 0 && number > 0 && number <= UINT32_MAX)
        index = (unsigned)number;
    return index;
}

bool rb_address_parse(const char *text, struct rb_address *out)
{
    char plain[RB_ADDRESS_TEXT];
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    const char *zone = memchr(text, '%', len);
    size_t address_len = zone ? (size_t)(zone - text) : len;
    if (address_len == 0 || address_len >= sizeof plain)
        return false;
    memcpy(plain, text, address_len);
    plain[address_len] = '\0';
    memset(out, 0, sizeof *out);
    out->family = strchr(plain, ':') ? AF_INET6 : AF_INET;
    if (zone)
        out->scope = out->family == AF_INET6 ? scope_of(zone + 1, len - address_len - 1) : 0;
    return (!zone || out->scope > 0) && inet_pton(out->family, plain, out->bytes) == 1;
}

const char *rb_address_print(const struct rb_address *address, char out[RB_ADDRESS_TEXT])
{
    if (!inet_ntop(address->family, address->bytes, out, RB_ADDRESS_TEXT))
        out[0] = '\0';
    return out;
}

static void arm_timer(struct rb_resolver *resolver)
{
    struct timeval tv;
    ev_timer_stop(resolver->loop, &resolver->timer);
    if (!resolver->channel || !ares_timeout(resolver->channel, NULL, &tv))
        return;
    ev_timer_set(&resolver->timer, (double)tv.tv_sec + (double)tv.tv_usec / 1e6 + 0.001, 0.);
    ev_timer_start(resolver->loop, &resolver->timer);
}

static void on_ready(struct ev_loop *loop RB_UNUSED, ev_io *io, int events)
{
    struct rb_resolver *resolver = ((struct watcher *)io->data)->owner;
    /* The callback below may close this watcher: nothing of it is read afterwards. */
    int fd = io->fd;
    resolver->depth++;
    ares_process_fd(resolver->channel, events & EV_READ ? fd : ARES_SOCKET_BAD, events & EV_WRITE ? fd : ARES_SOCKET_BAD);
    resolver->depth--;
    start_queued(resolver);
}

static void on_timer(struct ev_loop *loop RB_UNUSED, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_resolver *resolver = timer->data;
    resolver->depth++;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    resolver->depth--;
    start_queued(resolver);
}

static void close_watcher(struct rb_resolver *resolver, struct watcher **at)
{
    struct watcher *watcher = *at;
    *at = watcher->next;
    ev_io_stop(resolver->loop, &watcher->io);
    free(watcher);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct rb_resolver *resolver = arg;
    struct watcher **at = &resolver->watchers;
    while (*at && (*at)->io.fd != fd)
        at = &(*at)->next;
    if (!readable && !writable) {
        if (*at)
            close_watcher(resolver, at);
        return;
    }
    struct watcher *watcher = *at;
    if (!watcher) {
        /* Without memory the query is not watched and ends by its timeout. */
        watcher = calloc(1, sizeof *watcher);
        if (!watcher)
            return;
        watcher->owner = resolver;
        watcher->io.data = watcher;
        watcher->next = resolver->watchers;
        resolver->watchers = watcher;
        ev_init(&watcher->io, on_ready);
    } else {
        ev_io_stop(resolver->loop, &watcher->io);
    }
    ev_io_set(&watcher->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(resolver->loop, &watcher->io);
}

static int open_channel(struct rb_resolver *resolver, struct rb_error *err)
{
    struct ares_options options = {.timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = resolver};
    int status = ares_init_options(&resolver->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS)
        return 0;
    resolver->channel = NULL;
    return rb_error_set(err, RB_ESYS, "cannot set up the name resolver: %s; look at %s", ares_strerror(status), RESOLV_CONF);
}

/* What tells one version of resolv.conf from the next; all zero when there is none. */
static struct conf_stamp conf_stamp(void)
{
    struct stat st;
    struct conf_stamp stamp = {0};
    if (stat(RESOLV_CONF, &st) == 0) {
        stamp.mtime = st.st_mtime;
        stamp.size = st.st_size;
        stamp.inode = st.st_ino;
    }
    return stamp;
}

struct rb_resolver *rb_resolver_new(struct ev_loop *loop, struct rb_error *err)
{
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS) {
        rb_error_set(err, RB_ESYS, "cannot set up c-ares: %s", ares_strerror(status));
        return NULL;
    }
    struct rb_resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver) {
        ares_library_cleanup();
        rb_error_set(err, RB_ENOMEM, "no memory for the name resolver");
        return NULL;
    }
    resolver->loop = loop;
    ev_init(&resolver->timer, on_timer);
    resolver->timer.data = resolver;
    resolver->conf = conf_stamp();
    if (open_channel(resolver, err) != 0) {
        free(resolver);
        ares_library_cleanup();
        return NULL;
    }
    return resolver;
}

void rb_resolver_free(struct rb_resolver *resolver)
{
    if (!resolver)
        return;
    if (resolver->channel)
        ares_destroy(resolver->channel); /* calls back for every running lookup */
    ev_timer_stop(resolver->loop, &resolver->timer);
    while (resolver->watchers)
        close_watcher(resolver, &resolver->watchers);
    struct rb_lookup *queued;
    while ((queued = list_take_first(&resolver->queue)) != NULL)
        free(queued);
    ares_library_cleanup();
    free(resolver);
}

/* Hands the result to every waiter and ends the lookup, which is in no list any more. A waiter may start or cancel others from its callback. */
static void conclude(struct rb_lookup *lookup, const struct rb_resolve_result *result)
{
    while (lookup->waiters) {
        struct rb_resolve_wait *wait = lookup->waiters;
        lookup->waiters = wait->next;
        wait->lookup = NULL;
        wait->next = NULL;
        wait->done(wait->arg, result);
    }
    free(lookup);
}

static void read_addresses(const struct ares_addrinfo *info, struct rb_resolve_result *result)
{
    for (const struct ares_addrinfo_node *node = info->nodes; node && result->count < RB_RESOLVE_MAX_ADDRESSES; node = node->ai_next) {
        struct rb_address *address = &result->items[result->count];
        if (node->ai_family == AF_INET) {
            struct sockaddr_in in;
            memcpy(&in, node->ai_addr, sizeof in);
            memcpy(address->bytes, &in.sin_addr, sizeof in.sin_addr);
        } else if (node->ai_family == AF_INET6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, node->ai_addr, sizeof in6);
            memcpy(address->bytes, &in6.sin6_addr, sizeof in6.sin6_addr);
        } else {
            continue;
        }
        address->family = node->ai_family;
        result->count++;
    }
}

static void on_answer(void *arg, int status, int timeouts RB_UNUSED, struct ares_addrinfo *info)
{
    struct rb_lookup *lookup = arg;
    struct rb_resolver *resolver = lookup->owner;
    struct rb_resolve_result result = {.failure = RB_NET_OK};
    list_remove(&resolver->running, lookup);
    if (resolver->reloading && lookup->waiters) {
        lookup->running = false;
        list_append(&resolver->queue, lookup);
        return;
    }
    if (info)
        read_addresses(info, &result);
    if (info)
        ares_freeaddrinfo(info);
    if (status == ARES_ETIMEOUT) {
        result.failure = RB_NET_DNS_TIMEOUT;
        result.detail = "no answer from the name server";
    } else if (status != ARES_SUCCESS) {
        result.failure = RB_NET_DNS;
        result.detail = status == ARES_ENOTFOUND ? "no such name" : ares_strerror(status);
    } else if (result.count == 0) {
        result.failure = RB_NET_DNS;
        result.detail = "the name has no address of the wanted family";
    }
    conclude(lookup, &result);
}

static void submit(struct rb_resolver *resolver, struct rb_lookup *lookup)
{
    int family = lookup->ip_version == 4 ? AF_INET : lookup->ip_version == 6 ? AF_INET6 : AF_UNSPEC;
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    list_append(&resolver->running, lookup);
    lookup->running = true;
    resolver->depth++;
    ares_getaddrinfo(resolver->channel, lookup->name, NULL, &hints, on_answer, lookup);
    resolver->depth--;
}

static void start_queued(struct rb_resolver *resolver)
{
    while (resolver->queue.head && resolver->running.count < RB_RESOLVE_MAX_FLIGHT && resolver->channel)
        submit(resolver, list_take_first(&resolver->queue));
    arm_timer(resolver);
}

/* A laptop changes networks: lookups that are waited for start again with the new servers. */
static void reload_if_changed(struct rb_resolver *resolver)
{
    if (resolver->depth > 0)
        return;
    struct conf_stamp now = conf_stamp(), was = resolver->conf;
    if (resolver->channel && now.mtime == was.mtime && now.size == was.size && now.inode == was.inode)
        return;
    resolver->conf = now;
    resolver->reloading = true;
    if (resolver->channel)
        ares_destroy(resolver->channel);
    resolver->reloading = false;
    resolver->channel = NULL;
    struct rb_error ignored; /* without a channel the lookups stay queued and end at their callers' deadlines; the next call tries again */
    if (open_channel(resolver, &ignored) == 0)
        start_queued(resolver);
}

static bool is_localhost(const char *name)
{
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        len--;
    static const char word[] = "localhost";
    size_t word_len = sizeof word - 1;
    if (len < word_len || strncasecmp(name + len - word_len, word, word_len) != 0)
        return false;
    return len == word_len || name[len - word_len - 1] == '.';
}

static bool answer_locally(const char *name, int ip_version, struct rb_resolve_result *result)
{
    if (rb_address_parse(name, &result->items[0])) {
        result->count = 1;
    } else if (is_localhost(name)) {
        /* ::1 first, as curl and RFC 6724 do, so that a probe sees the server that a person with curl sees. */
        if (ip_version != 4 && rb_address_parse("::1", &result->items[result->count]))
            result->count++;
        if (ip_version != 6 && rb_address_parse("127.0.0.1", &result->items[result->count]))
            result->count++;
    } else if (name[0] == '\0' || strlen(name) >= NAME_MAX_BYTES) {
        result->failure = RB_NET_DNS;
        result->detail = "not a valid host name";
    } else {
        return false;
    }
    return true;
}

static struct rb_lookup *find_equal(const struct lookup_list *list, const char *name, int ip_version)
{
    struct rb_lookup *lookup = list->head;
    while (lookup && (lookup->ip_version != ip_version || strcasecmp(lookup->name, name) != 0))
        lookup = lookup->next;
    return lookup;
}

static struct rb_lookup *enqueue(struct rb_resolver *resolver, const char *name, int ip_version)
{
    if (resolver->queue.count >= RB_RESOLVE_MAX_QUEUE)
        return NULL;
    struct rb_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return NULL;
    lookup->owner = resolver;
    lookup->ip_version = ip_version;
    memcpy(lookup->name, name, strlen(name) + 1); /* answer_locally refused longer ones */
    list_append(&resolver->queue, lookup);
    return lookup;
}

void rb_resolver_start(struct rb_resolver *resolver, const char *name, int ip_version, struct rb_resolve_wait *wait)
{
    struct rb_resolve_result result = {.failure = RB_NET_OK};
    if (answer_locally(name, ip_version, &result)) {
        wait->done(wait->arg, &result);
        return;
    }
    reload_if_changed(resolver);
    struct rb_lookup *lookup = find_equal(&resolver->running, name, ip_version);
    if (!lookup)
        lookup = find_equal(&resolver->queue, name, ip_version);
    if (!lookup)
        lookup = enqueue(resolver, name, ip_version);
    if (!lookup) {
        result.failure = RB_NET_OTHER;
        result.detail = "too many names wait for an answer";
        wait->done(wait->arg, &result);
        return;
    }
    wait->lookup = lookup;
    wait->next = lookup->waiters;
    lookup->waiters = wait;
    start_queued(resolver);
}

void rb_resolver_cancel(struct rb_resolve_wait *wait)
{
    struct rb_lookup *lookup = wait->lookup;
    if (!lookup)
        return;
    struct rb_resolve_wait **at = &lookup->waiters;
    while (*at && *at != wait)
        at = &(*at)->next;
    if (*at)
        *at = wait->next;
    wait->lookup = NULL;
    wait->next = NULL;
    if (!lookup->waiters && !lookup->running) {
        list_remove(&lookup->owner->queue, lookup);
        free(lookup);
    }
}

bool rb_resolver_use_servers(struct rb_resolver *resolver, const char *servers)
{
    return resolver->channel && ares_set_servers_ports_csv(resolver->channel, servers) == ARES_SUCCESS;
}

size_t rb_resolver_in_flight(const struct rb_resolver *resolver)
{
    return resolver->running.count;
}
