/* One line per event, written with one write(2).
 *
 * A line is built whole on the stack and in bounded buffers, so lines of several threads never mix (writes of up to PIPE_BUF to a pipe are
 * atomic; to a file O_APPEND is the caller's business) and no lock is held around I/O. The options are the only file-scope state of
 * lib/base: rb_log_init writes them before any other thread exists. A write that fails is dropped: there is nobody left to tell. */
#include "runbook/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runbook/base/buf.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"

#define LINE_MAX_BYTES 4096
#define ELLIPSIS       "\u2026"

static struct rb_log_options sink = {.level = RB_LOG_WARNING, .fd = 2};

void rb_log_init(const struct rb_log_options *options)
{
    sink = *options;
}

/* Appends what fits; a cut never splits a character, and shows. */
static void append_clipped(struct rb_buf *line, const struct rb_buf *text)
{
    const size_t reserved = sizeof ELLIPSIS; /* the mark without its terminator, and the newline */
    size_t room = line->max - line->len - reserved;
    if (text->len <= room) {
        rb_buf_add(line, rb_buf_str(text), text->len);
        return;
    }
    size_t cut = room;
    while (cut > 0 && ((unsigned char)text->data[cut] & 0xc0) == 0x80)
        cut--;
    rb_buf_add(line, text->data, cut);
    rb_buf_adds(line, ELLIPSIS);
}

static void write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        bytes += written;
        len -= (size_t)written;
    }
}

static void write_line(enum rb_log_level level, const char *subsystem, const char *message, size_t message_len)
{
    RB_BUF_AUTO line = {.max = LINE_MAX_BYTES};
    RB_BUF_AUTO masked = {.max = 4 * LINE_MAX_BYTES};
    RB_BUF_AUTO escaped = {.max = 64 * LINE_MAX_BYTES};
    (void)rb_redact(&masked, message, message_len);
    if (masked.failed)
        return;
    rb_text_escape(&escaped, rb_buf_str(&masked), masked.len);
    if (sink.journal_prefix)
        rb_buf_addf(&line, "<%d>", (int)level);
    if (sink.timestamps && sink.clock) {
        char now[RB_TIME_TEXT];
        rb_buf_addf(&line, "%s ", rb_time_rfc3339_ms(now, rb_wall_ns(sink.clock)));
    }
    rb_buf_addf(&line, "%.32s: ", subsystem);
    append_clipped(&line, &escaped);
    rb_buf_addc(&line, '\n');
    if (!line.failed)
        write_all(sink.fd, rb_buf_str(&line), line.len);
}

void rb_log(enum rb_log_level level, const char *subsystem, const char *fmt, ...)
{
    if (level > sink.level)
        return;
    int saved = errno;
    char message[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (len > 0) {
        size_t used = (size_t)len < sizeof message ? (size_t)len : sizeof message - 1;
        write_line(level, subsystem, message, used);
    }
    errno = saved;
}

int rb_log_level_parse(const char *name, enum rb_log_level *out_level)
{
    static const struct {
        const char *name;
        enum rb_log_level level;
    } levels[] = {
        {"error", RB_LOG_ERROR}, {"warning", RB_LOG_WARNING}, {"notice", RB_LOG_NOTICE}, {"info", RB_LOG_INFO}, {"debug", RB_LOG_DEBUG},
    };
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(name, levels[i].name) == 0) {
            *out_level = levels[i].level;
            return RB_OK;
        }
    }
    return RB_EINVAL;
}
