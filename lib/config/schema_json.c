/* JSON Schema (draft 2020-12) of the whole file, out of the same tables that parse it.
 *
 * Editors use it, so that it says what people may write, not what comes out: a number may also be "${PORT}", a list of one may be the item alone. Each kind
 * is a complete object in $defs with `additionalProperties: false`, chosen by `if`/`then` on `kind`: an editor then complains about the one wrong key, where
 * `oneOf` would complain about twenty kinds that do not fit. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "plan_internal.h"
#include "runbook/base/units.h"

#define MAX_NESTED 8u

static json_t *schema_of(const struct rb_option *option, unsigned depth);

/* jansson's functions take NULL and then do nothing, so that these builders need no check each: without memory the schema lacks a part, or is NULL,
 * which the end reports. Nothing but an editor reads it. */
static json_t *typed(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static json_t *variable(void)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", "\\$\\{[A-Za-z_]");
}

static json_t *or_variable(json_t *take_schema)
{
    return json_pack("{s:[o, o]}", "anyOf", take_schema, variable());
}

static json_t *text(void)
{
    return json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
}

static json_t *with_range(json_t *take_schema, const struct rb_option *option)
{
    if (option->min == 0 && option->max == 0)
        return take_schema;
    json_object_set_new(take_schema, "minimum", json_integer(option->min));
    json_object_set_new(take_schema, "maximum", json_integer(option->max));
    return take_schema;
}

static json_t *choice_names(const struct rb_choice *choices)
{
    json_t *names = json_array();
    for (; choices != NULL && choices->name != NULL; choices++)
        json_array_append_new(names, json_string(choices->name));
    return names;
}

static json_t *duration(const struct rb_option *option)
{
    json_t *any = json_pack("[{s:s, s:s, s:[s, s, s]}]", "type", "string", "pattern", "^([0-9]+(ms|s|m|h|d|w|y))+$", "examples", "15s",
                            "5m", "2h");
    if (option->min == 0)
        json_array_append_new(any, json_pack("{s:i}", "const", 0));
    if (option->choices != NULL)
        json_array_append_new(any, json_pack("{s:o}", "enum", choice_names(option->choices)));
    json_array_append_new(any, variable());
    return json_pack("{s:o}", "anyOf", any);
}

/* A list, or its only item alone. */
static json_t *list_of(const struct rb_option *option, json_t *take_item, bool single)
{
    json_t *list = json_pack("{s:s, s:O}", "type", "array", "items", take_item);
    if (option->min > 0 || (option->flags & RB_OPT_NONEMPTY) != 0 || option->type == RB_OPT_ARGV)
        json_object_set_new(list, "minItems", json_integer(option->min > 0 ? option->min : 1));
    if (option->max > 0)
        json_object_set_new(list, "maxItems", json_integer(option->max));
    if (!single) {
        json_decref(take_item);
        return list;
    }
    return json_pack("{s:[o, o]}", "anyOf", list, take_item);
}

static json_t *secret_file(void)
{
    return json_pack("{s:s, s:s}", "type", "string", "description", "Text, or `!file PATH` to read it from a file.");
}

static json_t *object_of(const struct rb_option *options, unsigned depth)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    for (; options != NULL && options->name != NULL && depth < MAX_NESTED; options++) {
        json_object_set_new(properties, options->name, schema_of(options, depth + 1));
        if ((options->flags & RB_OPT_REQUIRED) != 0)
            json_array_append_new(required, json_string(options->name));
    }
    json_t *object = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
    if (json_array_size(required) > 0)
        json_object_set(object, "required", required);
    json_decref(required);
    return object;
}

static json_t *shape_of(const struct rb_option *option, unsigned depth)
{
    switch (option->type) {
    case RB_OPT_BOOL:
    case RB_OPT_TRISTATE:
        return or_variable(typed("boolean"));
    case RB_OPT_INT:
        return or_variable(with_range(typed("integer"), option));
    case RB_OPT_NUMBER:
        return or_variable(with_range(typed("number"), option));
    case RB_OPT_DURATION:
        return duration(option);
    case RB_OPT_SIZE:
    case RB_OPT_AMOUNT:
        return json_pack("{s:[s, s]}", "type", "string", "integer");
    case RB_OPT_CHOICE:
        return or_variable(json_pack("{s:o}", "enum", choice_names(option->choices)));
    case RB_OPT_STRINGS:
    case RB_OPT_PATHS:
    case RB_OPT_GLOBS:
    case RB_OPT_REGEXES:
        return list_of(option, text(), true);
    case RB_OPT_ARGV:
        return list_of(option, text(), false);
    case RB_OPT_PAIRS:
        return json_pack("{s:s, s:{s:[s, s, s, s]}}", "type", "object", "additionalProperties", "type", "string", "number", "boolean",
                         "null");
    case RB_OPT_STRUCT:
        return object_of(option->sub, depth);
    case RB_OPT_STRUCTS:
        return list_of(option, object_of(option->sub, depth), true);
    case RB_OPT_NODE:
        return json_object();
    case RB_OPT_STRING:
    case RB_OPT_PATH:
    case RB_OPT_GLOB:
    case RB_OPT_REGEX:
    case RB_OPT_URL:
        break;
    }
    return (option->flags & RB_OPT_SECRET) != 0 ? secret_file() : text();
}

