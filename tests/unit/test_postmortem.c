/* The post-mortem: order against a stepped clock, escapes, templates, names. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/incident/postmortem.h"

#define SECRET "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
#define AT     INT64_C(1787367600000000000)

static struct rb_incident *made(const char *title)
{
    struct rb_incident_opening opening = {
        .title = title, .source = "http", .severity = RB_INCIDENT_HIGH, .wall_ns = AT, .seq = 10, .safety = "held"};
    struct rb_incident *incident = rb_incident_new(&opening, "INC-20260822-0300-X");
    ck_assert_ptr_nonnull(incident);
    return incident;
}

static void collect(struct rb_incident *incident, struct rb_event_entry entry)
{
    struct rb_event_entry *pointer = &entry;
    ck_assert_uint_eq(rb_incident_collect(incident, &pointer, 1), 1);
}

static void add(struct rb_incident *incident, const char *kind, const char *text, int64_t wall_ns, uint64_t seq)
{
    struct rb_error err;
    struct rb_incident_event event = {.kind = kind, .text = text, .wall_ns = wall_ns, .seq = seq};
    ck_assert_int_eq(strcmp(kind, "closed") ? rb_incident_add(incident, &event, &err) : rb_incident_close(incident, &event, &err), 0);
}

static void render(const struct rb_incident *incident, const struct rb_postmortem_options *options, struct rb_buf *out)
{
    struct rb_error err;
    rb_buf_init(out, RB_POSTMORTEM_MAX);
    ck_assert_int_eq(rb_postmortem_render(incident, options, out, &err), 0);
}

START_TEST(order_is_that_of_the_journal_though_the_clock_stepped_back)
{
    struct rb_incident *incident = made("shop down");
    collect(incident, (struct rb_event_entry){.seq = 11,
                                              .wall_ns = AT + RB_NS_PER_S,
                                              .kind = RB_EVENT_KIND_STATE,
                                              .check = "shop",
                                              .from = "ok",
                                              .to = "fail",
                                              .text = "killed"});
    collect(incident, (struct rb_event_entry){
                          .seq = 12, .wall_ns = AT - 600 * RB_NS_PER_S, .kind = RB_EVENT_KIND_CLOCK_STEP, .text = "stepped by -600 s"});
    add(incident, "note", "edited the file", AT - 599 * RB_NS_PER_S, 13);
    collect(incident, (struct rb_event_entry){.seq = 14,
                                              .wall_ns = AT - 598 * RB_NS_PER_S,
                                              .kind = RB_EVENT_KIND_STATE,
                                              .check = "shop",
                                              .from = "fail",
                                              .to = "ok",
                                              .text = "restarted"});
    add(incident, "closed", "over", AT - 590 * RB_NS_PER_S, 15);
    RB_BUF_AUTO text;
    render(incident, &(struct rb_postmortem_options){0}, &text);
    const char *at = strstr(rb_buf_str(&text), "## Timeline (UTC)");
    static const char *const wanted[] = {
        "opened", "ok → fail: killed", "(clock stepped back)", "stepped by -600 s", "edited the file", "fail → ok: restarted", "over"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        at = strstr(at, wanted[i]);
        ck_assert_msg(at != NULL, "%s", wanted[i]);
    }
    ck_assert(strstr(rb_buf_str(&text), "- shop: fail since "));
    ck_assert(strstr(rb_buf_str(&text), "The clock was set back between the two"));
    ck_assert(!strstr(rb_buf_str(&text), "It was open for")); /* the clock says it ended before it began */
    rb_incident_free(incident);
}
END_TEST

static void change(struct rb_incident *incident, uint64_t seq, const char *check, const char *from, const char *to)
{
    collect(incident, (struct rb_event_entry){.seq = seq,
                                              .wall_ns = AT + ((int64_t)seq - 10) * RB_NS_PER_S,
                                              .kind = RB_EVENT_KIND_STATE,
                                              .check = check,
                                              .from = from,
                                              .to = to,
                                              .text = "."});
}

/* Opened is number 10. What was over before is another story; what came back is told by its last beginning before. */
START_TEST(impact_is_what_stood_at_the_opening_or_came_later)
{
    struct rb_incident *incident = made("shop down");
    change(incident, 1, "over", "ok", "fail");
    change(incident, 2, "over", "fail", "ok");
    change(incident, 3, "again", "ok", "fail");
    change(incident, 4, "again", "fail", "ok");
    change(incident, 5, "again", "ok", "fail");
    change(incident, 11, "later", "ok", "unknown");
    change(incident, 12, "later", "unknown", "ok");
    RB_BUF_AUTO text;
    render(incident, &(struct rb_postmortem_options){0}, &text);
    ck_assert(!strstr(rb_buf_str(&text), "- over: fail"));
    ck_assert(strstr(rb_buf_str(&text), "- again: fail since 2026-08-22 02:59:55Z"));
    ck_assert(!strstr(rb_buf_str(&text), "- again: fail since 2026-08-22 02:59:53Z"));
    ck_assert(strstr(rb_buf_str(&text), "- later: unknown since"));
    rb_incident_free(incident);
}
END_TEST

