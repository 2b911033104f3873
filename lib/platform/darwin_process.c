/* macOS: processes and their listening sockets, by libproc and KERN_PROCARGS2.
 *
 * libproc shows the descriptors of this user's processes only (all of them to root). A listener of somebody else is therefore not in the
 * list; when one port is asked for and nobody readable holds it, the port is tried by an immediate bind-and-close: "in use" then becomes
 * a listener with an unreadable owner, so that a taken port never looks free. */
#include <arpa/inet.h>
#include <errno.h>
#include <libproc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/proc_info.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "darwin_internal.h"

#define MAX_FDS 65536

static int compare_pids(const void *a, const void *b)
{
    pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;
    return (left > right) - (left < right);
}

int rb_darwin_pids(pid_t **out, size_t *out_count, struct rb_error *err)
{
    pid_t *pids = malloc(RB_MAX_PROCESSES * sizeof *pids);
    if (!pids)
        return rb_error_set(err, RB_ENOMEM, "processes: out of memory");
    int bytes = proc_listpids(PROC_ALL_PIDS, 0, pids, (int)(RB_MAX_PROCESSES * sizeof *pids));
    if (bytes <= 0) {
        int saved = errno;
        free(pids);
        return rb_platform_fail(err, saved, "cannot list processes");
    }
    *out = pids;
    *out_count = (size_t)bytes / sizeof *pids;
    qsort(pids, *out_count, sizeof *pids, compare_pids);
    return RB_OK;
}

/* ---- arguments and environment ---- */

/* The block of KERN_PROCARGS2: argc, path of the executable, NULs, arguments, environment; each terminated. */
struct args_block {
    char *bytes; /* free() */
    size_t len;
    size_t args_at, env_at;
};

static bool read_args(pid_t pid, struct args_block *out)
{
    int name[] = {CTL_KERN, KERN_PROCARGS2, pid};
    size_t len = RB_MAX_ENVIRON_BYTES;
    int argc = 0;
    char *bytes = malloc(len);
    if (!bytes)
        return false;
    if (sysctl(name, 3, bytes, &len, NULL, 0) != 0 || len < sizeof argc) {
        int saved = errno;
        rb_free_wiped(bytes);
        errno = saved;
        return false;
    }
    memcpy(&argc, bytes, sizeof argc);
    size_t at = sizeof argc;
    at += strnlen(bytes + at, len - at);
    while (at < len && bytes[at] == '\0')
        at++;
    out->args_at = at;
    for (int i = 0; i < argc && at < len; i++)
        at += strnlen(bytes + at, len - at) + 1;
    out->env_at = at < len ? at : len;
    out->bytes = bytes;
    out->len = len;
    return true;
}

const char *rb_darwin_command(struct rb_arena *arena, pid_t pid)
{
    struct args_block block;
    if (!read_args(pid, &block))
        return NULL;
    size_t len = block.env_at - block.args_at;
    const char *command = rb_platform_join(arena, block.bytes + block.args_at, len < RB_MAX_ARGS_BYTES ? len : RB_MAX_ARGS_BYTES);
    rb_free_wiped(block.bytes);
    return command;
}

int rb_darwin_process_environ(struct rb_arena *arena, pid_t pid, const char *const **out, struct rb_error *err)
{
    struct args_block block;
    if (!read_args(pid, &block)) {
        /* EINVAL is how the kernel says that the process belongs to somebody else, or is gone. */
        int saved = errno == EINVAL ? (kill(pid, 0) != 0 && errno == ESRCH ? ESRCH : EPERM) : errno;
        return rb_platform_fail(err, saved, "cannot read the environment of process %d", (int)pid);
    }
    /* An empty string ends the environment; behind it the kernel puts its own "apple" strings. */
    size_t end = block.env_at;
    while (end < block.len && block.bytes[end] != '\0')
        end += strnlen(block.bytes + end, block.len - end) + 1;
    if (end > block.len)
        end = block.len;
    const char *const *items = rb_platform_split(arena, block.bytes + block.env_at, end - block.env_at, RB_MAX_ENVIRON);
    rb_free_wiped(block.bytes);
    if (!items || rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "environment");
    *out = items;
    return RB_OK;
}

