/* A full-screen view that is redrawn without flicker and always put back, for `status --watch`. */
#ifndef RUNBOOKD_CLI_SCREEN_H
#define RUNBOOKD_CLI_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "runbook/base/buf.h"

struct rb_screen {
    bool terminal; /* else frames are printed one after the other … */
    bool separate; /* … with a line between */
    bool started;
};

/* Takes over the terminal (alternate screen, no cursor) if stdout is one, and SIGINT, SIGTERM and SIGHUP. `records`: frames are for programs, so nothing but them is
 * printed. */
void rb_screen_init(struct rb_screen *screen, bool records);
/* Shows one frame of escaped lines, cut to the window. */
void rb_screen_draw(struct rb_screen *screen, const struct rb_buf *text);
/* Waits; false when a signal asked to stop. */
bool rb_screen_wait(int64_t ms);
/* Gives the terminal back. */
void rb_screen_fini(struct rb_screen *screen);

#endif
