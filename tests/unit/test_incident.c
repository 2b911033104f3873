/* Incidents: ids, the document's bounds and order, its file, the folder, retention. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "runbook/incident/incident.h"
#include "runbook/state/files.h"

#define NOON INT64_C(1787400461000000000) /* 2026-08-22T12:07:41Z or so: only the form matters */

static struct rb_incident_opening opening_of(const char *title)
{
    return (struct rb_incident_opening){.title = title, .source = "http", .severity = RB_INCIDENT_HIGH, .wall_ns = NOON, .seq = 10};
}

static bool never(void *ctx, const char *id)
{
    (void)ctx;
    (void)id;
    return false;
}

static bool first_two(void *ctx, const char *id)
{
    (void)id;
    return (*(unsigned *)ctx)++ < 2;
}

START_TEST(ids)
{
    char id[RB_INCIDENT_ID_SIZE];
    struct rb_incident_opening opening = opening_of("  the shop / is ../down! ");
    rb_incident_make_id(&opening, never, NULL, id);
    ck_assert_str_eq(strchr(strchr(id + 4, '-') + 1, '-') + 1, "THE-SHOP-IS-DOWN");
    ck_assert(rb_incident_is_id(id));
    opening.tag = "\xc3\xbc\n";
    opening.title = "***";
    unsigned asked = 0;
    rb_incident_make_id(&opening, first_two, &asked, id);
    ck_assert(strstr(id, "-TRIAGE-3"));
    opening.title = "token=ghp_0123456789abcdefghijklmnopqrstuvwxyz";
    rb_incident_make_id(&opening, never, NULL, id);
    ck_assert(!strstr(id, "GHP"));
    ck_assert(!rb_incident_is_id("../INC-20260822-0307-A"));
    ck_assert(!rb_incident_is_id("INC-20260822-0307-a/b"));
    ck_assert(!rb_incident_is_id("INC-"));
    ck_assert(!rb_incident_is_id(NULL));
}
END_TEST

START_TEST(severities)
{
    enum rb_incident_severity severity = RB_INCIDENT_LOW;
    ck_assert(rb_incident_severity_parse("page", &severity) && severity == RB_INCIDENT_HIGH);
    ck_assert(rb_incident_severity_parse("WARNING", &severity) && severity == RB_INCIDENT_MEDIUM);
    ck_assert(rb_incident_severity_parse("Low", &severity) && severity == RB_INCIDENT_LOW);
    ck_assert(!rb_incident_severity_parse("loud", &severity));
    ck_assert(!rb_incident_severity_parse(NULL, &severity));
}
END_TEST

static struct rb_incident *made(void)
{
    struct rb_incident_opening opening = opening_of("odd");
    struct rb_incident *incident = rb_incident_new(&opening, "INC-20260822-1207-ODD");
    ck_assert_ptr_nonnull(incident);
    return incident;
}

START_TEST(a_file_reads_back_and_every_flipped_bit_is_seen)
{
    struct rb_incident *incident = made(), *again = NULL;
    struct rb_error err;
    struct rb_incident_event note = {.kind = "note", .text = "password=hunter2hunter2 \xff bad", .who = "ada", .wall_ns = NOON, .seq = 11};
    ck_assert_int_eq(rb_incident_add(incident, &note, &err), 0);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_INCIDENT_MAX_BYTES);
    ck_assert_int_eq(rb_incident_save(incident, &text, &err), 0);
    ck_assert(!strstr(rb_buf_str(&text), "hunter2"));
    ck_assert_int_eq(rb_incident_load(text.data, text.len, &again, &err), 0);
    ck_assert(json_equal(incident->doc, again->doc));
    ck_assert(!again->dirty);
    rb_incident_free(again);
    for (size_t i = 0; i < text.len; i++) {
        text.data[i] ^= 1;
        ck_assert_int_lt(rb_incident_load(text.data, text.len, &again, &err), 0);
        text.data[i] ^= 1;
    }
    for (size_t cut = 0; cut < text.len; cut++)
        ck_assert_int_eq(rb_incident_load(text.data, cut, &again, &err), RB_ECORRUPT);
    rb_incident_free(incident);
}
END_TEST

START_TEST(a_newer_format_is_left_alone)
{
    static const char text[] = "runbookd incident 2\n{}\ncrc32c 00000000\n";
    struct rb_incident *incident = NULL;
    struct rb_error err;
    ck_assert_int_eq(rb_incident_load(text, sizeof text - 1, &incident, &err), RB_EUNSUPPORTED);
}
END_TEST

START_TEST(repetitions_count_and_notes_are_never_dropped)
{
    struct rb_incident *incident = made();
    struct rb_error err;
    struct rb_incident_event event = {.kind = "alert", .to = "repeated", .text = "x", .wall_ns = NOON, .seq = 12};
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(rb_incident_add(incident, &event, &err), 0);
    const json_t *events = json_object_get(incident->doc, "events");
    ck_assert_uint_eq(json_array_size(events), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(events, 1), "times")), 1000);
    event.to = "firing";
    for (unsigned i = 0; i < RB_INCIDENT_EVENTS; i++)
        ck_assert_int_eq(rb_incident_add(incident, &event, &err), 0);
    ck_assert_uint_eq(json_array_size(events), RB_INCIDENT_EVENTS);
    event.kind = "note";
    for (unsigned i = 0; i < RB_INCIDENT_EVENTS - 1; i++)
        ck_assert_int_eq(rb_incident_add(incident, &event, &err), 0);
    ck_assert_int_eq(rb_incident_add(incident, &event, &err), RB_ELIMIT);
    ck_assert_uint_eq(json_array_size(events), RB_INCIDENT_EVENTS);
    rb_incident_free(incident);
}
END_TEST

