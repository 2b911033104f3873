/* The machine's own packages: dpkg's status file (deb822, dpkg(1)) and Homebrew's Cellar.
 *
 * A package that dpkg left half-way is told with that state: it is exactly what somebody looks for after a failed upgrade. Of several kegs of one formula the one
 * that `opt` links to counts, as for brew itself. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "packages_internal.h"

enum { STATUS_BYTES = 64 << 20, PATH_TEXT = 1024 };

struct stanza {
    struct packages_text package, version, status;
};

static struct packages_text value_of(const char *line, size_t len, size_t skip)
{
    while (skip < len && (line[skip] == ' ' || line[skip] == '\t'))
        skip++;
    while (len > skip && (line[len - 1] == ' ' || line[len - 1] == '\r'))
        len--;
    return (struct packages_text){line + skip, len - skip};
}

static void read_line(struct stanza *stanza, const char *line, size_t len)
{
    if (len > 8 && strncmp(line, "Package:", 8) == 0)
        stanza->package = value_of(line, len, 8);
    else if (len > 8 && strncmp(line, "Version:", 8) == 0)
        stanza->version = value_of(line, len, 8);
    else if (len > 7 && strncmp(line, "Status:", 7) == 0)
        stanza->status = value_of(line, len, 7);
}

/* The third word of "install ok installed"; status.d of distroless images has no such line: what is listed is installed. */
static struct packages_text state_of(const struct stanza *stanza)
{
    struct packages_text state = {"installed", 9};
    for (size_t i = stanza->status.len; i > 0; i--)
        if (stanza->status.text[i - 1] == ' ')
            return (struct packages_text){stanza->status.text + i, stanza->status.len - i};
    return state;
}

static bool is(struct packages_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.text, word, text.len) == 0;
}

static int add_stanza(struct packages_reader *reader, const char *origin, const struct stanza *stanza, int64_t changed,
                      struct rb_error *err)
{
    struct packages_text state = state_of(stanza), version = stanza->version;
    if (stanza->package.len == 0 || is(state, "config-files") || is(state, "not-installed"))
        return 0;
    char text[RB_PACKAGES_MAX_TEXT];
    if (!is(state, "installed")) {
        int len = snprintf(text, sizeof text, "%.*s (%.*s)", (int)(version.len < 200 ? version.len : 200), version.text,
                           (int)(state.len < 40 ? state.len : 40), state.text);
        version = (struct packages_text){text, len > 0 ? (size_t)len : 0};
    }
    return packages_add(reader, origin, stanza->package, version, changed, err);
}

int packages_dpkg(struct packages_reader *reader, const char *origin, const struct rb_found *found, struct rb_error *err)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, STATUS_BYTES);
    int rc = packages_file(reader, found->path, STATUS_BYTES, &text, err);
    const char *line = rb_buf_str(&text);
    struct stanza stanza = {0};
    while (rc == 0 && *line) {
        size_t len = strcspn(line, "\n");
        if (len > 0) {
            read_line(&stanza, line, len);
        } else {
            rc = add_stanza(reader, origin, &stanza, found->mtime_wall_ns, err);
            stanza = (struct stanza){0};
        }
        line += len;
        line += *line == '\n';
    }
    return rc == 0 ? add_stanza(reader, origin, &stanza, found->mtime_wall_ns, err) : rc;
}

/* ---- Homebrew ---- */

/* "1.2.3" of opt/NAME → ../Cellar/NAME/1.2.3; "" when it is not linked. */
static void linked_version(struct packages_reader *reader, const char *cellar, const char *formula, char *out, size_t size)
{
    char path[2 * PATH_TEXT], target[PATH_TEXT];
    const char *root = cellar[0] == '/' ? "" : reader->request->root;
    int prefix = (int)(strrchr(cellar, '/') ? strrchr(cellar, '/') - cellar : 0);
    int len = snprintf(path, sizeof path, "%s%s%.*s/opt/%s", root, cellar[0] == '/' ? "" : "/", prefix, cellar, formula);
    out[0] = '\0';
    ssize_t got = len > 0 && (size_t)len < sizeof path ? readlink(path, target, sizeof target - 1) : -1;
    if (got <= 0)
        return;
    target[got] = '\0';
    const char *slash = strrchr(target, '/'), *version = slash ? slash + 1 : target;
    size_t version_len = strlen(version);
    if (version_len < size)
        memcpy(out, version, version_len + 1);
}

static int add_keg(struct packages_reader *reader, const char *origin, const char *cellar, const struct rb_found *keg, struct rb_error *err)
{
    const char *version = strrchr(keg->path, '/');
    const char *end = version, *formula = end;
    while (formula > keg->path && formula[-1] != '/')
        formula--;
    if (version[1] == '.')
        return 0;
    char name[256], linked[256];
    int len = snprintf(name, sizeof name, "%.*s", (int)(end - formula), formula);
    if (len <= 0 || (size_t)len >= sizeof name)
        return 0;
    linked_version(reader, cellar, name, linked, sizeof linked);
    if (linked[0] && strcmp(linked, version + 1) != 0)
        return 0;
    return packages_add(reader, origin, (struct packages_text){name, (size_t)len}, (struct packages_text){version + 1, strlen(version + 1)},
                        keg->mtime_wall_ns, err);
}

int packages_cellar(struct packages_reader *reader, const char *origin, const char *cellar, struct rb_error *err)
{
    struct rb_found_list kegs = {0};
    int rc = packages_list(reader, cellar, "*/*", &kegs, err);
    for (size_t i = 0; rc == 0 && i < kegs.count; i++)
        if ((kegs.items[i].mode & 0170000u) == 0040000u)
            rc = add_keg(reader, origin, cellar, &kegs.items[i], err);
    return rc;
}
