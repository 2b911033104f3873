/* The server's first decision about a request, as pure functions over its head.
 *
 * libmicrohttpd accepts two Host fields, absolute URIs, "..", encoded NUL and conflicting lengths; every one of them has been somebody's
 * bypass. What is not plainly well-formed is refused here, in the order of SPEC 9, and nothing is repaired. A page of another site cannot
 * read answers (no CORS headers exist), but it can send requests: Host defeats DNS rebinding, Origin and Sec-Fetch-Site defeat forged
 * requests, the token defeats other users of the machine.
 */
#include "runbook/base/http_guard.h"

#include <stdint.h>
#include <string.h>

#include "runbook/base/digest.h"

#define PASS ((struct rb_guard_verdict){0})

static struct rb_guard_verdict refuse(int status, const char *type, const char *detail)
{
    return (struct rb_guard_verdict){.status = status, .type = type, .detail = detail};
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Both have at least `len` bytes. */
static bool equal_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- request target ---- */

/* Reads one path byte, decoding %XX. Returns the bytes consumed, 0 when the escape is broken or means NUL, '/' or '\'. */
static size_t path_byte(const char *text, size_t len, unsigned char *out)
{
    if (text[0] != '%') {
        *out = (unsigned char)text[0];
        return 1;
    }
    int high = len > 2 ? hex_value(text[1]) : -1;
    int low = len > 2 ? hex_value(text[2]) : -1;
    if (high < 0 || low < 0)
        return 0;
    *out = (unsigned char)(high * 16 + low);
    return *out >= 0x20 && *out != 0x7f && *out != '/' && *out != '\\' ? 3 : 0;
}

static size_t path_length(const struct rb_request_head *head)
{
    const char *query = memchr(head->raw_target, '?', head->raw_target_len);
    return query ? (size_t)(query - head->raw_target) : head->raw_target_len;
}

/* Every path byte is sound and no decoded segment is "." or "..". */
static bool path_is_sound(const char *path, size_t len)
{
    size_t dots = 0, others = 0;
    for (size_t i = 0; i <= len;) {
        unsigned char c = '/';
        size_t step = i < len ? path_byte(path + i, len - i, &c) : 1;
        if (step == 0)
            return false;
        if (c == '/' && others == 0 && (dots == 1 || dots == 2))
            return false;
        if (c == '/')
            dots = others = 0;
        else if (c == '.')
            dots++;
        else
            others++;
        i += step;
    }
    return true;
}

/* A query may hold encoded slashes (values are paths), but no broken escape, no encoded NUL and no flood of parameters. */
static bool query_is_sound(const char *query, size_t len)
{
    size_t parameters = len > 0;
    for (size_t i = 0; i < len; i++) {
        parameters += query[i] == '&';
        if (parameters > RB_GUARD_PARAMETERS_MAX)
            return false;
        if (query[i] != '%')
            continue;
        if (i + 2 >= len || hex_value(query[i + 1]) < 0 || hex_value(query[i + 2]) < 0)
            return false;
        if (query[i + 1] == '0' && query[i + 2] == '0')
            return false;
    }
    return true;
}

static struct rb_guard_verdict check_target(const struct rb_guard_policy *policy, const struct rb_request_head *head)
{
    const char *target = head->raw_target;
    size_t len = head->raw_target_len;
    if (!target || len == 0)
        return refuse(400, "bad-target", "The request has no target.");
    if (len > policy->max_target)
        return refuse(414, "target-too-long", "The request target is longer than the server accepts.");
    if (target[0] != '/')
        return refuse(400, "bad-target", "The request target must be a path that starts with '/'; absolute URIs are not served.");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)target[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>')
            return refuse(400, "bad-target", "The request target holds a byte that must be percent-encoded.");
    }
    size_t path_len = path_length(head);
    if (!path_is_sound(target, path_len))
        return refuse(400, "bad-path", "The path holds a dot segment, a broken escape or an encoded control, slash or backslash.");
    if (path_len >= 2 && target[1] == '/')
        return refuse(400, "bad-path", "The path must not start with two slashes.");
    if (!query_is_sound(target + path_len, len - path_len))
        return refuse(400, "bad-query", "The query holds a broken escape, an encoded NUL or more than 32 parameters.");
    return PASS;
}

