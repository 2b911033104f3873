/* packages: installed and locked packages, "name: old → new".
 *
 * One fact a package: the key is place and name, the value its version, or the sorted list where a place has several versions of one name (npm, uv markers). What a lock file says
 * beside that is no fact: hashes and markers change with every version of the tool. */
#include <stdlib.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/check/facts.h"
#include "runbook/check/watch.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/source/packages.h"
#include "value.h"

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    if (((const struct rb_strings *)options)->count == 0)
        (void)rb_diag_add(diags, node->mark, "packages: name at least one place, for example [.venv, uv.lock, dpkg]");
}

static int by_name(const void *left, const void *right)
{
    const struct rb_package *a = left, *b = right;
    int order = strcmp(a->origin, b->origin);
    order = order ? order : strcmp(a->name, b->name);
    return order ? order : strcmp(a->version, b->version);
}

/* A version may be an URL with a password in it. */
static void add_version(struct rb_buf *out, const char *version)
{
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, RB_DRIFT_VALUE_MAX);
    (void)rb_redact(&masked, version, strlen(version));
    rb_drift_value_string(out, rb_buf_str(&masked), masked.len);
}

static void add_package(const struct rb_drift_collect *collect, const struct rb_package *items, size_t count)
{
    RB_BUF_AUTO key;
    RB_BUF_AUTO value;
    rb_buf_init(&key, RB_DRIFT_KEY_MAX);
    rb_buf_init(&value, RB_DRIFT_VALUE_MAX);
    rb_buf_addf(&key, "%s:%s", items[0].origin, items[0].name);
    int64_t changed = 0;
    size_t different = 0;
    for (size_t i = 0; i < count; i++) {
        bool again = i > 0 && strcmp(items[i - 1].version, items[i].version) == 0;
        changed = items[i].changed_wall_ns > changed ? items[i].changed_wall_ns : changed;
        if (!again && different++ > 0)
            rb_buf_addc(&value, ',');
        if (!again)
            add_version(&value, items[i].version);
    }
    const char *list = different > 1 ? rb_arena_printf(collect->ctx->arena, "[%s]", rb_buf_str(&value)) : rb_buf_str(&value);
    struct rb_drift_fact *fact = list && !key.failed && !value.failed ? rb_drift_facts_add(collect->facts, rb_buf_str(&key), list) : NULL;
    if (fact && changed <= collect->now_wall_ns)
        fact->changed_wall_ns = changed;
    if (key.failed || value.failed)
        collect->facts->too_many = true;
}

static enum rb_drift_collected failed(const struct rb_drift_collect *collect, int code, const struct rb_error *err)
{
    static const struct {
        int code;
        const char *reason;
    } reasons[] = {{RB_ENOTFOUND, "not_found"}, {RB_EPARSE, "parse"},        {RB_EUNSUPPORTED, "parse"},
                   {RB_ELIMIT, "too_many"},     {RB_ETIMEOUT, "incomplete"}, {RB_EPERM, "not_permitted"}};
    const char *reason = "unreadable";
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        reason = code == reasons[i].code ? reasons[i].reason : reason;
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, reason, "%s", err->message);
    return RB_DRIFT_FAILED;
}

static enum rb_drift_collected collect(const struct rb_drift_collect *collect)
{
    const struct rb_strings *places = collect->options;
    struct rb_packages found = {0};
    for (size_t i = 0; i < places->count; i++) {
        struct rb_error err = {0};
        const char *place = places->items[i];
        int rc = rb_packages_read(
            &(struct rb_packages_request){.root = collect->ctx->root, .place = place, .cancelled = collect->ctx->cancelled},
            collect->ctx->arena, &found, &err);
        if (rc < 0)
            return failed(collect, rc, &err);
        if (strchr(place, '.') && place[0] != '/' && rb_glob_is_literal(place))
            rb_outcome_fact(collect->out, RB_FACT_FILE, "%s", place);
    }
    if (found.unreadable > 0)
        rb_outcome_evidence(collect->out, "%zu packages have no readable metadata: name and version are those of their folders",
                            found.unreadable);
    if (found.count > 0)
        qsort(found.items, found.count, sizeof *found.items, by_name);
    for (size_t i = 0, end; i < found.count; i = end) {
        end = i + 1;
        while (end < found.count && strcmp(found.items[i].origin, found.items[end].origin) == 0 &&
               strcmp(found.items[i].name, found.items[end].name) == 0)
            end++;
        add_package(collect, &found.items[i], end - i);
    }
    return RB_DRIFT_COLLECTED;
}

/* The values are safe JSON strings of versions: quotes and brackets are noise to a reader. */
static const char *version_text(struct rb_arena *arena, const char *value)
{
    if (!value)
        return NULL;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 200);
    for (const char *at = value; *at && !text.failed; at++) {
        if (*at == '"' || *at == '[' || *at == ']')
            continue;
        rb_buf_addc(&text, *at);
        if (*at == ',')
            rb_buf_addc(&text, ' ');
    }
    return rb_arena_strdup(arena, text.len > 0 ? rb_buf_str(&text) : "(no version)");
}

static void explain(const struct rb_drift_collect *collect, struct rb_drift_item *items, size_t count,
                    const char *(*kept)(const void *baseline, const char *key)RB_UNUSED, const void *baseline RB_UNUSED)
{
    struct rb_arena *arena = collect->ctx->arena;
    for (size_t i = 0; i < count; i++) {
        items[i].old_text = version_text(arena, items[i].old_value);
        items[i].new_text = version_text(arena, items[i].new_value);
    }
}

/* Lock files, and the folders that installers write into; of a virtual environment only that it came or went: what is in it lies too deep to name. */
static void watches(const void *options, const struct rb_drift_options *all, struct rb_watch_sink *sink)
{
    const struct rb_strings *places = options;
    (void)all;
    for (size_t i = 0; i < places->count; i++)
        rb_watch_path(sink, places->items[i]);
}

const struct rb_drift_source rb_drift_source_packages = {
    .name = "packages", .validate = validate, .collect = collect, .explain = explain, .watches = watches};
