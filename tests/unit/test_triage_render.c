/* The triage report: its bounds with far too much in it, hostile text, the healthy form, both languages, JSON and HTML. */
#include <jansson.h>
#include <math.h>

#include "../support/check_main.h"
#include "../support/state_fixture.h"
#include "runbook/base/text.h"
#include "runbook/render/render.h"

#define MANY 40u

static const char evil[] = "evil \x1b]0;title\x07\n\xe2\x80\xae <script>alert(1)</script> ' ; rm -rf / \xff";
static struct fixture f;
static struct rb_snapshot *snapshot;
static struct rb_view view;

static void begin(size_t count)
{
    fixture_start(&f, fixture_plan(count));
    for (size_t i = 0; i < count; i++)
        (void)fixture_run(&f, i, RB_RESULT_OK);
    snapshot = fixture_snapshot(&f);
    view = rb_view_of(snapshot, &f.clock.clock);
}

static void end(void)
{
    rb_snapshot_unref(snapshot);
    fixture_end(&f);
}

static struct rb_cause causes[MANY];
static struct rb_explained explained[MANY];
static struct rb_change changes[MANY];
static struct rb_ruled_out ruled_out[MANY];
static struct rb_open_question open_questions[MANY];
static struct rb_not_linked not_linked[MANY];
static struct rb_held held[MANY];
static const char *texts[MANY], *commands[MANY];

/* Every list full of hostile text. */
static struct rb_diagnosis flood(size_t cause_count)
{
    for (size_t i = 0; i < MANY; i++) {
        static char numbered[MANY][96];
        (void)snprintf(numbered[i], sizeof numbered[i], "docker restart service-%zu", i);
        texts[i] = evil;
        commands[i] = i % 2 ? evil : numbered[i];
        explained[i] = (struct rb_explained){.check = i % 3, .how = evil, .since_wall_ns = WALL0};
        changes[i] = (struct rb_change){.wall_ns = WALL0, .what = evil, .lead_ns = 27 * SECOND, .diff = "-a\n+b\n-c\n+d\n-e\n+f"};
        ruled_out[i] = (struct rb_ruled_out){.kind = RB_RULED_DISK, .what = evil, .why = evil};
        open_questions[i] = (struct rb_open_question){.check = i % 3, .title = evil, .would_settle = evil};
        not_linked[i] = (struct rb_not_linked){.check = i % 3, .title = evil, .since_wall_ns = WALL0};
        held[i] = (struct rb_held){.check = i % 3, .age_s = i ? 2460 : (double)NAN};
        causes[i] = (struct rb_cause){.check = i % 3,
                                      .title = evil,
                                      .confidence = (enum rb_confidence)(i % 3),
                                      .since_wall_ns = WALL0,
                                      .evidence = texts,
                                      .evidence_count = MANY,
                                      .last_words = texts,
                                      .last_words_count = MANY,
                                      .changed_before = changes,
                                      .changed_before_count = MANY,
                                      .explains = explained,
                                      .explains_count = MANY,
                                      .ruled_out = ruled_out,
                                      .ruled_out_count = MANY,
                                      .todo = commands,
                                      .todo_count = MANY,
                                      .runbook = evil};
    }
    return (struct rb_diagnosis){.verdict = cause_count ? RB_VERDICT_CAUSES : RB_VERDICT_UNDETERMINED,
                                 .causes = causes,
                                 .cause_count = cause_count,
                                 .undetermined = open_questions,
                                 .undetermined_count = MANY,
                                 .not_linked = not_linked,
                                 .not_linked_count = MANY,
                                 .held = held,
                                 .held_count = MANY,
                                 .observer = texts,
                                 .observer_count = MANY,
                                 .rollback = commands,
                                 .rollback_count = MANY,
                                 .fresh = 2,
                                 .total = 3,
                                 .round_s = 0.4};
}

static size_t check_bounds(const char *text, size_t columns)
{
    size_t lines = 0;
    for (; *text; text += strcspn(text, "\n") + 1, lines++) {
        size_t len = strcspn(text, "\n");
        ck_assert_msg(rb_text_is_plain(text, len), "%.*s", (int)len, text);
        ck_assert_uint_le(rb_text_columns(text, len), columns);
    }
    return lines;
}