START_TEST(the_timeline_is_what_lies_around_it_once)
{
    struct rb_incident *incident = made();
    struct rb_error err;
    struct rb_event_entry entries[] = {
        {.seq = 1, .wall_ns = NOON - 2 * RB_INCIDENT_BEFORE_NS, .kind = RB_EVENT_KIND_STATE, .text = "long ago"},
        {.seq = 9, .wall_ns = NOON - RB_NS_PER_S, .kind = RB_EVENT_KIND_STATE, .text = "just before"},
        {.seq = 10, .wall_ns = NOON, .kind = RB_EVENT_KIND_NOTE, .text = "its own opening"},
        {.seq = 11, .wall_ns = NOON - 3 * RB_INCIDENT_BEFORE_NS, .kind = RB_EVENT_KIND_CLOCK_STEP, .text = "the clock stepped"},
        {.seq = 12, .wall_ns = NOON - 3 * RB_INCIDENT_BEFORE_NS, .kind = RB_EVENT_KIND_NOTE, .text = "its own end"},
        {.seq = 13, .wall_ns = NOON, .kind = RB_EVENT_KIND_STATE, .text = "afterwards"}};
    struct rb_event_entry *pointers[] = {&entries[0], &entries[1], &entries[2], &entries[3], &entries[4], &entries[5]};
    ck_assert_uint_eq(rb_incident_collect(incident, pointers, 4), 2);
    struct rb_incident_event end = {.kind = "closed", .text = "done", .wall_ns = NOON, .seq = 12};
    ck_assert_int_eq(rb_incident_close(incident, &end, &err), 0);
    ck_assert(!rb_incident_is_open(incident));
    ck_assert_uint_eq(rb_incident_collect(incident, pointers, 6), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(incident->doc, "timeline")), 2);
    rb_incident_free(incident);
}
END_TEST

START_TEST(a_timeline_has_an_end)
{
    struct rb_incident *incident = made();
    struct rb_event_entry entry = {.wall_ns = NOON, .kind = RB_EVENT_KIND_STATE, .text = "x"};
    struct rb_event_entry *pointer = &entry;
    for (uint64_t seq = 20; seq < 20 + RB_INCIDENT_TIMELINE + 5; seq++) {
        entry.seq = seq;
        ck_assert_uint_eq(rb_incident_collect(incident, &pointer, 1), 1);
    }
    ck_assert_uint_eq(json_array_size(json_object_get(incident->doc, "timeline")), RB_INCIDENT_TIMELINE);
    ck_assert_int_eq(json_integer_value(json_object_get(incident->doc, "timeline_dropped")), 5);
    rb_incident_free(incident);
}
END_TEST

static void close_it(struct rb_incident *incident, int64_t wall_ns)
{
    struct rb_error err;
    struct rb_incident_event end = {.kind = "closed", .text = "done", .wall_ns = wall_ns, .seq = 99};
    ck_assert_int_eq(rb_incident_close(incident, &end, &err), 0);
}

START_TEST(retention_takes_closed_ones_the_longest_closed_first)
{
    struct rb_incidents *all = calloc(1, sizeof *all);
    struct rb_incident *incident = NULL;
    struct rb_error err;
    struct rb_incident_opening opening = opening_of("odd");
    for (unsigned i = 0; i < RB_INCIDENTS_MAX; i++) {
        ck_assert_int_eq(rb_incidents_open(all, &opening, &incident, &err), 0);
        if (i != 5)
            close_it(incident, NOON + (int64_t)((i + 100) % RB_INCIDENTS_MAX) * RB_NS_PER_S);
    }
    const char *first = rb_incident_text(all->items[100], "id");
    incident = rb_incidents_retire(all, NOON + RB_NS_PER_S, 1);
    ck_assert_ptr_nonnull(incident);
    ck_assert_str_eq(rb_incident_text(incident, "id"), first);
    rb_incident_free(incident);
    ck_assert_ptr_null(rb_incidents_retire(all, NOON + RB_NS_PER_S, 1));
    size_t gone = 0;
    while ((incident = rb_incidents_retire(all, NOON + RB_INCIDENTS_AGE_NS + 1000 * RB_NS_PER_S, 1)) != NULL) {
        rb_incident_free(incident);
        gone++;
    }
    ck_assert_uint_eq(gone, RB_INCIDENTS_MAX - 2);
    ck_assert_uint_eq(all->count, 1);
    ck_assert(rb_incident_is_open(all->items[0]));
    rb_incidents_fini(all);
    free(all);
}
END_TEST

