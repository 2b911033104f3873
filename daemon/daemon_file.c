/* Written once at start, before the loop runs, so that the blocking replace is harmless. */
#include "daemon_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app_internal.h"
#include "runbook/base/log.h"
#include "runbook/base/units.h"
#include "runbook/state/files.h"

#define FILE_NAME "daemon.json"

void rb_daemon_file_write(const struct rb_app *app)
{
    if (app->state.dir[0] == '\0')
        return;
    char started[RB_TIME_TEXT];
    rb_time_rfc3339(started, app->start_wall_ns);
    json_t *listen = json_array();
    struct rb_strings addresses = rb_server_addresses(app->server);
    for (size_t i = 0; i < addresses.count; i++)
        json_array_append_new(listen, json_string(addresses.items[i]));
    json_t *root = json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:o}", "format", "runbookd daemon", "format_version", 1, "pid", (int)getpid(),
                             "version", RB_VERSION, "root", app->plan->daemon.root, "started", started, "listen", listen);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    struct rb_error err = {0};
    if (text != NULL && rb_file_replace(app->state.dir, FILE_NAME, text, strlen(text), 0600, &err) < 0)
        rb_log(RB_LOG_WARNING, "state", "%s", err.message);
    free(text);
    json_decref(root);
}

void rb_daemon_file_remove(const struct rb_app *app)
{
    if (app->state.dir[0] == '\0')
        return;
    char path[RB_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", app->state.dir, FILE_NAME);
    unlink(path);
}
