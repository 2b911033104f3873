/* The JSON Schema: well-formed, complete, and of the shape that editors complain about one key at a time. */
#include <jansson.h>
#include <string.h>

#include "../support/fake_kinds.h"
#include "../support/fixture_main.h"

static struct rb_buf out;
static json_t *schema;

static void setup(void)
{
    struct rb_error err;
    rb_buf_init(&out, 1 << 20);
    ck_assert_int_eq(rb_schema_json(&fake_kinds, &out, &err), 0);
    schema = json_loads(rb_buf_str(&out), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(schema);
}

static void teardown(void)
{
    json_decref(schema);
    rb_buf_fini(&out);
}

/* The member at a path of keys, asserting each step. */
static const json_t *at(const json_t *value, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        value = json_object_get(value, *keys);
        ck_assert_msg(value != NULL, "no %s", *keys);
    }
    return value;
}
#define AT(...) at(schema, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(the_frame)
{
    ck_assert_str_eq(json_string_value(AT("$schema")), "https://json-schema.org/draft/2020-12/schema");
    ck_assert(json_is_false(AT("additionalProperties")));
    ck_assert_uint_eq(json_object_size(AT("properties")), 4);
    ck_assert_str_eq(json_string_value(AT("properties", "defaults", "$ref")), "#/$defs/common");
    ck_assert_int_eq(json_integer_value(AT("properties", "checks", "maxItems")), RB_PLAN_MAX_CHECKS);
    ck_assert_uint_eq(json_array_size(AT("properties", "checks", "items", "allOf")), 2);
}
END_TEST

START_TEST(every_option_of_a_kind)
{
    const json_t *properties = AT("$defs", "kind_probe", "properties");
    for (const struct rb_option *option = fake_table; option->name != NULL; option++)
        ck_assert_msg(json_object_get(properties, option->name) != NULL, "%s", option->name);
    for (const struct rb_option *option = rb_common_schema.options; option->name != NULL; option++)
        ck_assert_msg(json_object_get(properties, option->name) != NULL, "%s", option->name);
    ck_assert_str_eq(json_string_value(AT("$defs", "kind_probe", "properties", "kind", "const")), "probe");
    ck_assert(json_is_false(AT("$defs", "kind_probe", "additionalProperties")));
    ck_assert_uint_eq(json_array_size(AT("$defs", "kind_probe", "required")), 3);
}
END_TEST

START_TEST(details)
{
    ck_assert_str_eq(json_string_value(AT("$defs", "kind_probe", "properties", "port", "description")), "A port.");
    const json_t *port = json_array_get(AT("$defs", "kind_probe", "properties", "port", "anyOf"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(port, "maximum")), 65535);
    ck_assert_str_eq(json_string_value(AT("$defs", "kind_probe", "properties", "wait", "default")), "90s");
    ck_assert(json_is_array(AT("$defs", "kind_probe", "properties", "texts", "anyOf")));
    ck_assert(json_is_false(AT("$defs", "kind_probe", "properties", "limits", "additionalProperties")));
    ck_assert_int_eq(json_integer_value(AT("$defs", "kind_probe", "properties", "limits", "properties", "low", "default")), 5);
    ck_assert(json_is_array(AT("$defs", "common", "properties", "every", "anyOf")));
    ck_assert(json_is_array(AT("properties", "daemon", "properties", "listen", "default")));
}
END_TEST

START_TEST(a_small_buffer_is_an_error)
{
    struct rb_buf small;
    struct rb_error err;
    rb_buf_init(&small, 100);
    ck_assert_int_eq(rb_schema_json(&fake_kinds, &small, &err), RB_ELIMIT);
    rb_buf_fini(&small);
}
END_TEST

RB_FIXTURE_MAIN("schema", the_frame, every_option_of_a_kind, details, a_small_buffer_is_an_error)
