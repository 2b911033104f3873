/* What a person wants to know of a file that differs: since when, of which class, and what in it.
 *
 * Time: between two observations of ours when the difference came in between (the file's own time when it lies there, else that of the observation); else the commit's; else
 * mtime; never after the observation. It is remembered with the difference, so that a later `touch` does not move it. Content: git keeps that of tracked files; for the others
 * the baseline keeps their text, masked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "files.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"

enum { MAX_DIFFS = 200, KEPT_MAX = 32 * 1024 };

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool is_untracked(const struct files_run *run, const char *path)
{
    return run->untracked_count > 0 && bsearch(&path, run->untracked, run->untracked_count, sizeof path, compare_paths) != NULL;
}

/* ---- class ---- */

/* Whether a value is what a tree of git holds. */
static bool same_as_entry(const char *value, const struct rb_git_entry *entry)
{
    unsigned char id[RB_GIT_ID];
    unsigned mode;
    if (!value)
        return !entry->found;
    if (!entry->found)
        return false;
    if (files_value_blob(value, id, &mode))
        return mode == entry->mode && memcmp(id, entry->id, RB_GIT_ID) == 0;
    if (strncmp(value, "{\"commit\":\"", 11) == 0) {
        char hex[2 * RB_GIT_ID + 1];
        for (size_t i = 0; i < RB_GIT_ID; i++)
            snprintf(hex + 2 * i, 3, "%02x", entry->id[i]);
        return strncmp(value + 11, hex, 2 * RB_GIT_ID) == 0 && strcmp(value + 11 + 2 * RB_GIT_ID, "\"}") == 0;
    }
    return false;
}

/* A link's digest is that of its target. */
static bool same_link(const char *value, const struct rb_git_entry *entry)
{
    if (!value || strncmp(value, "{\"link\":\"", 9) != 0 || !entry->found || entry->mode != 0120000 || strchr(value, '\\'))
        return false;
    unsigned char id[RB_GIT_ID];
    size_t len = strlen(value + 9) - 2;
    return rb_git_hash_plain(value + 9, len, id, NULL) == 0 && memcmp(id, entry->id, RB_GIT_ID) == 0;
}

static bool was_in_git(struct files_run *run, const char *old_value)
{
    unsigned char id[RB_GIT_ID];
    unsigned mode;
    return !files_value_blob(old_value, id, &mode) || rb_git_view_has(files_view(run), id);
}

static enum rb_drift_class class_of(struct files_run *run, const struct rb_drift_item *item)
{
    if (!files_view(run))
        return RB_DRIFT_CLASS_UNTRACKED;
    struct rb_git_entry head = rb_git_view_head(files_view(run), item->key);
    if (item->new_value ? is_untracked(run, item->key) && !head.found : !head.found && !was_in_git(run, item->old_value))
        return RB_DRIFT_CLASS_UNTRACKED;
    if (!same_as_entry(item->new_value, &head) && !same_link(item->new_value, &head))
        return RB_DRIFT_CLASS_WORKTREE;
    struct rb_git_entry upstream = rb_git_view_upstream(files_view(run), item->key);
    bool same = upstream.found == head.found && upstream.mode == head.mode && memcmp(upstream.id, head.id, RB_GIT_ID) == 0;
    /* Where nothing is left, an upstream without the file says nothing when there is no upstream. */
    return same && (head.found || rb_git_view_has_upstream(files_view(run))) ? RB_DRIFT_CLASS_UPSTREAM : RB_DRIFT_CLASS_COMMITTED;
}

/* ---- time ---- */

static int64_t own_time(struct files_run *run, const struct rb_drift_item *item)
{
    struct stat st;
    if (rb_below_lstat(&run->below, item->key, &st) == 0)
        return rb_stat_mtime_ns(&st);
    char folder[RB_DRIFT_KEY_MAX + 1];
    snprintf(folder, sizeof folder, "%s", item->key);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    return rb_below_lstat(&run->below, slash ? folder : ".", &st) == 0 ? rb_stat_mtime_ns(&st) : 0;
}

