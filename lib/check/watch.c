/* Building a set of watches: asks the kinds what their checks look at, looks through the tree for the folders where that is or could come to be, and watches those.
 *
 * Literal paths come first and bring all folders above them (a renamed grandparent is a change too); then where git keeps HEAD and references; then, for globs, every folder
 * in which something could match, without what git ignores. Whatever finds no room is counted: its checks keep their interval, which they have anyway.
 *
 * Invariants: at most MAX_RULES rules and MAX_GLOBS globs, at most RB_FILE_EVENTS_MAX_WATCHES watches; no symlink is followed on the way to what is watched. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/check/kind.h"
#include "runbook/source/files.h"
#include "runbook/source/folders.h"
#include "watch_internal.h"

enum { MAX_RULES = 20000, MAX_GLOBS = 1024, MAX_GIT_FOLDERS = 512, MAX_PLACES = 65536, ARENA = 32 << 20, MAX_PATH_BYTES = 4000 };

/* ---- rules ---- */

struct rb_watch_sink {
    struct rb_watch_set *set;
    struct rule *items; /* malloc: grows */
    size_t count, cap;
    size_t globs;
    size_t check;
    bool concerned; /* the check has a rule */
    bool failed;
};

static void add_rule(struct rb_watch_sink *sink, const struct rule *rule)
{
    if (sink->count == MAX_RULES) {
        sink->set->totals.unwatched++;
        return;
    }
    if (sink->count == sink->cap) {
        size_t cap = sink->cap ? sink->cap * 2 : 64;
        struct rule *bigger = realloc(sink->items, cap * sizeof *bigger);
        if (!bigger) {
            sink->failed = true;
            return;
        }
        sink->items = bigger;
        sink->cap = cap;
    }
    sink->items[sink->count] = *rule;
    sink->items[sink->count++].check = sink->check;
    sink->concerned = true;
}