START_TEST(test_text_is_bounded)
{
    begin(3);
    for (size_t count = 0; count <= MANY; count += count < 4 ? 1 : 12) {
        for (int language = 0; language < RB_LANGUAGE_COUNT; language++) {
            struct rb_diagnosis diagnosis = flood(count);
            RB_BUF_AUTO out;
            rb_buf_init(&out, RB_RENDER_MAX);
            struct rb_error err;
            struct rb_text_style style = {.columns = 100, .language = (enum rb_language)language};
            ck_assert_int_eq(rb_render_triage_text(&view, &diagnosis, &style, &out, &err), 0);
            ck_assert_uint_le(check_bounds(rb_buf_str(&out), 100), 60);
            if (count) {
                ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), language ? "1. URSACHE [hoch]" : "1. CAUSE [high]"));
                ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "   # docker restart service-0\n"));
                ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), language ? "MASSNAHMEN" : "DO, in this order"));
            }
        }
    }
    end();
}
END_TEST

/* The section of check 0 as a watcher would have read it. */
static void quote(enum rb_runbook_state state, size_t line_count)
{
    struct rb_runbook_texts *read = calloc(1, sizeof *read);
    struct rb_check_spec *spec = &snapshot->plan->checks[0];
    ck_assert_ptr_nonnull(read);
    read->refs = 1;
    read->plan = rb_plan_ref(snapshot->plan);
    read->arena = rb_arena_new(1 << 20);
    read->items = rb_arena_array(read->arena, snapshot->count, sizeof *read->items);
    const char **lines = rb_arena_array(read->arena, line_count + 1, sizeof *lines);
    for (size_t i = 0; i < line_count; i++)
        lines[i] = i == 0 ? "first line; reboot" : evil;
    read->items[0] = (struct rb_runbook_text){
        .state = state, .line = 77, .heading = "Heading now", .lines = lines, .line_count = line_count, .more = 3};
    spec->runbook = "Heading";
    spec->runbook_file = "book.md";
    spec->runbook_heading = "Heading then";
    spec->runbook_line = 12;
    rb_runbook_texts_unref(snapshot->runbooks);
    snapshot->runbooks = read;
}

static const char *report(const struct rb_diagnosis *diagnosis, struct rb_buf *out)
{
    struct rb_error err;
    rb_buf_reset(out);
    ck_assert_int_eq(rb_render_triage_text(&view, diagnosis, &(struct rb_text_style){.columns = 100}, out, &err), 0);
    ck_assert_uint_le(check_bounds(rb_buf_str(out), 100), 60);
    return rb_buf_str(out);
}

/* ---- random reports ---- */

static uint32_t dice;

