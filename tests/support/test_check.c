/* See the header. */
#include "test_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct rb_kind *find_kind(const char *name)
{
    const struct rb_kind_list *list = rb_kind_registry();
    for (size_t i = 0; name && i < list->count; i++) {
        if (strcmp(list->items[i]->schema.name, name) == 0)
            return rb_kind_of(list->items[i]);
    }
    return NULL;
}

void rb_test_check_again(struct rb_test_check *check)
{
    rb_outcome_init(&check->outcome, check->arena);
    check->state = NULL;
    if (check->kind && check->kind->exchange)
        check->state = rb_arena_alloc(check->arena, check->kind->exchange->state_size ? check->kind->exchange->state_size : 1);
}

struct rb_test_check *rb_test_check_new(const char *yaml, const struct rb_clock *clock)
{
    static const char *const common[] = {"kind", "name", NULL};
    struct rb_test_check *check = calloc(1, sizeof *check);
    if (!check || !(check->arena = rb_arena_new(8u << 20)))
        abort();
    struct rb_node *node = NULL;
    rb_diags_init(&check->diags, check->arena);
    int rc = rb_node_load_text("test.yml", "/", yaml, strlen(yaml), NULL, check->arena, &check->diags, &node);
    const struct rb_node *kind = rc == 0 ? rb_node_get(node, "kind") : NULL;
    check->kind = find_kind(kind ? kind->scalar : NULL);
    if (check->kind) {
        void *options = rb_arena_alloc(check->arena, check->kind->schema.schema.size);
        void *memory = rb_arena_alloc(check->arena, check->kind->memory_size ? check->kind->memory_size : 1);
        check->valid = rb_options_parse(&check->kind->schema.schema, node, common, check->arena, options, &check->diags) == 0;
        check->spec = (struct rb_check_spec){
            .name = "test", .kind = &check->kind->schema, .timeout_ms = 10000, .options = options, .node = node};
        check->ctx = (struct rb_check_ctx){.spec = &check->spec,
                                           .options = options,
                                           .root = "/",
                                           .clock = clock,
                                           .deadline_ns = INT64_MAX,
                                           .cancelled = &check->cancelled,
                                           .arena = check->arena,
                                           .memory = memory};
    }
    rb_test_check_again(check);
    return check;
}

void rb_test_check_free(struct rb_test_check *check)
{
    if (check)
        rb_arena_free(check->arena);
    free(check);
}

const char *rb_test_check_errors(struct rb_test_check *check)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 64 * 1024);
    rb_diags_print(&check->diags, &text);
    return rb_arena_strdup(check->arena, rb_buf_str(&text));
}

struct rb_action rb_test_check_step(struct rb_test_check *check, const struct rb_event *event)
{
    struct rb_action next = {0};
    check->kind->exchange->step(&check->ctx, check->state, event, &next, &check->outcome);
    return next;
}

double rb_test_check_value(const struct rb_test_check *check, const char *name, const char *label)
{
    for (size_t i = 0; i < check->outcome.value_count; i++) {
        const struct rb_value *value = &check->outcome.values[i];
        bool same_label = label ? value->label && strcmp(value->label, label) == 0 : !value->label;
        if (strcmp(value->name, name) == 0 && same_label)
            return value->number;
    }
    return (double)NAN;
}

bool rb_test_check_says(const struct rb_test_check *check, const char *text)
{
    if (strstr(check->outcome.message, text))
        return true;
    for (size_t i = 0; i < check->outcome.evidence_count; i++) {
        if (strstr(check->outcome.evidence[i], text))
            return true;
    }
    return false;
}
