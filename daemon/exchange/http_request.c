/* One hop of an HTTP request: what libcurl is told, what it reports, where a redirect leads and why a hop failed.
 *
 * Rules that live here because they are security: only http and https; no proxy, cookie, netrc or proxy variable; a redirect never goes from https to http, never
 * takes credentials, configured headers or a body to another origin (scheme, host and port), never leaves a unix socket. Header and body sizes are counted
 * in the callbacks, because libcurl's own limits do nothing when a size is not announced. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "http_internal.h"
#include "runbook/base/clock.h"
#include "runbook/base/text.h"

void rb_http_phase_add(double *sum, double seconds)
{
    if (seconds >= 0)
        *sum = *sum < 0 ? seconds : *sum + seconds;
}

static bool refuse(struct rb_http_transfer *transfer, enum rb_net_failure failure, const char *detail)
{
    transfer->abort_failure = failure;
    transfer->abort_detail = detail;
    return false;
}

/* ---- the target ---- */

static bool origin_equal(CURLU *a, CURLU *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    bool equal = true;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && equal; i++) {
        char *left = NULL, *right = NULL;
        equal = curl_url_get(a, parts[i], &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(b, parts[i], &right, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(left, right) == 0;
        curl_free(left);
        curl_free(right);
    }
    return equal;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static bool is_https(CURLU *url)
{
    char *scheme = NULL;
    bool yes = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && strcasecmp(scheme, "https") == 0;
    curl_free(scheme);
    return yes;
}

static bool scheme_allowed(CURLU *url)
{
    char *scheme = NULL;
    bool allowed = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                   (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    curl_free(scheme);
    return allowed;
}

static CURLU *configured_url(const struct rb_http_transfer *transfer)
{
    CURLU *url = curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, transfer->call.request->url, 0) == CURLUE_OK)
        return url;
    curl_url_cleanup(url);
    return NULL;
}

/* The host in ASCII (RFC 3490) and without the final dot of an absolute name, written back so that libcurl uses the same text. */
static bool normalize_host(struct rb_http_transfer *transfer)
{
#ifdef CURLU_PUNYCODE
    const unsigned flags = CURLU_PUNYCODE;
#else
    const unsigned flags = 0;
#endif
    if (curl_url_get(transfer->url, CURLUPART_HOST, &transfer->host, flags) != CURLUE_OK)
        return false;
    size_t len = strlen(transfer->host);
    if (len > 1 && transfer->host[len - 1] == '.')
        transfer->host[len - 1] = '\0';
    return curl_url_set(transfer->url, CURLUPART_HOST, transfer->host, 0) == CURLUE_OK;
}

bool rb_http_hop_parse(struct rb_http_transfer *transfer)
{
    char *port = NULL;
    if (!scheme_allowed(transfer->url))
        return refuse(transfer, RB_NET_PROTOCOL, "only http and https are spoken");
    if (!normalize_host(transfer))
        return refuse(transfer, RB_NET_DNS, "not a valid host name; write an international name in its ASCII form (xn--...)");
    if (curl_url_get(transfer->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return refuse(transfer, RB_NET_PROTOCOL, "the URL has no port");
    transfer->port = rb_arena_strdup(transfer->call.arena, port);
    curl_free(port);
    CURLU *configured = transfer->response.redirects > 0 ? configured_url(transfer) : NULL;
    transfer->same_origin = transfer->response.redirects == 0 || (configured && origin_equal(configured, transfer->url));
    curl_url_cleanup(configured);
    if (!transfer->same_origin && transfer->call.request->unix_socket)
        return refuse(transfer, RB_NET_REDIRECT_BLOCKED, "a redirect leads away from the unix socket");
    return transfer->port != NULL || refuse(transfer, RB_NET_OTHER, "no memory left for this run");
}

/* ---- callbacks of libcurl ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct rb_http_transfer *transfer = arg;
    size_t len = size * count, taken = rb_buf_add_some(&transfer->body, bytes, len);
    if (taken == len)
        return len;
    refuse(transfer, RB_NET_TOO_LARGE, rb_arena_printf(transfer->call.arena, "the answer is larger than %zu bytes", transfer->body.max));
    return CURL_WRITEFUNC_ERROR;
}

static bool header_room(struct rb_http_transfer *transfer)
{
    size_t count = transfer->response.headers.count;
    if (count < transfer->header_room)
        return true;
    size_t room = transfer->header_room ? transfer->header_room * 2 : 16;
    struct rb_pair *items = room > RB_HTTP_MAX_HEADERS ? NULL : rb_arena_array(transfer->call.arena, room, sizeof *items);
    if (!items)
        return false;
    if (count > 0)
        memcpy(items, transfer->header_items, count * sizeof *items);
    transfer->header_items = items;
    transfer->header_room = room;
    return true;
}

static bool keep_header(struct rb_http_transfer *transfer, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return true;
    if (!header_room(transfer))
        return false;
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (unsigned char)end[-1] <= ' ')
        end--;
    char *name = rb_arena_strndup(transfer->call.arena, line, (size_t)(colon - line));
    for (char *at = name; at && *at; at++)
        *at = (char)tolower((unsigned char)*at);
    char *text = rb_arena_strndup(transfer->call.arena, value, (size_t)(end - value));
    if (!name || !text)
        return false;
    transfer->header_items[transfer->response.headers.count++] = (struct rb_pair){name, text};
    return true;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct rb_http_transfer *transfer = arg;
    size_t len = size * count;
    transfer->header_bytes += len;
    /* A status line begins a new answer, after a 100 for example: only the last one counts, the limit is for all. */
    bool fits = transfer->header_bytes <= RB_HTTP_MAX_HEADER_BYTES;
    if (fits && len > 5 && memcmp(bytes, "HTTP/", 5) == 0)
        transfer->response.headers.count = 0;
    else if (fits)
        fits = keep_header(transfer, bytes, len);
    if (fits)
        return len;
    refuse(transfer, RB_NET_HEADER_TOO_LARGE,
           rb_arena_printf(transfer->call.arena, "the answer's header is larger than %d bytes or %d lines", RB_HTTP_MAX_HEADER_BYTES,
                           RB_HTTP_MAX_HEADERS));
    return CURL_WRITEFUNC_ERROR;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose RB_UNUSED, struct curl_sockaddr *address)
{
    struct rb_http_transfer *transfer = arg;
    int fd = socket(address->family, address->socktype, address->protocol);
    if (fd >= 0 && !rb_fd_fits(transfer->http->loop, fd)) {
        close(fd);
        fd = -1;
    }
    if (fd < 0)
        refuse(transfer, RB_NET_OTHER, "no descriptor left for a connection; raise the limit of open files");
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static CURLcode on_ssl_context(CURL *easy RB_UNUSED, void *ctx, void *arg)
{
    struct rb_http_transfer *transfer = arg;
    struct rb_error err;
    if (rb_tls_prepare(transfer->http->cache, ctx, &transfer->call.request->tls, &transfer->tls, &err) == 0)
        return CURLE_OK;
    refuse(transfer, RB_NET_OTHER, rb_arena_strdup(transfer->call.arena, err.message));
    return CURLE_SSL_CACERT_BADFILE;
}

/* ---- options ---- */

static bool add_line(struct rb_http_transfer *transfer, struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;
    if (!longer)
        return refuse(transfer, RB_NET_OTHER, "no memory left for this run");
    *list = longer;
    return true;
}

/* Harmless ones may follow a redirect anywhere; every other configured header could be a credential. */
static bool may_travel(const char *name)
{
    return strncasecmp(name, "Accept", 6) == 0 || strcasecmp(name, "User-Agent") == 0;
}

static bool plain_header(const char *text)
{
    for (; *text; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 127)
            return false;
    }
    return true;
}

static bool set_headers(struct rb_http_transfer *transfer)
{
    const struct rb_http_request *request = transfer->call.request;
    bool fine = add_line(transfer, &transfer->headers, "Expect:");
    for (size_t i = 0; i < request->headers.count && fine; i++) {
        const struct rb_pair *pair = &request->headers.items[i];
        const char *value = pair->value ? pair->value : "";
        if (!plain_header(pair->key) || !plain_header(value))
            return refuse(transfer, RB_NET_PROTOCOL, "a configured header contains a control character");
        /* libcurl's own syntax for a header without a value ends in a semicolon. */
        const char *line = *value ? rb_arena_printf(transfer->call.arena, "%s: %s", pair->key, value)
                                  : rb_arena_printf(transfer->call.arena, "%s;", pair->key);
        if (transfer->same_origin || may_travel(pair->key))
            fine = add_line(transfer, &transfer->headers, line);
    }
    if (fine && request->bearer && transfer->same_origin)
        fine = plain_header(request->bearer)
                   ? add_line(transfer, &transfer->headers,
                              rb_arena_printf(transfer->call.arena, "Authorization: Bearer %s", request->bearer))
                   : refuse(transfer, RB_NET_PROTOCOL, "the bearer token contains a control character; is there a line end in its file?");
    return fine;
}

/* "+host:port:[a],b": the only addresses that libcurl will know for this name. The plus lets the entry age instead of staying for ever. */
static bool set_addresses(struct rb_http_transfer *transfer, const char *host, const struct rb_resolve_result *addresses)
{
    char text[RB_ADDRESS_TEXT];
    RB_BUF_AUTO line;
    rb_buf_init(&line, 4096);
    rb_buf_addf(&line, "+%s:%s:", host, transfer->port);
    for (size_t i = 0; i < addresses->count; i++) {
        const struct rb_address *address = &addresses->items[i];
        rb_buf_addf(&line, address->family == AF_INET6 ? "%s[%s]" : "%s%s", i ? "," : "", rb_address_print(address, text));
    }
    if (line.failed || !add_line(transfer, &transfer->resolve, rb_buf_str(&line)))
        return refuse(transfer, RB_NET_OTHER, "no memory left for this run");
    curl_easy_setopt(transfer->easy, CURLOPT_RESOLVE, transfer->resolve);
    return true;
}

/* With tls.server_name libcurl gets a URL of that name, so that it asks for and verifies it, and the Host header of the real one. */
static bool set_target(struct rb_http_transfer *transfer, const struct rb_resolve_result *addresses)
{
    const struct rb_http_request *request = transfer->call.request;
    const char *name = transfer->same_origin ? request->tls.server_name : NULL;
    transfer->peer = transfer->url;
    if (name && is_https(transfer->url)) {
        CURLU *peer = curl_url_dup(transfer->url);
        if (!peer || curl_url_set(peer, CURLUPART_HOST, name, 0) != CURLUE_OK) {
            curl_url_cleanup(peer);
            return refuse(transfer, RB_NET_PROTOCOL, "tls.server_name is not a valid host name");
        }
        transfer->peer = peer;
        bool standard = strcmp(transfer->port, "443") == 0;
        if (!add_line(transfer, &transfer->headers,
                      rb_arena_printf(transfer->call.arena, standard ? "Host: %s" : "Host: %s:%s", transfer->host, transfer->port)))
            return false;
    } else {
        name = NULL;
    }
    curl_easy_setopt(transfer->easy, CURLOPT_CURLU, transfer->peer);
    if (request->unix_socket)
        curl_easy_setopt(transfer->easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    return !addresses || set_addresses(transfer, name ? name : transfer->host, addresses);
}

static void set_method(struct rb_http_transfer *transfer)
{
    const struct rb_http_request *request = transfer->call.request;
    const char *method = request->method && !transfer->drop_body ? request->method : "GET";
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(transfer->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->body && !transfer->drop_body) {
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body));
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, request->body);
    }
    if (strcmp(method, "GET") != 0 || (request->body && !transfer->drop_body))
        curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_tls(struct rb_http_transfer *transfer)
{
    CURL *easy = transfer->easy;
    long verify = transfer->call.request->tls.insecure ? 0L : 1L;
    rb_tls_probe_init(&transfer->tls, transfer->call.arena);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify * 2);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Otherwise libcurl keeps the trust store that our callback put in and uses it for the next check, which may trust somebody else. */
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);
}

