/* The list of accepted findings: read whole, sorted once, looked up by binary search. A line that cannot be understood is an error: an accepted list that is
 * half read would fail a check for findings that people accepted, or worse, hide some. */
#include "runbook/source/accepted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/units.h"
#include "runbook/source/files.h"

enum { FINGERPRINT_DIGITS = 16 };

static int compare(const void *left, const void *right)
{
    return strcmp(((const struct rb_accepted_entry *)left)->key, ((const struct rb_accepted_entry *)right)->key);
}

static int read_open(int fd, const char *path, struct rb_arena *arena, char **out, struct rb_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return rb_error_sys(err, errno, "cannot read %s", path);
    if (!S_ISREG(st.st_mode))
        return rb_error_set(err, RB_EINVAL, "%s is no regular file", path);
    if (st.st_size > RB_ACCEPTED_MAX_BYTES)
        return rb_error_set(err, RB_ELIMIT, "%s is larger than %d bytes", path, RB_ACCEPTED_MAX_BYTES);
    size_t size = (size_t)st.st_size, len = 0;
    char *text = rb_arena_alloc(arena, size + 1);
    if (!text)
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading %s", path);
    while (len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got < 0 && errno != EINTR)
            return rb_error_sys(err, errno, "cannot read %s", path);
        if (got == 0)
            break;
        len += got > 0 ? (size_t)got : 0;
    }
    if (memchr(text, '\0', len))
        return rb_error_set(err, RB_EPARSE, "%s is no text", path);
    *out = text;
    return 0;
}

static bool is_fingerprint(const char *word)
{
    return strlen(word) == FINGERPRINT_DIGITS && strspn(word, "0123456789abcdef") == FINGERPRINT_DIGITS;
}

/* A fingerprint is told by its form, whatever its remark holds. A path may hold blanks and colons: its count is the number behind the last colon of the line, before a remark that begins with " #". */
static bool parse_line(char *line, struct rb_accepted_entry *out)
{
    char *remark = strstr(line, " #");
    if (remark)
        *remark = '\0';
    size_t len = strlen(line);
    while (len > 0 && strchr(" \t\r", line[len - 1]))
        line[--len] = '\0';
    size_t word = strcspn(line, " \t");
    char *colon = strrchr(line, ':');
    int64_t count = 0;
    bool print = word == FINGERPRINT_DIGITS && strspn(line, "0123456789abcdef") >= FINGERPRINT_DIGITS;
    if (!print && colon && rb_int_parse(colon + 1, &count, NULL) == 0 && count > 0 && colon != line) {
        *colon = '\0';
        *out = (struct rb_accepted_entry){.key = strncmp(line, "./", 2) == 0 ? line + 2 : line, .count = (size_t)count};
        return true;
    }
    line[word] = '\0';
    *out = (struct rb_accepted_entry){.key = line};
    return is_fingerprint(line);
}

static int parse(char *text, const char *path, struct rb_arena *arena, struct rb_accepted *out, struct rb_error *err)
{
    size_t lines = 1, number = 0;
    for (const char *at = text; at && *at; at++)
        lines += *at == '\n';
    out->items = rb_arena_array(arena, lines, sizeof(*out->items));
    if (!out->items)
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading %s", path);
    for (char *line = text; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        number++;
        line += strspn(line, " \t\r");
        if (*line && *line != '#' && !parse_line(line, &out->items[out->count++]))
            return rb_error_set(err, RB_EPARSE, "%s:%zu: neither a fingerprint of %d hex digits nor path:count", path, number,
                                FINGERPRINT_DIGITS);
        line = end ? end + 1 : NULL;
    }
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), compare);
    return 0;
}

int rb_accepted_load(const char *root, const char *path, struct rb_arena *arena, struct rb_accepted *out, struct rb_error *err)
{
    struct rb_below below;
    int code = rb_below_init(&below, root, err);
    if (code < 0)
        return code;
    struct rb_accepted loaded = {0};
    char *text = NULL;
    int fd = rb_below_open(&below, path, O_RDONLY | O_NOCTTY);
    if (fd == -ENOENT || fd == -ENOTDIR)
        code = rb_error_set(err, RB_ENOTFOUND, "%s does not exist: create it (it may be empty) or take the option away", path);
    else if (fd < 0)
        code = rb_error_sys(err, -fd, "cannot open %s", path);
    else
        code = read_open(fd, path, arena, &text, err);
    if (fd >= 0)
        close(fd);
    rb_below_fini(&below);
    if (code == 0)
        code = parse(text, path, arena, &loaded, err);
    if (code == 0)
        *out = loaded;
    return code;
}

struct rb_accepted_entry *rb_accepted_find(const struct rb_accepted *accepted, const char *key)
{
    struct rb_accepted_entry wanted = {.key = key};
    return accepted->count ? bsearch(&wanted, accepted->items, accepted->count, sizeof(wanted), compare) : NULL;
}
