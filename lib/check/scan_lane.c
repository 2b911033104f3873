/* Reading and searching the files of one batch.
 *
 * Invariants: nothing but what was seen as a regular file is opened (never blocking: what stands there may be another thing by now), and what was opened must have been
 * one file from before to after it was read: same inode, size and times; no
 * symlink is ever followed. What is known from before is lstat's, or, for a file that git's index knows as it is, the index's: opening costs more than reading
 * here, so four calls for such a file and five for others. A batch's bytes lie in one buffer that is reused: they are searched while they are still in the cache. */
#include "scan_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/glob.h"

enum { SNIFF = 64 << 10, DOUBT_MAX = 4096 };

int scan_lane_init(struct scan_lane *lane, const struct scan_plan *plan, struct rb_error *err)
{
    *lane = (struct scan_lane){.plan = plan, .doubt_step = 1};
    int code = rb_below_init(&lane->below, plan->root, err);
    if (code < 0 || !plan->set)
        return code;
    size_t patterns = 1;
    for (size_t i = 0; i < plan->count; i++)
        patterns += plan->states[i].request.pattern_count;
    lane->wanted_patterns = calloc(patterns, sizeof(*lane->wanted_patterns));
    if (!lane->wanted_patterns)
        return rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
    return rb_pattern_scanner_new(plan->set, &lane->scanner, err);
}

void scan_lane_fini(struct scan_lane *lane)
{
    if (!lane->plan)
        return;
    rb_pattern_scanner_free(lane->scanner);
    free(lane->wanted_patterns);
    rb_below_fini(&lane->below);
}

int scan_batch_init(struct scan_batch *batch, const struct scan_plan *plan, size_t cap, struct rb_error *err)
{
    *batch = (struct scan_batch){.cap = cap};
    batch->bytes = malloc(cap);
    batch->wants = calloc(plan->count * SCAN_BATCH, sizeof(*batch->wants));
    batch->misses = calloc(plan->count * SCAN_BATCH, sizeof(*batch->misses));
    if (!batch->bytes || !batch->wants || !batch->misses)
        return rb_error_set(err, RB_ENOMEM, "out of memory at the beginning of a scan");
    return 0;
}

void scan_batch_fini(struct scan_batch *batch)
{
    if (batch->bytes)
        OPENSSL_cleanse(batch->bytes, batch->touched);
    free(batch->bytes);
    free(batch->hits);
    free(batch->wants);
    free(batch->misses);
}

/* ---- which jobs want it ---- */

static bool matches(const struct scan_plan *plan, const struct rb_scan_request *request, const struct rb_file_entry *entry)
{
    if (plan->outside_git ? false : entry->tracked ? !request->tracked : !request->untracked)
        return false;
    bool in = request->include.count == 0;
    for (size_t i = 0; i < request->include.count && !in; i++)
        in = rb_glob_match(request->include.items[i], entry->path);
    for (size_t i = 0; i < request->exclude.count && in; i++)
        in = !rb_glob_match(request->exclude.items[i], entry->path);
    return in;
}

static bool find_wants(const struct scan_plan *plan, const struct rb_file_entry *entry, bool *wants)
{
    bool any = false;
    for (size_t i = 0; i < plan->count; i++) {
        wants[i] = matches(plan, &plan->states[i].request, entry);
        any = any || wants[i];
    }
    return any;
}

/* ---- reading ---- */

static bool is_same(const struct stat *before, const struct stat *after)
{
    return before->st_dev == after->st_dev && before->st_ino == after->st_ino && before->st_size == after->st_size &&
           rb_stat_mtime_ns(before) == rb_stat_mtime_ns(after);
}

/* `size` bytes after the used ones are about to hold something. */
static void touch(struct scan_batch *batch, size_t size)
{
    if (batch->used + size > batch->touched)
        batch->touched = batch->used + size;
}

