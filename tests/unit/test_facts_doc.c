/* Facts from documents: readable keys, canonical values, no secrets, one key for one change. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/drift/fact.h"

static void facts_of(enum rb_doc_format format, const char *text, struct rb_arena *arena, struct rb_drift_facts *out)
{
    struct rb_doc_node *root = NULL;
    struct rb_doc_problems problems;
    bool lenient;
    ck_assert_int_eq(
        rb_doc_parse(format, text, strlen(text), &(const struct rb_doc_options){.tree = true}, arena, &root, &lenient, &problems, NULL), 0);
    rb_drift_facts_init(out, arena);
    rb_drift_facts_add_node(out, "", root);
    ck_assert_int_eq(rb_drift_facts_finish(out, NULL), 0);
}

static const char *value_of(const struct rb_drift_facts *facts, const char *key)
{
    const struct rb_drift_fact *fact = rb_drift_facts_find(facts, key);
    return fact ? fact->value : "(none)";
}

START_TEST(keys_and_values)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    struct rb_drift_facts facts;
    facts_of(RB_DOC_JSON, "{\"a\":{\"b\":[1,2.5,\"x\\ny\"],\"e\":{},\"l\":[]},\"d.ot\":null,\"t\":true}", arena, &facts);
    ck_assert_str_eq(value_of(&facts, "a.b[0]"), "1");
    ck_assert_str_eq(value_of(&facts, "a.b[1]"), "2.5");
    ck_assert_str_eq(value_of(&facts, "a.b[2]"), "\"x\\u000ay\"");
    ck_assert_str_eq(value_of(&facts, "a.e"), "{}");
    ck_assert_str_eq(value_of(&facts, "a.l"), "[]");
    ck_assert_str_eq(value_of(&facts, "\"d.ot\""), "null");
    ck_assert_str_eq(value_of(&facts, "t"), "true");
}
END_TEST

START_TEST(lists_of_named_tables)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    struct rb_drift_facts facts;
    facts_of(RB_DOC_TOML, "[[package]]\nname = \"a\"\nversion = \"1\"\n[[package]]\nname = \"b\"\nversion = \"2\"\n", arena, &facts);
    ck_assert_str_eq(value_of(&facts, "package[b].version"), "\"2\"");
    facts_of(RB_DOC_YAML, "l:\n- {name: a, v: 1}\n- {name: a, v: 2}\n- {name: b, v: 3}\n", arena,
             &facts); /* names that come twice are counted */
    ck_assert_str_eq(value_of(&facts, "l[a].v"), "1");
    ck_assert_str_eq(value_of(&facts, "l[a#2].v"), "2");
    ck_assert_str_eq(value_of(&facts, "l[b].v"), "3");
    facts_of(RB_DOC_YAML, "l:\n- {name: a, v: 1}\n- {v: 2}\n", arena, &facts); /* one has no name */
    ck_assert_str_eq(value_of(&facts, "l[1].v"), "2");
}
END_TEST

START_TEST(secrets_become_digests)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    struct rb_drift_facts facts, other;
    facts_of(RB_DOC_YAML, "db: {password: hunter2, token_count: 3, api_key: \"\"}\n", arena, &facts);
    facts_of(RB_DOC_YAML, "db: {password: hunter3, token_count: 3, api_key: \"\"}\n", arena, &other);
    ck_assert_ptr_nonnull(strstr(value_of(&facts, "db.password"), "{\"secret\":\"sha256:"));
    ck_assert_str_ne(value_of(&facts, "db.password"), value_of(&other, "db.password"));
    ck_assert_str_eq(value_of(&facts, "db.token_count"), "3");
    for (size_t i = 0; i < facts.count; i++)
        ck_assert_ptr_null(strstr(facts.items[i].value, "hunter"));
    rb_drift_facts_init(&facts, arena);
    ck_assert_ptr_nonnull(rb_drift_facts_add_text(&facts, "x.secret", "hunter2"));
    ck_assert_ptr_null(strstr(facts.items[0].value, "hunter"));
}
END_TEST

START_TEST(sorted_unique_bounded)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    struct rb_drift_facts facts;
    rb_drift_facts_init(&facts, arena);
    ck_assert_ptr_nonnull(rb_drift_facts_add(&facts, "b", "2"));
    ck_assert_ptr_nonnull(rb_drift_facts_add(&facts, "a", "9"));
    ck_assert_ptr_nonnull(rb_drift_facts_add(&facts, "a", "1"));
    ck_assert_ptr_nonnull(rb_drift_facts_add_number(&facts, "n", 0.1));
    ck_assert_int_eq(rb_drift_facts_finish(&facts, NULL), 0);
    ck_assert_uint_eq(facts.count, 3);
    ck_assert_str_eq(facts.items[0].value, "1");
    ck_assert_str_eq(value_of(&facts, "n"), "0.1");
    char *key = rb_arena_alloc(arena, RB_DRIFT_KEY_MAX + 2);
    memset(key, 'k', RB_DRIFT_KEY_MAX + 1);
    ck_assert_ptr_null(rb_drift_facts_add(&facts, key, "1"));
    struct rb_error err = {0};
    ck_assert_int_eq(rb_drift_facts_finish(&facts, &err), RB_ELIMIT);
}
END_TEST

RB_TEST_MAIN("facts_doc", keys_and_values, lists_of_named_tables, secrets_become_digests, sorted_unique_bounded)
