/* The bounded error value.
 *
 * Invariant: `message` is always terminated and never longer than its array; a caller that passes NULL gets the code
 * and nothing else. No allocation: errors about memory must work without memory. */
#include "runbook/base/error.h"

#include <stdio.h>
#include <string.h>

/* glibc and macOS disagree about what strerror_r returns; this pair of overloads takes either without an OS macro. */
static const char *error_text_gnu(const char *returned, const char *buffer RB_UNUSED)
{
    return returned;
}

static const char *error_text_posix(int returned, const char *buffer)
{
    return returned == 0 ? buffer : "unknown system error";
}

#define ERROR_TEXT(call, buffer) _Generic((call), char * : error_text_gnu, int : error_text_posix)((call), (buffer))

int rb_error_set(struct rb_error *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    err->code = code;
    err->saved_errno = 0;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    return code;
}

int rb_error_sys(struct rb_error *err, int saved_errno, const char *fmt, ...)
{
    if (!err)
        return RB_ESYS;
    char text[128] = "";
    char message[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    const char *reason = ERROR_TEXT(strerror_r(saved_errno, text, sizeof text), text);
    /* The reason is what the operator needs most: keep room for it when the prefix is long. */
    int room = (int)(sizeof err->message - 3 - strnlen(reason, 127));
    (void)snprintf(err->message, sizeof err->message, "%.*s: %.127s", room, message, reason);
    err->code = RB_ESYS;
    err->saved_errno = saved_errno;
    return RB_ESYS;
}

int rb_error_prefix(struct rb_error *err, const char *fmt, ...)
{
    if (!err)
        return RB_EINVAL;
    char prefix[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(prefix, sizeof prefix - 2, fmt, args);
    va_end(args);
    size_t used = written < 0 ? 0 : strnlen(prefix, sizeof prefix - 3);
    prefix[used++] = ':';
    prefix[used++] = ' ';
    size_t room = sizeof err->message - used - 1;
    size_t kept = strnlen(err->message, room);
    memmove(err->message + used, err->message, kept);
    memcpy(err->message, prefix, used);
    err->message[used + kept] = '\0';
    return err->code;
}