static size_t roll(size_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

/* Blanks where lines break, wide and combining characters, words without an end, and what looks like parts of the report. */
static const char *any_text(struct rb_arena *arena)
{
    static const char *const parts[] = {
        " ",
        "  ",
        "a",
        "word ",
        "\n",
        "\t",
        "\xe6\xbc\xa2",
        "e\xcc\x81",
        "\xf0\x9f\x94\xa5",
        "\xff",
        "'",
        "\"",
        "#",
        " # ",
        "%1",
        "VERDICT  healthy",
        "\nVERDICT  healthy\n",
        "docker start ",
        "--",
        "exited with code 1",
        ": ",
        "\x1b[2J",
        "\r",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    RB_BUF_AUTO text;
    rb_buf_init(&text, 8192);
    for (size_t i = roll(4) ? roll(12) : roll(300); i > 0; i--)
        rb_buf_adds(&text, parts[roll(sizeof parts / sizeof parts[0])]);
    return rb_arena_strdup(arena, rb_buf_str(&text));
}

static void any_cause(struct rb_arena *arena, struct rb_cause *cause)
{
    cause->title = any_text(arena);
    cause->runbook = roll(2) ? any_text(arena) : NULL;
    cause->evidence_count = roll(MANY);
    cause->last_words_count = roll(MANY);
    cause->changed_before_count = roll(3);
    cause->explains_count = roll(MANY);
    cause->ruled_out_count = roll(RB_RULED_COUNT);
    cause->todo_count = roll(MANY);
}

START_TEST(test_any_report_is_bounded)
{
    begin(3);
    for (dice = 1; dice < 300; dice++) {
        uint32_t seed = dice;
        RB_ARENA_AUTO *arena = rb_arena_new((size_t)16 << 20);
        struct rb_diagnosis diagnosis = flood(roll(5));
        for (size_t i = 0; i < MANY; i++) {
            texts[i] = any_text(arena);
            commands[i] = any_text(arena);
            explained[i].how = any_text(arena);
            changes[i].what = any_text(arena);
            changes[i].diff = roll(2) ? any_text(arena) : NULL;
            changes[i].mounted_as = roll(2) ? any_text(arena) : NULL;
            ruled_out[i].what = any_text(arena);
            ruled_out[i].why = any_text(arena);
            open_questions[i].title = any_text(arena);
            not_linked[i].title = any_text(arena);
            any_cause(arena, &causes[i]);
        }
        diagnosis.undetermined_count = roll(MANY);
        diagnosis.not_linked_count = roll(MANY);
        diagnosis.held_count = roll(MANY);
        diagnosis.observer_count = roll(MANY);
        diagnosis.rollback_count = roll(3);
        for (int language = 0; language < RB_LANGUAGE_COUNT; language++) {
            RB_BUF_AUTO out;
            rb_buf_init(&out, RB_RENDER_MAX);
            struct rb_text_style style = {.columns = 100, .language = (enum rb_language)language};
            ck_assert_int_eq(rb_render_triage_text(&view, &diagnosis, &style, &out, NULL), 0);
            ck_assert_msg(check_bounds(rb_buf_str(&out), 100) <= 60, "seed %u is too long\n%s", seed, rb_buf_str(&out));
            const char *verdict = strstr(rb_buf_str(&out), "\nVERDICT");
            ck_assert_msg(!verdict || (!language && !strstr(verdict + 1, "\nVERDICT")), "seed %u forged\n%s", seed, rb_buf_str(&out));
        }
        dice = seed;
    }
    end();
}
END_TEST

START_TEST(test_the_section_is_quoted)
{
    begin(3);
    struct rb_cause cause = {.check = 0, .title = "down", .evidence = texts, .last_words = texts, .runbook = "Heading"};
    struct rb_diagnosis diagnosis = {.verdict = RB_VERDICT_CAUSES, .causes = &cause, .cause_count = 1, .round_s = (double)NAN};
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    snapshot->plan->checks[0].runbook = "Heading";
    snapshot->plan->checks[0].runbook_file = "book.md";
    snapshot->plan->checks[0].runbook_heading = "Heading then";
    snapshot->plan->checks[0].runbook_line = 12;
    ck_assert_ptr_nonnull(
        strstr(report(&diagnosis, &out), "\nRUNBOOK  book.md:12  Heading then\nRECORD ")); /* not read: nothing is quoted */
    quote(RB_RUNBOOK_FOUND, 40);
    const char *text = strstr(report(&diagnosis, &out), "\nRUNBOOK  book.md:77  Heading now\n   # first line; reboot\n");
    ck_assert_ptr_nonnull(text);
    size_t lines = 0;
    for (text = strchr(text + 1, '\n') + 1; strncmp(text, "RECORD", 6) != 0; text = strchr(text, '\n') + 1, lines++)
        ck_assert_msg(strncmp(text, "   # ", 5) == 0, "a line that pasting would run: %s", text);
    ck_assert_uint_eq(lines, 8);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "   # … and 36 more\nRECORD")); /* of 40, and 3 that were not kept */
    quote(RB_RUNBOOK_GONE, 0);
    ck_assert_ptr_nonnull(strstr(report(&diagnosis, &out), "RUNBOOK  book.md: section no longer found: Heading then\nRECORD"));
    quote(RB_RUNBOOK_UNREADABLE, 0);
    ck_assert_ptr_nonnull(strstr(report(&diagnosis, &out), "RUNBOOK  book.md cannot be read now; section: Heading then\nRECORD"));
    quote(RB_RUNBOOK_FOUND, 5);
    struct rb_plan *own = snapshot->runbooks->plan;
    snapshot->runbooks->plan = NULL; /* of another plan: its indexes are not ours */
    ck_assert_ptr_nonnull(strstr(report(&diagnosis, &out), "RUNBOOK  book.md:12  Heading then\nRECORD"));
    snapshot->runbooks->plan = own;
    struct rb_diagnosis full = flood(MANY); /* no room: the section is still named */
    ck_assert_ptr_nonnull(strstr(report(&full, &out), "RUNBOOK  book.md:77  Heading now\n"));
    end();
}
END_TEST

