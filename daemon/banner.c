/* The first lines of `serve`: where it listens, what it checks, the three worst findings, the line to type. */
#include <stdio.h>
#include <string.h>

#include "app_internal.h"
#include "runbook/base/text.h"

#define WORST 3

static void print_line(struct rb_buf *line)
{
    rb_buf_addc(line, '\n');
    fputs(rb_buf_str(line), stdout);
    fflush(stdout);
    rb_buf_reset(line);
}

/* "127.0.0.1:9112" → "http://127.0.0.1:9112"; unix sockets as they are. */
static void add_address(struct rb_buf *line, const char *address)
{
    if (strncmp(address, "unix:", 5) != 0)
        rb_buf_adds(line, "http://");
    rb_text_escapes(line, address);
}

void rb_app_banner_start(const struct rb_app *app)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, 65536);
    rb_buf_adds(&line, "runbookd " RB_VERSION " serves ");
    struct rb_strings addresses = rb_server_addresses(app->server);
    for (size_t i = 0; i < addresses.count; i++) {
        if (i > 0)
            rb_buf_adds(&line, "  ");
        add_address(&line, addresses.items[i]);
    }
    print_line(&line);
    rb_buf_addf(&line, "  %zu checks from ", app->plan->count);
    rb_text_escapes(&line, app->plan->discovered ? "discovery (write them down: runbookd init)" : app->plan->source);
    rb_buf_adds(&line, ", root ");
    rb_text_escapes(&line, app->plan->daemon.root);
    print_line(&line);
    for (size_t i = 0; i < app->plan->warnings.count; i++) {
        rb_buf_adds(&line, "  warning: ");
        rb_text_escapes(&line, app->plan->warnings.items[i]);
        print_line(&line);
    }
}

/* Greater is worse; 0 is not worth a line. */
static int badness(enum rb_state state)
{
    switch (state) {
    case RB_STATE_FAIL:
        return 4;
    case RB_STATE_STALE:
        return 3;
    case RB_STATE_UNKNOWN:
        return 2;
    case RB_STATE_WARN:
        return 1;
    default:
        return 0;
    }
}

static void print_worst(const struct rb_view *view, struct rb_buf *line)
{
    size_t shown = 0;
    for (int level = 4; level > 0 && shown < WORST; level--) {
        for (size_t i = 0; i < view->snapshot->count && shown < WORST; i++) {
            enum rb_state state = rb_view_state(view, i);
            if (badness(state) != level)
                continue;
            const struct rb_record *record = view->snapshot->records[i];
            rb_buf_addf(line, "  %-8s %-20s  ", rb_state_name(state), record->spec->name);
            RB_BUF_AUTO message;
            rb_buf_init(&message, 16384);
            rb_text_escapes(&message, record->message);
            rb_text_clip(line, rb_buf_str(&message), 100);
            print_line(line);
            shown++;
        }
    }
}

/* The first TCP address, else the first socket in curl's own form. */
static void add_curl_target(struct rb_buf *line, struct rb_strings addresses)
{
    for (size_t i = 0; i < addresses.count; i++) {
        if (strncmp(addresses.items[i], "unix:", 5) == 0)
            continue;
        const char *port = strrchr(addresses.items[i], ':');
        if (strncmp(addresses.items[i], "127.0.0.1:", 10) == 0)
            rb_buf_addf(line, "localhost%s", port);
        else
            rb_text_escapes(line, addresses.items[i]);
        return;
    }
    RB_BUF_AUTO path;
    rb_buf_init(&path, RB_PATH_MAX * 2);
    if (addresses.count == 0 || !rb_text_shell_quote(&path, addresses.items[0] + strlen("unix:")))
        return;
    rb_buf_addf(line, "--unix-socket %s http://localhost", rb_buf_str(&path));
}

void rb_app_banner_results(const struct rb_app *app)
{
    if (app->publish.newest == NULL)
        return;
    struct rb_view view = rb_view_of(app->publish.newest, app->clock);
    struct rb_summary summary = rb_view_summary(&view);
    RB_BUF_AUTO line;
    rb_buf_init(&line, 65536);
    rb_buf_adds(&line, " ");
    for (int state = 0; state < RB_STATE_COUNT; state++)
        if (summary.by_state[state] > 0)
            rb_buf_addf(&line, " %zu %s", summary.by_state[state], rb_state_name((enum rb_state)state));
    rb_buf_addf(&line, "; safety: %s", rb_safety_name(rb_view_safety(&view)));
    print_line(&line);
    print_worst(&view, &line);
    rb_buf_adds(&line, "  ask it: curl -s ");
    add_curl_target(&line, rb_server_addresses(app->server));
    rb_buf_adds(&line, "/triage");
    print_line(&line);
}
