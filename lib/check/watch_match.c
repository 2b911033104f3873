/* From events to checks.
 *
 * Cheap under a storm: an event that was seen in this read is dropped by a small table, a rule that was hit in this read is not looked at again, and when many different
 * names meet many globs nevertheless, the effort is bounded: beyond it all globs count as concerned, which is told as an overflow. A pause between two reads is the
 * caller's. Literal paths lie sorted, so that a path costs one search, and what lies below a folder is a range. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "watch_internal.h"

enum { MAX_EFFORT = 16384, MAX_EVENTS = 32768, MAX_PATH_BYTES = 4400 };

static void hit(struct rb_watch_set *set, struct rule *rule)
{
    if (rule->session == set->session)
        return;
    rule->session = set->session;
    set->changed(set->ctx, rule->check);
}

static void hit_all(struct rb_watch_set *set, struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hit(set, &rules[i]);
}

static void lose(struct rb_watch_set *set, enum rb_file_loss loss)
{
    set->news->lost[loss]++;
    set->news->stale = true;
}

static void lose_globs(struct rb_watch_set *set, enum rb_file_loss loss)
{
    lose(set, loss);
    hit_all(set, set->globs, set->glob_count);
    set->all_globs = true;
}

static void lose_everything(struct rb_watch_set *set, enum rb_file_loss loss)
{
    lose_globs(set, loss);
    hit_all(set, set->paths, set->path_count);
    hit_all(set, set->gits, set->git_count);
}

/* ---- rules ---- */