static void set_limits(struct rb_http_transfer *transfer)
{
    const struct rb_http_request *request = transfer->call.request;
    CURL *easy = transfer->easy;
    int64_t spent_ms = (rb_elapsed_ns(transfer->http->clock) - transfer->begun_ns) / RB_NS_PER_MS;
    int64_t left_ms = transfer->call.left_ms - spent_ms;
    if (request->connect_timeout_ms > 0 && request->connect_timeout_ms < left_ms)
        left_ms = request->connect_timeout_ms;
    /* libcurl shares this time among the addresses of a name; the deadline itself is the caller's. */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

bool rb_http_hop_setup(struct rb_http_transfer *transfer, const struct rb_resolve_result *addresses)
{
    CURL *easy = transfer->easy;
    transfer->curl_error[0] = '\0';
    transfer->abort_failure = RB_NET_OK;
    transfer->header_bytes = 0;
    transfer->response.headers.count = 0;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "runbookd/" RB_VERSION);
    set_limits(transfer);
    set_method(transfer);
    if (is_https(transfer->url))
        set_tls(transfer);
    if (transfer->call.request->user_password && transfer->same_origin)
        curl_easy_setopt(easy, CURLOPT_USERPWD, transfer->call.request->user_password);
    if (!set_headers(transfer) || !set_target(transfer, addresses))
        return false;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    return true;
}

