/* One datagram socket, connected once; abstract names ("@…") and paths as sd_notify(3) describes. */
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runbook/base/clock.h"
#include "runbook/base/units.h"

static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    if (len == 0 || len >= sizeof address.sun_path || (name[0] != '/' && name[0] != '@'))
        return -1;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return -1;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || connect(fd, (const struct sockaddr *)&address, size) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int64_t watchdog_from_environment(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    int64_t value;
    if (usec == NULL || rb_int_parse(usec, &value, NULL) < 0 || value <= 0)
        return 0;
    int64_t for_pid;
    if (pid != NULL && (rb_int_parse(pid, &for_pid, NULL) < 0 || for_pid != (int64_t)getpid()))
        return 0;
    return value * 1000;
}

void rb_notify_init(struct rb_notify *notify)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *notify = (struct rb_notify){.fd = name != NULL ? connect_to(name) : -1, .watchdog_ns = watchdog_from_environment()};
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void rb_notify_send(const struct rb_notify *notify, const char *state)
{
    if (notify->fd < 0)
        return;
    ssize_t sent;
    do
        sent = send(notify->fd, state, strlen(state), MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
}

void rb_notify_fini(struct rb_notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
