/* As check_main.h, for tests that all begin with the same setup. */
#ifndef RUNBOOK_TESTS_FIXTURE_MAIN_H
#define RUNBOOK_TESTS_FIXTURE_MAIN_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

static inline int rb_run_fixture_tests(const char *name, SFun setup, SFun teardown, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define RB_FIXTURE_MAIN(name, ...)                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return rb_run_fixture_tests(name, setup, teardown, tests, sizeof tests / sizeof tests[0]); \
    }

#endif
