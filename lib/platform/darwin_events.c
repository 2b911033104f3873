/* File events on macOS: kqueue's vnode filter, one open descriptor a watch (O_EVTONLY: it keeps nobody from unmounting).
 *
 * A folder tells that its list of names changed, not which name, and nothing of the content of its files: files are watched themselves. A descriptor a watch is dear,
 * launchd gives 256 of them: the room is half of what the limit leaves beyond what the daemon needs. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "darwin_internal.h"
#include "runbook/platform/file_events.h"

#define WATCHED (NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_DELETE | NOTE_RENAME | NOTE_REVOKE)
#define ENDED   (NOTE_DELETE | NOTE_RENAME | NOTE_REVOKE)

enum { BATCH = 256, DESCRIPTORS_KEPT = 160 };

struct watch {
    int fd;
    bool folder;
};
struct rb_file_events {
    int queue;
    size_t count, room;
    struct watch *watches;
};

static size_t room_for_watches(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= DESCRIPTORS_KEPT)
        return 0;
    size_t room = (size_t)(limit.rlim_cur - DESCRIPTORS_KEPT) / 2;
    return room < RB_FILE_EVENTS_MAX_WATCHES ? room : RB_FILE_EVENTS_MAX_WATCHES;
}

int rb_darwin_file_events(struct rb_file_events **out, struct rb_error *err)
{
    struct rb_file_events *events = calloc(1, sizeof *events);
    size_t room = room_for_watches();
    struct watch *watches = calloc(room + 1, sizeof *watches);
    int queue = events && watches ? kqueue() : -1;
    if (queue < 0) {
        int saved = events && watches ? errno : ENOMEM;
        free(events);
        free(watches);
        return rb_error_sys(err, saved, "cannot watch for file events");
    }
    (void)fcntl(queue, F_SETFD, FD_CLOEXEC);
    *events = (struct rb_file_events){.queue = queue, .room = room, .watches = watches};
    *out = events;
    return RB_OK;
}

int rb_file_events_open_flags(bool folder)
{
    return folder ? O_EVTONLY | O_DIRECTORY : O_EVTONLY;
}

bool rb_file_events_need_files(void)
{
    return true;
}

int rb_file_events_add(struct rb_file_events *events, int take_fd, bool folder, struct rb_error *err)
{
    if (events->count >= events->room) {
        close(take_fd);
        return rb_error_set(err, RB_ELIMIT, "more than %zu folders and files to watch: raise the limit of open files", events->room);
    }
    struct kevent change;
    EV_SET(&change, (uintptr_t)take_fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, WATCHED, 0, (void *)(uintptr_t)events->count);
    if (kevent(events->queue, &change, 1, NULL, 0, NULL) < 0) {
        int saved = errno;
        close(take_fd);
        return rb_error_sys(err, saved, "cannot watch a folder or file");
    }
    events->watches[events->count] = (struct watch){.fd = take_fd, .folder = folder};
    return (int)events->count++;
}

int rb_file_events_fd(const struct rb_file_events *events)
{
    return events->queue;
}

/* False for what says nothing: a folder's own attributes. */
static bool translate(const struct rb_file_events *events, const struct kevent *from, struct rb_file_event *out)
{
    uintptr_t watch = (uintptr_t)from->udata;
    *out = (struct rb_file_event){.type = RB_FILE_CHANGED, .watch = (int)watch};
    if ((from->flags & EV_ERROR) || (from->fflags & ENDED))
        out->type = RB_FILE_GONE;
    else if (watch < events->count && events->watches[watch].folder && !(from->fflags & (NOTE_WRITE | NOTE_LINK)))
        return false;
    else if (watch < events->count && events->watches[watch].folder)
        out->type = RB_FILE_FOLDERS;
    return true;
}

int rb_file_events_drain(struct rb_file_events *events, size_t max, void (*each)(void *ctx, const struct rb_file_event *event), void *ctx,
                         struct rb_error *err)
{
    static const struct timespec at_once = {0, 0};
    struct kevent list[BATCH];
    size_t count = 0;
    while (count < max) {
        int got = kevent(events->queue, NULL, 0, list, BATCH, &at_once);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rb_error_sys(err, errno, "cannot read file events");
        for (int i = 0; i < got; i++) {
            struct rb_file_event event;
            if (translate(events, &list[i], &event))
                each(ctx, &event);
        }
        count += (size_t)got;
        if (got < BATCH)
            break;
    }
    return (int)count;
}

void rb_file_events_free(struct rb_file_events *events)
{
    if (events == NULL)
        return;
    for (size_t i = 0; i < events->count; i++)
        close(events->watches[i].fd);
    close(events->queue);
    free(events->watches);
    free(events);
}
