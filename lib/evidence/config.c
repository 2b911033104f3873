/* The configuration as facts: what is in effect, and the files as they were written.
 *
 * In effect means after includes, defaults and variables; places of this machine in it (root, home) are written ${root} and ~, so that two clones give one text. What the
 * machine alone decides (state folder, trust) is left out. Secrets: what came from !file or is declared secret is masked by node, here; the rest by shape, in the archive. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/evidence/evidence.h"

#define JSON_MAX  ((size_t)32 << 20)
#define ARENA_MAX ((size_t)64 << 20)
#define NO_FILE   "config/runbookd.yml"

struct snapshot {
    struct rb_archive *archive;
    const char *root, *home;
    size_t masked;
};

/* ---- places ---- */

/* Appends `text` with every path below `place` written from `name`. */
static void add_placed(struct rb_buf *out, const char *text, const char *place, const char *name)
{
    size_t len = place ? strlen(place) : 0;
    for (const char *hit = len > 1 ? strstr(text, place) : NULL; hit; hit = strstr(text, place)) {
        bool whole = hit[len] == '\0' || hit[len] == '/' || strchr(" \t\n,;:\"'", hit[len]);
        rb_buf_add(out, text, (size_t)(hit - text));
        rb_buf_adds(out, whole ? name : place);
        text = hit + len;
    }
    rb_buf_adds(out, text);
}

static json_t *text_json(const struct snapshot *snapshot, const char *text)
{
    if (!text)
        return json_null();
    RB_BUF_AUTO rooted, placed, plain;
    rb_buf_init(&rooted, JSON_MAX);
    rb_buf_init(&placed, JSON_MAX);
    rb_buf_init(&plain, JSON_MAX);
    add_placed(&rooted, text, snapshot->root, "${root}");
    add_placed(&placed, rb_buf_str(&rooted), snapshot->home, "~");
    if (rb_text_is_utf8(rb_buf_str(&placed), placed.len))
        return json_string(rb_buf_str(&placed));
    rb_text_escapes(&plain, rb_buf_str(&placed));
    return json_string(rb_buf_str(&plain));
}

static json_t *texts_json(const struct snapshot *snapshot, const struct rb_strings *texts)
{
    json_t *out = json_array();
    for (size_t i = 0; i < texts->count; i++)
        (void)json_array_append_new(out, text_json(snapshot, texts->items[i]));
    return out;
}

/* ---- nodes ---- */

static const struct rb_option *option_of(const struct rb_option *table, const char *key)
{
    for (; table && table->name; table++)
        if (strcmp(table->name, key) == 0)
            return table;
    return NULL;
}

/* Every scalar below is a secret. */
static json_t *mask_node(struct snapshot *snapshot, const struct rb_node *node)
{
    if (node->type == RB_NODE_NULL)
        return json_null();
    snapshot->masked++;
    return json_string(RB_REDACTED);
}

static void hide_node(struct rb_archive *archive, const struct rb_node *node)
{
    if (node->type == RB_NODE_SCALAR && node->scalar)
        rb_archive_hide(archive, node->scalar);
    for (size_t i = 0; i < node->count; i++)
        hide_node(archive, node->items[i]);
}

static bool is_secret(const struct rb_node *node, const struct rb_option *option)
{
    return node->secret || (option && (option->flags & RB_OPT_SECRET));
}

/* Numbers and booleans keep their type; rb_node_to_json knows the rules. */
static json_t *scalar_json(const struct snapshot *snapshot, const struct rb_node *node)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, JSON_MAX);
    rb_node_to_json(node, false, &text);
    json_t *value = json_loadb(rb_buf_str(&text), text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (value && !json_is_string(value))
        return value;
    json_decref(value);
    return text_json(snapshot, node->scalar);
}

/* Depth is bounded by RB_NODE_MAX_DEPTH. */
static json_t *node_json(struct snapshot *snapshot, const struct rb_node *node, const struct rb_option *option)
{
    if (is_secret(node, option))
        return mask_node(snapshot, node);
    json_t *out = NULL;
    switch (node->type) {
    case RB_NODE_NULL:
        return json_null();
    case RB_NODE_SCALAR:
        return scalar_json(snapshot, node);
    case RB_NODE_SEQUENCE:
        out = json_array();
        for (size_t i = 0; i < node->count; i++)
            (void)json_array_append_new(out, node_json(snapshot, node->items[i], option));
        break;
    case RB_NODE_MAPPING:
        out = json_object();
        for (size_t i = 0; i < node->count; i++)
            (void)json_object_set_new(out, node->keys[i],
                                      node_json(snapshot, node->items[i], option_of(option ? option->sub : NULL, node->keys[i])));
        break;
    }
    return out;
}

static void hide_secrets(struct rb_archive *archive, const struct rb_node *node, const struct rb_option *option)
{
    if (is_secret(node, option)) {
        hide_node(archive, node);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        bool mapping = node->type == RB_NODE_MAPPING;
        hide_secrets(archive, node->items[i], mapping ? option_of(option ? option->sub : NULL, node->keys[i]) : option);
    }
}

/* The kind's table as the `sub` of one row: the same walk for the top as for what lies below. */
static struct rb_option whole_of(const struct rb_check_spec *spec)
{
    return (struct rb_option){.name = spec->name, .type = RB_OPT_STRUCT, .sub = spec->kind->schema.options};
}

/* ---- the snapshot ---- */

