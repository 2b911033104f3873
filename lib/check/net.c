/* What network kinds have in common: the closed set of failures, one row each, named the same wherever a probe reports it, and the texts of a report. */
#include "runbook/check/net.h"

#include <string.h>
#include <strings.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/check/kind.h"

enum { MAX_CLEAN_INPUT = 16 * 1024, MAX_CLEAN = 64 * 1024, MAX_QUOTED = 300 };

/* In the order of enum rb_net_failure, without RB_NET_OK; the assertion below keeps the two together. */
const struct rb_reason_def rb_net_reasons[] = {
    {"dns", "The name has no address; look at the name, /etc/hosts and the name server."},
    {"dns_timeout", "The name server did not answer in time; look at /etc/resolv.conf and the network."},
    {"refused", "Nothing listens there; look whether the service runs and on which port."},
    {"unreachable", "There is no route to the address, or the address does not exist; look at the network or the VPN."},
    {"reset", "The other side cut the connection; look at the service's log."},
    {"connect_timeout", "The connection was not accepted in time; look at firewalls and at a listener that does not accept."},
    {"timeout", "Connected, but the answer did not come in time; the service hangs or is slow."},
    {"closed", "The other side closed the connection without an answer; look at the service's log."},
    {"tls_handshake", "No TLS connection could be agreed on; does the port speak TLS?"},
    {"tls_expired", "A certificate of the chain has expired; renew it."},
    {"tls_not_yet_valid", "A certificate is not valid yet; look at its dates and at the clock."},
    {"tls_self_signed", "The certificate is self-signed and not trusted; name it as ca_file if it should be."},
    {"tls_untrusted", "The certificate's issuer is not trusted; look at the chain that the server sends and at ca_file."},
    {"tls_host_mismatch", "The certificate is for another name; look at the URL or set server_name."},
    {"tls_version", "Both sides have no TLS version in common; look at min_version and the server's settings."},
    {"tls_revoked", "The certificate was revoked; replace it."},
    {"protocol", "The answer is no valid HTTP; is it the right port?"},
    {"too_large", "The answer is larger than its limit."},
    {"header_too_large", "The answer's header is larger than its limit."},
    {"redirects", "More redirects than allowed, probably a loop."},
    {"redirect_blocked", "The redirect leads where a probe must not follow; name the final URL."},
    {"no_socket", "The unix socket does not exist; look whether the service runs."},
    {"permission", "The user that runbookd runs as may not open the socket."},
    {"truncated", "The answer ended before it was complete; look at the service's log."},
    {"network", "The probe could not be carried out; the message tells why."},
    {NULL, NULL},
};
_Static_assert(sizeof rb_net_reasons / sizeof rb_net_reasons[0] == RB_NET_COUNT, "one row for each network failure");

const char *rb_net_failure_reason(enum rb_net_failure failure)
{
    if (failure <= RB_NET_OK || failure >= RB_NET_COUNT)
        return "none";
    return rb_net_reasons[failure - 1].name;
}

const char *rb_net_target(struct rb_arena *arena, const char *url)
{
    const char *authority = strstr(url, "://");
    authority = authority ? authority + 3 : url;
    const char *host = rb_arena_strndup(arena, authority, strcspn(authority, "/?#"));
    if (!host)
        return "";
    const char *at = strrchr(host, '@');
    host = at ? at + 1 : host;
    const char *bracket = strrchr(host, ']'), *colon = strrchr(host, ':');
    if (colon && (!bracket || colon > bracket))
        return host;
    const char *with_port = rb_arena_printf(arena, "%s:%s", host, strncasecmp(url, "https:", 6) == 0 ? "443" : "80");
    return with_port ? with_port : "";
}

const char *rb_net_clean(struct rb_arena *arena, const char *text)
{
    RB_BUF_AUTO buf;
    rb_buf_init(&buf, MAX_CLEAN);
    size_t len = text ? strnlen(text, MAX_CLEAN_INPUT) : 0;
    if (len > 0)
        rb_redact(&buf, text, len);
    const char *copy = rb_arena_strdup(arena, rb_buf_str(&buf));
    return copy ? copy : "";
}

const char *rb_net_quote(struct rb_arena *arena, const char *text)
{
    RB_BUF_AUTO clipped;
    rb_buf_init(&clipped, 4 * MAX_QUOTED + 8);
    rb_text_clip(&clipped, rb_net_clean(arena, text), MAX_QUOTED);
    const char *copy = rb_arena_strdup(arena, rb_buf_str(&clipped));
    return copy ? copy : "";
}