START_TEST(test_the_section_in_json_and_html)
{
    begin(1);
    struct rb_cause cause = {.check = 0, .title = "down", .evidence = texts, .last_words = texts, .runbook = "Heading"};
    struct rb_diagnosis diagnosis = {.verdict = RB_VERDICT_CAUSES, .causes = &cause, .cause_count = 1, .round_s = (double)NAN};
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    quote(RB_RUNBOOK_FOUND, 2);
    ck_assert_int_eq(rb_render_triage_json(&view, &diagnosis, &out, &err), 0);
    json_t *root = json_loads(rb_buf_str(&out), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(root);
    json_t *one = json_array_get(json_object_get(root, "causes"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(one, "runbook_text")), 2);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "runbook_text"), 0)), "first line; reboot");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(one, "runbook_section"), "line")), 77);
    json_decref(root);
    rb_buf_reset(&out);
    ck_assert_int_eq(rb_render_triage_html(&view, &diagnosis, RB_LANGUAGE_EN, &out, &err), 0);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "<details><summary>RUNBOOK book.md:77  Heading now</summary><pre>first line; reboot\n"));
    ck_assert_ptr_null(strstr(rb_buf_str(&out), "<script"));
    ck_assert_ptr_null(memchr(rb_buf_str(&out), 0x1b, out.len));
    end();
}
END_TEST

START_TEST(test_healthy_is_short)
{
    begin(3);
    struct rb_diagnosis diagnosis = {.verdict = RB_VERDICT_HEALTHY, .fresh = 3, .total = 3, .round_s = (double)NAN};
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    struct rb_text_style style = {.columns = 100};
    ck_assert_int_eq(rb_render_triage_text(&view, &diagnosis, &style, &out, &err), 0);
    const char *text = rb_buf_str(&out);
    ck_assert_uint_le(check_bounds(text, 100), 8);
    ck_assert_int_eq(strncmp(text, "runbookd triage  20", 19), 0);
    ck_assert_ptr_nonnull(strstr(text, "\nVERDICT  healthy: 3 of 3 checks ok. No other warning. Nothing undetermined.\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nSAFETY   no safety check is configured\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nDATA     3 of 3 checks fresh.\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nLAST     "));
    ck_assert_ptr_null(strstr(text, "DO, in"));
    end();
}
END_TEST

START_TEST(test_stuck_is_said)
{
    begin(1);
    rb_fake_clock_advance(&f.clock, 60 * SECOND);
    view = rb_view_of(snapshot, &f.clock.clock);
    struct rb_diagnosis diagnosis = {.verdict = RB_VERDICT_BLIND, .total = 1, .round_s = (double)NAN};
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_triage_text(&view, &diagnosis, &(struct rb_text_style){.columns = 100}, &out, &err), 0);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "The loop is stuck: nothing was learned for 1 min"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "VERDICT  blind"));
    end();
}
END_TEST

START_TEST(test_json_and_html)
{
    begin(3);
    struct rb_diagnosis diagnosis = flood(3);
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_triage_json(&view, &diagnosis, &out, &err), 0);
    json_error_t error;
    json_t *root = json_loads(rb_buf_str(&out), JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    static const char *const keys[] = {"time",   "host",   "head",         "branch",     "worktree", "verdict",  "incident",
                                       "safety", "causes", "undetermined", "not_linked", "held",     "observer", "rollback"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_assert_msg(json_object_get(root, keys[i]) != NULL, "%s", keys[i]);
    json_t *cause = json_array_get(json_object_get(root, "causes"), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(cause, "rank")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(cause, "confidence")), "medium");
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(json_object_get(cause, "changed_before"), 0), "lead_s")), 27);
    ck_assert_uint_eq(json_array_size(json_object_get(cause, "do")), MANY);
    json_decref(root);
    rb_buf_reset(&out);
    ck_assert_int_eq(rb_render_triage_html(&view, &diagnosis, RB_LANGUAGE_DE, &out, &err), 0);
    ck_assert_ptr_null(strstr(rb_buf_str(&out), "<script"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "&lt;script&gt;"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&out), "BEFUND"));
    ck_assert_ptr_null(memchr(rb_buf_str(&out), 0x1b, out.len));
    end();
}
END_TEST

RB_TEST_MAIN("triage_render", test_text_is_bounded, test_healthy_is_short, test_stuck_is_said, test_json_and_html,
             test_any_report_is_bounded, test_the_section_is_quoted, test_the_section_in_json_and_html)
