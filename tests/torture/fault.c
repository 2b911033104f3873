/* Preloaded into a program: the N-th call that changes a file ends the process or fails. Environment: RB_FAULT_AT (from 1; 0: only count), RB_FAULT_MODE (kill: before the call,
 * short: half of a write, then kill; enospc, eio: the call fails, and so does every later one until RB_FAULT_UNTIL calls were made), RB_FAULT_COUNT: a file that gets the
 * number of calls at the end. Single-threaded programs only: the counter is plain. Test-only. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long calls;

static void report(void) __attribute__((destructor));
static void report(void)
{
    const char *path = getenv("RB_FAULT_COUNT");
    FILE *file = path ? fopen(path, "we") : NULL;
    if (file) {
        (void)fprintf(file, "%ld\n", calls);
        (void)fclose(file);
    }
}

enum verdict { GO, SHORT, FAIL };

/* Counts one call; does not come back where it has to end the process. */
static enum verdict judge(bool writes)
{
    static long at = -1;
    const char *mode = getenv("RB_FAULT_MODE");
    if (at < 0)
        at = getenv("RB_FAULT_AT") ? atol(getenv("RB_FAULT_AT")) : 0;
    calls++;
    if (at == 0 || !mode || calls < at)
        return GO;
    if (strcmp(mode, "short") == 0 && calls == at && writes)
        return SHORT;
    if (calls == at && (strcmp(mode, "kill") == 0 || strcmp(mode, "short") == 0))
        (void)kill(getpid(), SIGKILL);
    bool fails = strcmp(mode, "enospc") == 0 || strcmp(mode, "eio") == 0;
    if (fails && calls < at + 3) {
        errno = strcmp(mode, "eio") == 0 ? EIO : ENOSPC;
        return FAIL;
    }
    return GO;
}

/* POSIX lets a pointer from dlsym become a function's; ISO C does not know it. */
#define REAL(name)          \
    __typeof__(&name) real; \
    *(void **)(&real) = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t len)
{
    REAL(write);
    if (fd <= 2)
        return real(fd, bytes, len);
    switch (judge(true)) {
    case FAIL:
        return -1;
    case SHORT:
        (void)!real(fd, bytes, len / 2);
        (void)kill(getpid(), SIGKILL);
        return -1;
    case GO:
        break;
    }
    return real(fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    REAL(pwrite64);
    switch (judge(true)) {
    case FAIL:
        return -1;
    case SHORT:
        (void)!real(fd, bytes, len / 2, at);
        (void)kill(getpid(), SIGKILL);
        return -1;
    case GO:
        break;
    }
    return real(fd, bytes, len, at);
}

#define SIMPLE(result, name, declared, given)          \
    result name declared                               \
    {                                                  \
        REAL(name);                                    \
        return judge(false) == FAIL ? -1 : real given; \
    }
SIMPLE(int, fsync, (int fd), (fd))
SIMPLE(int, ftruncate64, (int fd, off64_t len), (fd, len))
SIMPLE(int, fchmod, (int fd, mode_t mode), (fd, mode))
SIMPLE(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to))
SIMPLE(int, rename, (const char *from, const char *to), (from, to))
SIMPLE(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
SIMPLE(int, mkdir, (const char *path, mode_t mode), (path, mode))

static bool changes(int flags)
{
    return (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC)) != 0;
}

int openat64(int fd, const char *path, int flags, ...)
{
    REAL(openat64);
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & O_CREAT) ? va_arg(args, unsigned) : 0;
    va_end(args);
    return changes(flags) && judge(false) == FAIL ? -1 : real(fd, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    REAL(open64);
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & O_CREAT) ? va_arg(args, unsigned) : 0;
    va_end(args);
    return changes(flags) && judge(false) == FAIL ? -1 : real(path, flags, mode);
}