/* ---- Host and Origin ---- */

/* ":port" or nothing, up to the end of `text`. */
static bool port_is_sound(const char *text)
{
    if (*text == '\0')
        return true;
    if (*text++ != ':')
        return false;
    unsigned value = 0;
    size_t digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 6; text++, digits++)
        value = value * 10 + (unsigned)(*text - '0');
    return *text == '\0' && digits > 0 && value > 0 && value <= 65535;
}

/* Splits "name[:port]" or "[v6][:port]"; the name comes without brackets. False when it is not of that form. */
static bool split_authority(const char *text, const char **out_name, size_t *out_len)
{
    if (text[0] == '[') {
        size_t len = strspn(text + 1, "0123456789abcdefABCDEF:.");
        *out_name = text + 1;
        *out_len = len;
        return len >= 2 && len <= 45 && text[1 + len] == ']' && port_is_sound(text + len + 2);
    }
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");
    *out_name = text;
    *out_len = len;
    /* "localhost." is the same host to a resolver but another string to a cookie and to us. */
    return len > 0 && len <= 253 && text[0] != '.' && text[0] != '-' && text[len - 1] != '.' && port_is_sound(text + len);
}

/* Entries of the list may be written with brackets. */
static bool host_is_allowed(const struct rb_guard_policy *policy, const char *name, size_t len)
{
    for (size_t i = 0; policy->allowed_hosts && policy->allowed_hosts[i]; i++) {
        const char *allowed = policy->allowed_hosts[i];
        size_t allowed_len = strlen(allowed);
        if (allowed_len > 2 && allowed[0] == '[' && allowed[allowed_len - 1] == ']') {
            allowed++;
            allowed_len -= 2;
        }
        if (allowed_len == len && equal_nocase(name, allowed, len))
            return true;
    }
    return false;
}

static struct rb_guard_verdict check_host(const struct rb_guard_policy *policy, const struct rb_request_head *head)
{
    const char *name = NULL;
    size_t len = 0;
    if (head->host_count != 1 || !head->host)
        return refuse(400, "bad-host", "The request needs exactly one Host field.");
    if (!split_authority(head->host, &name, &len))
        return refuse(400, "bad-host", "The Host field is not a name or an address with an optional port.");
    if (!policy->over_unix_socket && !host_is_allowed(policy, name, len))
        return refuse(403, "host-not-allowed", "This Host is not served; add it to daemon.allowed_hosts if it is yours.");
    return PASS;
}

/* ---- framing ---- */

static struct rb_guard_verdict check_framing(const struct rb_guard_policy *policy, const struct rb_request_head *head)
{
    if (head->transfer_encoding_count > 0 && head->content_length_count > 0)
        return refuse(400, "bad-framing", "Transfer-Encoding and Content-Length together are ambiguous.");
    if (head->transfer_encoding_count > 0)
        return refuse(400, "transfer-encoding", "Transfer codings are not accepted; send a Content-Length.");
    if (head->content_length_count == 0)
        return PASS;
    const char *text = head->content_length;
    if (head->content_length_count > 1 || !text || *text == '\0')
        return refuse(400, "bad-framing", "The request needs one Content-Length with one number.");
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value > UINT64_MAX / 10 - 10 ? UINT64_MAX / 10 - 10 : value * 10 + (uint64_t)(*text - '0');
    if (*text)
        return refuse(400, "bad-framing", "The Content-Length is not a number.");
    if (value > policy->max_body)
        return refuse(413, "body-too-large", "The body is larger than the server accepts.");
    return PASS;
}

