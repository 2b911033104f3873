/* info: what a bug report needs, and nothing secret: no token, no option of a check, no environment. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ares.h>
#include <curl/curl.h>
#include <ev.h>
#include <git2.h>
#include <jansson.h>
#include <libfyaml.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <stdlib.h>
#include <zlib.h>

#include "cli.h"
#include "runbook/base/text.h"

static json_t *libraries(void)
{
    int major = 0, minor = 0, revision = 0;
    (void)git_libgit2_version(&major, &minor, &revision);
    char git[32], ev[32], pcre[64] = "";
    (void)snprintf(git, sizeof git, "%d.%d.%d", major, minor, revision);
    (void)snprintf(ev, sizeof ev, "%d.%d", ev_version_major(), ev_version_minor());
    (void)pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "libcurl", curl_version(), "libmicrohttpd", MHD_get_version(),
                     "libev", ev, "libgit2", git, "libfyaml", fy_library_version(), "jansson", jansson_version_str(), "pcre2", pcre,
                     "c-ares", ares_version(NULL), "openssl", OpenSSL_version(OPENSSL_VERSION), "zlib", zlibVersion());
}

static json_t *platform(struct rb_arena *arena)
{
    const struct rb_platform *host = rb_platform_host();
    struct rb_os_info os = {0};
    struct rb_error err = {0};
    if (host->os_info(arena, &os, &err) < 0)
        return json_pack("{s:s, s:o}", "name", host->name, "error", rb_cli_json_text(err.message));
    return json_pack("{s:s, s:o, s:o, s:o}", "name", host->name, "os", rb_cli_json_text(os.name), "kernel", rb_cli_json_text(os.kernel),
                     "arch", rb_cli_json_text(os.arch));
}

static json_t *build(void)
{
#ifdef __clang__
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    return json_pack("{s:s, s:s, s:i}", "compiler", compiler, "assertions",
#ifdef NDEBUG
                     "off",
#else
                     "on",
#endif
                     "pointer_bits", (int)(sizeof(void *) * 8));
}

static json_t *listen_json(const struct rb_plan *plan)
{
    json_t *listen = json_array();
    for (size_t i = 0; i < plan->daemon.listen.count; i++)
        (void)json_array_append_new(listen, rb_cli_json_text(plan->daemon.listen.items[i]));
    return listen;
}

static json_t *configuration(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    if (!loaded)
        return NULL;
    if (!loaded->plan)
        return json_pack("{s:b, s:I, s:o}", "valid", 0, "errors", (json_int_t)loaded->diags.count, "message",
                         rb_cli_json_text(loaded->diags.count > 0 ? "see: runbookd validate" : loaded->err.message));
    const struct rb_plan *plan = loaded->plan;
    char state[4096];
    struct rb_error ignored;
    bool has_state = rb_app_state_path(plan, state, sizeof state, &ignored) == 0;
    json_t *out = json_pack("{s:b, s:o, s:I, s:I, s:b, s:o, s:o, s:o, s:o}", "valid", 1, "source", rb_cli_json_text(plan->source), "checks",
                            (json_int_t)plan->count, "files", (json_int_t)plan->files.count, "trusted", plan->trusted, "root",
                            rb_cli_json_text(plan->daemon.root), "state_dir", rb_cli_json_text(plan->daemon.state_dir), "state",
                            has_state ? rb_cli_json_text(state) : json_null(), "listen", listen_json(plan));
    rb_plan_unref(loaded->plan);
    return out;
}

/* "  key   value" for each member; arrays in one line. */
static void add_members(struct rb_buf *out, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        rb_buf_addf(out, "  %-14s ", key);
        rb_text_escapes(out, json_is_string(value) ? json_string_value(value) : dumped);
        rb_buf_addc(out, '\n');
        free(dumped);
    }
}

static int print_text(json_t *take_info)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    rb_buf_addf(&text, "runbookd %s\n", RB_VERSION);
    static const char *const sections[] = {"build", "platform", "configuration", "libraries"};
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        rb_buf_addf(&text, "%s\n", sections[i]);
        add_members(&text, json_object_get(take_info, sections[i]));
    }
    json_decref(take_info);
    return rb_cli_write(&text, RB_EXIT_OK);
}

static int run(const struct rb_cli *cli)
{
    json_t *info = json_pack("{s:s, s:o, s:o, s:o*, s:o}", "version", RB_VERSION, "build", build(), "platform", platform(cli->arena),
                             "configuration", configuration(cli), "libraries", libraries());
    if (!info) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    return cli->args->json ? rb_cli_write_json(info, RB_EXIT_OK) : print_text(info);
}

const struct rb_cli_command rb_cli_cmd_info = {
    .name = "info",
    .args = "",
    .doc = "Show versions, platform, configuration and state folder, for bug reports.",
    .details = "Holds no secret: no token, no environment, no option of a check.",
    .run = run,
};
