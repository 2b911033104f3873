/* What the Docker engine's answers mean: containers, events, logs.
 *
 * Everything comes from containers and from people who name them: strings are copied into the arena as they are, lists are cut at their maximum, a member of
 * another type than documented counts as missing. One reader serves all API versions, because members were only ever added. */
#include "runbook/source/docker.h"

#include <stdlib.h>
#include <string.h>

#include "runbook/base/units.h"

/* ---- API version ---- */

unsigned rb_docker_api_minor(const char *text)
{
    char *end = NULL;
    if (!text || strncmp(text, "1.", 2) != 0 || text[2] < '0' || text[2] > '9')
        return 0;
    unsigned long minor = strtoul(text + 2, &end, 10);
    if (*end != '\0' || minor < RB_DOCKER_API_OLDEST)
        return 0;
    return minor < RB_DOCKER_API_NEWEST ? (unsigned)minor : RB_DOCKER_API_NEWEST;
}

/* ---- reading JSON ---- */

static const char *text_at(const json_t *object, const char *key, struct rb_arena *arena)
{
    const json_t *value = json_object_get(object, key);
    const char *copy = json_is_string(value) ? rb_arena_strndup(arena, json_string_value(value), json_string_length(value)) : NULL;
    return copy ? copy : "";
}

static const char *borrowed(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t number_at(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

int64_t rb_docker_time(const char *text)
{
    int64_t wall_ns = 0;
    struct rb_error err;
    /* Go's zero time is year 1, which the reader of times refuses. */
    if (!text || !*text || rb_time_parse(text, &wall_ns, &err) < 0 || wall_ns < INT64_C(978307200) * 1000000000)
        return 0;
    return wall_ns;
}

/* ---- containers ---- */

static const char *const state_names[RB_DOCKER_STATE_COUNT] = {"created",  "running", "paused", "restarting",
                                                               "removing", "exited",  "dead",   "other"};

const char *rb_docker_state_name(enum rb_docker_state state)
{
    return state < RB_DOCKER_STATE_COUNT ? state_names[state] : "other";
}

static enum rb_docker_state state_of(const char *text)
{
    int state = 0;
    while (state < RB_DOCKER_STATE_OTHER && strcmp(state_names[state], text) != 0)
        state++;
    return (enum rb_docker_state)state;
}

static enum rb_docker_health health_of(const char *text)
{
    if (strcmp(text, "starting") == 0)
        return RB_DOCKER_HEALTH_STARTING;
    if (strcmp(text, "healthy") == 0)
        return RB_DOCKER_HEALTH_HEALTHY;
    return strcmp(text, "unhealthy") == 0 ? RB_DOCKER_HEALTH_UNHEALTHY : RB_DOCKER_HEALTH_NONE;
}

static void read_labels(const json_t *labels, struct rb_arena *arena, struct rb_docker_container *out)
{
    out->project = text_at(labels, RB_DOCKER_LABEL_PROJECT, arena);
    out->service = text_at(labels, RB_DOCKER_LABEL_SERVICE, arena);
    out->config_hash = text_at(labels, RB_DOCKER_LABEL_HASH, arena);
    out->needs = text_at(labels, RB_DOCKER_LABEL_NEEDS, arena);
    out->number = (unsigned)strtoul(borrowed(labels, RB_DOCKER_LABEL_NUMBER), NULL, 10);
    out->oneoff = strcmp(borrowed(labels, RB_DOCKER_LABEL_ONEOFF), "True") == 0;
}

static const char *without_slash(const char *name)
{
    return name[0] == '/' ? name + 1 : name;
}

/* Before API 1.52 a listing tells health and exit code only inside Status: "Up 5 minutes (unhealthy)", "Exited (137) 2 hours ago". */
static void read_status_words(const char *status, struct rb_docker_container *out)
{
    const char *open = strchr(status, '(');
    if (!open)
        return;
    if (strncmp(status, "Up", 2) != 0)
        out->exit_code = (int)strtol(open + 1, NULL, 10);
    else if (strncmp(open, "(healthy)", 9) == 0)
        out->health = RB_DOCKER_HEALTH_HEALTHY;
    else if (strncmp(open, "(unhealthy)", 11) == 0)
        out->health = RB_DOCKER_HEALTH_UNHEALTHY;
    else if (strncmp(open, "(health: starting)", 18) == 0)
        out->health = RB_DOCKER_HEALTH_STARTING;
}

bool rb_docker_listed(const json_t *item, struct rb_arena *arena, struct rb_docker_container *out)
{
    *out = (struct rb_docker_container){.error = "", .restart_policy = "", .stop_signal = "", .network_mode = "", .health_output = ""};
    out->id = text_at(item, "Id", arena);
    const json_t *first = json_array_get(json_object_get(item, "Names"), 0);
    const char *name = json_is_string(first) ? rb_arena_strdup(arena, json_string_value(first)) : NULL;
    out->name = name ? without_slash(name) : "";
    out->image = text_at(item, "Image", arena);
    out->image_id = text_at(item, "ImageID", arena);
    out->state = state_of(borrowed(item, "State"));
    read_labels(json_object_get(item, "Labels"), arena, out);
    read_status_words(borrowed(item, "Status"), out);
    const json_t *health = json_object_get(item, "Health");
    if (health)
        out->health = health_of(borrowed(health, "Status"));
    return out->id[0] != '\0' && !rb_arena_failed(arena);
}

/* ---- inspect ---- */

static void read_health(const json_t *health, struct rb_arena *arena, struct rb_docker_container *out)
{
    const json_t *log = json_object_get(health, "Log");
    const json_t *last = json_array_size(log) > 0 ? json_array_get(log, json_array_size(log) - 1) : NULL;
    out->health = health_of(borrowed(health, "Status"));
    out->health_streak = number_at(health, "FailingStreak");
    out->health_output = text_at(last, "Output", arena);
    out->health_exit_code = number_at(last, "ExitCode");
}

static void read_state(const json_t *state, struct rb_arena *arena, struct rb_docker_container *out)
{
    out->state = state_of(borrowed(state, "Status"));
    out->exit_code = (int)number_at(state, "ExitCode");
    out->oom_killed = json_is_true(json_object_get(state, "OOMKilled"));
    out->error = text_at(state, "Error", arena);
    out->started_ns = rb_docker_time(borrowed(state, "StartedAt"));
    out->finished_ns = rb_docker_time(borrowed(state, "FinishedAt"));
    read_health(json_object_get(state, "Health"), arena, out);
}

static uint16_t port_of(const char *text)
{
    unsigned long port = strtoul(text, NULL, 10);
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* {"9090/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9092"}], "53/udp": null} */
static void read_ports(json_t *ports, struct rb_arena *arena, struct rb_docker_container *out)
{
    const char *key;
    json_t *bindings;
    if (!out->publish)
        out->publish = rb_arena_array(arena, RB_DOCKER_MAX_PUBLISH, sizeof *out->publish);
    json_object_foreach(ports, key, bindings)
    {
        bool tcp = strstr(key, "/udp") == NULL && strstr(key, "/sctp") == NULL;
        for (size_t i = 0; out->publish && tcp && i < json_array_size(bindings) && out->publish_count < RB_DOCKER_MAX_PUBLISH; i++) {
            const json_t *binding = json_array_get(bindings, i);
            struct rb_docker_publish publish = {text_at(binding, "HostIp", arena), port_of(borrowed(binding, "HostPort")), port_of(key)};
            if (publish.host_port)
                out->publish[out->publish_count++] = publish;
        }
    }
}

static void read_mounts(const json_t *mounts, struct rb_arena *arena, struct rb_docker_container *out)
{
    size_t count = json_array_size(mounts);
    out->mounts = rb_arena_array(arena, count < RB_DOCKER_MAX_MOUNTS ? count + 1 : RB_DOCKER_MAX_MOUNTS, sizeof *out->mounts);
    for (size_t i = 0; out->mounts && i < count && out->mount_count < RB_DOCKER_MAX_MOUNTS; i++) {
        const json_t *mount = json_array_get(mounts, i);
        if (strcmp(borrowed(mount, "Type"), "bind") == 0)
            out->mounts[out->mount_count++] = (struct rb_docker_mount){text_at(mount, "Source", arena),
                                                                       text_at(mount, "Destination", arena)};
    }
}

static void read_env(const json_t *env, struct rb_arena *arena, struct rb_docker_container *out)
{
    size_t count = json_array_size(env) < RB_DOCKER_MAX_ENV ? json_array_size(env) : RB_DOCKER_MAX_ENV;
    const char **items = rb_arena_array(arena, count + 1, sizeof *items);
    for (size_t i = 0; items && i < count; i++) {
        const char *text = json_string_value(json_array_get(env, i));
        const char *copy = text ? rb_arena_strdup(arena, text) : NULL;
        if (copy)
            items[out->env_count++] = copy;
    }
    out->env = items;
}

bool rb_docker_inspected(const json_t *document, struct rb_arena *arena, struct rb_docker_container *out)
{
    *out = (struct rb_docker_container){.inspected = true, .health_output = ""};
    const json_t *config = json_object_get(document, "Config"), *host = json_object_get(document, "HostConfig");
    const json_t *state = json_object_get(document, "State");
    out->id = text_at(document, "Id", arena);
    out->name = without_slash(text_at(document, "Name", arena));
    out->image = text_at(config, "Image", arena);
    out->image_id = text_at(document, "Image", arena);
    out->tty = json_is_true(json_object_get(config, "Tty"));
    out->stop_signal = text_at(config, "StopSignal", arena);
    out->restart_policy = text_at(json_object_get(host, "RestartPolicy"), "Name", arena);
    out->network_mode = text_at(host, "NetworkMode", arena);
    out->restart_count = number_at(document, "RestartCount");
    out->memory_limit_bytes = number_at(host, "Memory");
    out->created_ns = rb_docker_time(borrowed(document, "Created"));
    read_labels(json_object_get(config, "Labels"), arena, out);
    read_state(state, arena, out);
    read_ports(json_object_get(json_object_get(document, "NetworkSettings"), "Ports"), arena, out);
    /* What has ended publishes nothing any more; what it was made with tells which ports are missing because of that. */
    if (out->publish_count == 0)
        read_ports(json_object_get(host, "PortBindings"), arena, out);
    read_mounts(json_object_get(document, "Mounts"), arena, out);
    read_env(json_object_get(config, "Env"), arena, out);
    return out->id[0] != '\0' && json_is_object(state) && !rb_arena_failed(arena);
}

/* ---- events ---- */

bool rb_docker_event_of(const json_t *document, struct rb_docker_event *out)
{
    const json_t *actor = json_object_get(document, "Actor"), *attributes = json_object_get(actor, "Attributes");
    *out = (struct rb_docker_event){.wall_ns = number_at(document, "timeNano"),
                                    .type = borrowed(document, "Type"),
                                    .action = borrowed(document, "Action"),
                                    .id = borrowed(actor, "ID"),
                                    .name = borrowed(attributes, "name"),
                                    .project = borrowed(attributes, RB_DOCKER_LABEL_PROJECT),
                                    .service = borrowed(attributes, RB_DOCKER_LABEL_SERVICE),
                                    .image = borrowed(attributes, "image"),
                                    .exit_code = borrowed(attributes, "exitCode"),
                                    .signal = borrowed(attributes, "signal")};
    if (out->wall_ns == 0 && number_at(document, "time") < INT64_MAX / INT64_C(1000000000))
        out->wall_ns = number_at(document, "time") * INT64_C(1000000000);
    return out->action[0] != '\0' && out->id[0] != '\0';
}

bool rb_docker_event_tells(const struct rb_docker_event *event)
{
    static const char *const actions[] = {"create", "start", "restart", "stop",    "kill",   "die",
                                          "oom",    "pause", "unpause", "destroy", "rename", "update"};
    if (event->type[0] && strcmp(event->type, "container") != 0)
        return false;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(event->action, actions[i]) == 0)
            return true;
    }
    return strncmp(event->action, "health_status", 13) == 0;
}