/* The path as it counts from the root, or NULL when it lies elsewhere. */
static const char *below_root(struct rb_watch_set *set, const char *path)
{
    const char *root = set->plan->daemon.root;
    size_t len = strlen(root);
    if (*path == '/' && (strncmp(path, root, len) != 0 || path[len] != '/'))
        return NULL;
    path += *path == '/' ? len : 0;
    while (*path == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    if (len == 0 || len > MAX_PATH_BYTES || *path == '~')
        return NULL;
    const char *copy = rb_arena_strndup(set->arena, path, len);
    for (const char *at = copy; at != NULL; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (*at == '/' || (at[0] == '.' && (at[1] == '/' || at[1] == '\0' || (at[1] == '.' && (at[2] == '/' || at[2] == '\0')))))
            return NULL;
    return copy;
}

void rb_watch_path(struct rb_watch_sink *sink, const char *path)
{
    const char *relative = below_root(sink->set, path);
    if (relative != NULL)
        add_rule(sink, &(struct rule){.type = RULE_PATH, .path = relative});
}

void rb_watch_globs(struct rb_watch_sink *sink, struct rb_strings include, struct rb_strings exclude, bool ignored)
{
    bool all_literal = include.count > 0 && exclude.count == 0;
    for (size_t i = 0; i < include.count && all_literal; i++)
        all_literal = rb_glob_is_literal(include.items[i]);
    for (size_t i = 0; i < include.count && all_literal; i++)
        rb_watch_path(sink, include.items[i]);
    if (all_literal)
        return;
    if (sink->globs + include.count + exclude.count > MAX_GLOBS) {
        sink->set->totals.unwatched++;
        return;
    }
    sink->globs += include.count + exclude.count;
    add_rule(sink, &(struct rule){.type = RULE_GLOBS, .include = include, .exclude = exclude, .ignored = ignored});
}

void rb_watch_git(struct rb_watch_sink *sink)
{
    add_rule(sink, &(struct rule){.type = RULE_GIT});
}

static int by_type_and_path(const void *left, const void *right)
{
    const struct rule *a = left, *b = right;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    int order = a->type == RULE_PATH ? strcmp(a->path, b->path) : 0;
    return order != 0 ? order : (a->check > b->check) - (a->check < b->check);
}

static const struct shape *shapes_of(struct rb_watch_set *set, struct rb_strings globs)
{
    struct shape *shapes = rb_arena_array(set->arena, globs.count + 1, sizeof *shapes);
    for (size_t i = 0; shapes != NULL && i < globs.count; i++)
        shapes[i] = watch_shape(globs.items[i]);
    return shapes;
}

/* Keeps the rules in the arena: literal paths, sorted, then globs, then git. */
static void keep_rules(struct rb_watch_set *set, struct rb_watch_sink *sink)
{
    struct rule *rules = rb_arena_array(set->arena, sink->count + 1, sizeof *rules);
    if (rules == NULL || sink->count == 0)
        return;
    qsort(sink->items, sink->count, sizeof *rules, by_type_and_path);
    memcpy(rules, sink->items, sink->count * sizeof *rules);
    for (size_t i = 0; i < sink->count; i++) {
        set->path_count += rules[i].type == RULE_PATH;
        set->glob_count += rules[i].type == RULE_GLOBS;
        set->git_count += rules[i].type == RULE_GIT;
        rules[i].shapes = shapes_of(set, rules[i].include);
    }
    set->paths = rules;
    set->globs = rules + set->path_count;
    set->gits = set->globs + set->glob_count;
}

static int ask_kinds(struct rb_watch_set *set, struct rb_error *err)
{
    struct rb_watch_sink sink = {.set = set};
    for (size_t i = 0; i < set->plan->count; i++) {
        const struct rb_check_spec *spec = &set->plan->checks[i];
        const struct rb_kind *kind = rb_kind_of(spec->kind);
        if (kind->watches == NULL || spec->manual || spec->untrusted)
            continue;
        sink.check = i;
        sink.concerned = false;
        kind->watches(spec->options, &sink);
        set->totals.checks += sink.concerned;
    }
    keep_rules(set, &sink);
    free(sink.items);
    return sink.failed || rb_arena_failed(set->arena) ? rb_error_set(err, RB_ENOMEM, "no memory for what file events concern") : 0;
}

/* ---- places ---- */

struct building {
    struct rb_watch_set *set;
    struct rb_below below;
    size_t max;
    bool files;
    const atomic_bool *cancelled;
    size_t place_cap;
    const char **folders; /* sorted: watched for the sake of literal paths */
    size_t folder_count;
};

static void leave_out(struct rb_watch_set *set, bool limited, const char *why)
{
    set->totals.unwatched++;
    set->totals.limited = set->totals.limited || limited;
    if (set->totals.why[0] == '\0')
        (void)snprintf(set->totals.why, sizeof set->totals.why, "%.150s", why);
}

/* The place of a watch's number. The list grows in the arena: numbers are small and ascending. */
static struct place *place_of(struct building *building, int watch)
{
    struct rb_watch_set *set = building->set;
    if (watch < 0 || watch >= MAX_PLACES)
        return NULL;
    if ((size_t)watch >= building->place_cap) {
        size_t cap = building->place_cap ? building->place_cap : 64;
        while (cap <= (size_t)watch)
            cap *= 2;
        struct place *bigger = rb_arena_array(set->arena, cap, sizeof *bigger);
        if (bigger == NULL)
            return NULL;
        if (set->place_count > 0)
            memcpy(bigger, set->places, set->place_count * sizeof *bigger);
        set->places = bigger;
        building->place_cap = cap;
    }
    if ((size_t)watch >= set->place_count)
        set->place_count = (size_t)watch + 1;
    return &set->places[watch];
}

static const char *why_not(int saved_errno)
{
    switch (saved_errno) {
    case ELOOP:
    case ENOTDIR:
        return "it is reached through a symlink";
    case EACCES:
    case EPERM:
        return "this user may not read it";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    default:
        return "it cannot be opened";
    }
}

static void add_place(struct building *building, int take_fd, const char *path, unsigned types)
{
    struct rb_watch_set *set = building->set;
    struct rb_error err = {0};
    if (take_fd < 0) {
        if (take_fd != -ENOENT)
            leave_out(set, take_fd == -EMFILE || take_fd == -ENFILE, why_not(-take_fd));
        return;
    }
    if (set->totals.watched >= building->max) {
        close(take_fd);
        leave_out(set, true, "more folders than are watched at most");
        return;
    }
    int watch = rb_file_events_add(set->events, take_fd, !(types & PLACE_FILE), &err);
    struct place *place = watch >= 0 ? place_of(building, watch) : NULL;
    if (place == NULL) {
        leave_out(set, watch == RB_ELIMIT, watch < 0 ? err.message : "no memory");
        return;
    }
    set->totals.watched += place->types == 0;
    place->types |= types;
    if (types & (PLACE_FOLDER | PLACE_FILE))
        place->path = rb_arena_strdup(set->arena, path);
    if (place->path == NULL)
        place->path = "";
}

static void add_folder(struct building *building, const char *dir)
{
    add_place(building, rb_below_open(&building->below, dir, rb_file_events_open_flags(true)), dir, PLACE_FOLDER);
}

/* Nothing but a regular file is opened, not even for events. */
static void add_file(struct building *building, const char *path)
{
    struct stat st;
    if (rb_below_lstat(&building->below, path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    int fd = rb_below_open(&building->below, path, rb_file_events_open_flags(false));
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return;
    }
    add_place(building, fd, path, PLACE_FILE);
}

/* ---- literal paths ---- */

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool is_added(const struct building *building, const char *dir)
{
    return building->folder_count > 0 && bsearch(&dir, building->folders, building->folder_count, sizeof dir, by_text) != NULL;
}

/* The folders above all literal paths, each once, the nearer to the root the earlier. */
static int list_folders(struct building *building, struct rb_error *err)
{
    struct rb_watch_set *set = building->set;
    size_t count = 1, kept = 0;
    for (size_t i = 0; i < set->path_count; i++)
        for (const char *at = set->paths[i].path; (at = strchr(at, '/')) != NULL; at++)
            count++;
    const char **folders = rb_arena_array(set->arena, count + 1, sizeof(char *));
    if (folders == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the folders to watch");
    count = 0;
    folders[count++] = "";
    for (size_t i = 0; i < set->path_count; i++)
        for (const char *path = set->paths[i].path, *at = path; (at = strchr(at, '/')) != NULL; at++)
            if ((folders[count] = rb_arena_strndup(set->arena, path, (size_t)(at - path))) != NULL)
                count++;
    qsort(folders, count, sizeof *folders, by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(folders[i], folders[kept - 1]) != 0)
            folders[kept++] = folders[i];
    building->folders = folders;
    building->folder_count = kept;
    return 0;
}

static void add_literals(struct building *building)
{
    struct rb_watch_set *set = building->set;
    for (size_t i = 0; i < building->folder_count; i++)
        if (!watch_left_out(set, building->folders[i]))
            add_folder(building, building->folders[i]);
    for (size_t i = 0; i < set->path_count && building->files; i++)
        if (i == 0 || strcmp(set->paths[i].path, set->paths[i - 1].path) != 0)
            add_file(building, set->paths[i].path);
}

/* ---- git, globs ---- */

static void add_git(struct building *building)
{
    struct rb_watch_set *set = building->set;
    struct rb_strings folders;
    if (set->git_count == 0 || rb_folders_of_git(set->plan->daemon.root, MAX_GIT_FOLDERS, set->arena, &folders, NULL) < 0)
        return;
    for (size_t i = 0; i < folders.count; i++) {
        int fd = open(folders.items[i], rb_file_events_open_flags(true) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        bool home = strstr(folders.items[i], "/refs") == NULL || i == 0;
        add_place(building, fd >= 0 ? fd : -errno, folders.items[i], home ? PLACE_GIT : PLACE_REFS);
    }
}

static bool enter(void *ctx, const char *dir, bool ignored)
{
    struct rb_watch_set *set = ((struct building *)ctx)->set;
    if (watch_left_out(set, dir))
        return false;
    for (size_t i = 0; i < set->glob_count; i++) {
        const struct rule *rule = &set->globs[i];
        for (size_t k = 0; k < rule->include.count && (rule->ignored || !ignored); k++)
            if (rb_glob_may_match_below(rule->include.items[k], dir))
                return true;
    }
    return false;
}

static bool matches(const struct rb_watch_set *set, const char *path)
{
    for (size_t i = 0; i < set->glob_count; i++)
        for (size_t k = 0; k < set->globs[i].include.count; k++)
            if (rb_glob_match(set->globs[i].include.items[k], path))
                return true;
    return false;
}

static bool found(void *ctx, const char *path, bool folder)
{
    struct building *building = ctx;
    if (folder && !is_added(building, path))
        add_folder(building, path);
    else if (!folder && matches(building->set, path))
        add_file(building, path);
    return !rb_arena_failed(building->set->arena);
}

static int add_globs(struct building *building, struct rb_error *err)
{
    struct rb_watch_set *set = building->set;
    if (set->glob_count == 0)
        return 0;
    const struct rb_folders_request request = {.root = set->plan->daemon.root,
                                               .enter = enter,
                                               .found = found,
                                               .files = building->files,
                                               .cancelled = building->cancelled,
                                               .ctx = building};
    struct rb_error walk_err = {0};
    int rc = rb_folders_walk(&request, &walk_err);
    if (rc == RB_ELIMIT)
        leave_out(set, true, walk_err.message);
    return rc == 0 || rc == RB_ELIMIT ? 0 : rb_error_set(err, rc, "%s", walk_err.message);
}

/* ---- the set ---- */

static int add_places(struct rb_watch_set *set, const struct rb_watch_request *request, struct rb_error *err)
{
    struct building building = {.set = set,
                                .max = request->max_watches ? request->max_watches : RB_FILE_EVENTS_MAX_WATCHES,
                                .files = request->files || rb_file_events_need_files(),
                                .cancelled = request->cancelled};
    int rc = request->platform->file_events(&set->events, err);
    if (rc < 0 || (rc = rb_below_init(&building.below, set->plan->daemon.root, err)) < 0)
        return rc;
    rc = list_folders(&building, err);
    if (rc == 0) {
        add_literals(&building);
        add_git(&building);
        rc = add_globs(&building, err);
    }
    rb_below_fini(&building.below);
    return rc < 0 || !rb_arena_failed(set->arena) ? rc : rb_error_set(err, RB_ENOMEM, "no memory for what is watched");
}

int rb_watch_set_new(const struct rb_watch_request *request, struct rb_watch_set **out, struct rb_error *err)
{
    struct rb_watch_set *set = calloc(1, sizeof *set);
    if (set == NULL || (set->arena = rb_arena_new(ARENA)) == NULL) {
        free(set);
        return rb_error_set(err, RB_ENOMEM, "no memory for file events");
    }
    set->plan = rb_plan_ref(request->plan);
    if (request->leave_out[0] != '\0')
        set->leave_out = below_root(set, request->leave_out);
    int rc = ask_kinds(set, err);
    if (rc == 0 && set->path_count + set->glob_count + set->git_count > 0)
        rc = add_places(set, request, err);
    if (rc < 0) {
        rb_watch_set_free(set);
        return rc;
    }
    *out = set;
    return 0;
}

void rb_watch_set_free(struct rb_watch_set *set)
{
    if (set == NULL)
        return;
    rb_file_events_free(set->events);
    rb_plan_unref(set->plan);
    rb_arena_free(set->arena);
    free(set);
}

int rb_watch_set_fd(const struct rb_watch_set *set)
{
    return set->events != NULL ? rb_file_events_fd(set->events) : -1;
}

const struct rb_plan *rb_watch_set_plan(const struct rb_watch_set *set)
{
    return set->plan;
}

struct rb_watch_totals rb_watch_set_totals(const struct rb_watch_set *set)
{
    return set->totals;
}
