/* The client half of the control socket.
 *
 * What answers is as hostile as any input: bodies are bounded, JSON is parsed strictly, text is escaped by the caller. No proxy, no redirect, no other protocol than
 * HTTP, and a limit on the whole exchange: a stuck daemon must not make `status` stuck. */
#include "client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "runbook/base/text.h"
#include "runbook/state/files.h"

#define TIMEOUT_MS  5000L
#define DEFAULT_URL "http://127.0.0.1:9112"

/* ---- where ---- */

static void set_socket(const char *dir, struct rb_client *out)
{
    struct stat info;
    struct sockaddr_un limit;
    int len = snprintf(out->socket, sizeof out->socket, "%s/control.sock", dir);
    bool usable = len > 0 && (size_t)len < sizeof limit.sun_path && stat(out->socket, &info) == 0 && S_ISSOCK(info.st_mode);
    if (!usable)
        out->socket[0] = '\0';
}

static void set_url(const struct rb_strings *listen, struct rb_client *out)
{
    (void)snprintf(out->url, sizeof out->url, "%s", DEFAULT_URL);
    for (size_t i = 0; i < listen->count; i++) {
        const char *address = listen->items[i];
        if (strncmp(address, "unix:", 5) == 0 && !out->socket[0])
            (void)snprintf(out->socket, sizeof out->socket, "%s", address + 5);
        if (strncmp(address, "unix:", 5) == 0)
            continue;
        /* A wildcard is no address to connect to. */
        const char *port = strrchr(address, ':');
        bool wildcard = strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
        if (wildcard && port)
            (void)snprintf(out->url, sizeof out->url, "http://127.0.0.1%s", port);
        else
            (void)snprintf(out->url, sizeof out->url, "http://%s", address);
        return;
    }
}

/* A configuration that cannot be read must not hide the daemon that still runs on the old one: the root is then where discovery would stand. */
static struct rb_plan *load_somehow(const struct rb_cli *cli, bool *out_broken)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    *out_broken = !loaded || !loaded->plan;
    if (!*out_broken)
        return loaded->plan;
    struct rb_cli_args args = *cli->args;
    args.app.config = NULL;
    args.app.discover = true;
    struct rb_cli inner = {.args = &args, .command = cli->command, .arena = cli->arena};
    loaded = rb_cli_load(&inner);
    return loaded ? loaded->plan : NULL;
}

void rb_client_find(const struct rb_cli *cli, struct rb_client *out)
{
    *out = (struct rb_client){0};
    (void)snprintf(out->url, sizeof out->url, "%s", DEFAULT_URL);
    bool broken;
    struct rb_plan *plan = load_somehow(cli, &broken);
    if (!plan)
        return;
    out->explicit_root = cli->args->app.root || (cli->args->app.config && !broken);
    char dir[4096];
    struct rb_error ignored;
    (void)snprintf(out->root, sizeof out->root, "%s", plan->daemon.root);
    if (rb_app_state_path(plan, dir, sizeof dir, &ignored) == 0)
        set_socket(dir, out);
    set_url(&plan->daemon.listen, out);
    rb_plan_unref(plan);
}

/* ---- the request ---- */

static size_t take_body(char *bytes, size_t size, size_t count, void *buf)
{
    struct rb_buf *body = buf;
    rb_buf_add(body, bytes, size * count);
    return body->failed ? 0 : size * count;
}

static CURL *prepare(const char *unix_socket, const char *url, struct curl_slist *headers, struct rb_buf *body)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return NULL;
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, TIMEOUT_MS / 2);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "runbookd/" RB_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (unix_socket)
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, unix_socket);
    return curl;
}

static int failed(CURLcode code, const char *where, struct rb_error *err)
{
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
        return rb_error_set(err, RB_ENOTFOUND, "nobody listens on %s", where);
    case CURLE_OPERATION_TIMEDOUT:
        return rb_error_set(err, RB_ETIMEOUT, "%s does not answer within %ld s; the daemon may be stuck", where, TIMEOUT_MS / 1000);
    case CURLE_WRITE_ERROR:
        return rb_error_set(err, RB_ELIMIT, "the answer of %s is too large", where);
    default:
        return rb_error_set(err, RB_ESYS, "%s: %s", where, curl_easy_strerror(code));
    }
}