/* Reads until `room` is full, the file ends, or a call gives less than asked for, which a regular file does only at its end. */
static ssize_t read_up_to(int fd, char *bytes, size_t room)
{
    ssize_t got = 0;
    size_t len = 0;
    do {
        got = read(fd, bytes + len, room - len);
        if (got > 0)
            len += (size_t)got;
    } while ((got < 0 && errno == EINTR) || (got > 0 && len < room && len % 4096 == 0));
    return got < 0 ? -1 : (ssize_t)len;
}

/* The bytes of the regular file that `before` describes, to the buffer's free part. NULL, or the problem. */
static const char *read_bytes(struct scan_lane *lane, struct scan_batch *batch, struct rb_scan_file *file, const struct stat *before)
{
    int fd = rb_below_open(&lane->below, file->path, O_RDONLY | O_NOCTTY);
    if (fd < 0)
        return fd == -ENOENT ? "deleted" : "unreadable";
    size_t size = (size_t)before->st_size;
    touch(batch, size + 1);
    ssize_t len = read_up_to(fd, batch->bytes + batch->used, size + 1); /* one byte more shows that it grew */
    struct stat after;
    bool known = fstat(fd, &after) == 0;
    close(fd);
    if (!known)
        return "unreadable";
    file->mtime_ns = rb_stat_mtime_ns(&after);
    if (!S_ISREG(after.st_mode))
        return "not_regular";
    if (len < 0)
        return "unreadable";
    if ((size_t)len != size || !is_same(before, &after))
        return "changed_while_read";
    file->len = size;
    return NULL;
}

/* Whether `after` is the file that git's index describes. An entry as young as the index itself may have changed within the same tick, and whole seconds tell
 * too little: git's own rules for "racy" entries. */
static bool is_as_indexed(const struct scan_plan *plan, const struct rb_file_entry *entry, const struct stat *after)
{
    return S_ISREG(after->st_mode) && entry->index_size == (int64_t)after->st_size && entry->index_ino == (uint32_t)after->st_ino &&
           entry->index_mtime_ns == rb_stat_mtime_ns(after) && entry->index_ctime_ns == rb_stat_ctime_ns(after) &&
           entry->index_mtime_ns < plan->index_mtime_ns && entry->index_ctime_ns % 1000000000 != 0;
}

static bool may_be_as_indexed(struct scan_lane *lane, const struct scan_batch *batch, const struct rb_file_entry *entry)
{
    if (!entry->regular || entry->index_size < 0 || (uint64_t)entry->index_size > lane->plan->max_file_bytes ||
        (uint64_t)entry->index_size >= batch->cap - batch->used)
        return false;
    if (lane->doubt == 0)
        return true;
    lane->doubt--;
    return false;
}

/* Reads a file in the belief that it is as git's index has it, which is true for nearly all of a work tree. False: nothing is known, look at it closely. Where the belief
 * fails again and again (a tree that was copied) it is held less and less often. */
static bool read_as_indexed(struct scan_lane *lane, struct scan_batch *batch, struct scan_item *item)
{
    struct rb_scan_file *file = &item->file;
    if (!may_be_as_indexed(lane, batch, item->entry))
        return false;
    int fd = rb_below_open(&lane->below, file->path, O_RDONLY | O_NOCTTY);
    if (fd < 0)
        return false;
    struct stat after;
    size_t size = (size_t)item->entry->index_size;
    touch(batch, size + 1);
    ssize_t len = read_up_to(fd, batch->bytes + batch->used, size + 1);
    bool same = fstat(fd, &after) == 0 && len == (ssize_t)size && is_as_indexed(lane->plan, item->entry, &after);
    close(fd);
    if (!same) {
        lane->doubt = lane->doubt_step;
        lane->doubt_step = lane->doubt_step < DOUBT_MAX ? 2 * lane->doubt_step : DOUBT_MAX;
        return false;
    }
    lane->doubt_step = 1;
    file->mode = (int)after.st_mode;
    file->mtime_ns = rb_stat_mtime_ns(&after);
    file->len = size;
    return true;
}

