/* Hints that something changed below a folder: inotify on Linux (linux_events.c), kqueue's vnode filter on macOS (darwin_events.c).
 *
 * A hint and never more: events may be late, doubled, too many, or missing (memory maps, network file systems, a full queue), so nobody may conclude anything from
 * their absence. What the system itself knows to have lost is told as such. Watching changes nothing on disk, opens no FIFO and no device, follows no symlink.
 * An object is filled (add) by one thread before another one drains it; free on any thread, once. */
#ifndef RUNBOOK_PLATFORM_FILE_EVENTS_H
#define RUNBOOK_PLATFORM_FILE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/error.h"

struct rb_file_events;

enum rb_file_loss {
    RB_FILE_LOSS_OVERFLOW, /* more happened than the queue holds */
    RB_FILE_LOSS_FOLDER,   /* a watched folder was removed, moved or unmounted: what is in it now is unknown */
    RB_FILE_LOSS_LIMIT,    /* there is no room for more watches: ours, the system's or that of descriptors */
    RB_FILE_LOSS_ERROR,    /* the mechanism failed or is not there */
    RB_FILE_LOSS_COUNT
};
const char *rb_file_loss_name(enum rb_file_loss loss); /* "overflow", "folder_gone", "limit", "error" */

enum rb_file_event_type {
    RB_FILE_CHANGED, /* a file: content, mode, or it came or went */
    RB_FILE_FOLDERS, /* a folder came, went or was renamed: what has to be watched may have changed */
    RB_FILE_GONE,    /* the watch itself is over; its folder is elsewhere or nowhere */
    RB_FILE_LOST     /* events were lost (overflow): anything may have changed; `watch` is -1 */
};
struct rb_file_event {
    enum rb_file_event_type type;
    int watch; /* as rb_file_events_add gave it */
    const char
        *name; /* of the entry in the watched folder, for the time of the call; NULL: the watched thing itself, or some entry of it */
};

enum { RB_FILE_EVENTS_MAX_WATCHES = 4096 };

/* How what is to be watched has to be opened, on top of O_NOFOLLOW, O_NONBLOCK and O_CLOEXEC: neither for reading nor so that a file system cannot be unmounted. */
int rb_file_events_open_flags(bool folder);
/* Whether a folder's watch is silent about the content of its files, so that they want watches of their own (kqueue). */
bool rb_file_events_need_files(void);

/* Adds one folder or regular file, opened as above; takes `take_fd` over, also when it fails. Returns the number of the watch (perhaps the same for the same folder
 * by another way), or RB_ELIMIT when there is no room, RB_ESYS otherwise. */
int rb_file_events_add(struct rb_file_events *events, int take_fd, bool folder, struct rb_error *err) RB_MUST_CHECK;
/* Becomes readable when there is something to drain. */
int rb_file_events_fd(const struct rb_file_events *events);
/* Tells what waits, without blocking, at most about `max` events: what is left keeps the descriptor readable. Returns their number or RB_ESYS: then it is of no use any more. */
int rb_file_events_drain(struct rb_file_events *events, size_t max, void (*each)(void *ctx, const struct rb_file_event *event), void *ctx,
                         struct rb_error *err) RB_MUST_CHECK;
void rb_file_events_free(struct rb_file_events *events); /* NULL is fine; may take some milliseconds: not on the loop */

#endif
