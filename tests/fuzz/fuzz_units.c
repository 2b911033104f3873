/* The parsers of units on any text. Holds: what they accept is in range, and what is printed reads back as the same value. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "runbook/base/units.h"

static void check_duration(const char *text)
{
    int64_t ms = -1, back = -1;
    if (rb_duration_parse(text, &ms, NULL) != 0)
        return;
    FUZZ_HOLDS(ms >= 0 && ms <= INT64_C(3650) * 86400000);
    RB_BUF_AUTO out = {.max = 200};
    rb_duration_print_exact(&out, ms);
    FUZZ_HOLDS(rb_duration_parse(rb_buf_str(&out), &back, NULL) == 0 && back == ms);
    rb_duration_print(&out, ms);
    FUZZ_HOLDS(!out.failed);
}

static void check_size(const char *text)
{
    int64_t bytes = -1;
    struct rb_amount amount;
    if (rb_size_parse(text, &bytes, NULL) == 0) {
        FUZZ_HOLDS(bytes >= 0 && bytes <= INT64_C(1) << 62);
        RB_BUF_AUTO out = {.max = 200};
        rb_size_print(&out, bytes);
        FUZZ_HOLDS(!out.failed);
    }
    if (rb_amount_parse(text, &amount, NULL) == 0 && amount.percent)
        FUZZ_HOLDS(amount.percent_value >= 0 && amount.percent_value <= 100);
}

static void check_time(const char *text)
{
    char printed[RB_TIME_TEXT];
    int64_t wall = 0, back = 0;
    if (rb_time_parse(text, &wall, NULL) != 0 || wall == 0)
        return;
    FUZZ_HOLDS(rb_time_parse(rb_time_rfc3339(printed, wall), &back, NULL) != 0 || wall - back < INT64_C(1000000000));
}

static void check_double(const uint8_t *data, size_t size)
{
    double value = 0;
    if (size < sizeof value)
        return;
    memcpy(&value, data, sizeof value);
    RB_BUF_AUTO out = {.max = 200};
    rb_double_print(&out, value);
    double back = strtod(rb_buf_str(&out), NULL);
    FUZZ_HOLDS(isnan(value) ? isnan(back) : memcmp(&back, &value, sizeof value) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    char *text = fuzz_string(data, size);
    int64_t number = 0;
    check_duration(text);
    check_size(text);
    check_time(text);
    check_double(data, size);
    if (rb_int_parse(text, &number, NULL) == 0)
        FUZZ_HOLDS(strpbrk(text, "0123456789") != NULL);
    free(text);
    return 0;
}
