/* What a listening socket's address means: whom it serves and how it is told. Pure; any thread. */
#ifndef RUNBOOK_CHECK_LISTENER_H
#define RUNBOOK_CHECK_LISTENER_H

#include <stdbool.h>

#include "runbook/platform/platform.h"

bool rb_listener_is_wildcard(const char *address); /* "0.0.0.0", "::" */
bool rb_listener_is_loopback(const char *address); /* 127.0.0.0/8, ::1, and the former mapped into IPv6 */
/* Whether a connection to `wanted` ("" is any address) could reach a listener on `address`. */
bool rb_listener_reaches(const char *address, const char *wanted);
/* Whether a process of this name listens for a container (docker-proxy, Docker Desktop, rootless networking …). */
bool rb_listener_is_proxy(const char *name);
/* "python3 (pid 812) on 127.0.0.1:9110"; "" when memory is out. */
const char *rb_listener_describe(struct rb_arena *arena, const struct rb_listener *listener);

#endif