/* ---- what came back ---- */

static double time_of(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, info, &us);
    return (double)us / 1e6;
}

static void collect_phases(CURL *easy, struct rb_phases *phases)
{
    double lookup = time_of(easy, CURLINFO_NAMELOOKUP_TIME_T), connect = time_of(easy, CURLINFO_CONNECT_TIME_T);
    double tls = time_of(easy, CURLINFO_APPCONNECT_TIME_T), first = time_of(easy, CURLINFO_STARTTRANSFER_TIME_T);
    double ready = tls > 0 ? tls : connect;
    if (connect > 0)
        rb_http_phase_add(&phases->connect_s, connect > lookup ? connect - lookup : 0);
    if (tls > 0)
        rb_http_phase_add(&phases->tls_s, tls - connect);
    if (first > 0) {
        rb_http_phase_add(&phases->first_byte_s, first > ready ? first - ready : 0);
        double total = time_of(easy, CURLINFO_TOTAL_TIME_T);
        rb_http_phase_add(&phases->transfer_s, total > first ? total - first : 0);
    }
}

void rb_http_hop_collect(struct rb_http_transfer *transfer)
{
    CURL *easy = transfer->easy;
    struct rb_http_response *response = &transfer->response;
    const char *address = NULL;
    long version = 0, port = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &response->status);
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    response->http_version = version == CURL_HTTP_VERSION_1_0   ? 10
                             : version == CURL_HTTP_VERSION_1_1 ? 11
                             : version >= CURL_HTTP_VERSION_2_0 ? 20
                                                                : 0;
    if (transfer->call.request->unix_socket) {
        response->remote_address = transfer->call.request->unix_socket;
    } else if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address && *address) {
        curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port);
        response->remote_address = rb_arena_printf(transfer->call.arena, strchr(address, ':') ? "[%s]:%ld" : "%s:%ld", address, port);
    }
    collect_phases(easy, &response->phases);
    if (transfer->tls.info.used)
        response->tls = transfer->tls.info;
}