/* Whether a file above the limit begins like a binary one: then nobody misses its text. */
static bool begins_binary(struct scan_lane *lane, const char *path)
{
    char first[4096];
    bool binary = false;
    int fd = rb_below_open(&lane->below, path, O_RDONLY | O_NOCTTY);
    for (size_t seen = 0; fd >= 0 && seen < SNIFF && !binary;) {
        ssize_t got = read(fd, first, sizeof first);
        if (got <= 0)
            break;
        binary = memchr(first, '\0', (size_t)got) != NULL;
        seen += (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    return binary;
}

static const char *read_once(struct scan_lane *lane, struct scan_batch *batch, struct scan_item *item, bool grow)
{
    struct rb_scan_file *file = &item->file;
    struct stat st;
    int rc = rb_below_lstat(&lane->below, file->path, &st);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return "deleted";
    if (rc == -ELOOP)
        return "outside"; /* a folder on the way became a symlink */
    if (rc < 0)
        return "unreadable";
    file->mode = (int)st.st_mode;
    file->mtime_ns = rb_stat_mtime_ns(&st);
    file->symlink = S_ISLNK(st.st_mode);
    if (!S_ISREG(st.st_mode))
        return "not_regular";
    if (st.st_size < 0 || (uint64_t)st.st_size > lane->plan->max_file_bytes) {
        file->binary = begins_binary(lane, file->path);
        return "too_large";
    }
    size_t needed = (size_t)st.st_size + 1;
    if (needed > batch->cap - batch->used && !grow) {
        item->later = true;
        return NULL;
    }
    if (needed > batch->cap) {
        char *bigger = malloc(needed);
        if (!bigger)
            return "unreadable";
        OPENSSL_cleanse(batch->bytes, batch->touched);
        free(batch->bytes);
        batch->bytes = bigger;
        batch->cap = needed;
    }
    return read_bytes(lane, batch, file, &st);
}

/* ---- searching ---- */

static bool keep_hits(struct scan_batch *batch, const struct rb_pattern_result *result)
{
    size_t needed = batch->hit_count + result->count;
    if (needed > batch->hit_cap) {
        size_t cap = needed < 64 ? 64 : 2 * needed;
        struct rb_pattern_hit *bigger = realloc(batch->hits, cap * sizeof(*bigger));
        if (!bigger)
            return false;
        batch->hits = bigger;
        batch->hit_cap = cap;
    }
    if (result->count > 0)
        memcpy(batch->hits + batch->hit_count, result->hits, result->count * sizeof(*result->hits));
    batch->hit_count = needed;
    return true;
}

static void keep_misses(const struct scan_plan *plan, const struct rb_pattern_result *result, struct rb_pattern_misses *out)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct scan_job_state *state = &plan->states[i];
        out[i] = (struct rb_pattern_misses){0};
        for (size_t j = 0; j < state->request.pattern_count; j++) {
            out[i].dropped += result->misses[state->first_pattern + j].dropped;
            out[i].gave_up += result->misses[state->first_pattern + j].gave_up;
        }
    }
}

/* Text that is not the file's own bytes (UTF-16) lies in the scanner, which forgets it at the next file. */
static bool keep_text(struct scan_batch *batch, struct rb_scan_file *file, const struct rb_pattern_result *result, bool grow)
{
    file->text = result->text;
    file->text_len = result->len;
    if (result->count == 0 || (result->text >= file->bytes && result->text <= file->bytes + file->len))
        return true;
    if (result->len > batch->cap - batch->used) {
        char *bigger = grow ? malloc(batch->used + result->len) : NULL;
        if (!bigger)
            return false;
        memcpy(bigger, batch->bytes, batch->used);
        OPENSSL_cleanse(batch->bytes, batch->touched);
        free(batch->bytes);
        batch->bytes = bigger;
        batch->cap = batch->used + result->len;
        file->bytes = bigger;
    }
    memcpy(batch->bytes + batch->used, result->text, result->len);
    file->text = batch->bytes + batch->used;
    touch(batch, result->len);
    batch->used += result->len;
    return true;
}