START_TEST(the_last_number_is_that_of_any_of_them)
{
    struct rb_incidents *all = calloc(1, sizeof *all);
    struct rb_incident *incident = NULL;
    struct rb_error err;
    ck_assert_uint_eq(rb_incidents_last_seq(all), 0);
    struct rb_incident_opening opening = opening_of("odd");
    ck_assert_int_eq(rb_incidents_open(all, &opening, &incident, &err), 0);
    ck_assert_uint_eq(rb_incidents_last_seq(all), 10);
    struct rb_incident_event event = {.kind = "note", .text = "seen", .wall_ns = NOON, .seq = 19};
    ck_assert_int_eq(rb_incident_add(incident, &event, &err), 0);
    opening.seq = 12;
    ck_assert_int_eq(rb_incidents_open(all, &opening, &incident, &err), 0);
    ck_assert_uint_eq(rb_incidents_last_seq(all), 19);
    struct rb_event_entry entry = {.refs = 1, .seq = 23, .wall_ns = NOON, .kind = RB_EVENT_KIND_START, .text = "began"};
    struct rb_event_entry *entries[] = {&entry};
    ck_assert_uint_eq(rb_incident_collect(incident, entries, 1), 1);
    ck_assert_uint_eq(rb_incidents_last_seq(all), 23);
    rb_incidents_fini(all);
    free(all);
}
END_TEST

START_TEST(too_many_open_ones_are_refused_and_groups_are_found)
{
    struct rb_incidents *all = calloc(1, sizeof *all);
    struct rb_incident *incident = NULL;
    struct rb_error err;
    char key[32];
    struct rb_incident_opening opening = opening_of("odd");
    opening.group_key = key;
    for (unsigned i = 0; i < RB_INCIDENTS_OPEN_MAX; i++) {
        snprintf(key, sizeof key, "group %u", i);
        ck_assert_int_eq(rb_incidents_open(all, &opening, &incident, &err), 0);
    }
    ck_assert_int_eq(rb_incidents_open(all, &opening, &incident, &err), RB_ELIMIT);
    incident = rb_incidents_of_group(all, "group 7", NOON);
    ck_assert_ptr_eq(incident, all->items[7]);
    close_it(incident, NOON);
    ck_assert_ptr_eq(rb_incidents_of_group(all, "group 7", NOON + RB_INCIDENTS_REOPEN_NS - 1), incident);
    ck_assert_ptr_null(rb_incidents_of_group(all, "group 7", NOON + RB_INCIDENTS_REOPEN_NS));
    ck_assert_ptr_null(rb_incidents_of_group(all, "other", NOON));
    rb_incidents_fini(all);
    free(all);
}
END_TEST

START_TEST(a_folder_reads_back_what_is_whole)
{
    char dir[] = "/tmp/rb-incident-XXXXXX", path[512];
    struct rb_incidents *all = calloc(1, sizeof *all);
    struct rb_incidents_report report = {0};
    struct rb_error err;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(rb_incidents_load(all, dir, NOON, true, &report, &err), 0);
    struct rb_incident *incident = made();
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_INCIDENT_MAX_BYTES);
    ck_assert_int_eq(rb_incident_save(incident, &text, &err), 0);
    ck_assert_int_eq(rb_incident_write_file(dir, rb_incident_text(incident, "id"), RB_INCIDENT_FILE, text.data, text.len, &err), 0);
    ck_assert_int_eq(rb_incident_write_file(dir, "INC-20260822-1207-OTHER", RB_INCIDENT_FILE, text.data, text.len, &err), 0);
    ck_assert_int_eq(rb_incident_write_file(dir, "INC-20260822-1207-CUT", "triage.txt", "x", 1, &err), 0);
    ck_assert_int_eq(rb_incidents_load(all, dir, NOON, true, &report, &err), 0);
    ck_assert_uint_eq(all->count, 1); /* OTHER holds another's file, CUT none */
    ck_assert_uint_eq(report.damaged, 1);
    ck_assert(strncmp(report.first_damaged, "INC-20260822-1207-OTHER.damaged-", 32) == 0);
    rb_incident_remove_folder(dir, rb_incident_text(incident, "id"));
    rb_incident_remove_folder(dir, "INC-20260822-1207-CUT");
    snprintf(path, sizeof path, "%s/incidents/%s/" RB_INCIDENT_FILE, dir, report.first_damaged);
    ck_assert_int_eq(unlink(path), 0);
    snprintf(path, sizeof path, "%s/incidents/%s", dir, report.first_damaged);
    ck_assert_int_eq(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/incidents", dir);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    rb_incident_free(incident);
    rb_incidents_fini(all);
    free(all);
}
END_TEST

RB_TEST_MAIN("incident", ids, severities, a_file_reads_back_and_every_flipped_bit_is_seen, a_newer_format_is_left_alone,
             repetitions_count_and_notes_are_never_dropped, the_timeline_is_what_lies_around_it_once, a_timeline_has_an_end,
             retention_takes_closed_ones_the_longest_closed_first, the_last_number_is_that_of_any_of_them,
             too_many_open_ones_are_refused_and_groups_are_found, a_folder_reads_back_what_is_whole)
