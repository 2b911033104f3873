/* /metrics: format rules that promtool does not check (duplicates, grouping), both formats, hostile labels, NaN before the first run, gzip in two parts. */
#include <zlib.h>

#include "../support/check_main.h"
#include "../support/state_fixture.h"
#include "runbook/render/render.h"

static struct fixture f;

static struct rb_buf render(enum rb_metrics_format format)
{
    struct rb_snapshot *snapshot = fixture_snapshot(&f);
    struct rb_view view = rb_view_of(snapshot, &f.clock.clock);
    struct rb_server_stats stats = {.requests_by_class = {0, 0, 7, 0, 3, 0}, .connections_max = 512};
    struct rb_buf out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_metrics(&view, &stats, format, &out, &err), 0);
    rb_snapshot_unref(snapshot);
    return out;
}

static void run_with_values(size_t index)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, RB_RESULT_FAIL, "refused", "%s", "down");
    rb_outcome_value(&outcome, "size", NULL, 0.1);
    rb_outcome_perfdata(&outcome, "seconds", "a\"b\\c\nd\xff", 1e300);
    rb_outcome_perfdata(&outcome, "total", "errors", 4);
    rb_outcome_perfdata(&outcome, "Odd/Unit", "x", 1);
    rb_store_started(f.store, index);
    (void)rb_store_completed(f.store, index, &outcome, rb_elapsed_ns(&f.clock.clock));
}

static bool has(const struct rb_buf *out, const char *line)
{
    return strstr(rb_buf_str(out), line) != NULL;
}

/* Name of the family that a sample line belongs to, given the TYPE line before it. */
static void check_shape(const struct rb_buf *out)
{
    char family[128] = "", *save = NULL;
    char *text = strndup(rb_buf_str(out), out->len);
    char *lines[4096], *families[512];
    size_t line_count = 0, family_count = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            (void)snprintf(family, sizeof family, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            for (size_t i = 0; i < family_count; i++)
                ck_assert_str_ne(families[i], family);
            families[family_count++] = strdup(family);
        } else if (line[0] != '#') {
            ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s is not of %s", line, family);
            char *space = strrchr(line, ' ');
            *space = '\0';
            for (size_t i = 0; i < line_count; i++)
                ck_assert_str_ne(lines[i], line);
            lines[line_count++] = line;
        }
    }
    ck_assert_uint_gt(family_count, 40);
    for (size_t i = 0; i < family_count; i++)
        free(families[i]);
    free(text);
}

START_TEST(test_series_exist_before_the_first_run)
{
    fixture_start(&f, fixture_plan(2));
    RB_BUF_AUTO out = render(RB_METRICS_TEXT);
    ck_assert(has(&out, "\nrunbookd_fake_size_bytes{check=\"c1\"} NaN\n"));
    ck_assert(has(&out, "\nrunbookd_check_last_run_timestamp_seconds{check=\"c0\"} NaN\n"));
    ck_assert(has(&out, "\nrunbookd_check_state{check=\"c0\",state=\"pending\"} 1\n"));
    ck_assert(has(&out, "\nrunbookd_check_state{check=\"c0\",state=\"ok\"} 0\n"));
    ck_assert(has(&out, "\nrunbookd_check_success{check=\"c0\"} 0\n"));
    ck_assert(has(&out, "\nrunbookd_check_runs_total{check=\"c0\"} 0\n"));
    ck_assert(has(&out, "\nrunbookd_check_reason_info{check=\"c0\",reason=\"pending\"} 1\n"));
    ck_assert(has(&out, "\nrunbookd_safety_state{state=\"none\"} 1\n"));
    ck_assert(has(&out, "\nrunbookd_server_requests_total{code=\"2xx\"} 7\n"));
    ck_assert(!has(&out, "perfdata"));
    check_shape(&out);
    fixture_end(&f);
}
END_TEST

START_TEST(test_values_and_hostile_labels)
{
    fixture_start(&f, fixture_plan(2));
    run_with_values(1);
    RB_BUF_AUTO out = render(RB_METRICS_TEXT);
    ck_assert(has(&out, "\nrunbookd_fake_size_bytes{check=\"c1\"} 0.1\n"));
    ck_assert(has(&out, "\nrunbookd_command_perfdata_seconds{check=\"c1\",label=\"a\\\"b\\\\c\\\\nd\\\\xff\"} 1e+300\n"));
    ck_assert(has(&out, "\nrunbookd_command_perfdata_events_total{check=\"c1\",label=\"errors\"} 4\n"));
    ck_assert(has(&out, "\nrunbookd_command_perfdata_odd_unit{check=\"c1\",label=\"x\"} 1\n"));
    ck_assert(has(&out, "# TYPE runbookd_check_failures_total counter\nrunbookd_check_failures_total{check=\"c0\"} "
                        "0\nrunbookd_check_failures_total{check=\"c1\"} 1\n"));
    check_shape(&out);
    fixture_end(&f);
}
END_TEST

