/* Durations, sizes, numbers.
 *
 * Nothing here uses strtod, strtol or the locale: configuration must read the same everywhere, and a value that is out of range
 * must be told as such. Parsers leave their output untouched when they fail; messages say what to write instead. */
#include "runbook/base/units.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_MS (INT64_C(3650) * 86400 * 1000)
#define SIZE_MAX_BYTES  (INT64_C(1) << 62)

/* How much of a wrong value a message repeats. */
#define SHOWN 60

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads decimal digits; false when there are none or the value leaves 0 .. INT64_MAX. */
static bool read_digits(const char **cursor, int64_t *out)
{
    const char *p = *cursor;
    int64_t value = 0;
    if (!is_digit(*p))
        return false;
    for (; is_digit(*p); p++) {
        if (value > (INT64_MAX - (*p - '0')) / 10)
            return false;
        value = value * 10 + (*p - '0');
    }
    *cursor = p;
    *out = value;
    return true;
}

/* Reads ".digits" as a fraction below 1; without a point it is 0. False when no digit follows the point. */
static bool read_fraction(const char **cursor, double *out)
{
    *out = 0;
    if (**cursor != '.')
        return true;
    const char *p = *cursor + 1;
    if (!is_digit(*p))
        return false;
    double scale = 0.1;
    while (is_digit(*p)) {
        *out += scale * (*p++ - '0');
        scale /= 10;
    }
    *cursor = p;
    return true;
}