static void first_seen(struct files_run *run, struct rb_drift_item *item)
{
    int64_t now = run->collect->now_wall_ns, previous = run->collect->previous_wall_ns;
    bool in_git = item->item_class == RB_DRIFT_CLASS_COMMITTED || item->item_class == RB_DRIFT_CLASS_UPSTREAM;
    int64_t told = in_git ? rb_git_view_change_time(files_view(run), item->key) : 0;
    int64_t own = own_time(run, item);
    if (previous > 0) {
        bool own_fits = own > previous && own <= now;
        item->changed_wall_ns = own_fits ? own : told > previous && told <= now ? told : now;
        item->time_note = own_fits ? NULL : "seen between two observations; the file's own time lies outside of them";
        return;
    }
    item->changed_wall_ns = told > 0 ? told : own;
    if (item->changed_wall_ns > now) {
        item->changed_wall_ns = now;
        item->time_note = told > 0 ? "the commit's time lies in the future" : "the file's time lies in the future";
    }
}

static void set_time(struct files_run *run, struct rb_drift_item *item)
{
    const struct files_seen *seen = files_cache_seen(&run->old, item->key);
    bool known = seen && (seen->value == item->new_value || (seen->value && item->new_value && strcmp(seen->value, item->new_value) == 0));
    if (known) {
        item->changed_wall_ns = seen->changed_wall_ns;
        item->time_note = seen->note;
    } else {
        first_seen(run, item);
        run->dirty = true;
    }
    run->next.seen[run->next.seen_count++] = (struct files_seen){
        .key = item->key, .value = item->new_value, .changed_wall_ns = item->changed_wall_ns, .note = item->time_note};
}

/* ---- texts ---- */

static const char *describe(struct files_run *run, const char *value)
{
    unsigned char id[RB_GIT_ID];
    unsigned mode;
    struct rb_arena *arena = run->collect->ctx->arena;
    if (!value)
        return NULL;
    if (files_value_blob(value, id, &mode))
        return rb_arena_printf(arena, "%s %02x%02x%02x%02x", mode == 0100755 ? "executable file" : "file", id[0], id[1], id[2], id[3]);
    const char *raw = strstr(value, ",\"raw\":\"");
    if (raw && strncmp(value, "{\"mode\":", 8) == 0)
        return rb_arena_printf(arena, "filtered file %.8s, as it lies there", raw + 8);
    if (strncmp(value, "{\"link\":", 8) == 0)
        return rb_arena_printf(arena, "link to %.*s", (int)strlen(value) - 9, value + 8);
    if (strncmp(value, "{\"commit\":\"", 11) == 0)
        return rb_arena_printf(arena, "submodule at %.8s%s", value + 11,
                               strstr(value, "\"modified\"") ? ", with something uncommitted in it" : "");
    if (strncmp(value, "{\"type\":\"", 9) == 0)
        return rb_arena_printf(arena, "%.*s", (int)strlen(value) - 11, value + 9);
    return strncmp(value, "{\"unreadable\"", 13) == 0 ? "unreadable" : value;
}

static bool old_content(struct files_run *run, const struct rb_drift_item *item, const char *kept, struct rb_buf *out)
{
    unsigned char id[RB_GIT_ID];
    unsigned mode;
    if (!files_value_blob(item->old_value, id, &mode))
        return false;
    if (files_view(run) && rb_git_view_read(files_view(run), id, DIFF_MAX_TEXT, out, NULL) == 0)
        return true;
    rb_buf_reset(out);
    rb_buf_adds(out, kept);
    return kept != NULL;
}

