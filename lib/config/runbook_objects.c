/* What a command is about: the addresses, paths, patterns, variables and projects among its words. Text in, text out; nothing is looked up. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook_internal.h"

static void add_object(struct rb_objects *out, const char *object)
{
    if (object == NULL || object[0] == '\0')
        return;
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->items[i], object) == 0)
            return;
    if (out->count < RB_OBJECTS_MAX)
        out->items[out->count++] = object;
}

static bool has_variable(const char *word)
{
    return strpbrk(word, "$`") != NULL;
}

/* ---- addresses ---- */

static bool is_here(const char *host, size_t len)
{
    static const char *const names[] = {"localhost", "::1", "[::1]", "0.0.0.0", "::", "[::]", "host.docker.internal", "*"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == len && memcmp(names[i], host, len) == 0)
            return true;
    return len > 4 && memcmp(host, "127.", 4) == 0;
}

static unsigned port_of(const char *text, size_t len)
{
    unsigned port = 0;
    for (size_t i = 0; i < len && isdigit((unsigned char)text[i]) && port < 100000; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    return len > 0 && len <= 5 && strspn(text, "0123456789") >= len && port < 65536 ? port : 0;
}

bool rb_endpoint_parse(const char *text, struct rb_arena *arena, const char **out)
{
    const char *scheme = strstr(text, "://"), *host = scheme != NULL ? scheme + 3 : text;
    size_t len = strcspn(host, "/?#");
    const char *at = memchr(host, '@', len);
    if (at != NULL) {
        len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    size_t host_len = len;
    unsigned port = scheme == NULL ? 0 : strncmp(text, "https", 5) == 0 ? 443 : 80;
    for (size_t i = len; i-- > 0 && host[i] != ']';) {
        if (host[i] != ':')
            continue;
        port = port_of(host + i + 1, len - i - 1);
        host_len = i;
        break;
    }
    if (host_len == 0 || host_len > 255 || port == 0 || (scheme == NULL && memchr(host, '=', host_len) != NULL))
        return false;
    bool here = is_here(host, host_len);
    *out = rb_arena_printf(arena, "%.*s:%u", here ? 9 : (int)host_len, here ? "localhost" : host, port);
    return *out != NULL;
}

/* Port numbers behind colons anywhere in the text, ":9110", ":(3000|8000)", "-iTCP:9110": of a list of listeners and its filter. */
static void add_ports(const char *text, struct rb_arena *arena, struct rb_objects *out)
{
    for (const char *at = strchr(text, ':'); at != NULL; at = strchr(at, ':')) {
        at++;
        at += *at == '(';
        for (bool again = true; again;) {
            size_t digits = strspn(at, "0123456789");
            unsigned port = port_of(at, digits);
            if (port > 0 && digits > 1)
                add_object(out, rb_arena_printf(arena, ":%u", port));
            at += digits;
            again = digits > 0 && (*at == '|' || *at == ',');
            at += again;
        }
    }
}

static void add_host_and_port(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    const char *host = NULL;
    for (size_t i = 1; i < command->word_count; i++) {
        const char *word = command->words[i];
        unsigned port = port_of(word, strlen(word));
        if (port > 0 && host != NULL)
            add_object(out, rb_arena_printf(arena, "%s:%u", is_here(host, strlen(host)) ? "localhost" : host, port));
        if (word[0] != '-')
            host = word;
    }
}

/* Clients that take host and port as options; without them they ask this machine's usual port. */
static bool add_client(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    static const struct {
        const char *program, *port_options;
        const char *port;
    } clients[] = {{"pg_isready", "-p --port", "5432"}, {"psql", "-p --port", "5432"},  {"redis-cli", "-p", "6379"},
                   {"mysqladmin", "-P --port", "3306"}, {"mysql", "-P --port", "3306"}, {"mongosh", "--port", "27017"}};
    for (size_t c = 0; c < sizeof clients / sizeof clients[0]; c++) {
        if (strcmp(command->words[0], clients[c].program) != 0)
            continue;
        const char *host = "localhost", *port = clients[c].port;
        for (size_t i = 1; i + 1 < command->word_count; i++) {
            host = rb_word_listed(command->words[i], "-h --host") ? command->words[i + 1] : host;
            port = rb_word_listed(command->words[i], clients[c].port_options) ? command->words[i + 1] : port;
        }
        if (has_variable(host) || port_of(port, strlen(port)) == 0)
            out->unclear = true;
        else
            add_object(out, rb_arena_printf(arena, "%s:%s", is_here(host, strlen(host)) ? "localhost" : host, port));
        return true;
    }
    return false;
}

void rb_objects_endpoints(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    static const char *const with_value[] = {"-H",       "-d",        "-o",     "-X",         "-u",         "-A",
                                             "-e",       "-m",        "-w",     "--header",   "--data",     "--data-raw",
                                             "--output", "--request", "--user", "--max-time", "--write-out"};
    const char *program = command->words[0], *object;
    if (strcmp(program, "nc") == 0 || strcmp(program, "ncat") == 0 || strcmp(program, "telnet") == 0) {
        add_host_and_port(command, arena, out);
        return;
    }
    if (add_client(command, arena, out))
        return;
    if (strcmp(program, "lsof") == 0 || strcmp(program, "ss") == 0 || strcmp(program, "netstat") == 0 || strcmp(program, "fuser") == 0) {
        add_ports(command->text, arena, out);
        return;
    }
    for (size_t i = 1; i < command->word_count; i++) {
        const char *word = command->words[i];
        bool value = false;
        for (size_t k = 0; k < sizeof with_value / sizeof with_value[0]; k++)
            value = value || strcmp(command->words[i - 1], with_value[k]) == 0;
        if (word[0] == '-' || value)
            continue;
        const char *bare = strchr(word, ':') == NULL && strchr(word, '.') != NULL ? rb_arena_printf(arena, "http://%s", word) : word;
        if (bare != NULL && !has_variable(word) && rb_endpoint_parse(bare, arena, &object))
            add_object(out, object);
        else if (has_variable(word))
            out->unclear = true;
    }
}

/* ---- paths ---- */

const char *rb_path_in_tree(const char *path, const char *cwd, struct rb_arena *arena)
{
    if (path[0] == '/' || path[0] == '~' || has_variable(path) || cwd == NULL)
        return "";
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (strncmp(path, "../", 3) == 0 || strstr(path, "/../") != NULL)
        return "";
    return cwd[0] != '\0' ? rb_arena_printf(arena, "%s/%.*s", cwd, (int)len, path) : rb_arena_strndup(arena, path, len);
}

static void add_path(const struct rb_runbook_command *command, const char *path, struct rb_arena *arena, struct rb_objects *out)
{
    const char *in_tree = rb_path_in_tree(path, command->cwd, arena);
    if (in_tree == NULL)
        return;
    if (in_tree[0] == '\0' || strcmp(in_tree, ".") == 0)
        out->unclear = out->unclear || in_tree[0] == '\0';
    else
        add_object(out, in_tree);
}

/* find DIR… -name PATTERN…: the patterns below the folders. */
static void add_found_paths(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    const char *dir = command->word_count > 1 && command->words[1][0] != '-' ? command->words[1] : ".";
    bool root = strcmp(dir, ".") == 0 || strcmp(dir, "./") == 0;
    for (size_t i = 1; i + 1 < command->word_count; i++) {
        const char *option = command->words[i], *pattern = command->words[i + 1];
        if (strcmp(option, "-name") != 0 && strcmp(option, "-iname") != 0 && strcmp(option, "-path") != 0)
            continue;
        const char *glob = rb_arena_printf(arena, "%s%s**/%s", root ? "" : dir, root ? "" : "/", pattern);
        if (glob != NULL)
            add_path(command, glob, arena, out);
    }
    if (out->count == 0 && !root)
        add_path(command, dir, arena, out);
}

/* Of a test only the files: [ "$a" = b ] is about no path. */
static void add_tested_paths(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    for (size_t i = 1; i + 1 < command->word_count; i++)
        if (rb_word_listed(command->words[i], "-e -f -d -x -s -r -w -L -h -p -S -O -G -b -c"))
            add_path(command, command->words[i + 1], arena, out);
}

void rb_objects_paths(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    if (rb_word_listed(command->words[0], "test [ [[")) {
        add_tested_paths(command, arena, out);
        return;
    }
    if (strcmp(command->words[0], "find") == 0) {
        add_found_paths(command, arena, out);
        return;
    }
    for (size_t i = 1; i < command->word_count; i++) {
        const char *word = command->words[i];
        bool number = word[strspn(word, "0123456789")] == '\0';
        if (word[0] == '-' || number)
            continue;
        add_path(command, word, arena, out);
    }
}

/* ---- the rest ---- */

static const char *first_operand(const struct rb_runbook_command *command)
{
    const char *found = NULL;
    for (size_t i = 1; i < command->word_count; i++) {
        const char *word = command->words[i];
        if ((strcmp(word, "-e") == 0 || strcmp(word, "--regexp") == 0) && i + 1 < command->word_count)
            return command->words[i + 1];
        if (word[0] != '-' && found == NULL)
            found = word;
    }
    return found;
}

/* The words of five letters or more in the pattern of a search. */
void rb_objects_pattern(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    const char *pattern = first_operand(command);
    for (const char *at = pattern; at != NULL && *at != '\0';) {
        size_t len = 0;
        while (isalnum((unsigned char)at[len]) || at[len] == '_')
            len++;
        if (len >= 5)
            add_object(out, rb_arena_strndup(arena, at, len));
        at += len + (at[len] != '\0');
    }
}

/* export A=b C=d; printenv A; unset A. */
void rb_objects_variables(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    for (size_t i = 1; i < command->word_count; i++)
        if (command->words[i][0] != '-')
            add_object(out, rb_arena_strndup(arena, command->words[i], strcspn(command->words[i], "=")));
}

void rb_objects_project(const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    for (size_t i = 1; i + 1 < command->word_count; i++) {
        const char *word = command->words[i];
        if (strcmp(word, "-p") == 0 || strcmp(word, "--project-name") == 0)
            add_object(out, command->words[i + 1]);
        if (strncmp(word, "--project-name=", 15) == 0)
            add_object(out, rb_arena_strdup(arena, word + 15));
    }
}