static const struct duration_unit {
    const char *name;
    int64_t ms;
} duration_units[] = {
    {"w", INT64_C(7) * 86400000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define DURATION_UNITS (sizeof duration_units / sizeof duration_units[0])

/* The unit at the cursor, searched from row `from` on, as units must become smaller. DURATION_UNITS when there is none. */
static size_t duration_unit_at(const char *p, size_t from)
{
    size_t len = 0;
    while (p[len] >= 'a' && p[len] <= 'z')
        len++;
    for (size_t i = from; i < DURATION_UNITS; i++) {
        if (strlen(duration_units[i].name) == len && memcmp(p, duration_units[i].name, len) == 0)
            return i;
    }
    return DURATION_UNITS;
}

static int duration_refuse(const char *text, struct rb_error *err)
{
    const char *p = text;
    int64_t number = 0;
    if (read_digits(&p, &number) && *p == '\0')
        return rb_error_set(err, RB_EINVAL, "duration \"%.*s\" has no unit: write \"%.*ss\" for seconds (ms, s, m, h, d, w)", SHOWN, text,
                            SHOWN, text);
    return rb_error_set(err, RB_EINVAL,
                        "\"%.*s\" is not a duration: write whole numbers with units, largest first, such as 250ms, 15s, 1m30s, 2h, 7d",
                        SHOWN, text);
}

int rb_duration_parse(const char *text, int64_t *out_ms, struct rb_error *err)
{
    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return RB_OK;
    }
    int64_t total = 0;
    size_t from = 0;
    const char *p = text;
    do {
        int64_t number = 0;
        if (!is_digit(*p))
            return duration_refuse(text, err);
        bool fits = read_digits(&p, &number);
        size_t unit = fits ? duration_unit_at(p, from) : 0;
        if (unit == DURATION_UNITS)
            return duration_refuse(text, err);
        if (!fits || number > DURATION_MAX_MS / duration_units[unit].ms || total + number * duration_units[unit].ms > DURATION_MAX_MS)
            return rb_error_set(err, RB_EINVAL, "duration \"%.*s\" is longer than the maximum of 10 years (3650d)", SHOWN, text);
        total += number * duration_units[unit].ms;
        p += strlen(duration_units[unit].name);
        from = unit + 1;
    } while (*p);
    *out_ms = total;
    return RB_OK;
}

static const struct size_unit {
    const char *name; /* lower case */
    int64_t bytes;
} size_units[] = {
    {"", 1},
    {"b", 1},
    {"k", INT64_C(1) << 10},
    {"m", INT64_C(1) << 20},
    {"g", INT64_C(1) << 30},
    {"t", INT64_C(1) << 40},
    {"p", INT64_C(1) << 50},
    {"kib", INT64_C(1) << 10},
    {"mib", INT64_C(1) << 20},
    {"gib", INT64_C(1) << 30},
    {"tib", INT64_C(1) << 40},
    {"pib", INT64_C(1) << 50},
    {"kb", 1000},
    {"mb", 1000000},
    {"gb", INT64_C(1000000000)},
    {"tb", INT64_C(1000000000000)},
    {"pb", INT64_C(1000000000000000)},
};

static bool equal_nocase(const char *text, const char *lower)
{
    for (; *lower; text++, lower++) {
        char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        if (c != *lower)
            return false;
    }
    return *text == '\0';
}

static int64_t size_unit_bytes(const char *name)
{
    for (size_t i = 0; i < sizeof size_units / sizeof size_units[0]; i++) {
        if (equal_nocase(name, size_units[i].name))
            return size_units[i].bytes;
    }
    return 0;
}

int rb_size_parse(const char *text, int64_t *out_bytes, struct rb_error *err)
{
    const char *p = text;
    int64_t whole = 0;
    double fraction = 0;
    if (!is_digit(*p))
        return rb_error_set(err, RB_EINVAL, "\"%.*s\" is not a size: write a number and a unit, such as 512kB, 64MiB, 1.5GB", SHOWN, text);
    bool fits = read_digits(&p, &whole);
    bool fraction_ok = !fits || read_fraction(&p, &fraction);
    if (fits && p[0] == ' ' && p[1] != '\0')
        p++;
    int64_t unit = fits && fraction_ok ? size_unit_bytes(p) : 1;
    if (!fraction_ok || unit == 0)
        return rb_error_set(err, RB_EINVAL, "\"%.*s\" is not a size: units are B, kB, MB, GB, TB (1000) and KiB, MiB, GiB, TiB (1024)",
                            SHOWN, text);
    if (fraction > 0 && unit == 1)
        return rb_error_set(err, RB_EINVAL, "\"%.*s\" is not a size: a fraction of a byte does not exist; add a unit", SHOWN, text);
    if (!fits || whole > SIZE_MAX_BYTES / unit || whole * unit > SIZE_MAX_BYTES - llround(fraction * (double)unit))
        return rb_error_set(err, RB_EINVAL, "size \"%.*s\" is larger than the maximum of 4096 PiB", SHOWN, text);
    *out_bytes = whole * unit + llround(fraction * (double)unit);
    return RB_OK;
}

int rb_int_parse(const char *text, int64_t *out, struct rb_error *err)
{
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    const char *digits = p;
    int64_t value = 0;
    bool read = read_digits(&p, &value);
    /* The one value whose magnitude does not fit. */
    if (!read && negative && strcmp(digits, "9223372036854775808") == 0) {
        *out = INT64_MIN;
        return RB_OK;
    }
    if (!read && is_digit(*digits) && digits[strspn(digits, "0123456789")] == '\0')
        return rb_error_set(err, RB_EINVAL, "number \"%.*s\" does not fit into 64 bits", SHOWN, text);
    if (!read || *p)
        return rb_error_set(err, RB_EINVAL, "\"%.*s\" is not a whole number", SHOWN, text);
    *out = negative ? -value : value;
    return RB_OK;
}

int rb_amount_parse(const char *text, struct rb_amount *out, struct rb_error *err)
{
    size_t len = strlen(text);
    if (len == 0 || text[len - 1] != '%') {
        int64_t bytes = 0;
        int code = rb_size_parse(text, &bytes, err);
        if (code == RB_OK)
            *out = (struct rb_amount){.set = true, .bytes = bytes};
        return code;
    }
    const char *p = text;
    int64_t whole = 0;
    double fraction = 0;
    bool read = read_digits(&p, &whole) && read_fraction(&p, &fraction);
    if (read && *p == ' ')
        p++;
    if (!read || p != text + len - 1)
        return rb_error_set(err, RB_EINVAL, "\"%.*s\" is not a share: write a number and %%, such as 10%%", SHOWN, text);
    if (whole > 100 || (whole == 100 && fraction > 0))
        return rb_error_set(err, RB_EINVAL, "share \"%.*s\" is outside 0%% .. 100%%", SHOWN, text);
    *out = (struct rb_amount){.set = true, .percent = true, .percent_value = (double)whole + fraction};
    return RB_OK;
}

void rb_duration_print(struct rb_buf *out, int64_t ms)
{
    static const struct {
        const char *name;
        int64_t s;
    } parts[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
    const size_t count = sizeof parts / sizeof parts[0];
    if (ms < 1000) {
        int64_t tenths = ms > 0 ? (ms + 50) / 100 : 0;
        rb_buf_adds(out, tenths == 0 ? "0 s" : tenths == 10 ? "1 s" : "");
        if (tenths > 0 && tenths < 10)
            rb_buf_addf(out, "0.%d s", (int)tenths);
        return;
    }
    int64_t s = ms / 1000;
    size_t i = 0;
    while (s < parts[i].s)
        i++;
    rb_buf_addf(out, "%" PRId64 " %s", s / parts[i].s, parts[i].name);
    if (i + 1 < count && s % parts[i].s >= parts[i + 1].s)
        rb_buf_addf(out, " %" PRId64 " %s", s % parts[i].s / parts[i + 1].s, parts[i + 1].name);
}

void rb_duration_print_exact(struct rb_buf *out, int64_t ms)
{
    /* A minute is written the way people configure it. */
    if (ms <= 0 || ms == 60000) {
        rb_buf_adds(out, ms <= 0 ? "0s" : "60s");
        return;
    }
    /* Days are the largest unit: "7d" is what people write, not "1w". */
    for (size_t i = 1; i < DURATION_UNITS; i++) {
        int64_t number = ms / duration_units[i].ms;
        ms %= duration_units[i].ms;
        if (number)
            rb_buf_addf(out, "%" PRId64 "%s", number, duration_units[i].name);
    }
}

void rb_size_print(struct rb_buf *out, int64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t i = 0;
    /* 1023.95 would round to "1024": the next unit reads better. */
    while (fabs(value) >= (i ? 1023.5 : 1024.0) && i + 1 < sizeof names / sizeof names[0]) {
        value /= 1024;
        i++;
    }
    double tenths = round(value * 10);
    if (i > 0 && fabs(tenths) < 100 && fmod(tenths, 10) != 0)
        rb_buf_addf(out, "%s%d.%d %s", tenths < 0 ? "-" : "", abs((int)tenths) / 10, abs((int)tenths) % 10, names[i]);
    else
        rb_buf_addf(out, "%" PRId64 " %s", (int64_t)llround(value), names[i]);
}

void rb_double_print(struct rb_buf *out, double value)
{
    if (isnan(value) || isinf(value)) {
        rb_buf_adds(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (fabs(value) < 1e15 && value >= -1e15 && !(value < trunc(value)) && !(value > trunc(value))) {
        rb_buf_addf(out, "%s%" PRId64, signbit(value) && (int64_t)value == 0 ? "-" : "", (int64_t)value);
        return;
    }
    /* %.15g drops trailing zeros and is the shortest form wherever 15 digits suffice, except for subnormal numbers, which have fewer. */
    char text[40];
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (!(back < value) && !(back > value))
            break;
    }
    /* A locale with a decimal comma must not reach a metric. */
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    rb_buf_adds(out, text);
}
