/* Reading a metrics page: Prometheus' text format 0.0.4 and OpenMetrics 1.0 (prometheus.io/docs/instrumenting/exposition_formats), with quoted UTF-8 names.
 *
 * Only what a probe needs: which families a page has and that all of it is such a page. An error page that mentions a metric's name is none. */
#ifndef RUNBOOK_CHECK_EXPOSITION_H
#define RUNBOOK_CHECK_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

/* A reader over borrowed text. Zeroed by rb_exposition_init; fields may be read at any time. */
struct rb_exposition {
    const char *at, *end;
    size_t line;    /* number of the last line that was read, from 1 */
    size_t samples; /* read so far */
    bool failed;    /* `line` is no line of a metrics page; nothing follows */
};

void rb_exposition_init(struct rb_exposition *page, const char *text, size_t len);
/* The next name: of a sample, or of a family that a TYPE line declares (one without samples yet is a family too). False at the end or when the page failed. Names
 * repeat. `*out_name` is borrowed from the text and not terminated. Any thread. */
bool rb_exposition_next(struct rb_exposition *page, const char **out_name, size_t *out_len);

#endif
