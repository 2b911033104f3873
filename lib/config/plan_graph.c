/* Names and edges between checks: duplicate names, `depends_on` to indexes, dangling names, cycles.
 *
 * Cycles are found by an iterative depth-first search with three colours (Cormen et al., 22.3), so that a chain of 5,000 checks needs no stack. A search
 * never enters a finished check again: each cycle is told once, with its whole path. */
#include <stdlib.h>
#include <string.h>

#include "plan_internal.h"
#include "runbook/base/text.h"

struct named {
    const char *name;
    size_t index;
};

static int compare_named(const void *a, const void *b)
{
    const struct named *x = a;
    const struct named *y = b;
    int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int compare_name(const void *key, const void *element)
{
    const struct named *y = element;
    return strcmp(key, y->name);
}

struct graph {
    struct rb_plan_builder *builder;
    struct named *sorted;
    size_t count;
    const char **names; /* NULL-terminated, for suggestions */
};

static int graph_init(struct graph *graph, struct rb_plan_builder *builder)
{
    struct rb_plan *plan = builder->plan;
    *graph = (struct graph){.builder = builder};
    graph->sorted = rb_arena_array(plan->arena, plan->count + 1, sizeof *graph->sorted);
    graph->names = rb_arena_array(plan->arena, plan->count + 1, sizeof *graph->names);
    if (graph->sorted == NULL || graph->names == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->checks[i].name != NULL)
            graph->sorted[graph->count++] = (struct named){.name = plan->checks[i].name, .index = i};
    qsort(graph->sorted, graph->count, sizeof *graph->sorted, compare_named);
    for (size_t i = 0; i < graph->count; i++)
        graph->names[i] = graph->sorted[i].name;
    return 0;
}

static int report_duplicates(const struct graph *graph)
{
    const struct rb_check_spec *checks = graph->builder->plan->checks;
    size_t first = 0;
    int rc = 0;
    for (size_t i = 1; i < graph->count; i++) {
        if (strcmp(graph->sorted[i].name, graph->sorted[first].name) != 0) {
            first = i;
            continue;
        }
        const struct rb_mark *place = &checks[graph->sorted[first].index].mark;
        rc = rb_diag_add(graph->builder->diags, rb_plan_mark(graph->builder, checks[graph->sorted[i].index].node, "name"),
                         "a check named '%s' is already at %s:%u:%u", graph->sorted[i].name, place->file, place->line, place->column);
    }
    return rc;
}

/* The first check of that name: a second one was reported. */
static const struct named *find_name(const struct graph *graph, const char *name)
{
    const struct named *found = bsearch(name, graph->sorted, graph->count, sizeof *graph->sorted, compare_name);
    while (found != NULL && found > graph->sorted && strcmp(found[-1].name, name) == 0)
        found--;
    return found;
}

static const struct rb_node *dependency_node(const struct rb_check_spec *spec, size_t i)
{
    const struct rb_node *list = rb_node_get(spec->node, "depends_on");
    return list->type == RB_NODE_SEQUENCE ? list->items[i] : list;
}

static bool is_listed(const size_t *indexes, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        if (indexes[i] == index)
            return true;
    return false;
}

static int report_dangling(const struct graph *graph, const struct rb_check_spec *spec, const struct rb_node *named)
{
    if (graph->builder->incomplete)
        return RB_ECONFIG; /* it may be in the file that could not be read */
    const char *near = rb_text_nearest(named->scalar, graph->names);
    return rb_diag_add(graph->builder->diags, named->mark, "check '%s' depends on '%.80s', which does not exist%s%s%s",
                       spec->name != NULL ? spec->name : "?", named->scalar, near != NULL ? "; did you mean '" : "",
                       near != NULL ? near : "", near != NULL ? "'?" : "");
}

/* A dependency that `defaults` gives to everybody is not given to the check that it names. */
static bool is_inherited(const struct rb_plan_builder *builder, const struct rb_check_spec *spec)
{
    return builder->defaults != NULL && rb_node_get(spec->node, "depends_on") == rb_node_get(builder->defaults, "depends_on");
}

static int link_check(const struct graph *graph, size_t self)
{
    struct rb_check_spec *spec = &graph->builder->plan->checks[self];
    const struct rb_node *list = rb_node_get(spec->node, "depends_on");
    if (list == NULL || list->type == RB_NODE_NULL || list->type == RB_NODE_MAPPING || list->invalid)
        return 0;
    size_t count = list->type == RB_NODE_SEQUENCE ? list->count : 1;
    size_t *indexes = rb_arena_array(graph->builder->plan->arena, count + 1, sizeof *indexes);
    int rc = 0;
    if (indexes == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct rb_node *named = dependency_node(spec, i);
        if (named->type != RB_NODE_SCALAR || named->invalid)
            continue; /* the option table reported it */
        const struct named *found = find_name(graph, named->scalar);
        if (found == NULL)
            rc = report_dangling(graph, spec, named);
        else if (!(found->index == self && is_inherited(graph->builder, spec)) && !is_listed(indexes, spec->depends_on_count, found->index))
            indexes[spec->depends_on_count++] = found->index;
    }
    spec->depends_on = indexes;
    return rc;
}

struct search {
    unsigned char *colour; /* 0 new, 1 on the path, 2 finished */
    size_t *path;          /* the checks on the path */
    size_t *next;          /* for each of them, the edge to follow next */
    size_t depth;
};

static int report_cycle(const struct rb_plan_builder *builder, const struct search *search, size_t target)
{
    const struct rb_check_spec *checks = builder->plan->checks;
    size_t start = 0;
    while (search->path[start] != target)
        start++;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 4096);
    for (size_t i = start; i < search->depth && text.len < 1500; i++)
        rb_buf_addf(&text, "%s → ", checks[search->path[i]].name);
    if (text.len >= 1500)
        rb_buf_adds(&text, "… → ");
    rb_buf_adds(&text, checks[target].name);
    return rb_diag_add(builder->diags, rb_plan_mark(builder, checks[target].node, "depends_on"), "depends_on goes round in a circle: %s",
                       rb_buf_str(&text));
}

