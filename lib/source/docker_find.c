/* Where the Docker engine listens.
 *
 * The order is that of the docker program (cli/command/cli.go, resolveContextName): DOCKER_HOST, DOCKER_CONTEXT, currentContext of config.json, default. For the
 * default the program has one path, people have many engines: rootless, Docker Desktop, OrbStack, Colima, Rancher Desktop. The first socket that this user
 * may write to wins, so that a leftover of another installation does not hide the engine that runs.
 *
 * Home comes from the password database: launchd and systemd start without $HOME. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/digest.h"
#include "runbook/platform/platform.h"
#include "runbook/source/docker.h"

#define MAX_CONFIG_BYTES (1u << 20)
#define PATH_BYTES       4096

/* '~' is the home folder, '$' the runtime folder of this user. */
static const char *const places[] = {"/var/run/docker.sock",
                                     "$/docker.sock",
                                     "~/.docker/run/docker.sock",
                                     "~/.docker/desktop/docker.sock",
                                     "~/.orbstack/run/docker.sock",
                                     "~/.colima/default/docker.sock",
                                     "~/.colima/docker.sock",
                                     "~/.rd/docker.sock",
                                     "~/.lima/docker/sock/docker.sock",
                                     "~/Library/Containers/com.docker.docker/Data/docker.raw.sock"};

struct finder {
    const struct rb_docker_search *search;
    struct rb_docker_endpoint *out;
    char home[PATH_BYTES];
};

static const char *variable(const struct finder *finder, const char *name)
{
    const char *value = finder->search->getenv ? finder->search->getenv(finder->search->ctx, name) : getenv(name);
    return value && *value ? value : NULL;
}

static void set_origin(struct finder *finder, const char *kind, const char *name)
{
    (void)snprintf(finder->out->origin, sizeof finder->out->origin, "%s%.64s", kind, name);
}

static void fail(struct finder *finder, enum rb_docker_found found, const char *what, const char *detail)
{
    finder->out->found = found;
    (void)snprintf(finder->out->problem, sizeof finder->out->problem, "%.100s%.150s", what, detail);
}

static bool take_socket(struct finder *finder, const char *path)
{
    if (path[0] != '/' || strlen(path) >= sizeof finder->out->unix_socket) {
        fail(finder, RB_DOCKER_UNSUPPORTED,
             path[0] != '/' ? "the socket's path is not absolute: " : "the socket's path is too long: ", path);
        return false;
    }
    memcpy(finder->out->unix_socket, path, strlen(path) + 1);
    (void)snprintf(finder->out->url, sizeof finder->out->url, "http://docker");
    finder->out->found = RB_DOCKER_FOUND;
    return true;
}

/* Plain HTTP is spoken with this machine only: what travels holds environments and logs. */
static void take_tcp(struct finder *finder, const char *address)
{
    static const char *const hosts[] = {"127.0.0.1:", "localhost:", "[::1]:"};
    size_t len = strcspn(address, "/");
    bool local = false;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        local = local || strncmp(address, hosts[i], strlen(hosts[i])) == 0;
    if (!local || variable(finder, "DOCKER_TLS_VERIFY") || len + sizeof "http://" > sizeof finder->out->url) {
        fail(finder, RB_DOCKER_UNSUPPORTED, "runbookd asks engines over a unix socket or plain loopback only, not tcp://", address);
        return;
    }
    (void)snprintf(finder->out->url, sizeof finder->out->url, "http://%.*s", (int)len, address);
    finder->out->found = RB_DOCKER_FOUND;
}

static void take_host(struct finder *finder, const char *host)
{
    if (strncmp(host, "unix://", 7) == 0)
        (void)take_socket(finder, host + 7);
    else if (strncmp(host, "tcp://", 6) == 0)
        take_tcp(finder, host + 6);
    else if (strncmp(host, "http://", 7) == 0)
        take_tcp(finder, host + 7);
    else
        fail(finder, RB_DOCKER_UNSUPPORTED, "runbookd asks engines over a unix socket only; set `socket:`; not ", host);
}

/* ---- context ---- */

static json_t *load(const char *path, bool *out_missing)
{
    RB_BUF_AUTO text;
    struct rb_error err = {0};
    json_error_t where;
    rb_buf_init(&text, MAX_CONFIG_BYTES);
    int rc = rb_file_read(path, MAX_CONFIG_BYTES, false, &text, &err);
    *out_missing = rc < 0 && (err.saved_errno == ENOENT || err.saved_errno == ENOTDIR || rc == RB_ENOTFOUND);
    return rc < 0 ? NULL : json_loadb(rb_buf_str(&text), text.len, JSON_REJECT_DUPLICATES, &where);
}