/* ---- processes ---- */

static bool fill_process(struct rb_arena *arena, pid_t pid, struct rb_process *out)
{
    struct proc_bsdinfo bsd;
    struct proc_vnodepathinfo paths;
    if (proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &bsd, sizeof bsd) != (int)sizeof bsd)
        return false;
    *out = (struct rb_process){
        .pid = pid,
        .ppid = (pid_t)bsd.pbi_ppid,
        .uid = bsd.pbi_uid,
        .name = bsd.pbi_name[0] ? rb_arena_strndup(arena, bsd.pbi_name, strnlen(bsd.pbi_name, sizeof bsd.pbi_name))
                                : rb_arena_strndup(arena, bsd.pbi_comm, strnlen(bsd.pbi_comm, sizeof bsd.pbi_comm)),
        .start_wall_ns = (int64_t)bsd.pbi_start_tvsec * RB_NS_PER_S + (int64_t)bsd.pbi_start_tvusec * 1000,
    };
    if (proc_pidinfo(pid, PROC_PIDVNODEPATHINFO, 0, &paths, sizeof paths) == (int)sizeof paths && paths.pvi_cdir.vip_path[0])
        out->cwd = rb_arena_strndup(arena, paths.pvi_cdir.vip_path, strnlen(paths.pvi_cdir.vip_path, sizeof paths.pvi_cdir.vip_path));
    struct args_block block = {.bytes = NULL};
    bool readable = read_args(pid, &block);
    size_t len = readable ? block.env_at - block.args_at : 0;
    out->argv = rb_platform_split(arena, readable ? block.bytes + block.args_at : "", len < RB_MAX_ARGS_BYTES ? len : RB_MAX_ARGS_BYTES,
                                  RB_MAX_ARGS);
    rb_free_wiped(block.bytes);
    return true;
}

int rb_darwin_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err)
{
    pid_t *pids = NULL;
    size_t pid_count = 0, count = 0;
    int code = rb_darwin_pids(&pids, &pid_count, err);
    if (code != RB_OK)
        return code;
    struct rb_process *items = rb_arena_array(arena, pid_count + 1, sizeof *items);
    for (size_t i = 0; items && i < pid_count; i++)
        count += pids[i] > 0 && fill_process(arena, pids[i], &items[count]);
    free(pids);
    if (rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "processes");
    *out = items;
    *out_count = count;
    return RB_OK;
}

/* ---- listeners ---- */

struct sockets {
    struct rb_arena *arena;
    struct rb_listener *items; /* RB_MAX_LISTENERS */
    size_t count;
    uint16_t port;
    bool with_owner;
};

static void add_listener(struct sockets *sockets, pid_t pid, const struct socket_info *socket)
{
    const struct in_sockinfo *in = &socket->soi_proto.pri_tcp.tcpsi_ini;
    uint16_t port = ntohs((uint16_t)in->insi_lport);
    bool v4 = (in->insi_vflag & INI_IPV4) != 0 && (in->insi_vflag & INI_IPV6) == 0;
    struct rb_listener listener = {.port = port, .uid = socket->soi_stat.vst_uid, .owner = RB_OWNER_UNREADABLE};
    if ((sockets->port && port != sockets->port) || sockets->count == RB_MAX_LISTENERS)
        return;
    const void *address = v4 ? (const void *)&in->insi_laddr.ina_46.i46a_addr4 : (const void *)&in->insi_laddr.ina_6;
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, address, listener.address, sizeof listener.address))
        return;
    /* The same socket in several processes (a forking server): the lowest pid came first. */
    for (size_t i = 0; i < sockets->count; i++) {
        if (sockets->items[i].port == port && strcmp(sockets->items[i].address, listener.address) == 0)
            return;
    }
    struct proc_bsdinfo bsd;
    if (proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &bsd, sizeof bsd) == (int)sizeof bsd) {
        listener.uid = bsd.pbi_uid;
        listener.name = rb_arena_strndup(sockets->arena, bsd.pbi_comm, strnlen(bsd.pbi_comm, sizeof bsd.pbi_comm));
    }
    listener.owner = RB_OWNER_KNOWN;
    listener.pid = pid;
    if (sockets->with_owner)
        listener.command = rb_darwin_command(sockets->arena, pid);
    sockets->items[sockets->count++] = listener;
}

