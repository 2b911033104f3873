/* The job for the scan helper, in JSON.
 *
 * A configuration node travels without loss: a scalar is its text behind one letter (p plain, q quoted, s secret), a sequence an array, a
 * mapping an object. Canonical
 * JSON of the node would not do: it types plain scalars, and `1.10` would arrive as 1.1. Nor would loading the text as configuration
 * again, which would
 * expand variables a second time. A secret passes through this pipe and nowhere else; the helper needs it to do its work. */
#include "scan_wire.h"

#include <jansson.h>
#include <string.h>

static json_t *node_to_json(const struct rb_node *node);

static json_t *scalar_to_json(const struct rb_node *node)
{
    json_t *text = json_sprintf("%c%s", node->secret ? 's' : node->quoted ? 'q' : 'p', node->scalar);
    return text;
}

static json_t *mapping_to_json(const struct rb_node *node)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < node->count; i++) {
        /* The first of equal keys counts, as in rb_node_get; a valid plan has none. */
        if (json_object_get(object, node->keys[i]))
            continue;
        if (json_object_set_new(object, node->keys[i], node_to_json(node->items[i])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *sequence_to_json(const struct rb_node *node)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < node->count; i++) {
        if (json_array_append_new(list, node_to_json(node->items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *node_to_json(const struct rb_node *node)
{
    switch (node->type) {
    case RB_NODE_SCALAR:
        return scalar_to_json(node);
    case RB_NODE_MAPPING:
        return mapping_to_json(node);
    case RB_NODE_SEQUENCE:
        return sequence_to_json(node);
    case RB_NODE_NULL:
        break;
    }
    return json_null();
}

static int append_bytes(const char *bytes, size_t len, void *arg)
{
    struct rb_buf *out = arg;
    rb_buf_add(out, bytes, len);
    return out->failed ? -1 : 0;
}

int scan_job_write(const char *root, int64_t timeout_ms, struct rb_run *const *runs, size_t count, struct rb_buf *out, struct rb_error *err)
{
    json_t *checks = json_array();
    bool complete = checks != NULL;
    for (size_t i = 0; complete && i < count; i++) {
        const struct rb_check_spec *spec = runs[i]->spec;
        json_t *check = json_pack("{s: s, s: s, s: o}", "name", spec->name, "kind", spec->kind->schema.name, "node",
                                  node_to_json(spec->node));
        complete = json_array_append_new(checks, check) == 0;
    }
    json_t *job = json_pack("{s: s, s: s, s: I, s: o}", "version", RB_VERSION, "root", root, "timeout_ms", (json_int_t)timeout_ms, "checks",
                            checks);
    complete = complete && job && json_dump_callback(job, append_bytes, out, JSON_COMPACT) == 0;
    json_decref(job);
    if (!complete && !out->failed)
        return rb_error_set(err, RB_ENOMEM, "cannot tell the scan helper what to do: out of memory, or a name that is not UTF-8");
    return rb_buf_check(out, "the scan helper's job", err);
}

/* ---- reading ---- */

static struct rb_node *node_from_json(const json_t *json, struct rb_arena *arena, unsigned depth);

static bool fill_mapping(struct rb_node *node, const json_t *json, struct rb_arena *arena, unsigned depth)
{
    node->type = RB_NODE_MAPPING;
    size_t count = json_object_size(json);
    node->keys = rb_arena_array(arena, count + 1, sizeof *node->keys);
    node->key_marks = rb_arena_array(arena, count + 1, sizeof *node->key_marks);
    node->items = rb_arena_array(arena, count + 1, sizeof(struct rb_node *));
    if (!node->keys || !node->key_marks || !node->items)
        return false;
    json_t *object;
    memcpy(&object, &json, sizeof object); /* jansson's iterators want a pointer to non-const and change nothing */
    for (void *iter = json_object_iter(object); iter; iter = json_object_iter_next(object, iter)) {
        node->keys[node->count] = rb_arena_strdup(arena, json_object_iter_key(iter));
        node->key_marks[node->count] = node->mark;
        node->items[node->count] = node_from_json(json_object_iter_value(iter), arena, depth + 1);
        if (!node->keys[node->count] || !node->items[node->count])
            return false;
        node->count++;
    }
    return true;
}

static bool fill_sequence(struct rb_node *node, const json_t *json, struct rb_arena *arena, unsigned depth)
{
    node->type = RB_NODE_SEQUENCE;
    size_t count = json_array_size(json);
    node->items = rb_arena_array(arena, count + 1, sizeof(struct rb_node *));
    for (size_t i = 0; node->items && i < count; i++) {
        node->items[i] = node_from_json(json_array_get(json, i), arena, depth + 1);
        if (!node->items[i])
            return false;
        node->count++;
    }
    return node->items != NULL;
}

static bool fill_scalar(struct rb_node *node, const json_t *json, struct rb_arena *arena)
{
    const char *text = json_string_value(json);
    if (!text || !text[0] || !strchr("pqs", text[0]))
        return false;
    node->type = RB_NODE_SCALAR;
    node->quoted = text[0] != 'p';
    node->secret = text[0] == 's';
    node->scalar = rb_arena_strdup(arena, text + 1);
    return node->scalar != NULL;
}

static struct rb_node *node_from_json(const json_t *json, struct rb_arena *arena, unsigned depth)
{
    struct rb_node *node = depth <= RB_NODE_MAX_DEPTH ? rb_arena_alloc(arena, sizeof *node) : NULL;
    if (!node)
        return NULL;
    node->mark = (struct rb_mark){.file = "scan job", .line = 1, .column = 1};
    bool good = true;
    if (json_is_object(json))
        good = fill_mapping(node, json, arena, depth);
    else if (json_is_array(json))
        good = fill_sequence(node, json, arena, depth);
    else if (!json_is_null(json))
        good = fill_scalar(node, json, arena);
    return good ? node : NULL;
}

static bool read_order(const json_t *json, struct rb_arena *arena, struct scan_order *out)
{
    const char *name = json_string_value(json_object_get(json, "name")), *kind = json_string_value(json_object_get(json, "kind"));
    if (!name || !kind)
        return false;
    out->name = rb_arena_strdup(arena, name);
    out->kind = rb_arena_strdup(arena, kind);
    out->node = node_from_json(json_object_get(json, "node"), arena, 0);
    return out->name && out->kind && out->node;
}

int scan_job_read(const char *text, size_t len, struct rb_arena *arena, struct scan_job *out, struct rb_error *err)
{
    json_error_t where;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    const char *root = json_string_value(json_object_get(json, "root")), *version = json_string_value(json_object_get(json, "version"));
    if (version && strcmp(version, RB_VERSION) != 0) {
        rb_error_set(err, RB_EUNSUPPORTED,
                     "runbookd %.40s asks the scan helper of runbookd %s: restart the daemon, its program was replaced", version,
                     RB_VERSION);
        json_decref(json);
        return RB_EUNSUPPORTED;
    }
    const json_t *checks = json_object_get(json, "checks"), *timeout = json_object_get(json, "timeout_ms");
    bool good = root && root[0] == '/' && json_is_integer(timeout) && json_is_array(checks) && json_array_size(checks) <= SCAN_JOB_MAX_RUNS;
    struct scan_job job = {0};
    if (good) {
        job.root = rb_arena_strdup(arena, root);
        job.timeout_ms = json_integer_value(timeout);
        job.count = json_array_size(checks);
        job.orders = rb_arena_array(arena, job.count + 1, sizeof *job.orders);
        good = job.root && job.orders;
    }
    for (size_t i = 0; good && i < job.count; i++)
        good = read_order(json_array_get(checks, i), arena, &job.orders[i]);
    json_decref(json);
    if (!good)
        return rb_error_set(err, rb_arena_failed(arena) ? RB_ENOMEM : RB_EPARSE, "the scan helper's job is not readable");
    *out = job;
    return RB_OK;
}