static void diff_content(struct files_run *run, struct rb_drift_item *item, const char *kept)
{
    RB_BUF_AUTO old_text;
    RB_BUF_AUTO new_text;
    rb_buf_init(&old_text, DIFF_MAX_TEXT + 1);
    rb_buf_init(&new_text, DIFF_MAX_TEXT + 1);
    if (!old_content(run, item, kept, &old_text) || !files_content(run, item->key, DIFF_MAX_TEXT, &new_text))
        return;
    const struct diff_sides sides = {.path = item->key,
                                     .old_text = rb_buf_str(&old_text),
                                     .old_len = old_text.len,
                                     .new_text = rb_buf_str(&new_text),
                                     .new_len = new_text.len};
    diff_documents_and_lines(&sides, run->collect->ctx->arena, item);
}

/* Whether git's objects hold the content: what the index says of an entry they do, without a look. */
static bool git_keeps(struct files_run *run, const struct rb_file_entry *entry, const unsigned char id[RB_GIT_ID])
{
    if (entry && entry->tracked && memcmp(entry->blob, id, RB_GIT_ID) == 0)
        return true;
    return files_view(run) && rb_git_view_has(files_view(run), id);
}

const char *files_kept_text(struct files_run *run, const char *path, const struct rb_file_entry *entry, const char *value)
{
    unsigned char id[RB_GIT_ID];
    unsigned mode;
    if (!files_value_blob(value, id, &mode) || git_keeps(run, entry, id))
        return NULL;
    RB_BUF_AUTO text;
    RB_BUF_AUTO masked;
    rb_buf_init(&text, KEPT_MAX + 1);
    rb_buf_init(&masked, 2 * KEPT_MAX);
    if (!files_content(run, path, KEPT_MAX, &text) || !rb_text_is_utf8(rb_buf_str(&text), text.len) ||
        memchr(rb_buf_str(&text), '\0', text.len))
        return NULL;
    rb_redact(&masked, rb_buf_str(&text), text.len);
    return masked.failed ? NULL : rb_arena_strdup(run->collect->ctx->arena, rb_buf_str(&masked));
}

/* A file that is left out now is still there: that looks like a loss and is none. */
static void note_left_out(struct files_run *run, struct rb_drift_item *item)
{
    struct stat st;
    if (item->change == RB_DRIFT_REMOVED && !item->diff && rb_below_lstat(&run->below, item->key, &st) == 0)
        item->diff = "it is still there: git ignores it now, or a repository of its own was made around it";
}

static void note_renames(struct files_run *run, struct rb_drift_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].change != RB_DRIFT_ADDED)
            continue;
        for (size_t k = 0; k < count; k++) {
            if (items[k].change != RB_DRIFT_REMOVED || items[k].diff || strcmp(items[k].old_value, items[i].new_value) != 0)
                continue;
            items[i].diff = rb_arena_printf(run->collect->ctx->arena, "same content as %s, which is gone: renamed", items[k].key);
            items[k].diff = rb_arena_printf(run->collect->ctx->arena, "renamed to %s, with the same content", items[i].key);
            break;
        }
    }
}

void files_explain(struct files_run *run, struct rb_drift_item *items, size_t count,
                   const char *(*kept)(const void *baseline, const char *key), const void *baseline)
{
    run->next.seen = rb_arena_array(run->collect->ctx->arena, count + 1, sizeof *run->next.seen);
    if (!run->next.seen)
        return;
    for (size_t i = 0; i < count; i++) {
        struct rb_drift_item *item = &items[i];
        item->item_class = class_of(run, item);
        set_time(run, item);
        if (i < MAX_DIFFS && item->change == RB_DRIFT_CHANGED && !atomic_load_explicit(run->collect->ctx->cancelled, memory_order_relaxed))
            diff_content(run, item, kept(baseline, item->key));
        if (i < MAX_DIFFS && item->new_value)
            item->kept_text = files_kept_text(run, item->key, NULL, item->new_value);
        if (!item->old_text)
            item->old_text = describe(run, item->old_value);
        if (!item->new_text)
            item->new_text = describe(run, item->new_value);
    }
    note_renames(run, items, count < MAX_DIFFS ? count : MAX_DIFFS);
    for (size_t i = 0; i < count && i < MAX_DIFFS; i++)
        note_left_out(run, &items[i]);
}