static void search(struct scan_lane *lane, struct scan_batch *batch, struct scan_item *item, bool grow)
{
    const struct scan_plan *plan = lane->plan;
    size_t index = (size_t)(item - batch->items);
    bool any = false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct scan_job_state *state = &plan->states[i];
        bool wanted = batch->wants[index * plan->count + i] && item->file.len <= state->request.max_file_bytes;
        any = any || (wanted && state->request.pattern_count > 0);
        for (size_t j = 0; j < state->request.pattern_count; j++)
            lane->wanted_patterns[state->first_pattern + j] = wanted;
    }
    if (!any)
        return;
    struct rb_pattern_result result;
    if (rb_pattern_scan(lane->scanner, item->file.bytes, item->file.len, lane->wanted_patterns, &result, NULL) < 0) {
        item->file.problem = "unreadable";
        return;
    }
    item->file.binary = result.binary;
    item->first_hit = batch->hit_count;
    item->file.hit_count = result.count;
    keep_misses(plan, &result, batch->misses + index * plan->count);
    if (!keep_text(batch, &item->file, &result, grow))
        item->later = true;
    else if (!keep_hits(batch, &result))
        item->file.problem = "unreadable";
}

/* Bytes that only patterns asked for are of no use when there is no hit: the next file takes their place, still in the cache. */
static void drop_unused(struct scan_lane *lane, struct scan_batch *batch, struct scan_item *item)
{
    const struct scan_plan *plan = lane->plan;
    size_t index = (size_t)(item - batch->items);
    for (size_t i = 0; i < plan->count; i++)
        if (batch->wants[index * plan->count + i] && plan->states[i].request.pattern_count == 0)
            return;
    if (item->file.hit_count > 0 || item->file.problem || item->later)
        return;
    batch->used -= item->file.len;
    item->file.bytes = item->file.text = NULL;
}

/* ---- filling ---- */

static void fill_item(struct scan_lane *lane, struct scan_batch *batch, struct scan_item *item, bool grow)
{
    struct rb_scan_file *file = &item->file;
    *file = (struct rb_scan_file){.path = item->entry->path, .tracked = item->entry->tracked};
    item->later = false;
    item->first_hit = batch->hit_count;
    file->problem = read_as_indexed(lane, batch, item) ? NULL : read_once(lane, batch, item, grow);
    if (file->problem && strcmp(file->problem, "changed_while_read") == 0)
        file->problem = read_once(lane, batch, item, grow);
    if (file->problem || item->later) {
        file->len = 0;
        return;
    }
    file->bytes = batch->bytes + batch->used;
    batch->used += file->len;
    if (lane->scanner) {
        search(lane, batch, item, grow);
        drop_unused(lane, batch, item);
    }
    if (!file->problem)
        return;
    file->bytes = NULL;
    file->len = 0;
}

void scan_lane_fill(struct scan_lane *lane, struct scan_batch *batch, size_t first, size_t count)
{
    const struct scan_plan *plan = lane->plan;
    batch->count = count;
    batch->used = 0;
    batch->hit_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct scan_item *item = &batch->items[i];
        item->entry = &plan->entries[first + i];
        memset(batch->misses + i * plan->count, 0, plan->count * sizeof(*batch->misses));
        item->wanted = find_wants(plan, item->entry, batch->wants + i * plan->count);
        if (item->wanted)
            fill_item(lane, batch, item, false);
    }
}

void scan_lane_fill_large(struct scan_lane *lane, struct scan_batch *batch, const struct rb_file_entry *entry)
{
    batch->count = 1;
    batch->used = 0;
    batch->hit_count = 0;
    batch->items[0].entry = entry;
    memset(batch->misses, 0, lane->plan->count * sizeof(*batch->misses));
    batch->items[0].wanted = find_wants(lane->plan, entry, batch->wants);
    if (batch->items[0].wanted)
        fill_item(lane, batch, &batch->items[0], true);
}
