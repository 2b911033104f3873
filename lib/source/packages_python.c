/* Python: what is installed (*.dist-info, *.egg-info) and what is pinned (requirements files), without Python.
 *
 * Core metadata 2.x is a block of headers (packaging.python.org, "Core metadata specifications"); names compare as PEP 503 says. A name that begins with '~' is what an
 * interrupted pip left behind: pip does not count it, neither do we. */
#include <ctype.h>
#include <string.h>

#include "packages_internal.h"
#include "runbook/platform/platform.h"

enum { HEADER_BYTES = 8 << 20, REQUIREMENTS_BYTES = 4 << 20 };

const char *packages_python_name(struct rb_arena *arena, const char *name, size_t len)
{
    char *out = rb_arena_strndup(arena, name, len);
    size_t at = 0;
    for (size_t i = 0; out && i < len; i++) {
        bool separator = strchr("-_.", name[i]) != NULL;
        if (!separator)
            out[at++] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
        else if (at > 0 && out[at - 1] != '-')
            out[at++] = '-';
    }
    if (out)
        out[at] = '\0';
    return out;
}

static struct packages_text trimmed(const char *text, size_t len)
{
    while (len > 0 && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    return (struct packages_text){text, len};
}

/* The value of a header before the first empty line. */
static struct packages_text header(const char *text, const char *name)
{
    size_t name_len = strlen(name);
    while (*text && *text != '\n' && *text != '\r') {
        size_t len = strcspn(text, "\n");
        if (len > name_len && strncmp(text, name, name_len) == 0 && text[name_len] == ':')
            return trimmed(text + name_len + 1, len - name_len - 1);
        text += len;
        text += *text == '\n';
    }
    return (struct packages_text){"", 0};
}

/* "Some_Name-1.0-py3.11.egg-info" and "some_name-1.0.dist-info": for what has no readable headers. */
static void from_file_name(const char *path, struct packages_text *name, struct packages_text *version)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t len = (size_t)(strrchr(base, '.') - base), dash = strcspn(base, "-");
    *name = (struct packages_text){base, dash < len ? dash : len};
    const char *rest = dash < len ? base + dash + 1 : base + len;
    size_t rest_len = (size_t)(base + len - rest), end = strcspn(rest, "-");
    *version = (struct packages_text){rest, end < rest_len ? end : rest_len};
}

int packages_python_installed(struct packages_reader *reader, const char *origin, const struct rb_found *found, struct rb_error *err)
{
    const char *slash = strrchr(found->path, '/'), *base = slash ? slash + 1 : found->path;
    bool dist = strlen(base) > 10 && strcmp(base + strlen(base) - 10, ".dist-info") == 0;
    bool folder = (found->mode & 0170000u) == 0040000u;
    RB_BUF_AUTO text;
    rb_buf_init(&text, HEADER_BYTES);
    if (base[0] == '~' || base[0] == '.')
        return 0;
    const char *path = !folder ? found->path : rb_arena_printf(reader->arena, "%s/%s", found->path, dist ? "METADATA" : "PKG-INFO");
    if (!path)
        return rb_error_set(err, RB_ENOMEM, "no memory for the list of packages");
    struct rb_error ignored = {0};
    bool readable = packages_file(reader, path, HEADER_BYTES, &text, &ignored) == 0;
    struct packages_text name = header(rb_buf_str(&text), "Name"), version = header(rb_buf_str(&text), "Version");
    if (!readable || name.len == 0)
        from_file_name(found->path, &name, &version);
    const char *normal = packages_python_name(reader->arena, name.text, name.len);
    if (!normal)
        return rb_error_set(err, RB_ENOMEM, "no memory for the list of packages");
    if (!readable)
        reader->out->unreadable++;
    return packages_add(reader, origin, (struct packages_text){normal, strlen(normal)}, version, found->mtime_wall_ns, err);
}

/* ---- requirements files (pip, "Requirements File Format") ---- */

/* One requirement: "name[extra]==1.0; marker --hash=…", "name @ url", "name>=1". The version is what is pinned, else the condition as it is written. */
static int add_requirement(struct packages_reader *reader, const struct rb_found *found, const char *line, size_t len, struct rb_error *err)
{
    size_t name_len = 0;
    while (name_len < len && (isalnum((unsigned char)line[name_len]) || strchr("-_.", line[name_len])))
        name_len++;
    if (name_len == 0 || !isalnum((unsigned char)line[0])) /* "-r other.txt", "./folder": no package by name */
        return 0;
    const char *rest = line + name_len, *end = line + len;
    const char *closing = *rest == '[' && rest < end ? memchr(rest, ']', (size_t)(end - rest)) : NULL;
    rest = closing ? closing + 1 : rest;
    const char *semicolon = memchr(rest, ';', (size_t)(end - rest));
    end = semicolon ? semicolon : end;
    for (const char *option = rest; option + 3 < end; option++)
        if (isspace((unsigned char)option[0]) && option[1] == '-' && option[2] == '-')
            end = option;
    struct packages_text version = trimmed(rest, (size_t)(end - rest));
    bool pinned = version.len > 2 && strncmp(version.text, "==", 2) == 0 && !memchr(version.text, ',', version.len);
    while (pinned && version.len > 0 && *version.text == '=')
        version = (struct packages_text){version.text + 1, version.len - 1};
    version = trimmed(version.text, version.len);
    const char *name = packages_python_name(reader->arena, line, name_len);
    if (!name)
        return rb_error_set(err, RB_ENOMEM, "no memory for the list of packages");
    return packages_add(reader, found->path, (struct packages_text){name, strlen(name)}, version, found->mtime_wall_ns, err);
}

/* Where a comment begins: '#' at the start or after a blank, so that "name @ url#egg=x" stays whole. */
static size_t without_comment(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] == '#' && (i == 0 || isspace((unsigned char)line[i - 1])))
            return i;
    return len;
}

int packages_requirements(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err)
{
    RB_BUF_AUTO text;
    RB_BUF_AUTO logical;
    rb_buf_init(&text, REQUIREMENTS_BYTES);
    rb_buf_init(&logical, REQUIREMENTS_BYTES);
    int rc = packages_file(reader, found->path, REQUIREMENTS_BYTES, &text, err);
    const char *line = rb_buf_str(&text);
    while (rc == 0 && *line) {
        size_t len = strcspn(line, "\n");
        struct packages_text part = trimmed(line, without_comment(line, len));
        bool goes_on = part.len > 0 && part.text[part.len - 1] == '\\';
        rb_buf_add(&logical, part.text, part.len - goes_on);
        line += len;
        line += *line == '\n';
        if (goes_on && *line)
            continue;
        if (logical.len > 0)
            rc = add_requirement(reader, found, rb_buf_str(&logical), logical.len, err);
        rb_buf_reset(&logical);
    }
    return rc;
}
