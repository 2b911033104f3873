/* One pass over the text, item by item; what does not fit the grammar is skipped up to the next blank, so that one odd item costs only
 * itself.
 *
 * Numbers are read by hand as far as the grammar goes (no hexadecimal, no locale, no "inf") and only then given to strtod. */
#include "runbook/check/perfdata.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/buf.h"
#include "runbook/base/text.h"

#define LABEL_COLUMNS   100
#define LABEL_MAX_BYTES 512u
#define NUMBER_MAX      63u
#define UNIT_MAX        7u

struct cursor {
    const char *at, *end;
};

struct item {
    char label[LABEL_MAX_BYTES];
    size_t label_len;
    double number;
    char unit[UNIT_MAX + 1];
};

struct unit {
    const char *name;
    const char *base;
    double factor, divisor; /* two, because 1e-3 is no exact number and 1000 is */
};

static const struct unit units[] = {
    {"", "", 1, 1},
    {"s", "seconds", 1, 1},
    {"ms", "seconds", 1, 1e3},
    {"us", "seconds", 1, 1e6},
    {"ns", "seconds", 1, 1e9},
    {"B", "bytes", 1, 1},
    {"KB", "bytes", 1024.0, 1},
    {"KiB", "bytes", 1024.0, 1},
    {"MB", "bytes", 1048576.0, 1},
    {"MiB", "bytes", 1048576.0, 1},
    {"GB", "bytes", 1073741824.0, 1},
    {"GiB", "bytes", 1073741824.0, 1},
    {"TB", "bytes", 1099511627776.0, 1},
    {"TiB", "bytes", 1099511627776.0, 1},
    {"PB", "bytes", 1125899906842624.0, 1},
    {"PiB", "bytes", 1125899906842624.0, 1},
    {"%", "ratio", 1, 1e2},
    {"c", "total", 1, 1},
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool add_to_label(struct item *item, char c)
{
    if (item->label_len == sizeof item->label)
        return false;
    item->label[item->label_len++] = c;
    return true;
}

/* Quoted: up to the closing quote, a doubled quote stands for one. Else up to '='. Leaves the cursor behind '='. */
static bool read_label(struct cursor *cursor, struct item *item)
{
    bool quoted = *cursor->at == '\'';
    cursor->at += quoted;
    for (; cursor->at < cursor->end; cursor->at++) {
        char c = *cursor->at;
        bool doubled = quoted && c == '\'' && cursor->at + 1 < cursor->end && cursor->at[1] == '\'';
        if (quoted && c == '\'' && !doubled)
            break;
        if (!quoted && (c == '=' || c == '\'' || is_blank(c)))
            break;
        cursor->at += doubled;
        if (!add_to_label(item, c))
            return false;
    }
    if (quoted && cursor->at < cursor->end)
        cursor->at++;
    if (item->label_len == 0 || cursor->at == cursor->end || *cursor->at != '=')
        return false;
    cursor->at++;
    return true;
}

/* Length of a decimal number at the cursor, 0 when there is none. */
static size_t number_length(const struct cursor *cursor)
{
    const char *at = cursor->at, *end = cursor->end;
    size_t digits = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    for (bool point = false; at < end && (is_digit(*at) || (*at == '.' && !point)); at++) {
        point = point || *at == '.';
        digits += is_digit(*at);
    }
    if (digits == 0)
        return 0;
    if (at + 1 < end && (*at == 'e' || *at == 'E')) {
        const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');
        if (exponent < end && is_digit(*exponent)) {
            for (at = exponent; at < end && is_digit(*at); at++) {
            }
        }
    }
    return (size_t)(at - cursor->at);
}

static bool read_number(struct cursor *cursor, struct item *item)
{
    char text[NUMBER_MAX + 1] = "";
    size_t len = number_length(cursor);
    if (len == 0 || len > NUMBER_MAX)
        return false;
    memcpy(text, cursor->at, len);
    item->number = strtod(text, NULL);
    cursor->at += len;
    return isfinite(item->number);
}

/* The unit, then thresholds that are not looked at: everything up to the next blank has to begin with ';'. */
static bool read_unit(struct cursor *cursor, struct item *item)
{
    size_t len = 0;
    while (cursor->at < cursor->end && !is_blank(*cursor->at) && *cursor->at != ';') {
        char c = *cursor->at++;
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '%' || c == '/' || (unsigned char)c >= 0x80;
        if (!allowed || len == UNIT_MAX)
            return false;
        item->unit[len++] = c;
    }
    return true;
}

static void skip_item(struct cursor *cursor)
{
    while (cursor->at < cursor->end && !is_blank(*cursor->at))
        cursor->at++;
}

static const struct unit *find_unit(const char *name)
{
    for (size_t i = 1; i < sizeof units / sizeof units[0]; i++) {
        /* "s" and "c" are exact, sizes are written in every case. */
        bool size = strcmp(units[i].base, "bytes") == 0;
        if (strcmp(units[i].name, name) == 0 || (size && strcasecmp(units[i].name, name) == 0))
            return &units[i];
    }
    return &units[0];
}

static void keep(const struct item *item, struct rb_outcome *outcome)
{
    RB_BUF_AUTO plain;
    RB_BUF_AUTO label;
    rb_buf_init(&plain, 16 * LABEL_MAX_BYTES);
    rb_buf_init(&label, 16 * LABEL_MAX_BYTES);
    rb_text_escape(&plain, item->label, item->label_len);
    rb_text_clip(&label, rb_buf_str(&plain), LABEL_COLUMNS);
    const struct unit *unit = find_unit(item->unit);
    if (!plain.failed && !label.failed)
        rb_outcome_perfdata(outcome, unit->base, rb_buf_str(&label), item->number * unit->factor / unit->divisor);
}

size_t rb_perfdata_parse(const char *text, size_t len, struct rb_outcome *outcome)
{
    struct cursor cursor = {.at = text, .end = text + len};
    size_t count = 0;
    while (cursor.at < cursor.end) {
        if (is_blank(*cursor.at)) {
            cursor.at++;
            continue;
        }
        struct item item = {.label_len = 0};
        bool good = read_label(&cursor, &item) && read_number(&cursor, &item) && read_unit(&cursor, &item);
        skip_item(&cursor);
        if (!good)
            continue;
        count++;
        if (outcome)
            keep(&item, outcome);
    }
    return count;
}