struct rb_guard_verdict rb_guard_head(const struct rb_guard_policy *policy, const struct rb_request_head *head)
{
    if (!head->version || (strcmp(head->version, "HTTP/1.1") != 0 && strcmp(head->version, "HTTP/1.0") != 0))
        return refuse(505, "bad-version", "Only HTTP/1.1 and HTTP/1.0 are served.");
    if (!head->method || *head->method == '\0')
        return refuse(400, "bad-method", "The request has no method.");
    struct rb_guard_verdict verdict = check_target(policy, head);
    if (verdict.status == 0 && head->bad_field)
        verdict = refuse(400, "bad-field", "A header field holds a NUL, or its name a byte that no name may have.");
    if (verdict.status == 0)
        verdict = check_host(policy, head);
    if (verdict.status == 0)
        verdict = check_framing(policy, head);
    return verdict;
}

/* ---- stage 2 ---- */

/* Absent is fine: curl and Prometheus send none. "null" is a sandboxed or redirected page and never ours. */
static bool origin_is_ours(const struct rb_guard_policy *policy, const char *origin)
{
    const char *name = NULL;
    size_t len = 0;
    if (!origin)
        return true;
    if (strncmp(origin, "http://", 7) == 0)
        origin += 7;
    else if (strncmp(origin, "https://", 8) == 0)
        origin += 8;
    else
        return false;
    return split_authority(origin, &name, &len) && host_is_allowed(policy, name, len);
}

/* "none": typed by the user. "same-site" is refused: on localhost every port is the same site (Fetch Metadata, 2.4). */
static bool fetch_is_ours(const char *sec_fetch_site)
{
    return !sec_fetch_site || strcmp(sec_fetch_site, "same-origin") == 0 || strcmp(sec_fetch_site, "none") == 0;
}

static struct rb_guard_verdict check_token(const struct rb_guard_policy *policy, const struct rb_request_head *head)
{
    if (head->authorization_count > 1)
        return refuse(400, "bad-authorization", "The request has more than one Authorization field.");
    const char *text = head->authorization;
    if (!policy->token || *policy->token == '\0')
        return refuse(401, "no-token", "This request needs a token and the daemon has none; use its unix socket.");
    if (!text)
        return refuse(401, "token-missing",
                      "This request needs \"Authorization: Bearer TOKEN\"; the token is in the state folder, file token.");
    if (strnlen(text, 7) < 7 || !equal_nocase(text, "bearer", 6) || text[6] != ' ')
        return refuse(401, "token-missing", "Only the Bearer scheme is accepted.");
    text += 7 + strspn(text + 7, " ");
    if (!rb_equal_constant_time(text, strlen(text), policy->token, strlen(policy->token)))
        return refuse(401, "token-wrong", "The bearer token is not the daemon's; it is in the state folder, file token.");
    return PASS;
}

/* "application/json", with parameters or without. */
static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    if (!content_type || strnlen(content_type, sizeof json) < sizeof json - 1 || !equal_nocase(content_type, json, sizeof json - 1))
        return false;
    const char *rest = content_type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

struct rb_guard_verdict rb_guard_route_check(const struct rb_guard_policy *policy, const struct rb_request_head *head,
                                             const struct rb_guard_route *route)
{
    struct rb_guard_verdict verdict = PASS;
    verdict.cross_site = !fetch_is_ours(head->sec_fetch_site) || !origin_is_ours(policy, head->origin);
    if (route->changes_state && verdict.cross_site)
        return refuse(403, "cross-site", "Requests that change something are not accepted from another site's page.");
    bool needs_token = route->changes_state || (!policy->local_listener && !route->open_beyond_loopback);
    if (needs_token && !policy->over_unix_socket) {
        struct rb_guard_verdict token = check_token(policy, head);
        if (token.status)
            return token;
    }
    if (route->wants_json && head->has_body && !is_json(head->content_type))
        return refuse(415, "not-json", "The body must be sent as application/json.");
    return verdict;
}

int rb_guard_path(const struct rb_request_head *head, char *out, size_t out_size)
{
    size_t len = path_length(head), used = 0;
    for (size_t i = 0; i < len;) {
        unsigned char c = 0;
        size_t step = path_byte(head->raw_target + i, len - i, &c);
        if (step == 0 || used + 1 >= out_size)
            return RB_EINVAL;
        out[used++] = (char)c;
        i += step;
    }
    if (out_size == 0)
        return RB_EINVAL;
    out[used] = '\0';
    return RB_OK;
}
