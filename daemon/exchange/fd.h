/* What a descriptor must satisfy before libev may watch it. */
#ifndef RUNBOOKD_EXCHANGE_FD_H
#define RUNBOOKD_EXCHANGE_FD_H

#include <ev.h>
#include <stdbool.h>
#include <sys/select.h>

/* False for a descriptor that select() cannot hold while the loop runs on select (its default on macOS). */
static inline bool rb_fd_fits(struct ev_loop *loop, int fd)
{
    return ev_backend(loop) != EVBACKEND_SELECT || fd < FD_SETSIZE;
}

#endif
