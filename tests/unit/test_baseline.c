/* Baselines: what is written reads back the same; anything else is damaged as a whole. */
#include <string.h>

#include "../support/check_main.h"
#include "../support/scratch.h"
#include "runbook/base/digest.h"
#include "runbook/drift/baseline.h"

static struct rb_drift_baseline sample(struct rb_arena *arena)
{
    struct rb_drift_baseline baseline = {.check = "cfg", .source = "files", .wall_ns = 1700000000123456789};
    rb_drift_facts_init(&baseline.facts, arena);
    ck_assert_ptr_nonnull(rb_drift_facts_add(&baseline.facts, "b", "{\"blob\":\"00\",\"mode\":\"100644\"}"));
    struct rb_drift_fact *fact = rb_drift_facts_add(&baseline.facts, "a\t\"x\"\n\x01", "\"v\"");
    fact->kept_text = "line\twith \\ and \"\nsecond \x7f\n";
    ck_assert_int_eq(rb_drift_facts_finish(&baseline.facts, NULL), 0);
    baseline.overlays = rb_arena_array(arena, 2, sizeof *baseline.overlays);
    baseline.overlays[0] = (struct rb_drift_overlay){
        .key = "b", .at_wall_ns = 5, .accepted = {.who = "op", .why = "PR #1", .until_wall_ns = 9}};
    baseline.overlays[1] = (struct rb_drift_overlay){
        .key = "c", .value = "1", .kept_text = "t", .at_wall_ns = 6, .accepted = {.who = "op", .why = "w", .ref = "r"}};
    baseline.overlay_count = 2;
    return baseline;
}

START_TEST(reads_back_the_same)
{
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_drift_baseline in = sample(arena), out;
    RB_BUF_AUTO text, again;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    rb_buf_init(&again, RB_DRIFT_BASELINE_MAX);
    ck_assert_int_eq(rb_drift_baseline_encode(&in, &text, NULL), 0);
    struct rb_error err = {0};
    ck_assert_msg(rb_drift_baseline_decode(rb_buf_str(&text), text.len, arena, &out, &err) == 0, "%s", err.message);
    ck_assert_str_eq(out.check, "cfg");
    ck_assert_int_eq(out.wall_ns, in.wall_ns);
    ck_assert_uint_eq(out.facts.count, 2);
    ck_assert_str_eq(out.facts.items[0].key, in.facts.items[0].key);
    ck_assert_str_eq(rb_drift_baseline_kept(&out, out.facts.items[0].key), "line\twith \\ and \"\nsecond \x7f\n");
    ck_assert_ptr_null(out.overlays[0].value);
    ck_assert_ptr_null(out.overlays[0].accepted.ref);
    ck_assert_str_eq(out.overlays[1].accepted.ref, "r");
    ck_assert_str_eq(rb_drift_baseline_kept(&out, "c"), "t");
    ck_assert_ptr_null(rb_drift_baseline_kept(&out, "zz"));
    ck_assert_int_eq(rb_drift_baseline_encode(&out, &again, NULL), 0);
    ck_assert_str_eq(rb_buf_str(&again), rb_buf_str(&text));
}
END_TEST

/* Every flipped byte and every cut is damage: nothing is believed in part. */
START_TEST(every_flip_and_cut_is_damage)
{
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_drift_baseline in = sample(arena), out;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    ck_assert_int_eq(rb_drift_baseline_encode(&in, &text, NULL), 0);
    for (size_t i = 0; i < text.len; i++) {
        RB_ARENA_AUTO *scratch = rb_arena_new(4 << 20);
        text.data[i] ^= 1;
        int rc = rb_drift_baseline_decode(text.data, text.len, scratch, &out, NULL);
        ck_assert_msg(rc == RB_ECORRUPT || rc == RB_EUNSUPPORTED, "byte %zu: %d", i, rc);
        text.data[i] ^= 1;
        ck_assert_int_lt(rb_drift_baseline_decode(text.data, i, scratch, &out, NULL), 0);
    }
    ck_assert_int_eq(rb_drift_baseline_decode("runbookd baseline 2\nx\n", 22, arena, &out, NULL), RB_EUNSUPPORTED);
}
END_TEST

