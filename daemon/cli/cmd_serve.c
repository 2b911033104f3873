/* serve: the daemon. */
#include "cli.h"
#include "runbook/base/log.h"

#define ARG(member) offsetof(struct rb_cli_args, member)

static const struct rb_choice levels[] = {{"error", RB_LOG_ERROR, NULL}, {"warning", RB_LOG_WARNING, NULL}, {"notice", RB_LOG_NOTICE, NULL},
                                          {"info", RB_LOG_INFO, NULL},   {"debug", RB_LOG_DEBUG, NULL},     {NULL, 0, NULL}};

static const struct rb_cli_option options[] = {
    {"listen", 'l', RB_CLI_LIST, ARG(app.listen), "ADDR",
     "Listen here instead of the configuration's addresses: 127.0.0.1:9112, [::1]:9112, unix:/path. May be repeated.", NULL},
    {"discover", 0, RB_CLI_FLAG, ARG(app.discover), NULL, "Plan from where it stands, even when there is a configuration.", NULL},
    {"log-level", 0, RB_CLI_CHOICE, ARG(app.log_level), "LEVEL", "What to log.", levels},
    {NULL}};

static int run(const struct rb_cli *cli)
{
    return rb_app_serve(&cli->args->app);
}

const struct rb_cli_command rb_cli_cmd_serve = {
    .name = "serve",
    .args = "",
    .doc = "Check all the time and answer on HTTP.",
    .details = "Runs in the foreground until SIGTERM or SIGINT; SIGHUP reloads the configuration. Without a configuration it discovers a "
               "plan from the working folder. "
               "Nothing outside the state folder is ever written.",
    .options = options,
    .run = run,
};
