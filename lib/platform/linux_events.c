/* File events on Linux: one inotify instance, folders only by name of their entries.
 *
 * A watch is added through /proc/self/fd, so that what is watched is the folder that was opened and not what its path names by then. The mask leaves out reading and
 * opening: our own checks must not wake themselves. IN_EXCL_UNLINK: an unlinked file that somebody goes on writing to is nobody's change. */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux_internal.h"
#include "runbook/platform/file_events.h"

#define WATCHED \
    (IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK)

enum { BUFFER = 64 * 1024 };

struct rb_file_events {
    int fd;
    size_t watches;
    alignas(struct inotify_event) char buffer[BUFFER];
};

int rb_linux_file_events(struct rb_file_events **out, struct rb_error *err)
{
    struct rb_file_events *events = malloc(sizeof *events);
    if (events == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for file events");
    events->watches = 0;
    events->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (events->fd < 0) {
        int saved = errno;
        free(events);
        return rb_error_sys(err, saved, "cannot watch for file events%s",
                            saved == EMFILE ? " (too many open files, or see fs.inotify.max_user_instances)" : "");
    }
    *out = events;
    return RB_OK;
}

int rb_file_events_open_flags(bool folder)
{
    return folder ? O_PATH | O_DIRECTORY : O_PATH;
}

bool rb_file_events_need_files(void)
{
    return false;
}

int rb_file_events_add(struct rb_file_events *events, int take_fd, bool folder, struct rb_error *err)
{
    char path[64];
    if (events->watches >= RB_FILE_EVENTS_MAX_WATCHES) {
        close(take_fd);
        return rb_error_set(err, RB_ELIMIT, "more than %d folders to watch", (int)RB_FILE_EVENTS_MAX_WATCHES);
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", take_fd);
    int watch = inotify_add_watch(events->fd, path, WATCHED | (folder ? (uint32_t)IN_ONLYDIR : 0u));
    int saved = errno;
    close(take_fd);
    if (watch < 0 && (saved == ENOSPC || saved == ENOMEM))
        return rb_error_set(err, RB_ELIMIT, "the system's limit of watches is reached: raise fs.inotify.max_user_watches");
    if (watch < 0)
        return rb_error_sys(err, saved, "cannot watch a folder");
    events->watches++;
    return watch;
}

int rb_file_events_fd(const struct rb_file_events *events)
{
    return events->fd;
}

/* False for what says nothing: the kernel's receipt for a watch that ended was preceded by the reason. */
static bool translate(const struct inotify_event *from, struct rb_file_event *out)
{
    *out = (struct rb_file_event){.type = RB_FILE_CHANGED, .watch = from->wd, .name = from->len > 0 ? from->name : NULL};
    if (from->mask & IN_Q_OVERFLOW)
        *out = (struct rb_file_event){.type = RB_FILE_LOST, .watch = -1};
    else if (from->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
        out->type = RB_FILE_GONE;
    else if (from->mask & IN_IGNORED)
        return false;
    else if ((from->mask & IN_ISDIR) && (from->mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)))
        out->type = RB_FILE_FOLDERS;
    else if ((from->mask & IN_ISDIR) && from->len == 0)
        return false; /* the watched folder's own mode: its parent's watch tells it by name */
    return true;
}

int rb_file_events_drain(struct rb_file_events *events, size_t max, void (*each)(void *ctx, const struct rb_file_event *event), void *ctx,
                         struct rb_error *err)
{
    size_t count = 0;
    while (count < max) {
        ssize_t got = read(events->fd, events->buffer, sizeof events->buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno != EAGAIN)
            return rb_error_sys(err, errno, "cannot read file events");
        if (got <= 0)
            break;
        for (size_t at = 0; at + sizeof(struct inotify_event) <= (size_t)got;) {
            const struct inotify_event *from = (const struct inotify_event *)(const void *)(events->buffer + at);
            struct rb_file_event event;
            if (translate(from, &event)) {
                each(ctx, &event);
                count++;
            }
            at += sizeof *from + from->len;
        }
    }
    return (int)count;
}

void rb_file_events_free(struct rb_file_events *events)
{
    if (events == NULL)
        return;
    close(events->fd);
    free(events);
}