START_TEST(test_openmetrics)
{
    fixture_start(&f, fixture_plan(1));
    run_with_values(0);
    RB_BUF_AUTO out = render(RB_METRICS_OPENMETRICS);
    ck_assert(has(&out, "# TYPE runbookd_check_failures counter\n"));
    ck_assert(has(&out, "\nrunbookd_check_failures_total{check=\"c0\"} 1\n"));
    ck_assert(has(&out, "# TYPE runbookd_build info\n"));
    ck_assert(has(&out, "\nrunbookd_build_info{version=\""));
    ck_assert(has(&out, "# UNIT runbookd_fake_size_bytes bytes\n"));
    ck_assert(has(&out, "runbookd_check_duration_seconds_bucket{le=\"+Inf\"} 1\n") ||
              has(&out, "runbookd_check_duration_seconds_bucket{le=\"+Inf\"} 0\n"));
    ck_assert_str_eq(rb_buf_str(&out) + out.len - 6, "# EOF\n");
    check_shape(&out);
    fixture_end(&f);
}
END_TEST

START_TEST(test_stuck_shows_no_success)
{
    fixture_start(&f, fixture_plan(1));
    (void)fixture_run(&f, 0, RB_RESULT_OK);
    struct rb_snapshot *snapshot = fixture_snapshot(&f);
    rb_fake_clock_advance(&f.clock, 6 * SECOND);
    struct rb_view view = rb_view_of(snapshot, &f.clock.clock);
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_metrics(&view, NULL, RB_METRICS_TEXT, &out, &err), 0);
    ck_assert(has(&out, "\nrunbookd_check_success{check=\"c0\"} 0\n"));
    ck_assert(has(&out, "\nrunbookd_check_state{check=\"c0\",state=\"stale\"} 1\n"));
    ck_assert(has(&out, "\nrunbookd_snapshot_age_seconds 6\n"));
    rb_snapshot_unref(snapshot);
    fixture_end(&f);
}
END_TEST

START_TEST(test_too_large_is_an_error)
{
    fixture_start(&f, fixture_plan(5));
    struct rb_snapshot *snapshot = fixture_snapshot(&f);
    struct rb_view view = rb_view_of(snapshot, &f.clock.clock);
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1000);
    struct rb_error err;
    ck_assert_int_eq(rb_render_metrics(&view, NULL, RB_METRICS_TEXT, &out, &err), RB_ELIMIT);
    rb_snapshot_unref(snapshot);
    fixture_end(&f);
}
END_TEST

static size_t inflate_member(const struct rb_buf *packed, char *out, size_t size)
{
    z_stream stream = {.next_in = (Bytef *)packed->data, .avail_in = (uInt)packed->len, .next_out = (Bytef *)out, .avail_out = (uInt)size};
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END); /* CRC and length are checked by zlib */
    ck_assert_uint_eq(stream.avail_in, 0);
    size_t len = stream.total_out;
    inflateEnd(&stream);
    return len;
}

START_TEST(test_gzip_in_two_parts_is_one_member)
{
    static const char body[] = "body body body body\n", tail[] = "tail\n";
    static char plain[256 * 1024];
    RB_BUF_AUTO packed;
    rb_buf_init(&packed, 1 << 20);
    struct rb_error err;
    uint32_t crc;
    ck_assert_int_eq(rb_render_gzip_open(body, sizeof body - 1, &packed, &crc, &err), 0);
    rb_render_gzip_close(crc, sizeof body - 1, tail, sizeof tail - 1, &packed);
    size_t len = inflate_member(&packed, plain, sizeof plain);
    ck_assert_uint_eq(len, sizeof body + sizeof tail - 2);
    ck_assert_int_eq(memcmp(plain, "body body body body\ntail\n", len), 0);

    /* larger than zlib's output chunk, and incompressible */
    static unsigned char noise[100000];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
    rb_buf_reset(&packed);
    ck_assert_int_eq(rb_render_gzip(noise, sizeof noise, &packed, &err), 0);
    ck_assert_uint_eq(inflate_member(&packed, plain, sizeof plain), sizeof noise);
    ck_assert_int_eq(memcmp(plain, noise, sizeof noise), 0);
    rb_buf_reset(&packed);
    ck_assert_int_eq(rb_render_gzip_open(noise, sizeof noise, &packed, &crc, &err), 0);
    rb_render_gzip_close(crc, sizeof noise, "", 0, &packed);
    ck_assert_uint_eq(inflate_member(&packed, plain, sizeof plain), sizeof noise);
}
END_TEST

RB_TEST_MAIN("metrics", test_series_exist_before_the_first_run, test_values_and_hostile_labels, test_openmetrics,
             test_stuck_shows_no_success, test_too_large_is_an_error, test_gzip_in_two_parts_is_one_member)
