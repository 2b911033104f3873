/* Texts that the network kinds share: what of a URL and of somebody else's answer may be shown. Any thread; results live in the arena and are "" without memory. */
#ifndef RUNBOOK_CHECK_NET_H
#define RUNBOOK_CHECK_NET_H

#include <stddef.h>

#include "runbook/base/arena.h"

/* "host:port" of a URL, without credentials, the standard port written out: the form of RB_FACT_TARGET. */
const char *rb_net_target(struct rb_arena *arena, const char *url);
/* Hostile text with what looks like a secret masked; NULL is "". */
const char *rb_net_clean(struct rb_arena *arena, const char *text);
/* As clean, clipped to what fits into a line of evidence (300 columns). */
const char *rb_net_quote(struct rb_arena *arena, const char *text);
/* What an HTML or text page shows, on one line, as quote; "" for none, and for what is no text. Any bytes. */
const char *rb_net_page(struct rb_arena *arena, const char *body, size_t len);

#endif