static void write_sealed(const char *body, struct rb_buf *out)
{
    char digest[RB_SHA256_HEX];
    rb_buf_reset(out);
    rb_buf_adds(out, body);
    rb_sha256_of(out->data, out->len, digest);
    rb_buf_addf(out, "end\t%d\t0\t%s\n", 2, digest);
}

/* A good digest over a bad content: order, counts and forms are checked all the same. */
START_TEST(sealed_nonsense_is_damage)
{
    static const char *const bodies[] = {
        "runbookd baseline 1\nm\t\"check\"\t\"c\"\nm\t\"source\"\t\"s\"\nm\t\"at\"\t1\nf\t\"b\"\t1\t-\nf\t\"a\"\t1\t-\n",
        "runbookd baseline 1\nm\t\"check\"\t\"c\"\nm\t\"source\"\t\"s\"\nm\t\"at\"\t1\nf\t\"a\"\t1\t-\n",
        "runbookd baseline 1\nm\t\"check\"\t\"c\"\nf\t\"a\"\t1\t-\nf\t\"b\"\t1\t-\n",
        "runbookd baseline 1\nm\t\"check\"\t\"c\"\nm\t\"source\"\t\"s\"\nf\ta\t1\t-\nf\t\"b\"\t1\t-\n",
        "runbookd baseline 1\nq\t\"check\"\t\"c\"\n",
        "runbookd baseline 1\nf\t\"a\\u00zz\"\t1\t-\nf\t\"b\"\t1\t-\n",
        "runbookd baseline 1\nf\t\"a\"\t1\t-\nf\t\"b\"\t1\t-\nf\t\"c\"\t1\t-\n",
        "runbookd baseline 1\na\t\"a\"\t1\t1\t0\t\"w\"\t\"y\"\t-\t-\n",
    };
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        struct rb_drift_baseline out;
        write_sealed(bodies[i], &text);
        ck_assert_msg(rb_drift_baseline_decode(rb_buf_str(&text), text.len, arena, &out, NULL) == RB_ECORRUPT, "body %zu", i);
    }
}
END_TEST

START_TEST(what_was_set_aside_stays_damage)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_drift_baseline in = sample(arena), out;
    ck_assert_int_eq(rb_drift_baseline_read(s.path, "cfg", arena, &out, NULL), RB_ENOTFOUND);
    ck_assert_int_eq(rb_drift_baseline_read("", "cfg", arena, &out, NULL), RB_ENOTFOUND);
    scratch_folder(&s, "baselines");
    scratch_write(&s, "baselines/cfg.baseline.damaged-20260101T000000Z", "x");
    ck_assert_int_eq(rb_drift_baseline_read(s.path, "cfg", arena, &out, NULL), RB_ECORRUPT);
    ck_assert_int_eq(rb_drift_baseline_read(s.path, "other", arena, &out, NULL), RB_ENOTFOUND);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    ck_assert_int_eq(rb_drift_baseline_encode(&in, &text, NULL), 0);
    scratch_write(&s, "baselines/cfg.baseline", rb_buf_str(&text));
    ck_assert_int_eq(rb_drift_baseline_read(s.path, "cfg", arena, &out, NULL), 0);
    scratch_write(&s, "baselines/other.baseline", rb_buf_str(&text)); /* another check's */
    ck_assert_int_eq(rb_drift_baseline_read(s.path, "other", arena, &out, NULL), RB_ECORRUPT);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("baseline", reads_back_the_same, every_flip_and_cut_is_damage, sealed_nonsense_is_damage, what_was_set_aside_stays_damage)
