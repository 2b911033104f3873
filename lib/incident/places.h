/* Names of things: how two checks that touch the same port or file come to say so with the same bytes. */
#ifndef RB_INCIDENT_PLACES_H
#define RB_INCIDENT_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/arena.h"

/* The port of "8080", "host:8080" or "[::1]:8080"; 0 when there is none. */
unsigned rb_place_port(const char *text);
/* True for every name of this machine: localhost, 127.*, ::1, any address, host.docker.internal, and `host` itself (may be NULL). The text may have a port. */
bool rb_place_is_local(const char *text, const char *host);
/* "port 9090" for this machine, "port db.example:5432" for another; NULL without a port. A bare port is this machine's. */
const char *rb_place_of_port(struct rb_arena *arena, const char *text, const char *host);
/* Absolute, without "./" and doubled slashes; a relative path counts from `base`. NULL when it is none, or leads upwards. */
const char *rb_place_of_file(struct rb_arena *arena, const char *path, const char *base);
/* The part of `path` below `root`, for people; `path` itself when it lies elsewhere. */
const char *rb_place_shown(const char *path, const char *root);
/* True when `path` is `folder` or lies below it. */
bool rb_place_is_below(const char *path, const char *folder);

/* Cuts a line of somebody's words into what may name a thing: paths, host:port, plain words; quotes, brackets and the places behind a file name ("a.toml:3:5:") are taken off. */
struct rb_token {
    const char *text;    /* in the arena of the cutter */
    const char *host;    /* of an address with a port or a scheme; or NULL */
    const char *address; /* the same with its port; also of what may be either, "api.example:443"; or NULL */
    bool is_path;
};
struct rb_tokens {
    const char *rest;
    struct rb_arena *arena;
};
bool rb_tokens_next(struct rb_tokens *tokens, struct rb_token *out);

#endif