static int search_from(const struct rb_plan_builder *builder, struct search *search, size_t start)
{
    const struct rb_check_spec *checks = builder->plan->checks;
    int rc = 0;
    search->depth = 1;
    search->path[0] = start;
    search->next[0] = 0;
    search->colour[start] = 1;
    while (search->depth > 0) {
        size_t at = search->path[search->depth - 1];
        size_t edge = search->next[search->depth - 1]++;
        if (edge >= checks[at].depends_on_count) {
            search->colour[at] = 2;
            search->depth--;
            continue;
        }
        size_t target = checks[at].depends_on[edge];
        if (search->colour[target] == 1)
            rc = report_cycle(builder, search, target);
        if (search->colour[target] != 0)
            continue;
        search->colour[target] = 1;
        search->path[search->depth] = target;
        search->next[search->depth++] = 0;
    }
    return rc;
}

static int find_cycles(struct rb_plan_builder *builder)
{
    struct rb_plan *plan = builder->plan;
    struct search search = {.colour = rb_arena_array(plan->arena, plan->count + 1, 1),
                            .path = rb_arena_array(plan->arena, plan->count + 1, sizeof(size_t)),
                            .next = rb_arena_array(plan->arena, plan->count + 1, sizeof(size_t))};
    int rc = 0;
    if (search.colour == NULL || search.path == NULL || search.next == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < plan->count; i++)
        if (search.colour[i] == 0 && search_from(builder, &search, i) < 0)
            rc = RB_ECONFIG;
    return rc;
}

/* ---- dependencies that a kind brings along ---- */

static const char *option_text(const struct rb_check_spec *spec, const char *option)
{
    const struct rb_node *node = rb_node_get(spec->node, option);
    return node != NULL && node->type == RB_NODE_SCALAR ? node->scalar : "";
}

static bool sees_through(const struct rb_check_spec *spec, const struct rb_check_spec *other)
{
    const struct rb_kind_schema *kind = spec->kind;
    return other->kind != NULL && strcmp(other->kind->schema.name, kind->needs_kind) == 0 &&
           strcmp(option_text(spec, kind->needs_option), option_text(other, kind->needs_option)) == 0;
}

/* Only towards checks that depend on nothing themselves: no circle can come of it. The first one is enough. */
static int add_implied(struct rb_plan *plan, size_t self)
{
    struct rb_check_spec *spec = &plan->checks[self];
    size_t other = 0;
    if (spec->kind == NULL || spec->kind->needs_kind == NULL)
        return 0;
    while (other < plan->count && (plan->checks[other].depends_on_count > 0 || !sees_through(spec, &plan->checks[other])))
        other++;
    if (other == plan->count || other == self || is_listed(spec->depends_on, spec->depends_on_count, other))
        return 0;
    size_t *indexes = rb_arena_array(plan->arena, spec->depends_on_count + 1, sizeof *indexes);
    if (indexes == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < spec->depends_on_count; i++)
        indexes[i] = spec->depends_on[i];
    indexes[spec->depends_on_count++] = other;
    spec->depends_on = indexes;
    return 0;
}

int rb_plan_link_checks(struct rb_plan_builder *builder)
{
    struct graph graph;
    int rc = graph_init(&graph, builder);
    if (rc < 0)
        return rc;
    rc = report_duplicates(&graph);
    for (size_t i = 0; i < builder->plan->count; i++) {
        int step = link_check(&graph, i);
        rc = step < 0 ? step : rc;
    }
    int cycles = find_cycles(builder);
    for (size_t i = 0; rc == 0 && cycles == 0 && i < builder->plan->count; i++)
        rc = add_implied(builder->plan, i);
    return rc < 0 ? rc : cycles;
}
