/* One spelling for each port and file, and the words of a line that may name one.
 *
 * A port of this machine has many names (localhost, 127.0.0.1, ::1, 0.0.0.0, host.docker.internal); all become "port N", because for a diagnosis they are the same listener. What stays
 * unresolved is left alone: a wrong edge costs more than a missing one. */
#include "places.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 512u

unsigned rb_place_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon ? colon + 1 : text;
    char *end;
    if (*digits < '0' || *digits > '9')
        return 0;
    unsigned long port = strtoul(digits, &end, 10);
    return *end == '\0' && port <= 65535 ? (unsigned)port : 0;
}

static bool is_name(const char *text, size_t len, const char *name)
{
    return strlen(name) == len && strncmp(text, name, len) == 0;
}

bool rb_place_is_local(const char *text, const char *host)
{
    static const char *const names[] = {
        "localhost", "[::1]", "::1", "[::]", "::", "0.0.0.0", "*", "host.docker.internal", "gateway.docker.internal", ""};
    const char *colon = strrchr(text, ':');
    size_t len = colon && rb_place_port(text) != 0 ? (size_t)(colon - text) : strlen(text);
    if (strncmp(text, "127.", 4) == 0 || (host && is_name(text, len, host)))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_name(text, len, names[i]))
            return true;
    }
    return false;
}

const char *rb_place_of_port(struct rb_arena *arena, const char *text, const char *host)
{
    unsigned port = rb_place_port(text);
    if (port == 0)
        return NULL;
    if (strchr(text, ':') == NULL || rb_place_is_local(text, host))
        return rb_arena_printf(arena, "port %u", port);
    return rb_arena_printf(arena, "port %s", text);
}

/* Copies `path` behind `out` without empty and "." parts; false at "..". */
static bool add_parts(char *out, size_t *len, const char *path)
{
    while (*path) {
        size_t part = strcspn(path, "/");
        if (part == 2 && strncmp(path, "..", 2) == 0)
            return false;
        if (part > 0 && !(part == 1 && *path == '.')) {
            out[(*len)++] = '/';
            memcpy(out + *len, path, part);
            *len += part;
        }
        path += part + (path[part] == '/');
    }
    return true;
}

const char *rb_place_of_file(struct rb_arena *arena, const char *path, const char *base)
{
    size_t base_len = path[0] != '/' && base ? strlen(base) : 0;
    if (path[0] == '\0' || (path[0] != '/' && base_len == 0))
        return NULL;
    char *out = rb_arena_alloc(arena, base_len + strlen(path) + 4);
    size_t len = 0;
    if (!out || (base_len && !add_parts(out, &len, base)) || !add_parts(out, &len, path))
        return NULL;
    if (len == 0)
        out[len++] = '/';
    out[len] = '\0';
    return out;
}

bool rb_place_is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len > 0 && folder[len - 1] == '/')
        len--;
    return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

const char *rb_place_shown(const char *path, const char *root)
{
    if (!root || !rb_place_is_below(path, root) || strlen(path) <= strlen(root) + 1)
        return path;
    return path + strlen(root) + 1;
}

/* "config/a.toml:3:5" names the file; "db:5432" a port; "api.example:443" may be either. */
static void classify(struct rb_arena *arena, char *text, struct rb_token *out)
{
    /* "unix:/run/x.sock", "unix:///run/x.sock", "file:///etc/x" */
    if (strncmp(text, "unix:/", 6) == 0 || strncmp(text, "file:/", 6) == 0) {
        text += 5;
        text += strspn(text, "/") - 1;
    }
    char *scheme = strstr(text, "://");
    bool url = scheme != NULL;
    if (url) {
        text = scheme + 3;
        char *credentials = strchr(text, '@');
        text = credentials ? credentials + 1 : text;
        text[strcspn(text, "/?#")] = '\0';
    }
    char *colon = strchr(text, ':');
    bool slash_first = strchr(text, '/') && (!colon || strchr(text, '/') < colon);
    bool number = colon && strspn(text, "0123456789.") == (size_t)(colon - text); /* 127.0.0.1:80 */
    bool dotted_name = !url && !number && colon && !strchr(text, '/') && strchr(text, '.') && strchr(text, '.') < colon &&
                       rb_place_port(text) < 1024;
    if (slash_first || dotted_name) {
        const char *address = dotted_name && rb_place_port(text) != 0 ? rb_arena_strndup(arena, text, strlen(text)) : NULL;
        if (colon)
            *colon = '\0';
        *out = (struct rb_token){.text = text, .address = address, .is_path = true};
        return;
    }
    bool port = colon && rb_place_port(text) != 0;
    *out = (struct rb_token){.text = text, .address = port ? text : NULL, .is_path = !colon && !url && strchr(text, '.') != NULL};
    if (port || (url && !colon))
        out->host = rb_arena_strndup(arena, text, colon ? (size_t)(colon - text) : strlen(text));
}

bool rb_tokens_next(struct rb_tokens *tokens, struct rb_token *out)
{
    static const char between[] = " \t\r\n\"'`()<>{},;|=\\";
    for (;;) {
        tokens->rest += strspn(tokens->rest, between);
        size_t len = strcspn(tokens->rest, between);
        if (len == 0)
            return false;
        const char *start = tokens->rest;
        tokens->rest += len;
        while (len > 0 && strchr(".:!?", start[len - 1]))
            len--;
        if (len < 2 || len > TOKEN_MAX)
            continue;
        char *copy = rb_arena_strndup(tokens->arena, start, len);
        if (!copy)
            return false;
        classify(tokens->arena, copy, out);
        return true;
    }
}