bool watch_left_out(const struct rb_watch_set *set, const char *path)
{
    size_t len = set->leave_out ? strlen(set->leave_out) : 0;
    return len > 0 && strncmp(path, set->leave_out, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

size_t watch_first_path(const struct rb_watch_set *set, const char *path)
{
    size_t low = 0, high = set->path_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(set->paths[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whole characters only matter to what comes between: both ends are compared as bytes. The slash of "**" + "/x" may match nothing. */
struct shape watch_shape(const char *glob)
{
    static const char meta[] = "*?[]{}\\";
    struct shape shape = {.prefix_len = strcspn(glob, meta), .suffix = glob};
    for (const char *at = glob; *at; at++)
        if (strchr(meta, *at))
            shape.suffix = at + 1;
    while (*shape.suffix == '/')
        shape.suffix++;
    shape.suffix_len = strlen(shape.suffix);
    return shape;
}

static bool fits(const struct shape *shape, const char *glob, const char *path, size_t len)
{
    return len >= shape->suffix_len && memcmp(path + len - shape->suffix_len, shape->suffix, shape->suffix_len) == 0 &&
           strncmp(path, glob, shape->prefix_len) == 0;
}

/* Whether one lies on the way to the other. */
static bool fits_folder(const struct shape *shape, const char *glob, const char *dir, size_t len)
{
    return strncmp(dir, glob, len < shape->prefix_len ? len : shape->prefix_len) == 0;
}

/* What one glob says of a path; bounded by the effort of all. */
static bool matches(struct rb_watch_set *set, const struct rule *rule, size_t at, const char *path, bool below)
{
    const char *glob = rule->include.items[at];
    size_t len = strlen(path);
    if (below ? !fits_folder(&rule->shapes[at], glob, path, len) : !fits(&rule->shapes[at], glob, path, len))
        return false;
    set->effort++;
    return below ? rb_glob_may_match_below(glob, path) : rb_glob_match(glob, path);
}

static bool any_matches(struct rb_watch_set *set, const struct rule *rule, const char *path, bool below)
{
    for (size_t i = 0; i < rule->include.count; i++)
        if (matches(set, rule, i, path, below))
            return true;
    return false;
}

static bool is_excluded(struct rb_watch_set *set, const struct rule *rule, const char *path)
{
    set->effort += rule->exclude.count;
    for (size_t i = 0; i < rule->exclude.count; i++)
        if (rb_glob_match(rule->exclude.items[i], path))
            return true;
    return false;
}

static void match_globs(struct rb_watch_set *set, const char *path, bool folder)
{
    for (size_t i = 0; i < set->glob_count && !set->all_globs; i++) {
        struct rule *rule = &set->globs[i];
        if (rule->session == set->session && !folder)
            continue;
        bool below = folder && any_matches(set, rule, path, true);
        if (below)
            set->news->stale = true;
        if (below || (any_matches(set, rule, path, false) && !is_excluded(set, rule, path)))
            hit(set, rule);
        if (set->effort > MAX_EFFORT)
            lose_globs(set, RB_FILE_LOSS_OVERFLOW);
    }
}

static void file_changed(struct rb_watch_set *set, const char *path)
{
    for (size_t i = watch_first_path(set, path); i < set->path_count && strcmp(set->paths[i].path, path) == 0; i++)
        hit(set, &set->paths[i]);
    match_globs(set, path, false);
}

/* A folder came or went, or nobody knows what became of what is in it. */
static void folder_changed(struct rb_watch_set *set, const char *dir)
{
    size_t len = strlen(dir);
    char below[MAX_PATH_BYTES + 2];
    (void)snprintf(below, sizeof below, "%s%s", dir, len > 0 ? "/" : "");
    size_t below_len = strlen(below);
    for (size_t i = watch_first_path(set, dir); i < set->path_count && strcmp(set->paths[i].path, dir) == 0; i++)
        hit(set, &set->paths[i]);
    for (size_t i = watch_first_path(set, below); i < set->path_count && strncmp(set->paths[i].path, below, below_len) == 0; i++) {
        hit(set, &set->paths[i]);
        set->news->stale = true;
    }
    if (set->git_count > 0 && strcmp(dir, ".git") == 0) {
        hit_all(set, set->gits, set->git_count);
        set->news->stale = true;
    }
    match_globs(set, dir, true);
}

/* ---- events ---- */

/* What git writes on its way (locks, the index, logs) says nothing of where the repository stands. */
static bool git_says(const struct place *place, const struct rb_file_event *event)
{
    static const char *const names[] = {"HEAD", "packed-refs", "config", NULL};
    if (event->name == NULL)
        return true;
    size_t len = strlen(event->name);
    if (place->types & PLACE_REFS)
        return len < 5 || strcmp(event->name + len - 5, ".lock") != 0;
    for (size_t i = 0; names[i]; i++)
        if (strcmp(event->name, names[i]) == 0)
            return true;
    return false;
}

static void git_changed(struct rb_watch_set *set, const struct place *place, const struct rb_file_event *event)
{
    if (!git_says(place, event))
        return;
    hit_all(set, set->gits, set->git_count);
    if (event->type == RB_FILE_FOLDERS && (place->types & PLACE_REFS))
        set->news->stale = true;
}

static void tree_changed(struct rb_watch_set *set, const struct place *place, const struct rb_file_event *event)
{
    char path[MAX_PATH_BYTES];
    if (event->type == RB_FILE_GONE &&
        (place->types & PLACE_FILE)) { /* replaced by another one, most likely: that one is not watched yet */
        set->news->stale = true;
        file_changed(set, place->path);
        return;
    }
    int len = snprintf(path, sizeof path, "%s%s%s", place->path, event->name && place->path[0] ? "/" : "", event->name ? event->name : "");
    if (len < 0 || (size_t)len >= sizeof path || watch_left_out(set, path))
        return;
    if (event->type == RB_FILE_CHANGED)
        file_changed(set, path);
    else
        folder_changed(set, path);
    /* A folder of which only the list of names is known to have changed: its watch cannot tell whether the new name is a folder. */
    if (event->type == RB_FILE_FOLDERS && event->name == NULL)
        set->news->stale = true;
}

static bool was_seen(struct rb_watch_set *set, const struct rb_file_event *event)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ ((uint64_t)(unsigned)event->watch << 8) ^ (uint64_t)event->type;
    for (const char *at = event->name; at != NULL && *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    hash ^= hash >> 29;
    uint64_t *slot = &set->seen[hash % SEEN];
    bool seen = *slot == hash;
    *slot = hash;
    return seen;
}

static void take(void *ctx, const struct rb_file_event *event)
{
    struct rb_watch_set *set = ctx;
    set->news->events++;
    if (event->type == RB_FILE_LOST)
        lose_everything(set, RB_FILE_LOSS_OVERFLOW);
    if (event->watch < 0 || (size_t)event->watch >= set->place_count || was_seen(set, event))
        return;
    const struct place *place = &set->places[event->watch];
    if (event->type == RB_FILE_GONE && !(place->types & PLACE_FILE))
        lose(set, RB_FILE_LOSS_FOLDER);
    if (place->types & (PLACE_GIT | PLACE_REFS))
        git_changed(set, place, event);
    if (place->types & (PLACE_FOLDER | PLACE_FILE))
        tree_changed(set, place, event);
}

void rb_watch_set_read(struct rb_watch_set *set, void (*changed)(void *ctx, size_t check), void *ctx, struct rb_watch_news *out)
{
    *out = (struct rb_watch_news){0};
    if (set->events == NULL)
        return;
    set->session++;
    set->effort = 0;
    set->all_globs = false;
    memset(set->seen, 0, sizeof set->seen);
    set->changed = changed;
    set->ctx = ctx;
    set->news = out;
    if (rb_file_events_drain(set->events, MAX_EVENTS, take, set, NULL) < 0)
        lose_everything(set, RB_FILE_LOSS_ERROR);
}
