/* Fields of lines: split and unquoted in place, so that a baseline of thousands of facts costs one copy and no allocation a field. */
#include "lines.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/units.h"
#include "value.h"

size_t line_split(char *line, char *fields[LINE_MAX_FIELDS])
{
    size_t count = 0;
    for (char *at = line; at;) {
        if (count == LINE_MAX_FIELDS)
            return 0;
        fields[count++] = at;
        at = strchr(at, '\t');
        if (at)
            *at++ = '\0';
    }
    return count;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character of an escape after the backslash; moves `*at` behind it. 0 when it is none of ours. */
static char unescape(const char **at)
{
    const char *from = *at;
    if (from[0] == '"' || from[0] == '\\') {
        *at += 1;
        return from[0];
    }
    if (from[0] != 'u' || from[1] != '0' || from[2] != '0')
        return 0;
    int high = hex_digit(from[3]), low = high < 0 ? -1 : hex_digit(from[4]);
    if (low < 0 || high > 7)
        return 0;
    *at += 5;
    return (char)(high * 16 + low);
}

char *line_unquote(char *field)
{
    if (field[0] != '"')
        return NULL;
    char *to = field, *quote = strchr(field + 1, '"');
    if (quote && quote[1] == '\0' && !memchr(field, '\\', (size_t)(quote - field))) {
        *quote = '\0'; /* the usual one has nothing to undo */
        return field + 1;
    }
    const char *at = field + 1;
    while (*at && *at != '"') {
        char c = *at++;
        if (c == '\\' && (c = unescape(&at)) == 0)
            return NULL;
        *to++ = c;
    }
    if (at[0] != '"' || at[1] != '\0')
        return NULL;
    *to = '\0';
    return field;
}

char *line_optional(char *field, bool *ok)
{
    if (strcmp(field, "-") == 0)
        return NULL;
    char *text = line_unquote(field);
    *ok = *ok && text;
    return text;
}

void line_add_optional(struct rb_buf *out, const char *text)
{
    if (text)
        rb_drift_value_string(out, text, strlen(text));
    else
        rb_buf_addc(out, '-');
}

bool line_number(const char *field, int64_t *out)
{
    return rb_int_parse(field, out, NULL) == 0;
}

static bool read_bytes(int fd, char *to, size_t len)
{
    size_t got = 0;
    ssize_t n = 1;
    while (got < len && (n = read(fd, to + got, len - got)) > 0)
        got += (size_t)n;
    return got == len;
}

char *line_read_file(const char *path, size_t max, struct rb_arena *arena, size_t *out_len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 && (uint64_t)st.st_size <= max;
    char *text = ok ? rb_arena_alloc(arena, (size_t)st.st_size + 1) : NULL;
    if (text && !read_bytes(fd, text, (size_t)st.st_size))
        text = NULL;
    close(fd);
    *out_len = text ? (size_t)st.st_size : 0;
    return text;
}
