/* One file becomes one value: {"blob":"<digest>","mode":"100644"}, {"link":"target"}, {"commit":"…"} of a submodule, {"type":"fifo"} and the like.
 *
 * The digest is git's own for this content at this path, tracked or not, so that neither a commit nor a fresh clone nor other line ends change it. Stat data that equal the
 * index's or our cache's save the reading, except where they prove nothing: a file changed in the instant in which the index was written is read (git's
 * Documentation/technical/racy-git.txt). Nothing but a regular file is ever opened, never through a symlink, and never more of it than the limit. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "value.h"

enum { READ_STEP = 256 * 1024, MODE_EXECUTABLE = 0100755, MODE_PLAIN = 0100644, MODE_SUBMODULE = 0160000 };

static void add_hex(struct rb_buf *out, const unsigned char id[RB_GIT_ID])
{
    for (size_t i = 0; i < RB_GIT_ID; i++)
        rb_buf_addf(out, "%02x", id[i]);
}

/* The value that was accepted for a path, or NULL. Paths come in order. */
static const char *accepted_value(struct files_run *run, const char *path)
{
    const struct rb_drift_facts *base = run->collect->base;
    int order = 1;
    while (base && run->base_next < base->count && (order = strcmp(base->items[run->base_next].key, path)) < 0)
        run->base_next++;
    return order == 0 ? base->items[run->base_next].value : NULL;
}