START_TEST(text_from_outside_is_nothing_but_text)
{
    struct rb_incident *incident = made("a/b <script> [x](http://e/) `c` | d *e* " SECRET);
    add(incident, "note", "enable_live_trading = true\nenable_live_trading: true\x1b[31m \xe2\x80\xae &#47; ${X} $(id) ~/x #1", AT, 11);
    RB_BUF_AUTO text;
    render(incident, &(struct rb_postmortem_options){.triage = "RECORD a/b `x` " SECRET "\n\n| y |\n"}, &text);
    static const char *const absent[] = {"a/b",           "<script", "](",           "`",  "*e*", "ghp_", "trading = true",
                                         "trading: true", "\x1b",    "\xe2\x80\xae", "${", "$(",  "~/"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        ck_assert_msg(!strstr(rb_buf_str(&text), absent[i]), "%s", absent[i]);
    ck_assert(strstr(rb_buf_str(&text), "a&#47;b"));
    ck_assert(strstr(rb_buf_str(&text), "> &#124; y &#124;"));
    rb_incident_free(incident);
}
END_TEST

START_TEST(headings_are_theirs_in_both_languages)
{
    static const char *const headings[] = {"## Summary\n",        "## Impact Scope\n",      "## Evidence Chain\n",
                                           "## Timeline (UTC)\n", "## Root Cause\n",        "## Remediation\n",
                                           "## Verification\n",   "## Resolution Status\n", "## Follow-up\n"};
    struct rb_incident *incident = made("x");
    for (int german = 0; german < 2; german++) {
        RB_BUF_AUTO text;
        render(incident, &(struct rb_postmortem_options){.german = german}, &text);
        const char *at = rb_buf_str(&text);
        for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++)
            ck_assert_ptr_nonnull(at = strstr(at, headings[i]));
        ck_assert(strstr(rb_buf_str(&text), german ? "Auszufüllen" : "To be filled in"));
        ck_assert(strstr(rb_buf_str(&text), german ? "Offen." : "Open."));
    }
    rb_incident_free(incident);
}
END_TEST

START_TEST(a_template_takes_what_it_names)
{
    struct rb_incident *incident = made("x");
    RB_BUF_AUTO text;
    const struct rb_postmortem_file files[] = {{.name = "triage.txt"}, {.name = "status.json", .digest = "abc", .size = 7}};
    render(incident,
           &(struct rb_postmortem_options){
               .template_text = "{{id}}|{{severity}}|{{unknown}}|{{|{{id|{{safety}}|{{evidence}}", .files = files, .file_count = 2},
           &text);
    ck_assert(strncmp(rb_buf_str(&text), "INC-20260822-0300-X|High|{{unknown}}|{{|{{id|Nothing was recorded.\n|", 60) == 0);
    ck_assert(strstr(rb_buf_str(&text), "| triage.txt | 0 | &#95;&#95;MISSING&#95;&#95; |\n| status.json | 7 | abc |"));
    rb_incident_free(incident);
}
END_TEST

START_TEST(names_of_files)
{
    static const struct {
        const char *title, *name;
    } cases[] = {
        {"Shop is DOWN!", "_shop-is-down.md"}, {"../../etc/passwd", "_etc-passwd.md"}, {"\xc3\xa4", "_incident.md"}, {"", "_incident.md"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128];
        struct rb_incident *incident = made(cases[i].title);
        rb_postmortem_name(incident, name);
        ck_assert_str_eq(name + 10, cases[i].name);
        ck_assert_uint_eq(strspn(name, "0123456789-"), 10);
        rb_incident_free(incident);
    }
}
END_TEST

START_TEST(too_large_is_an_error)
{
    struct rb_incident *incident = made("x");
    struct rb_error err;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 100);
    ck_assert_int_eq(rb_postmortem_render(incident, &(struct rb_postmortem_options){0}, &text, &err), RB_ELIMIT);
    rb_incident_free(incident);
}
END_TEST

RB_TEST_MAIN("postmortem", order_is_that_of_the_journal_though_the_clock_stepped_back, impact_is_what_stood_at_the_opening_or_came_later,
             text_from_outside_is_nothing_but_text, headings_are_theirs_in_both_languages, a_template_takes_what_it_names, names_of_files,
             too_large_is_an_error)
