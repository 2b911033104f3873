/* Reading compose files for their services.
 *
 * Compose's own config-hash is a digest of its internal model in one of its versions and cannot be computed from outside (compose-go, ServiceHash); what a reader can
 * compare honestly is the image as written and when the file changed. */
#include "runbook/source/compose.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "runbook/base/buf.h"
#include "runbook/platform/platform.h"
#include "runbook/source/files.h"

const struct rb_compose_service *rb_compose_find(const struct rb_compose *compose, const char *service)
{
    for (size_t i = 0; i < compose->count; i++) {
        if (strcmp(compose->services[i].name, service) == 0)
            return &compose->services[i];
    }
    return NULL;
}

static struct rb_compose_service *find_or_add(struct rb_compose *compose, const char *name, struct rb_arena *arena)
{
    for (size_t i = 0; i < compose->count; i++) {
        if (strcmp(compose->services[i].name, name) == 0)
            return &compose->services[i];
    }
    if (compose->count == RB_COMPOSE_MAX_SERVICES)
        return NULL;
    compose->services[compose->count] = (struct rb_compose_service){.name = rb_arena_strdup(arena, name)};
    return compose->services[compose->count].name ? &compose->services[compose->count++] : NULL;
}

static const char *text_of(const struct rb_doc_node *node)
{
    return node && node->type == RB_DOC_STRING ? node->string : NULL;
}

/* depends_on: {migrate: {condition: service_completed_successfully}} */
static void read_waits(struct rb_compose *compose, const struct rb_doc_node *service, struct rb_arena *arena)
{
    const struct rb_doc_node *waits = service->type == RB_DOC_TABLE ? rb_doc_get(service, "depends_on") : NULL;
    for (size_t i = 0; waits && waits->type == RB_DOC_TABLE && i < waits->count; i++) {
        const struct rb_doc_node *wait = waits->items[i];
        const char *condition = wait->type == RB_DOC_TABLE ? text_of(rb_doc_get(wait, "condition")) : NULL;
        struct rb_compose_service *other = condition && strcmp(condition, "service_completed_successfully") == 0
                                               ? find_or_add(compose, waits->keys[i], arena)
                                               : NULL;
        if (other)
            other->once = true;
    }
}

static void add_need(struct rb_compose_service *service, const char *name, size_t len, struct rb_arena *arena)
{
    for (size_t i = 0; i < service->need_count; i++) {
        if (strncmp(service->needs[i], name, len) == 0 && service->needs[i][len] == '\0')
            return;
    }
    if (!service->needs)
        service->needs = rb_arena_array(arena, RB_COMPOSE_MAX_NEEDS, sizeof *service->needs);
    const char *kept = service->needs && len > 0 && service->need_count < RB_COMPOSE_MAX_NEEDS ? rb_arena_strndup(arena, name, len) : NULL;
    if (kept)
        service->needs[service->need_count++] = kept;
}

/* depends_on is a list of names or a mapping by names; links are "name" or "name:alias"; network_mode may be "service:name". */
static void read_needs(struct rb_compose_service *entry, const struct rb_doc_node *service, struct rb_arena *arena)
{
    static const char *const lists[] = {"depends_on", "links"};
    for (size_t l = 0; l < 2; l++) {
        const struct rb_doc_node *list = rb_doc_get(service, lists[l]);
        bool table = list && list->type == RB_DOC_TABLE;
        for (size_t i = 0; list && (table || list->type == RB_DOC_LIST) && i < list->count; i++) {
            const char *name = table ? list->keys[i] : text_of(list->items[i]);
            if (name)
                add_need(entry, name, strcspn(name, ":"), arena);
        }
    }
    const char *mode = text_of(rb_doc_get(service, "network_mode"));
    if (mode && strncmp(mode, "service:", 8) == 0)
        add_need(entry, mode + 8, strlen(mode + 8), arena);
}