/* The default in the type that the option has; text where JSON has no better form (durations, sizes). */
static json_t *default_of(const struct rb_option *option)
{
    int64_t number = 0;
    struct rb_error ignored;
    if (option->type == RB_OPT_BOOL || option->type == RB_OPT_TRISTATE)
        return json_boolean(strcmp(option->fallback, "true") == 0);
    if (option->type == RB_OPT_INT && rb_int_parse(option->fallback, &number, &ignored) == 0)
        return json_integer(number);
    if (option->type == RB_OPT_NUMBER)
        return json_real(strtod(option->fallback, NULL));
    json_t *flow = option->fallback[0] == '[' || option->fallback[0] == '{' ? json_loads(option->fallback, 0, NULL) : NULL;
    return flow != NULL ? flow : json_string(option->fallback);
}

static json_t *schema_of(const struct rb_option *option, unsigned depth)
{
    json_t *schema = shape_of(option, depth);
    if (option->doc != NULL)
        json_object_set_new(schema, "description", json_string(option->doc));
    if (option->fallback != NULL)
        json_object_set_new(schema, "default", default_of(option));
    return schema;
}

static json_t *check_of(const struct rb_kind_schema *kind)
{
    json_t *check = object_of(kind->schema.options, 0);
    json_t *properties = json_object_get(check, "properties");
    json_t *required = json_object_get(check, "required");
    json_object_set_new(properties, "name",
                        json_pack("{s:s, s:s}", "$ref", "#/$defs/name", "description", "Name of the check; its identity over reloads."));
    json_object_set_new(properties, "kind", json_pack("{s:s}", "const", kind->schema.name));
    for (const struct rb_option *option = rb_common_schema.options; option->name != NULL; option++)
        if (json_object_get(properties, option->name) == NULL)
            json_object_set_new(properties, option->name,
                                json_pack("{s:o}", "$ref", json_sprintf("#/$defs/common/properties/%s", option->name)));
    if (required == NULL) {
        required = json_array();
        json_object_set_new(check, "required", required);
    }
    json_array_append_new(required, json_string("name"));
    json_array_append_new(required, json_string("kind"));
    json_object_set_new(check, "description", json_string(kind->schema.doc != NULL ? kind->schema.doc : ""));
    return check;
}

static json_t *definitions(const struct rb_kind_list *kinds)
{
    json_t *defs = json_object();
    json_object_set_new(defs, "name", json_pack("{s:s, s:s}", "type", "string", "pattern", "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"));
    json_object_set_new(defs, "common", object_of(rb_common_schema.options, 0));
    for (size_t i = 0; i < kinds->count; i++) {
        json_t *key = json_sprintf("kind_%s", kinds->items[i]->schema.name);
        json_object_set_new(defs, key != NULL ? json_string_value(key) : "kind", check_of(kinds->items[i]));
        json_decref(key);
    }
    return defs;
}

static json_t *check_items(const struct rb_kind_list *kinds)
{
    json_t *names = json_array();
    json_t *choices = json_array();
    for (size_t i = 0; i < kinds->count; i++) {
        const char *name = kinds->items[i]->schema.name;
        json_array_append_new(names, json_string(name));
        json_array_append_new(choices, json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:{s:o}}", "if", "properties", "kind", "const", name, "required",
                                                 "kind", "then", "$ref", json_sprintf("#/$defs/kind_%s", name)));
    }
    return json_pack("{s:s, s:[s, s], s:{s:{s:s}, s:{s:o}}, s:o}", "type", "object", "required", "name", "kind", "properties", "name",
                     "$ref", "#/$defs/name", "kind", "enum", names, "allOf", choices);
}

static json_t *top_level(const struct rb_kind_list *kinds)
{
    json_t *include = json_pack("{s:[{s:s}, {s:s, s:{s:s}}], s:s}", "anyOf", "type", "string", "type", "array", "items", "type", "string",
                                "description", "Further files, counted from this one: paths have to exist, globs may match nothing.");
    json_t *checks = json_pack("{s:[s, s], s:i, s:o}", "type", "array", "null", "maxItems", (int)RB_PLAN_MAX_CHECKS, "items",
                               check_items(kinds));
    json_t *properties = json_pack("{s:o, s:{s:s}, s:o, s:o}", "daemon", object_of(rb_daemon_schema.options, 0), "defaults", "$ref",
                                   "#/$defs/common", "include", include, "checks", checks);
    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:o}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                     "runbookd configuration", "type", "object", "properties", properties, "additionalProperties", 0, "$defs",
                     definitions(kinds));
}

int rb_schema_json(const struct rb_kind_list *kinds, struct rb_buf *out, struct rb_error *err)
{
    json_t *schema = top_level(kinds);
    char *text_form = schema != NULL ? json_dumps(schema, JSON_INDENT(2)) : NULL;
    json_decref(schema);
    if (text_form == NULL)
        return rb_error_set(err, RB_ENOMEM, "out of memory while writing the schema");
    rb_buf_adds(out, text_form);
    rb_buf_addc(out, '\n');
    free(text_form);
    return rb_buf_check(out, "the schema", err);
}
