/* Names to addresses without blocking: c-ares on libev.
 *
 * Numeric addresses and localhost (RFC 6761, 6.3) are answered at once; everything else goes through /etc/hosts and the servers of resolv.conf, which is read again
 * when it changed. Loop thread only. */
#ifndef RUNBOOKD_EXCHANGE_RESOLVER_H
#define RUNBOOKD_EXCHANGE_RESOLVER_H

#include <ev.h>
#include <netinet/in.h>
#include <stdint.h>

#include "runbook/check/kind.h"

enum { RB_RESOLVE_MAX_ADDRESSES = 16, RB_RESOLVE_MAX_FLIGHT = 64, RB_RESOLVE_MAX_QUEUE = 1024, RB_ADDRESS_TEXT = INET6_ADDRSTRLEN };

struct rb_address {
    int family; /* AF_INET or AF_INET6 */
    uint8_t bytes[16];
    uint32_t scope; /* index of the interface of a link-local IPv6 address; 0 none */
};

struct rb_resolve_result {
    enum rb_net_failure failure;
    const char *detail; /* static text, NULL when OK */
    struct rb_address items[RB_RESOLVE_MAX_ADDRESSES];
    size_t count;
};

struct rb_resolver;
struct rb_lookup;

/* One caller's interest in a lookup; embedded in its owner, zeroed before first use. */
struct rb_resolve_wait {
    struct rb_lookup *lookup; /* NULL: not waiting */
    struct rb_resolve_wait *next;
    void (*done)(void *arg, const struct rb_resolve_result *result);
    void *arg;
};

/* NULL with `err` filled when c-ares cannot be set up. */
struct rb_resolver *rb_resolver_new(struct ev_loop *loop, struct rb_error *err);
/* No wait may be active any more. NULL is fine. */
void rb_resolver_free(struct rb_resolver *resolver);
/* Calls wait->done exactly once, possibly before it returns, unless the wait is cancelled first. `ip_version` 0, 4 or 6. The caller keeps the deadline. */
void rb_resolver_start(struct rb_resolver *resolver, const char *name, int ip_version, struct rb_resolve_wait *wait);
/* Forgets the wait; its lookup may go on unattended until c-ares gives up. An idle wait is fine. */
void rb_resolver_cancel(struct rb_resolve_wait *wait);
/* Asks these servers ("127.0.0.1:5353,[::1]:53") instead of resolv.conf's from now on; false when the list is not understood. For tests. */
bool rb_resolver_use_servers(struct rb_resolver *resolver, const char *servers);
/* Lookups that occupy one of the RB_RESOLVE_MAX_FLIGHT places, waited for or not. */
size_t rb_resolver_in_flight(const struct rb_resolver *resolver);

/* Reads a numeric address; IPv6 with or without brackets, with or without "%interface" (RFC 4007, 11) of an interface that exists. */
bool rb_address_parse(const char *text, struct rb_address *out);
/* Writes the numeric form, without brackets and interface. Returns `out`. */
const char *rb_address_print(const struct rb_address *address, char out[RB_ADDRESS_TEXT]);

#endif