/* The value of a regular file: where it is the accepted one, that itself, so that an unchanged tree makes no strings. */
static const char *blob_value(struct files_run *run, const char *path, const unsigned char id[RB_GIT_ID], unsigned mode)
{
    static const char digits[] = "0123456789abcdef";
    char value[] = "{\"blob\":\"0123456789012345678901234567890123456789\",\"mode\":\"100644\"}", octal[16];
    for (size_t i = 0; i < RB_GIT_ID; i++) { /* without printf: a tree has thousands */
        value[9 + 2 * i] = digits[id[i] >> 4];
        value[10 + 2 * i] = digits[id[i] & 15];
    }
    if (mode != MODE_PLAIN && snprintf(octal, sizeof octal, "%06o", mode) == 6)
        memcpy(value + sizeof value - 9, octal, 6);
    const char *accepted = accepted_value(run, path);
    return accepted && strcmp(accepted, value) == 0 ? accepted : rb_arena_strndup(run->collect->ctx->arena, value, sizeof value - 1);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool files_value_blob(const char *value, unsigned char out_id[RB_GIT_ID], unsigned *out_mode)
{
    static const char start[] = "{\"blob\":\"";
    if (!value || strncmp(value, start, sizeof start - 1) != 0)
        return false;
    const char *hex = value + sizeof start - 1;
    for (size_t i = 0; i < RB_GIT_ID; i++) {
        int high = hex_value(hex[2 * i]), low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return false;
        out_id[i] = (unsigned char)(high * 16 + low);
    }
    const char *mode = strstr(hex, "\"mode\":\"");
    *out_mode = mode ? (unsigned)strtoul(mode + 8, NULL, 8) : 0;
    return mode != NULL;
}

/* ---- content ---- */

/* Reads an open file to its end, at most `max` bytes. */
static bool read_all(int fd, size_t max, struct rb_buf *out)
{
    char *chunk = malloc(READ_STEP);
    ssize_t got = -1;
    while (chunk && out->len <= max) {
        got = read(fd, chunk, READ_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        rb_buf_add(out, chunk, (size_t)got);
    }
    free(chunk);
    return got == 0 && !out->failed && out->len <= max;
}

static int open_regular(struct files_run *run, const char *path, struct stat *out)
{
    int rc = rb_below_lstat(&run->below, path, out); /* opening a FIFO would wake who writes to it */
    if (rc < 0 || !S_ISREG(out->st_mode))
        return rc < 0 ? rc : -EINVAL;
    int fd = rb_below_open(&run->below, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fd;
    if (fstat(fd, out) == 0 && S_ISREG(out->st_mode))
        return fd;
    close(fd);
    return -EINVAL;
}

bool files_content(struct files_run *run, const char *path, size_t max, struct rb_buf *out)
{
    struct stat st;
    int fd = open_regular(run, path, &st);
    if (fd < 0)
        return false;
    bool read = st.st_size >= 0 && (uint64_t)st.st_size <= max && read_all(fd, max, out);
    close(fd);
    return read;
}

/* ---- digests ---- */

static bool same_stat(const struct files_stat *a, const struct stat *st)
{
    return a->mtime_ns == rb_stat_mtime_ns(st) && a->ctime_ns == rb_stat_ctime_ns(st) && a->size == (int64_t)st->st_size &&
           a->ino == (int64_t)st->st_ino;
}

/* Whether git's index vouches for the content. */
static bool index_clean(const struct files_run *run, const struct rb_file_entry *entry, const struct stat *st)
{
    if (!entry->tracked || entry->conflicted || run->full || entry->index_mtime_ns % 1000000000 == 0)
        return false;
    return entry->index_size == (int64_t)(uint32_t)st->st_size && entry->index_mtime_ns == rb_stat_mtime_ns(st) &&
           entry->index_ctime_ns == rb_stat_ctime_ns(st) && entry->index_ino == (uint32_t)st->st_ino &&
           entry->index_mtime_ns < run->index_mtime_ns;
}

static void remember(struct files_run *run, const char *key, const char *value, const struct stat *st)
{
    struct files_cache *next = &run->next;
    if (next->file_count == run->next_cap) {
        size_t cap = run->next_cap ? run->next_cap * 2 : 64;
        struct files_cached *bigger = rb_arena_array(run->collect->ctx->arena, cap, sizeof *bigger);
        if (!bigger)
            return;
        if (next->file_count > 0)
            memcpy(bigger, next->files, next->file_count * sizeof *bigger);
        next->files = bigger;
        run->next_cap = cap;
    }
    next->files[next->file_count++] = (struct files_cached){
        .key = key,
        .value = value,
        .stat = {.mtime_ns = rb_stat_mtime_ns(st), .ctime_ns = rb_stat_ctime_ns(st), .size = st->st_size, .ino = (int64_t)st->st_ino}};
}

/* A content above the limit: told by what can be told. */
static const char *unhashed(struct files_run *run, const struct stat *st, unsigned mode)
{
    return rb_arena_printf(run->collect->ctx->arena, "{\"mode\":\"%06o\",\"size\":%lld}", mode, (long long)st->st_size);
}

/* The digest of a content as it lies there, for files that only an external program could bring into git's form. */
static const char *raw_value(struct files_run *run, const unsigned char id[RB_GIT_ID], unsigned mode)
{
    RB_BUF_AUTO value;
    rb_buf_init(&value, 128);
    rb_buf_addf(&value, "{\"mode\":\"%06o\",\"raw\":\"", mode);
    add_hex(&value, id);
    rb_buf_adds(&value, "\"}");
    return rb_arena_strdup(run->collect->ctx->arena, rb_buf_str(&value));
}

static bool is_filtered(struct files_run *run, const char *path)
{
    return run->filters && files_view(run) && rb_git_view_filter(files_view(run), path);
}

static const char *hash(struct files_run *run, const struct rb_file_entry *entry, const struct stat *st, unsigned mode, bool filtered)
{
    const struct rb_drift_options *options = run->collect->ctx->options;
    if (st->st_size > options->max_file) {
        run->oversized++;
        return unhashed(run, st, mode);
    }
    RB_BUF_AUTO content;
    rb_buf_init(&content, (size_t)options->max_file + READ_STEP);
    struct stat before, after;
    int fd = open_regular(run, entry->path, &before);
    bool ok = fd >= 0 && read_all(fd, (size_t)options->max_file, &content);
    bool stable = ok && fstat(fd, &after) == 0 && after.st_size == (off_t)content.len &&
                  rb_stat_mtime_ns(&after) == rb_stat_mtime_ns(&before);
    if (fd >= 0)
        close(fd);
    if (content.len > (size_t)options->max_file) { /* it grew meanwhile */
        run->oversized++;
        return unhashed(run, &before, mode);
    }
    if (!ok) {
        run->unreadable++;
        return "{\"unreadable\":true}";
    }
    unsigned char id[RB_GIT_ID];
    struct rb_error err = {0};
    bool by_git = !filtered && content.len > 0 && files_view(run); /* nothing is nothing under all attributes */
    bool raw = filtered || (by_git && rb_git_view_hash(files_view(run), entry->path, content.data, content.len, id, &err) < 0);
    if ((raw || !by_git) && rb_git_hash_plain(content.data, content.len, id, &err) < 0)
        return unhashed(run, st, mode);
    const char *value = raw ? raw_value(run, id, mode) : blob_value(run, entry->path, id, mode);
    run->hashed++;
    run->dirty = true;
    if (!stable)
        run->unstable++;
    else if (value)
        remember(run, entry->path, value, &before);
    return value;
}

/* Whether a value is a digest of the kind that is wanted, for a file of this mode. */
static bool is_digest(const char *value, bool raw, unsigned mode)
{
    unsigned char id[RB_GIT_ID];
    unsigned told;
    char start[32];
    if (!raw)
        return files_value_blob(value, id, &told) && told == mode;
    int len = snprintf(start, sizeof start, "{\"mode\":\"%06o\",\"raw\":", mode);
    return len > 0 && strncmp(value, start, (size_t)len) == 0;
}

/* The cached value while it stands: same stat data, and old enough that a later write would have moved the clock of the file system. */
static const char *from_cache(struct files_run *run, const char *path, const struct stat *st, bool raw, unsigned mode)
{
    const struct files_cached *cached = run->full ? NULL : files_cache_find(&run->old, path);
    if (!cached || !same_stat(&cached->stat, st) || cached->stat.mtime_ns >= run->old.observed_wall_ns ||
        cached->stat.ctime_ns >= run->old.observed_wall_ns - RB_LISTING_SETTLE_NS || !is_digest(cached->value, raw, mode))
        return NULL;
    remember(run, cached->key, cached->value, st);
    return cached->value;
}

static const char *regular_value(struct files_run *run, const struct rb_file_entry *entry, const struct stat *st)
{
    bool executable = (st->st_mode & 0100) != 0;
    bool expected = entry->mode == MODE_EXECUTABLE;
    if (entry->tracked && executable != expected && files_view(run) && !rb_git_view_trusts_mode(files_view(run)))
        executable = expected;
    unsigned mode = executable ? MODE_EXECUTABLE : MODE_PLAIN;
    bool filtered = is_filtered(run, entry->path);
    run->unverified += filtered;
    if (!filtered && index_clean(run, entry, st))
        return blob_value(run, entry->path, entry->blob, mode);
    const char *value = from_cache(run, entry->path, st, filtered, mode);
    return value ? value : hash(run, entry, st, mode, filtered);
}

static const char *link_value(struct files_run *run, const char *path)
{
    char target[4096];
    struct rb_arena *arena = run->collect->ctx->arena;
    const char *name = strrchr(path, '/');
    int dir = name ? run->below.dir_fd : run->below.root_fd; /* the lstat just before opened it */
    ssize_t got = readlinkat(dir, name ? name + 1 : path, target, sizeof target - 1);
    if (got < 0)
        return "{\"unreadable\":true}";
    RB_BUF_AUTO value;
    rb_buf_init(&value, RB_DRIFT_VALUE_MAX);
    rb_buf_adds(&value, "{\"link\":");
    rb_drift_value_string(&value, target, (size_t)got);
    rb_buf_addc(&value, '}');
    return rb_arena_strdup(arena, rb_buf_str(&value));
}

static const char *submodule_value(struct files_run *run, const struct rb_file_entry *entry)
{
    unsigned char id[RB_GIT_ID];
    RB_BUF_AUTO value;
    rb_buf_init(&value, 128);
    rb_buf_adds(&value, "{\"commit\":\"");
    bool out = files_view(run) && rb_git_view_submodule(files_view(run), entry->path, id, NULL) == 0;
    add_hex(&value, out ? id : entry->blob);
    bool modified = out &&
                    rb_git_view_submodule_modified(files_view(run), entry->path, run->collect->ctx->cancelled, run->collect->ctx->arena);
    rb_buf_adds(&value, modified ? "\",\"modified\":true}" : "\"}");
    return rb_arena_strdup(run->collect->ctx->arena, rb_buf_str(&value));
}

static const char *other_value(mode_t mode)
{
    if (S_ISDIR(mode))
        return "{\"type\":\"folder\"}";
    if (S_ISFIFO(mode))
        return "{\"type\":\"fifo\"}";
    return S_ISSOCK(mode) ? "{\"type\":\"socket\"}" : "{\"type\":\"device\"}";
}

/* A file that is not there: gone, unless a sparse checkout leaves it out. */
static const char *missing_value(struct files_run *run, const struct rb_file_entry *entry)
{
    if (!entry->skipped || !files_view(run) || !rb_git_view_is_sparse(files_view(run)))
        return NULL;
    run->left_out++;
    return entry->mode == MODE_SUBMODULE ? submodule_value(run, entry) : blob_value(run, entry->path, entry->blob, entry->mode);
}

const char *files_observe(struct files_run *run, const struct rb_file_entry *entry)
{
    struct stat st;
    bool submodule = entry->tracked && entry->mode == MODE_SUBMODULE;
    int rc = rb_below_lstat(&run->below, entry->path, &st);
    if (rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP)
        return missing_value(run, entry);
    if (rc < 0) {
        run->unreadable++;
        return "{\"unreadable\":true}";
    }
    if (submodule && S_ISDIR(st.st_mode))
        return submodule_value(run, entry);
    if (S_ISREG(st.st_mode))
        return regular_value(run, entry, &st);
    if (S_ISDIR(st.st_mode) && S_ISDIR(entry->mode))
        return "{\"type\":\"repository\"}";
    return S_ISLNK(st.st_mode) ? link_value(run, entry->path) : other_value(st.st_mode);
}