static void read_services(struct rb_compose *compose, const struct rb_doc_node *services, struct rb_arena *arena)
{
    for (size_t i = 0; services && services->type == RB_DOC_TABLE && i < services->count; i++) {
        const struct rb_doc_node *service = services->items[i];
        struct rb_compose_service *entry = find_or_add(compose, services->keys[i], arena);
        if (!entry || service->type != RB_DOC_TABLE)
            continue;
        const char *image = text_of(rb_doc_get(service, "image"));
        if (image)
            entry->image = strchr(image, '$') ? NULL : rb_arena_strdup(arena, image);
        const struct rb_doc_node *profiles = rb_doc_get(service, "profiles");
        entry->on_demand = entry->on_demand || (profiles && profiles->type == RB_DOC_LIST && profiles->count > 0);
        read_waits(compose, service, arena);
        read_needs(entry, service, arena);
    }
}

static int parse(const char *path, const struct rb_buf *text, struct rb_arena *arena, struct rb_doc_node **out, struct rb_error *err)
{
    struct rb_doc_problems problems = {0};
    bool lenient;
    struct rb_doc_options options = {.tree = true};
    int rc = rb_doc_parse(RB_DOC_YAML, rb_buf_str(text), text->len, &options, arena, out, &lenient, &problems, err);
    if (rc == RB_EPARSE && problems.count > 0)
        return rb_error_set(err, RB_EPARSE, "%s:%u:%u: %s", path, problems.items[0].line, problems.items[0].column,
                            problems.items[0].message);
    return rc;
}

/* Compose lower-cases a folder's name and keeps [a-z0-9_-], beginning with a letter or digit (compose-go, NormalizeProjectName). */
static const char *normalised(const char *name, size_t len, struct rb_arena *arena)
{
    char *out = rb_arena_alloc(arena, len + 1), *at = out;
    for (size_t i = 0; out && i < len; i++) {
        int c = tolower((unsigned char)name[i]);
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (plain || (at > out && (c == '_' || c == '-')))
            *at++ = (char)c;
    }
    return out;
}

static const char *folder_name(const char *path, struct rb_arena *arena)
{
    const char *end = strrchr(path, '/');
    const char *start = end;
    while (start && start > path && start[-1] != '/')
        start--;
    return end ? normalised(start, (size_t)(end - start), arena) : "";
}

static int read_one(struct rb_compose *compose, const char *path, struct rb_arena *arena, struct rb_error *err)
{
    RB_BUF_AUTO text;
    struct stat st;
    struct rb_doc_node *root = NULL;
    rb_buf_init(&text, RB_COMPOSE_MAX_BYTES);
    int rc = rb_file_read(path, RB_COMPOSE_MAX_BYTES, false, &text, err);
    if (rc == 0)
        rc = parse(path, &text, arena, &root, err);
    if (rc < 0)
        return rc;
    if (!root || root->type != RB_DOC_TABLE)
        return rb_error_set(err, RB_EPARSE, "%s: is no compose file: no mapping at its top", path);
    const char *name = text_of(rb_doc_get(root, "name"));
    if (name && !strchr(name, '$'))
        compose->project = rb_arena_strdup(arena, name);
    read_services(compose, rb_doc_get(root, "services"), arena);
    if (stat(path, &st) == 0 && rb_stat_mtime_ns(&st) > compose->mtime_wall_ns) {
        compose->mtime_wall_ns = rb_stat_mtime_ns(&st);
        compose->newest = path;
    }
    return 0;
}

int rb_compose_read(const char *root, const struct rb_strings *files, struct rb_arena *arena, struct rb_compose *out, struct rb_error *err)
{
    struct rb_compose compose = {.services = rb_arena_array(arena, RB_COMPOSE_MAX_SERVICES, sizeof *compose.services)};
    const char *first = NULL;
    for (size_t i = 0; compose.services && i < files->count; i++) {
        const char *file = files->items[i];
        const char *path = file[0] == '/' ? rb_arena_strdup(arena, file) : rb_arena_printf(arena, "%s/%s", root, file);
        int rc = path ? read_one(&compose, path, arena, err) : RB_ENOMEM;
        if (rc < 0)
            return rc;
        first = first ? first : path;
    }
    if (!compose.project)
        compose.project = first ? folder_name(first, arena) : "";
    if (rb_arena_failed(arena) || !compose.project)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    *out = compose;
    return 0;
}