static enum rb_net_failure failure_of_errno(long number, enum rb_net_failure fallback)
{
    switch (number) {
    case ECONNREFUSED:
        return RB_NET_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return RB_NET_RESET;
    case ETIMEDOUT:
    case EAGAIN: /* a unix socket whose backlog is full */
        return RB_NET_CONNECT_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
        return RB_NET_UNREACHABLE;
    case ENOENT:
    case ENOTSOCK:
        return RB_NET_NO_SOCKET;
    case EACCES:
    case EPERM:
        return RB_NET_PERMISSION;
    default:
        return fallback;
    }
}

static enum rb_net_failure failure_of_tls(const struct rb_http_transfer *transfer, CURLcode code, long number)
{
    enum rb_net_failure failure = rb_tls_failure(&transfer->tls);
    if (failure != RB_NET_TLS_HANDSHAKE)
        return failure;
    /* libcurl compares the name itself, after OpenSSL accepted the chain. */
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return RB_NET_TLS_HOST_MISMATCH;
    return number == ECONNRESET ? RB_NET_RESET : failure;
}

static enum rb_net_failure failure_of(const struct rb_http_transfer *transfer, CURLcode code)
{
    long number = 0;
    /* libcurl sets its time of connection only after the TLS handshake; the observer knows that one began. */
    bool connected = transfer->tls.info.used || time_of(transfer->easy, CURLINFO_CONNECT_TIME_T) > 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &number);
    switch ((int)code) {
    case CURLE_OK:
        return RB_NET_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
        return RB_NET_DNS;
    case CURLE_COULDNT_CONNECT:
        return failure_of_errno(number, RB_NET_UNREACHABLE);
    case CURLE_OPERATION_TIMEDOUT:
        return connected ? RB_NET_TIMEOUT : RB_NET_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return failure_of_tls(transfer, code, number);
    case CURLE_GOT_NOTHING:
        return RB_NET_CLOSED;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        /* Also what libcurl says of a chunk that is none; only its text tells that from a lost connection. */
        if (strstr(transfer->curl_error, "chunked-encoding"))
            return RB_NET_PROTOCOL;
        return number == ECONNRESET || number == EPIPE ? RB_NET_RESET : RB_NET_CLOSED;
    case CURLE_PARTIAL_FILE:
        return RB_NET_TRUNCATED;
    case CURLE_OUT_OF_MEMORY:
        /* Also what libcurl says of one header line beyond its own 100 kB. */
        return connected && transfer->body.len == 0 ? RB_NET_HEADER_TOO_LARGE : RB_NET_OTHER;
    default:
        return connected ? RB_NET_PROTOCOL : RB_NET_OTHER;
    }
}