/* Looks at each socket of one process; false when they may not be read. */
static bool look_at(struct sockets *sockets, pid_t pid)
{
    int bytes = proc_pidinfo(pid, PROC_PIDLISTFDS, 0, NULL, 0);
    if (bytes <= 0)
        return errno != EPERM;
    size_t cap = (size_t)bytes / sizeof(struct proc_fdinfo) + 32;
    if (cap > MAX_FDS)
        cap = MAX_FDS;
    struct proc_fdinfo *fds = malloc(cap * sizeof *fds);
    if (!fds)
        return false;
    bytes = proc_pidinfo(pid, PROC_PIDLISTFDS, 0, fds, (int)(cap * sizeof *fds));
    size_t count = bytes > 0 ? (size_t)bytes / sizeof *fds : 0;
    for (size_t i = 0; i < count; i++) {
        struct socket_fdinfo info;
        if (fds[i].proc_fdtype != PROX_FDTYPE_SOCKET ||
            proc_pidfdinfo(pid, fds[i].proc_fd, PROC_PIDFDSOCKETINFO, &info, sizeof info) != (int)sizeof info)
            continue;
        if (info.psi.soi_kind == SOCKINFO_TCP && info.psi.soi_proto.pri_tcp.tcpsi_state == TSI_S_LISTEN)
            add_listener(sockets, pid, &info.psi);
    }
    free(fds);
    return true;
}

/* True when the port of this family is taken. */
static bool port_is_taken(int family, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in v4 = {.sin_len = sizeof v4, .sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_len = sizeof v6, .sin6_family = AF_INET6, .sin6_port = htons(port)};
    int on = 1;
    int result;
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        result = bind(fd, (const struct sockaddr *)&v6, sizeof v6);
    } else {
        result = bind(fd, (const struct sockaddr *)&v4, sizeof v4);
    }
    bool taken = result != 0 && errno == EADDRINUSE;
    (void)close(fd);
    return taken;
}

static void add_stranger(struct sockets *sockets)
{
    bool v4 = port_is_taken(AF_INET, sockets->port);
    if (!v4 && !port_is_taken(AF_INET6, sockets->port))
        return;
    struct rb_listener *listener = &sockets->items[sockets->count++];
    *listener = (struct rb_listener){.port = sockets->port, .uid = (uid_t)-1, .owner = RB_OWNER_UNREADABLE};
    memcpy(listener->address, v4 ? "0.0.0.0" : "::", v4 ? sizeof "0.0.0.0" : sizeof "::");
}

int rb_darwin_listeners(struct rb_arena *arena, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count,
                        struct rb_error *err)
{
    struct sockets sockets = {.arena = arena, .port = port, .with_owner = with_owner};
    pid_t *pids = NULL;
    size_t pid_count = 0;
    bool all_readable = true;
    int code = rb_darwin_pids(&pids, &pid_count, err);
    if (code != RB_OK)
        return code;
    sockets.items = calloc(RB_MAX_LISTENERS, sizeof *sockets.items);
    for (size_t i = 0; sockets.items && i < pid_count; i++)
        all_readable = (pids[i] <= 0 || look_at(&sockets, pids[i])) && all_readable;
    free(pids);
    if (sockets.items && port && sockets.count == 0 && !all_readable)
        add_stranger(&sockets);
    struct rb_listener *copy = sockets.items ? rb_arena_array(arena, sockets.count + 1, sizeof *copy) : NULL;
    if (copy && sockets.count)
        memcpy(copy, sockets.items, sockets.count * sizeof *copy);
    free(sockets.items);
    if (!copy || rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "listening sockets");
    *out = copy;
    *out_count = sockets.count;
    return RB_OK;
}
