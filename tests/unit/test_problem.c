/* Problem details: shape, standard titles, hostile detail. */
#include <jansson.h>

#include "../support/check_main.h"
#include "runbook/render/render.h"

START_TEST(test_problem)
{
    static const int statuses[] = {400, 401, 403, 404, 405, 408, 413, 414, 415, 421, 422, 431, 500, 503, 599};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        RB_BUF_AUTO out;
        rb_buf_init(&out, 4096);
        struct rb_error err;
        ck_assert_int_eq(rb_render_problem(statuses[i], "bad-host", "x\"\n\x1b</script>\xff", &out, &err), 0);
        json_error_t error;
        json_t *root = json_loads(rb_buf_str(&out), JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(root != NULL, "%s", error.text);
        ck_assert_str_eq(json_string_value(json_object_get(root, "type")), "urn:runbookd:problem:bad-host");
        ck_assert_int_eq(json_integer_value(json_object_get(root, "status")), statuses[i]);
        ck_assert_uint_gt(json_string_length(json_object_get(root, "title")), 3);
        ck_assert_str_eq(json_string_value(json_object_get(root, "detail")), "x\"\n\x1b</script>\xef\xbf\xbd");
        json_decref(root);
    }
}
END_TEST

START_TEST(test_problem_too_large)
{
    RB_BUF_AUTO out;
    rb_buf_init(&out, 20);
    struct rb_error err;
    ck_assert_int_eq(rb_render_problem(404, "not-found", NULL, &out, &err), RB_ELIMIT);
}
END_TEST

RB_TEST_MAIN("problem", test_problem, test_problem_too_large)
