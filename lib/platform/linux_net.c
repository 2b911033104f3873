/* Linux: who listens, by one netlink sock_diag dump per address family (sock_diag(7)); the owner by the sockets in /proc/PID/fd.
 *
 * The dump is restricted to LISTEN by the kernel: 0.06 ms, where /proc/net/tcp takes 11 ms on a busy host. Netlink gives an inode but no
 * process; the walk that finds the process reads the links of every process' fd folder, and is done only when asked for. A folder that
 * may not be read makes the owner of all sockets that were not found elsewhere "unreadable", never "none". */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linux_internal.h"

#define TCP_STATE_LISTEN 10 /* the kernel's TCP_LISTEN; <netinet/tcp.h> and <linux/tcp.h> cannot be included together */

struct found {
    struct rb_listener listener;
    uint32_t inode;
};

struct dump {
    struct found *items; /* RB_MAX_LISTENERS, freed by the caller */
    size_t count;
    uint16_t port; /* 0: all */
};

static void add_listener(struct dump *dump, const struct inet_diag_msg *message)
{
    uint16_t port = ntohs(message->id.idiag_sport);
    if ((dump->port && port != dump->port) || dump->count == RB_MAX_LISTENERS)
        return;
    struct found *found = &dump->items[dump->count];
    *found = (struct found){.inode = message->idiag_inode};
    found->listener.port = port;
    found->listener.uid = message->idiag_uid;
    found->listener.owner = message->idiag_inode ? RB_OWNER_UNREADABLE : RB_OWNER_NONE;
    if (inet_ntop(message->idiag_family, message->id.idiag_src, found->listener.address, sizeof found->listener.address))
        dump->count++;
}

static int send_request(int fd, uint8_t family, struct rb_error *err)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1U << TCP_STATE_LISTEN},
    };
    if (send(fd, &request, sizeof request, 0) != (ssize_t)sizeof request)
        return rb_platform_fail(err, errno, "cannot ask the kernel for listening sockets");
    return RB_OK;
}

/* Reads one datagram of the answer. *out_done: the dump is complete. */
static int read_answer(int fd, struct dump *dump, bool *out_done, struct rb_error *err)
{
    alignas(struct nlmsghdr) char block[32768];
    ssize_t got = recv(fd, block, sizeof block, 0);
    if (got < 0 && errno == EINTR)
        return RB_OK;
    if (got <= 0)
        return rb_platform_fail(err, got == 0 ? EIO : errno, "the kernel did not answer about listening sockets");
    size_t left = (size_t)got, at = 0;
    while (left >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr header;
        memcpy(&header, block + at, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > left)
            break;
        if (header.nlmsg_type == NLMSG_DONE) {
            *out_done = true;
            return RB_OK;
        }
        size_t body = header.nlmsg_len - NLMSG_HDRLEN;
        if (header.nlmsg_type == NLMSG_ERROR) {
            struct nlmsgerr failure = {.error = -EIO};
            memcpy(&failure, block + at + NLMSG_HDRLEN, body < sizeof failure ? body : sizeof failure);
            return rb_platform_fail(err, -failure.error, "the kernel refused to list listening sockets");
        }
        struct inet_diag_msg message = {0};
        if (body >= sizeof message) {
            memcpy(&message, block + at + NLMSG_HDRLEN, sizeof message);
            add_listener(dump, &message);
        }
        size_t step = NLMSG_ALIGN(header.nlmsg_len);
        if (step > left)
            break;
        at += step;
        left -= step;
    }
    return RB_OK;
}

static int dump_family(int fd, uint8_t family, struct dump *dump, struct rb_error *err)
{
    int code = send_request(fd, family, err);
    bool done = false;
    while (code == RB_OK && !done)
        code = read_answer(fd, dump, &done, err);
    return code;
}

static int dump_netlink(struct dump *dump, struct rb_error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return rb_platform_fail(err, errno, "cannot ask the kernel for listening sockets");
    const struct timeval patience = {.tv_sec = 2};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int code = dump_family(fd, AF_INET, dump, err);
    if (code == RB_OK)
        code = dump_family(fd, AF_INET6, dump, err);
    (void)close(fd);
    return code;
}

/* ---- the same from /proc/net, where a sandbox forbids netlink ---- */

#define PROC_NET_MAX (16 * 1024 * 1024)

