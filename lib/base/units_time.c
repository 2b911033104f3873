/* RFC 3339 times, printed and read.
 *
 * Calendar arithmetic is done here instead of by gmtime/timegm: those know the zone files and their locks, and timegm is no standard
 * function. The conversion is the well-known one by era of 400 years (H. Hinnant, "chrono-compatible low-level date algorithms"). */
#include <stdio.h>
#include <string.h>

#include "runbook/base/clock.h"
#include "runbook/base/units.h"

struct civil {
    int64_t year;
    unsigned month, day, hour, minute, second;
    unsigned ms;
};

static struct civil civil_of(int64_t wall_ns)
{
    int64_t s = wall_ns / RB_NS_PER_S;
    int64_t ns = wall_ns % RB_NS_PER_S;
    if (ns < 0) {
        ns += RB_NS_PER_S;
        s--;
    }
    int64_t days = s / 86400;
    int64_t rest = s % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t z = days + 719468; /* days since 0000-03-01 */
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned day_of_era = (unsigned)(z - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* from March */
    struct civil c = {
        .day = day_of_year - (153 * month + 2) / 5 + 1,
        .month = month < 10 ? month + 3 : month - 9,
        .hour = (unsigned)(rest / 3600),
        .minute = (unsigned)(rest / 60 % 60),
        .second = (unsigned)(rest % 60),
        .ms = (unsigned)(ns / RB_NS_PER_MS),
    };
    c.year = (int64_t)year_of_era + era * 400 + (c.month <= 2);
    return c;
}

static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static const char *print_time(char out[RB_TIME_TEXT], int64_t wall_ns, char separator, bool with_ms)
{
    out[0] = '\0';
    if (wall_ns == 0)
        return out;
    struct civil c = civil_of(wall_ns);
    char fraction[8] = "";
    if (with_ms)
        (void)snprintf(fraction, sizeof fraction, ".%03u", c.ms % 1000U);
    (void)snprintf(out, RB_TIME_TEXT, "%04d-%02u-%02u%c%02u:%02u:%02u%sZ", (int)c.year, c.month % 100U, c.day % 100U, separator,
                   c.hour % 100U, c.minute % 100U, c.second % 100U, fraction);
    return out;
}

const char *rb_time_rfc3339(char out[RB_TIME_TEXT], int64_t wall_ns)
{
    return print_time(out, wall_ns, 'T', false);
}

const char *rb_time_rfc3339_ms(char out[RB_TIME_TEXT], int64_t wall_ns)
{
    return print_time(out, wall_ns, 'T', true);
}

const char *rb_time_human(char out[RB_TIME_TEXT], int64_t wall_ns)
{
    return print_time(out, wall_ns, ' ', false);
}

const char *rb_time_of_day(char out[RB_TIME_TEXT], int64_t wall_ns)
{
    char full[RB_TIME_TEXT];
    (void)print_time(full, wall_ns, ' ', false);
    const char *time = strchr(full, ' ');
    (void)snprintf(out, RB_TIME_TEXT, "%s", time ? time + 1 : "");
    return out;
}

/* Exactly `digits` decimal digits; moves the cursor. */
static bool read_fixed(const char **cursor, unsigned digits, unsigned *out)
{
    unsigned value = 0;
    for (unsigned i = 0; i < digits; i++) {
        char c = (*cursor)[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (unsigned)(c - '0');
    }
    *cursor += digits;
    *out = value;
    return true;
}

static bool read_char(const char **cursor, const char *set)
{
    if (**cursor == '\0' || !strchr(set, **cursor))
        return false;
    (*cursor)++;
    return true;
}

/* ".123456789…": nanoseconds; further digits are dropped. */
static bool read_nanoseconds(const char **cursor, int64_t *out_ns)
{
    *out_ns = 0;
    if (**cursor != '.')
        return true;
    const char *p = *cursor + 1;
    int64_t scale = RB_NS_PER_S / 10;
    for (; *p >= '0' && *p <= '9'; p++, scale /= 10)
        *out_ns += (*p - '0') * scale;
    bool any = p != *cursor + 1;
    *cursor = p;
    return any;
}

/* "Z" or "+02:00"; seconds to subtract. */
static bool read_offset(const char **cursor, int64_t *out_s)
{
    *out_s = 0;
    if (read_char(cursor, "Zz"))
        return true;
    char sign = **cursor;
    unsigned hours = 0, minutes = 0;
    if (!read_char(cursor, "+-") || !read_fixed(cursor, 2, &hours) || !read_char(cursor, ":") || !read_fixed(cursor, 2, &minutes))
        return false;
    if (hours > 23 || minutes > 59)
        return false;
    *out_s = (int64_t)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

static bool read_date(const char **cursor, int64_t *out_days)
{
    static const unsigned char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 0, month = 0, day = 0;
    if (!read_fixed(cursor, 4, &year) || !read_char(cursor, "-") || !read_fixed(cursor, 2, &month) || !read_char(cursor, "-") ||
        !read_fixed(cursor, 2, &day))
        return false;
    /* 64 bits of nanoseconds end in 1677 and 2262. */
    if (year < 1678 || year > 2261 || month < 1 || month > 12)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    unsigned length = lengths[month - 1] + (month == 2 && leap ? 1U : 0U);
    *out_days = days_of(year, month, day);
    return day >= 1 && day <= length;
}

int rb_time_parse(const char *text, int64_t *out_wall_ns, struct rb_error *err)
{
    const char *p = text;
    int64_t days = 0, ns = 0, offset = 0;
    unsigned hour = 0, minute = 0, second = 0;
    bool ok = read_date(&p, &days);
    if (ok && *p != '\0') {
        ok = read_char(&p, "Tt ") && read_fixed(&p, 2, &hour) && read_char(&p, ":") && read_fixed(&p, 2, &minute) && read_char(&p, ":") &&
             read_fixed(&p, 2, &second) && read_nanoseconds(&p, &ns) && read_offset(&p, &offset);
    }
    /* 60 is a leap second; it becomes the first of the next minute, as POSIX time has it. */
    if (!ok || *p != '\0' || hour > 23 || minute > 59 || second > 60)
        return rb_error_set(err, RB_EPARSE,
                            "\"%.60s\" is not a time: write RFC 3339 such as 2026-08-22T03:07:41Z or 2026-08-22T05:07:41+02:00", text);
    *out_wall_ns = (days * 86400 + hour * 3600 + minute * 60 + second - offset) * RB_NS_PER_S + ns;
    return RB_OK;
}
