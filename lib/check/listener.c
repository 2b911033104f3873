/* Addresses and holders of listening sockets, in one place for every kind that looks at ports.
 *
 * "::" counts as reaching IPv4 too: whether a socket is IPv6 only is not listed by every system, and a false alarm about a port that answers is worse. */
#include "runbook/check/listener.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/text.h"

bool rb_listener_is_wildcard(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

bool rb_listener_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strncmp(address, "::ffff:127.", 11) == 0;
}

bool rb_listener_reaches(const char *address, const char *wanted)
{
    if (wanted[0] == '\0' || strcasecmp(address, wanted) == 0 || strcmp(address, "::") == 0)
        return true;
    if (strncasecmp(address, "::ffff:", 7) == 0 && strcmp(address + 7, wanted) == 0)
        return true;
    return strcmp(address, "0.0.0.0") == 0 && strchr(wanted, ':') == NULL;
}

bool rb_listener_is_proxy(const char *name)
{
    static const char *const proxies[] = {"docker-proxy", "dockerd",     "rootlessport", "rootlesskit", "com.docker",
                                          "vpnkit",       "slirp4netns", "pasta",        "OrbStack",    "gvproxy"};
    for (size_t i = 0; name && i < sizeof proxies / sizeof proxies[0]; i++) {
        if (rb_text_find_nocase(name, proxies[i]))
            return true;
    }
    return false;
}

const char *rb_listener_describe(struct rb_arena *arena, const struct rb_listener *listener)
{
    bool v6 = strchr(listener->address, ':') != NULL;
    char place[80];
    (void)snprintf(place, sizeof place, "%s%s%s:%u", v6 ? "[" : "", listener->address, v6 ? "]" : "", (unsigned)listener->port);
    const char *text = NULL;
    if (listener->owner == RB_OWNER_KNOWN)
        text = rb_arena_printf(arena, "%s (pid %ld) on %s", listener->name ? listener->name : "a process", (long)listener->pid, place);
    else if (listener->owner == RB_OWNER_UNREADABLE)
        text = rb_arena_printf(arena, "a process of user id %lu on %s", (unsigned long)listener->uid, place);
    else
        text = rb_arena_printf(arena, "no process that can be seen from here on %s", place);
    return text ? text : "";
}