/* One row: "0: 0100007F:2398 00000000:0000 0A … uid timeout inode". The address is in 32-bit words of host order. */
static void add_row(struct dump *dump, const char *row, uint8_t family)
{
    char local[64];
    unsigned port = 0, state = 0, uid = 0, inode = 0;
    if (sscanf(row, " %*u: %32[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*x %2x %*s %*s %*s %u %*u %u", local, &port, &state, &uid, &inode) != 5 ||
        state != TCP_STATE_LISTEN)
        return;
    struct inet_diag_msg message = {.idiag_family = family, .idiag_uid = uid, .idiag_inode = inode};
    size_t words = family == AF_INET ? 1 : 4;
    if (strlen(local) != words * 8)
        return;
    for (size_t i = 0; i < words; i++) {
        char word[9] = "";
        memcpy(word, local + i * 8, 8);
        message.id.idiag_src[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    message.id.idiag_sport = htons((uint16_t)port);
    add_listener(dump, &message);
}

static int dump_proc(struct dump *dump, struct rb_error *err)
{
    static const struct {
        const char *path;
        uint8_t family;
    } files[] = {{"/proc/net/tcp", AF_INET}, {"/proc/net/tcp6", AF_INET6}};
    dump->count = 0;
    for (size_t i = 0; i < 2; i++) {
        RB_BUF_AUTO text = {.max = PROC_NET_MAX};
        int code = rb_linux_read_at(AT_FDCWD, files[i].path, PROC_NET_MAX, &text, err);
        /* A kernel without IPv6 has no second file. */
        if (code == RB_ENOTFOUND && i == 1)
            break;
        if (code != RB_OK)
            return code;
        char *rest = text.data, *line;
        while ((line = strsep(&rest, "\n")) != NULL)
            add_row(dump, line, files[i].family);
    }
    return RB_OK;
}

/* ---- owners ---- */

struct owner_walk {
    struct rb_arena *arena;
    struct dump *dump; /* sorted by inode */
    size_t unresolved;
    bool any_unreadable;
};

static int compare_inodes(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

/* The first entry with this inode, or NULL. */
static struct found *find_inode(const struct dump *dump, uint32_t inode)
{
    size_t low = 0, high = dump->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dump->items[middle].inode < inode)
            low = middle + 1;
        else
            high = middle;
    }
    return low < dump->count && dump->items[low].inode == inode ? &dump->items[low] : NULL;
}

static void name_owner(struct owner_walk *walk, struct rb_listener *listener, int pid_fd, pid_t pid)
{
    RB_BUF_AUTO name = {.max = 64};
    RB_BUF_AUTO command = {.max = RB_MAX_ARGS_BYTES};
    listener->owner = RB_OWNER_KNOWN;
    listener->pid = pid;
    if (rb_linux_read_some_at(pid_fd, "comm", name.max, &name) == RB_OK)
        listener->name = rb_arena_strndup(walk->arena, rb_buf_str(&name), strcspn(rb_buf_str(&name), "\n"));
    if (rb_linux_read_some_at(pid_fd, "cmdline", command.max, &command) == RB_OK)
        listener->command = rb_platform_join(walk->arena, rb_buf_str(&command), command.len);
    walk->unresolved--;
}

static void match_links(struct owner_walk *walk, DIR *links, int pid_fd, pid_t pid)
{
    const struct dirent *entry;
    while (walk->unresolved && (entry = readdir(links)) != NULL) {
        char target[64];
        ssize_t len = readlinkat(dirfd(links), entry->d_name, target, sizeof target - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strncmp(target, "socket:[", 8) != 0)
            continue;
        uint32_t inode = (uint32_t)strtoul(target + 8, NULL, 10);
        struct found *found = find_inode(walk->dump, inode);
        const struct found *end = walk->dump->items + walk->dump->count;
        for (; found && found < end && found->inode == inode; found++) {
            if (found->listener.owner != RB_OWNER_KNOWN)
                name_owner(walk, &found->listener, pid_fd, pid);
        }
    }
}

static bool visit_owner(void *ctx, int proc_fd, pid_t pid)
{
    struct owner_walk *walk = ctx;
    char path[16];
    (void)snprintf(path, sizeof path, "%d", (int)pid);
    int pid_fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pid_fd < 0)
        return true;
    int links_fd = openat(pid_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *links = links_fd >= 0 ? fdopendir(links_fd) : NULL;
    if (links) {
        match_links(walk, links, pid_fd, pid);
        (void)closedir(links);
    } else {
        walk->any_unreadable = walk->any_unreadable || errno == EACCES || errno == EPERM;
        if (links_fd >= 0)
            (void)close(links_fd);
    }
    (void)close(pid_fd);
    return walk->unresolved > 0 && !rb_arena_failed(walk->arena);
}

static int find_owners(struct rb_arena *arena, struct dump *dump, struct rb_error *err)
{
    struct owner_walk walk = {.arena = arena, .dump = dump};
    qsort(dump->items, dump->count, sizeof dump->items[0], compare_inodes);
    for (size_t i = 0; i < dump->count; i++)
        walk.unresolved += dump->items[i].inode != 0;
    if (walk.unresolved == 0)
        return RB_OK;
    int code = rb_linux_each_process(visit_owner, &walk, err);
    for (size_t i = 0; i < dump->count; i++) {
        struct rb_listener *listener = &dump->items[i].listener;
        if (listener->owner == RB_OWNER_UNREADABLE && !walk.any_unreadable)
            listener->owner = RB_OWNER_NONE;
    }
    return code;
}

static int compare_listeners(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->listener.port != right->listener.port)
        return left->listener.port < right->listener.port ? -1 : 1;
    return strcmp(left->listener.address, right->listener.address);
}

static int copy_out(struct rb_arena *arena, struct dump *dump, struct rb_listener **out, size_t *out_count, struct rb_error *err)
{
    qsort(dump->items, dump->count, sizeof dump->items[0], compare_listeners);
    struct rb_listener *listeners = rb_arena_array(arena, dump->count + 1, sizeof *listeners);
    if (!listeners)
        return rb_platform_arena_fail(err, "listening sockets");
    for (size_t i = 0; i < dump->count; i++)
        listeners[i] = dump->items[i].listener;
    *out = listeners;
    *out_count = dump->count;
    return RB_OK;
}

int rb_linux_listeners(struct rb_arena *arena, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count,
                       struct rb_error *err)
{
    struct dump dump = {.port = port};
    dump.items = malloc(RB_MAX_LISTENERS * sizeof *dump.items);
    if (!dump.items)
        return rb_error_set(err, RB_ENOMEM, "listening sockets: out of memory");
    int code = dump_netlink(&dump, err);
    if (code != RB_OK)
        code = dump_proc(&dump, err);
    if (code == RB_OK && with_owner)
        code = find_owners(arena, &dump, err);
    if (code == RB_OK)
        code = copy_out(arena, &dump, out, out_count, err);
    free(dump.items);
    return code;
}