static bool config_folder(const struct finder *finder, char *out, size_t size)
{
    const char *named = variable(finder, "DOCKER_CONFIG");
    int len = named ? snprintf(out, size, "%s", named) : snprintf(out, size, "%s/.docker", finder->home);
    return len > 0 && (size_t)len < size - 128 && (named || finder->home[0]);
}

/* The context that is in use, in `out`; false: the default one. */
static bool context_name(struct finder *finder, const char *folder, char *out, size_t size)
{
    char path[PATH_BYTES];
    bool missing;
    const char *named = variable(finder, "DOCKER_CONTEXT");
    if (named) {
        (void)snprintf(out, size, "%s", named);
    } else {
        (void)snprintf(path, sizeof path, "%.3900s/config.json", folder);
        json_t *config = load(path, &missing);
        const char *current = json_string_value(json_object_get(config, "currentContext"));
        (void)snprintf(out, size, "%s", current ? current : "");
        json_decref(config);
    }
    return out[0] && strcmp(out, "default") != 0;
}

/* A context's file is named by the digest of its name (cli/context/store). */
static void take_context(struct finder *finder, const char *folder, const char *name)
{
    char path[PATH_BYTES], digest[RB_SHA256_HEX];
    bool missing;
    rb_sha256_of(name, strlen(name), digest);
    (void)snprintf(path, sizeof path, "%.3900s/contexts/meta/%s/meta.json", folder, digest);
    set_origin(finder, "context ", name);
    json_t *meta = load(path, &missing);
    const json_t *docker = json_object_get(json_object_get(meta, "Endpoints"), "docker");
    const char *host = json_string_value(json_object_get(docker, "Host"));
    if (host)
        take_host(finder, host);
    else
        fail(finder, RB_DOCKER_BAD_CONTEXT,
             missing ? "the Docker context in use does not exist: " : "the Docker context in use cannot be read: ", name);
    json_decref(meta);
}

/* ---- the usual places ---- */

static bool expand_place(const struct finder *finder, const char *place, char *out, size_t size)
{
    const char *runtime = variable(finder, "XDG_RUNTIME_DIR");
    const char *prefix = finder->search->system_prefix ? finder->search->system_prefix : "";
    int len;
    if (place[0] == '~')
        len = finder->home[0] ? snprintf(out, size, "%s%s", finder->home, place + 1) : -1;
    else if (place[0] == '$' && runtime)
        len = snprintf(out, size, "%s%s", runtime, place + 1);
    else if (place[0] == '$')
        len = snprintf(out, size, "%s/run/user/%lu%s", prefix, (unsigned long)getuid(), place + 1);
    else
        len = snprintf(out, size, "%s%s", prefix, place);
    return len > 0 && (size_t)len < size;
}

static void take_usual(struct finder *finder)
{
    char path[PATH_BYTES], first[RB_DOCKER_SOCKET_MAX] = "";
    struct stat st;
    set_origin(finder, "default", "");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (!expand_place(finder, places[i], path, sizeof path) || strlen(path) >= sizeof first)
            continue;
        bool there = stat(path, &st) == 0 ? S_ISSOCK(st.st_mode) : errno == EACCES;
        if (there && access(path, W_OK) == 0) {
            (void)take_socket(finder, path);
            return;
        }
        if (there && !first[0])
            memcpy(first, path, strlen(path) + 1);
    }
    if (first[0]) {
        (void)take_socket(finder, first);
        return;
    }
    if (expand_place(finder, places[0], path, sizeof path))
        (void)take_socket(finder, path);
    fail(finder, RB_DOCKER_NO_SOCKET, "no Docker socket at ",
         "/var/run/docker.sock or any other usual place; is Docker installed? `socket:` names another");
}

void rb_docker_find(const struct rb_docker_search *search, struct rb_docker_endpoint *out)
{
    struct finder finder = {.search = search, .out = out};
    struct rb_error ignored;
    struct stat st;
    char folder[PATH_BYTES], name[256];
    memset(out, 0, sizeof *out);
    out->host_paths_are_ours = stat("/host_mnt", &st) == 0;
    if (search->home)
        (void)snprintf(finder.home, sizeof finder.home, "%s", search->home);
    else if (rb_home_dir(finder.home, sizeof finder.home, &ignored) < 0)
        finder.home[0] = '\0';
    const char *host = variable(&finder, "DOCKER_HOST");
    if (search->socket) {
        set_origin(&finder, "option socket", "");
        if (strstr(search->socket, "://"))
            take_host(&finder, search->socket);
        else
            (void)take_socket(&finder, search->socket);
    } else if (host) {
        set_origin(&finder, "DOCKER_HOST", "");
        take_host(&finder, host);
    } else if (config_folder(&finder, folder, sizeof folder) && context_name(&finder, folder, name, sizeof name)) {
        take_context(&finder, folder, name);
    } else {
        take_usual(&finder);
    }
}