/* ---- logs ---- */

void rb_docker_log_text(const char *bytes, size_t len, bool tty, struct rb_buf *out)
{
    /* [stream, 0, 0, 0, size as 4 bytes big endian] payload; Engine API, "Stream format" */
    bool framed = !tty && len >= 8 && (unsigned char)bytes[0] <= 2 && bytes[1] == 0 && bytes[2] == 0 && bytes[3] == 0;
    if (!framed) {
        (void)rb_buf_add_some(out, bytes, len);
        return;
    }
    for (size_t at = 0; at + 8 <= len;) {
        const unsigned char *header = (const unsigned char *)bytes + at;
        size_t size = (size_t)header[4] << 24 | (size_t)header[5] << 16 | (size_t)header[6] << 8 | header[7];
        size_t left = len - at - 8;
        size = size < left ? size : left;
        (void)rb_buf_add_some(out, bytes + at + 8, size);
        at += 8 + size;
    }
}

/* ---- paths ---- */

static const char *below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0') ? path + len : NULL;
}

/* macOS: /tmp, /var and /etc are links into /private; both names are one place. */
static const char *without_private(const char *path)
{
    static const char *const links[] = {"/private/tmp", "/private/var", "/private/etc"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        if (below(path, links[i]))
            return path + strlen("/private");
    }
    return path;
}

const char *rb_docker_host_path(const struct rb_docker_endpoint *endpoint, const char *source, const char *root, struct rb_arena *arena)
{
    const char *inside = endpoint->host_paths_are_ours ? NULL : below(source, "/host_mnt");
    const char *path = without_private(inside && *inside ? inside : source);
    const char *top = without_private(root ? root : "");
    const char *relative = *top && strcmp(top, "/") != 0 ? below(path, top) : NULL;
    if (relative && *relative)
        path = relative + 1;
    return rb_arena_strdup(arena, relative && !*relative ? "." : path);
}