/* One GET; `unix_socket` NULL: over TCP. */
static int get(const char *unix_socket, const char *base, const char *path, const char *accept, struct rb_buf *out_body, long *out_status,
               struct rb_error *err)
{
    char url[512], header[128];
    (void)snprintf(url, sizeof url, "%s%s", base, path);
    (void)snprintf(header, sizeof header, "Accept: %s", accept);
    rb_buf_reset(out_body);
    struct curl_slist *headers = curl_slist_append(NULL, header);
    CURL *curl = headers ? prepare(unix_socket, url, headers, out_body) : NULL;
    int rc = 0;
    if (curl) {
        CURLcode code = curl_easy_perform(curl);
        rc = code == CURLE_OK ? 0 : failed(code, unix_socket ? unix_socket : base, err);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, out_status);
    } else {
        rc = rb_error_set(err, RB_ENOMEM, "out of memory");
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return rc;
}

int rb_client_get(const struct rb_client *client, const char *path, const char *accept, struct rb_buf *out_body, long *out_status,
                  struct rb_error *err)
{
    /* A socket that nobody serves is what a killed daemon leaves behind: another one may still answer on the port. */
    if (client->socket[0]) {
        int rc = get(client->socket, "http://localhost", path, accept, out_body, out_status, err);
        if (rc != RB_ENOTFOUND)
            return rc;
    }
    return get(NULL, client->url, path, accept, out_body, out_status, err);
}

int rb_client_post(const struct rb_client *client, const char *path, const char *json, struct rb_buf *out_body, long *out_status,
                   struct rb_error *err)
{
    char url[512];
    if (!client->socket[0])
        return rb_error_set(err, RB_ENOTFOUND, "no daemon serves this tree");
    (void)snprintf(url, sizeof url, "http://localhost%s", path);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURL *curl = headers ? prepare(client->socket, url, headers, out_body) : NULL;
    int rc = RB_ENOMEM;
    if (curl) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
        (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 4 * TIMEOUT_MS);
        CURLcode code = curl_easy_perform(curl);
        rc = code == CURLE_OK ? 0 : failed(code, client->socket, err);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, out_status);
    } else {
        rc = rb_error_set(err, RB_ENOMEM, "out of memory");
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return rc;
}

int rb_client_get_json(const struct rb_client *client, const char *path, json_t **out, struct rb_error *err)
{
    RB_BUF_AUTO body;
    rb_buf_init(&body, RB_RENDER_MAX);
    long status = 0;
    int rc = rb_client_get(client, path, "application/json", &body, &status, err);
    if (rc < 0)
        return rc;
    json_error_t why;
    json_t *value = json_loadb(rb_buf_str(&body), body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (status == 200 && json_is_object(value)) {
        *out = value;
        return 0;
    }
    const char *detail = json_string_value(json_object_get(value, "detail"));
    rc = rb_error_set(err, RB_EPARSE, "%s answered %s with status %ld%s%s; is it a runbookd?",
                      client->socket[0] ? client->socket : client->url, path, status, detail ? ": " : "", detail ? detail : "");
    json_decref(value);
    return rc;
}

/* ---- for people ---- */

void rb_client_nobody(const struct rb_client *client, struct rb_buf *out)
{
    rb_buf_adds(out, "no daemon answers on ");
    rb_text_escapes(out, client->url);
    if (client->socket[0]) {
        rb_buf_adds(out, " or ");
        rb_text_escapes(out, client->socket);
    }
}

bool rb_client_check_root(const struct rb_client *client, const json_t *status)
{
    const char *root = json_string_value(json_object_get(status, "root"));
    if (!root || !client->root[0] || strcmp(root, client->root) == 0)
        return true;
    if (client->explicit_root)
        rb_cli_error("%s is the daemon of %s, not of %s; start one for this tree: runbookd serve", client->url, root, client->root);
    else
        rb_cli_error("note: no daemon serves %s; this is the one of %s", client->root, root);
    return !client->explicit_root;
}
