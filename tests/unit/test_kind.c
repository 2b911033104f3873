/* The kind tables: closed sets, and every kind of the registry complete and consistent. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/check/kind.h"

static bool is_snake(const char *name)
{
    return name[0] && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

START_TEST(reasons_are_found_in_all_three_sets)
{
    static const struct rb_reason_def own[] = {{"mine", "x"}, {NULL}};
    struct rb_kind kind = {.reasons = own};
    ck_assert_ptr_eq(rb_kind_reason(&kind, "mine"), own[0].name);
    ck_assert_str_eq(rb_kind_reason(&kind, "timeout"), "timeout");
    ck_assert_ptr_null(rb_kind_reason(&kind, "refused"));
    kind.net_reasons = true;
    ck_assert_str_eq(rb_kind_reason(&kind, "refused"), "refused");
    ck_assert_ptr_null(rb_kind_reason(&kind, "made_up"));
    kind.reasons = NULL;
    ck_assert_ptr_null(rb_kind_reason(&kind, "mine"));
    ck_assert_str_eq(rb_kind_reason(&kind, "none"), "none");
}
END_TEST

START_TEST(values_are_found_by_name)
{
    static const struct rb_value_def rows[] = {{"a", "", RB_VALUE_GAUGE, "h", NULL}, {NULL}};
    struct rb_kind kind = {.values = rows};
    ck_assert_ptr_eq(rb_kind_value(&kind, "a"), &rows[0]);
    ck_assert_ptr_null(rb_kind_value(&kind, "b"));
    kind.values = NULL;
    ck_assert_ptr_null(rb_kind_value(&kind, "a"));
}
END_TEST

static void check_tables(const struct rb_kind *kind)
{
    const char *name = kind->schema.schema.name;
    for (const struct rb_reason_def *row = kind->reasons; row && row->name; row++)
        ck_assert_msg(is_snake(row->name) && row->doc && row->doc[0], "%s: reason %s", name, row->name);
    for (const struct rb_value_def *row = kind->values; row && row->name; row++)
        ck_assert_msg(is_snake(row->name) && row->unit && row->help && row->help[0], "%s: value %s", name, row->name);
    for (const struct rb_option *row = kind->schema.schema.options; row && row->name; row++)
        ck_assert_msg(is_snake(row->name) && row->doc && row->doc[0], "%s: option %s", name, row->name);
}

static bool has_its_class(const struct rb_kind *kind)
{
    const bool has[RB_EXEC_COUNT] = {
        [RB_EXEC_WORKER] = kind->run != NULL, [RB_EXEC_EXCHANGE] = kind->exchange != NULL, [RB_EXEC_CHILD] = kind->child != NULL,
        [RB_EXEC_SCAN] = kind->scan != NULL,  [RB_EXEC_PASSIVE] = kind->passive != NULL,   [RB_EXEC_STREAM] = kind->stream != NULL,
    };
    return (unsigned)kind->exec < RB_EXEC_COUNT && has[kind->exec];
}

START_TEST(every_registered_kind_is_complete)
{
    const struct rb_kind_list *list = rb_kind_registry();
    ck_assert_uint_gt(list->count, 0);
    ck_assert_ptr_null(list->items[list->count]);
    for (size_t i = 0; i < list->count; i++) {
        const struct rb_kind *kind = rb_kind_of(list->items[i]);
        const char *name = kind->schema.schema.name;
        ck_assert_msg(is_snake(name) && kind->schema.schema.doc && kind->schema.example, "%s: name, doc or example", name);
        ck_assert_msg(has_its_class(kind), "%s: the operations of its class are missing", name);
        ck_assert_msg(kind->exec != RB_EXEC_CHILD || kind->schema.starts_programs, "%s starts programs but does not say so", name);
        check_tables(kind);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(name, list->items[k]->schema.name);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("kind");
    tcase_add_test(tcase, reasons_are_found_in_all_three_sets);
    tcase_add_test(tcase, values_are_found_by_name);
    tcase_add_test(tcase, every_registered_kind_is_complete);
    Suite *suite = suite_create("kind");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