static bool is_tls_failure(enum rb_net_failure failure)
{
    return failure >= RB_NET_TLS_HANDSHAKE && failure <= RB_NET_TLS_REVOKED;
}

void rb_http_hop_judge(struct rb_http_transfer *transfer, CURLcode code)
{
    struct rb_http_response *response = &transfer->response;
    if (transfer->abort_failure != RB_NET_OK && code != CURLE_OK) {
        response->failure = transfer->abort_failure;
        response->detail = transfer->abort_detail;
        return;
    }
    response->failure = failure_of(transfer, code);
    if (response->failure == RB_NET_OK)
        return;
    if (is_tls_failure(response->failure) && (transfer->tls.verify_error != X509_V_OK || transfer->tls.alert >= 0))
        response->detail = rb_tls_detail(&transfer->tls);
    else
        response->detail = rb_arena_strdup(transfer->call.arena, transfer->curl_error[0] ? transfer->curl_error : curl_easy_strerror(code));
}

/* ---- redirects ---- */

static const char *header_value(const struct rb_http_transfer *transfer, const char *name)
{
    for (size_t i = 0; i < transfer->response.headers.count; i++) {
        if (strcmp(transfer->header_items[i].key, name) == 0)
            return transfer->header_items[i].value;
    }
    return NULL;
}

static bool block(struct rb_http_transfer *transfer, enum rb_net_failure failure, const char *detail)
{
    transfer->response.failure = failure;
    transfer->response.detail = detail;
    return false;
}

static bool move_to(struct rb_http_transfer *transfer, const char *location)
{
    bool was_https = is_https(transfer->url);
    CURLU *target = curl_url_dup(transfer->url);
    if (!target || curl_url_set(target, CURLUPART_URL, location, 0) != CURLUE_OK || !scheme_allowed(target)) {
        curl_url_cleanup(target);
        return block(transfer, RB_NET_REDIRECT_BLOCKED, "the redirect leads to something that is no http or https URL");
    }
    const char *why = NULL;
    bool leaves = !origin_equal(transfer->url, target);
    if (was_https && !is_https(target))
        why = "the redirect leads from https to http";
    else if (has_part(target, CURLUPART_USER) || has_part(target, CURLUPART_PASSWORD))
        why = "the redirect carries credentials";
    else if (leaves && transfer->call.request->body && !transfer->drop_body)
        why = "the redirect would send the request's body to another host";
    else if (leaves && transfer->call.request->unix_socket)
        why = "the redirect leads away from the unix socket";
    if (why) {
        curl_url_cleanup(target);
        return block(transfer, RB_NET_REDIRECT_BLOCKED, why);
    }
    /* libcurl still holds the old URL until the hop is released. */
    curl_easy_setopt(transfer->easy, CURLOPT_CURLU, NULL);
    if (transfer->peer != transfer->url)
        curl_url_cleanup(transfer->peer);
    transfer->peer = NULL;
    curl_url_cleanup(transfer->url);
    transfer->url = target;
    return true;
}

bool rb_http_hop_redirect(struct rb_http_transfer *transfer)
{
    const struct rb_http_request *request = transfer->call.request;
    long status = transfer->response.status;
    bool keeps_method = status == 307 || status == 308;
    if (request->max_redirects == 0 || !(status == 301 || status == 302 || status == 303 || keeps_method))
        return false;
    const char *location = header_value(transfer, "location");
    if (!location)
        return false;
    if (transfer->response.redirects >= request->max_redirects)
        return block(transfer, RB_NET_REDIRECTS, rb_arena_printf(transfer->call.arena, "more than %u redirects", request->max_redirects));
    /* RFC 9110, 15.4: all but GET and HEAD become GET, except after 307 and 308. */
    if (!keeps_method && request->method && strcmp(request->method, "HEAD") != 0)
        transfer->drop_body = true;
    if (!move_to(transfer, location))
        return false;
    transfer->response.redirects++;
    return true;
}
