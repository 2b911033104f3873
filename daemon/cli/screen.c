/* The screen of `status --watch`.
 *
 * One write per frame, from the top left corner, each line cleared behind its text: the terminal never shows a half-cleared picture. The stop flag is the one
 * file-scope variable here: a signal handler has no other way to say something. */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runbook/base/text.h"

#define FRAME_MAX ((size_t)1 << 20)

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t done = write(STDOUT_FILENO, bytes, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            stop = 1;
            return;
        }
        bytes += done;
        len -= (size_t)done;
    }
}

void rb_screen_init(struct rb_screen *screen, bool records)
{
    *screen = (struct rb_screen){.terminal = !records && isatty(STDOUT_FILENO) == 1, .separate = !records};
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    static const char enter[] = "\033[?1049h\033[?25l\033[2J";
    if (screen->terminal)
        write_all(enter, sizeof enter - 1);
}

/* Bytes of `line` that fill at most `columns`; our own colour sequences (ESC [ … m) take none. */
static size_t fitting(const char *line, size_t len, size_t columns)
{
    size_t i = 0, used = 0;
    while (i < len) {
        if (line[i] == '\033') {
            while (i < len && line[i] != 'm')
                i++;
            i += i < len;
            continue;
        }
        size_t step = 1;
        while (i + step < len && ((unsigned char)line[i + step] & 0xC0) == 0x80)
            step++;
        used += rb_text_columns(line + i, step);
        if (used > columns)
            break;
        i += step;
    }
    return i;
}

static void add_frame(struct rb_buf *frame, const struct rb_buf *text, size_t rows, size_t columns)
{
    const char *at = rb_buf_str(text), *end = at + text->len;
    for (size_t row = 0; row < rows && at < end; row++) {
        size_t len = (size_t)(end - at);
        const char *newline = memchr(at, '\n', len);
        size_t line = newline ? (size_t)(newline - at) : len;
        rb_buf_add(frame, at, fitting(at, line, columns));
        rb_buf_adds(frame, row + 1 < rows ? "\033[0m\033[K\n" : "\033[0m\033[K");
        at += line + (newline ? 1 : 0);
    }
}

static void draw_plain(struct rb_screen *screen, const struct rb_buf *text)
{
    if (screen->started && screen->separate)
        write_all("----\n", 5);
    write_all(rb_buf_str(text), text->len);
    screen->started = true;
}

void rb_screen_draw(struct rb_screen *screen, const struct rb_buf *text)
{
    if (!screen->terminal) {
        draw_plain(screen, text);
        return;
    }
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    RB_BUF_AUTO frame;
    rb_buf_init(&frame, FRAME_MAX);
    rb_buf_adds(&frame, "\033[H");
    add_frame(&frame, text, size.ws_row, size.ws_col);
    rb_buf_adds(&frame, "\033[J");
    if (!frame.failed)
        write_all(rb_buf_str(&frame), frame.len);
    screen->started = true;
}

bool rb_screen_wait(int64_t ms)
{
    /* poll() without descriptors is a sleep that a signal ends; a stop that came just before is seen within a tenth of a second. */
    while (!stop && ms > 0) {
        int step = ms < 100 ? (int)ms : 100;
        if (poll(NULL, 0, step) < 0 && errno != EINTR)
            return false;
        ms -= step;
    }
    return !stop;
}

void rb_screen_fini(struct rb_screen *screen)
{
    static const char leave[] = "\033[?25h\033[?1049l";
    if (screen->terminal)
        write_all(leave, sizeof leave - 1);
    screen->terminal = false;
}
