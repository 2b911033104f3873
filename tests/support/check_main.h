/* The main function that all unit tests share: one suite, one case, the exit status that meson expects. */
#ifndef RUNBOOK_TESTS_CHECK_MAIN_H
#define RUNBOOK_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

/* Runs `tests` (START_TEST functions); CK_FORK=no runs them in one process. */
static inline int rb_run_tests(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define RB_TEST_MAIN(name, ...)                                           \
    int main(void)                                                        \
    {                                                                     \
        const TTest *const tests[] = {__VA_ARGS__};                       \
        return rb_run_tests(name, tests, sizeof tests / sizeof tests[0]); \
    }

#endif
