/* systemd's notification protocol (sd_notify(3), "State strings"): one datagram to $NOTIFY_SOCKET. No library needed; does nothing elsewhere. */
#ifndef RUNBOOKD_NOTIFY_H
#define RUNBOOKD_NOTIFY_H

#include <stdint.h>

struct rb_notify {
    int fd;              /* -1: nobody listens */
    int64_t watchdog_ns; /* 0: no watchdog; else the longest silence systemd accepts */
};
/* Reads and clears NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, so that children never see them. */
void rb_notify_init(struct rb_notify *notify);
/* Sends "READY=1", "STATUS=…", several joined by newlines. Never blocks, never fails loudly: the service manager's view is not worth stopping for. */
void rb_notify_send(const struct rb_notify *notify, const char *state);
void rb_notify_fini(struct rb_notify *notify);

#endif