static json_t *check_json(struct snapshot *snapshot, const struct rb_plan *plan, const struct rb_check_spec *spec)
{
    struct rb_option whole = whole_of(spec);
    json_t *depends_on = json_array();
    for (size_t i = 0; i < spec->depends_on_count; i++)
        (void)json_array_append_new(depends_on, json_string(plan->checks[spec->depends_on[i]].name));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:i, s:i, s:b, s:o, s:o}", "name", spec->name, "kind",
                     spec->kind->schema.name, "phase", rb_phase_name(spec->phase), "presence", rb_presence_name(spec->presence), "severity",
                     rb_severity_name(spec->severity), "manual", spec->manual, "every_ms", (json_int_t)spec->every_ms, "timeout_ms",
                     (json_int_t)spec->timeout_ms, "fail_after", (int)spec->fail_after, "recover_after", (int)spec->recover_after, "triage",
                     spec->triage, "depends_on", depends_on, "as_written", node_json(snapshot, spec->node, &whole));
}

static json_t *daemon_json(const struct snapshot *snapshot, const struct rb_daemon_options *daemon)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:I}", "listen", texts_json(snapshot, &daemon->listen), "allowed_hosts",
                     texts_json(snapshot, &daemon->allowed_hosts), "runbook", text_json(snapshot, daemon->runbook), "safety_title",
                     text_json(snapshot, daemon->safety_title), "language", daemon->language, "workers", (json_int_t)daemon->workers);
}

static int add_effective(struct snapshot *snapshot, const struct rb_plan *plan, struct rb_error *err)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < plan->count; i++)
        (void)json_array_append_new(checks, check_json(snapshot, plan, &plan->checks[i]));
    bool whole = json_array_size(checks) == plan->count;
    json_t *config = json_pack("{s:o, s:o}", "checks", checks, "daemon", daemon_json(snapshot, &plan->daemon));
    char *dumped = config && whole ? json_dumps(config, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(config);
    RB_BUF_AUTO text;
    rb_buf_init(&text, JSON_MAX);
    rb_buf_adds(&text, dumped);
    rb_buf_addc(&text, '\n');
    free(dumped);
    if (!dumped)
        return rb_error_set(err, RB_ENOMEM, "out of memory while writing down the configuration");
    int rc = rb_buf_check(&text, "the configuration", err);
    return rc < 0 ? rc
                  : rb_archive_add_with(snapshot->archive, "config/effective.json", "configuration", &text,
                                        (struct rb_member_traits){.masked = snapshot->masked}, err);
}

/* "config/files/<path below root>", or for a file elsewhere "config/outside/<number>-<name>". */
static void file_name(const struct snapshot *snapshot, const char *path, size_t index, struct rb_buf *out)
{
    size_t len = strlen(snapshot->root);
    const char *slash = strrchr(path, '/');
    if (strncmp(path, snapshot->root, len) == 0 && path[len] == '/')
        rb_buf_addf(out, "config/files/%s", path + len + 1);
    else
        rb_buf_addf(out, "config/outside/%zu-%s", index, slash ? slash + 1 : path);
}

static int add_file(struct snapshot *snapshot, const char *file, size_t index, struct rb_error *err)
{
    char path[PATH_MAX];
    RB_BUF_AUTO name, text;
    rb_buf_init(&name, PATH_MAX + 64);
    rb_buf_init(&text, RB_CONFIG_MAX_BYTES);
    struct rb_error why = {0};
    bool resolved = realpath(file, path) != NULL;
    file_name(snapshot, resolved ? path : file, index, &name);
    int fd = resolved ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    int rc = fd >= 0 ? read_all(fd, &text, &why) : rb_error_set(&why, RB_ENOTFOUND, "cannot be opened any more");
    if (fd >= 0)
        (void)close(fd);
    return rc == 0 ? rb_archive_add(snapshot->archive, rb_buf_str(&name), "configuration", rb_buf_str(&text), text.len, err)
                   : rb_archive_add_missing(snapshot->archive, rb_buf_str(&name), why.message, err);
}

void rb_evidence_hide_plan(struct rb_archive *archive, const struct rb_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct rb_option whole = whole_of(&plan->checks[i]);
        hide_secrets(archive, plan->checks[i].node, &whole);
    }
}

void rb_evidence_hide_file(struct rb_archive *archive, const char *config)
{
    RB_ARENA_AUTO *arena = rb_arena_new(ARENA_MAX);
    if (!arena)
        return;
    struct rb_diags diags;
    rb_diags_init(&diags, arena);
    struct rb_node *root = NULL;
    int rc = rb_node_load_file(config, NULL, arena, &diags, &root, NULL);
    if (root)
        hide_secrets(archive, root, NULL);
    (void)rc; /* what is wrong with it is told by whoever loads it whole */
}

int rb_evidence_add_config(struct rb_archive *archive, const struct rb_plan *plan, const char *home, struct rb_error *err)
{
    struct snapshot snapshot = {.archive = archive, .root = plan->daemon.root, .home = home};
    if (plan->discovered)
        return rb_archive_add_missing(archive, NO_FILE, "there is no configuration; what discovery finds depends on the machine", err);
    int rc = add_effective(&snapshot, plan, err);
    for (size_t i = 0; i < plan->files.count && rc == 0; i++)
        rc = add_file(&snapshot, plan->files.items[i], i, err);
    return rc;
}
