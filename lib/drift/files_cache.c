/* The cache of the `files` source: <state>/baselines/CHECK.cache.
 *
 * It saves reading files whose stat data did not change, and remembers when a difference was first seen. It proves nothing: losing it costs one reading of the files that git's
 * index does not vouch for, and of all folders, so a damaged one is simply left out. Format: lines of fields as a baseline's, CRC-32C at the end. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "lines.h"
#include "runbook/base/digest.h"
#include "runbook/platform/platform.h"
#include "value.h"

#define HEADER "runbookd cache 2\n"
enum { CACHE_MAX = 64 << 20 };

int files_cache_encode(const struct files_cache *cache, struct rb_buf *out, struct rb_error *err)
{
    const struct rb_listing *listing = &cache->listing;
    size_t folders = listing->key ? listing->count : 0;
    rb_buf_addf(out, HEADER "t\t%lld\t%lld\n", (long long)cache->observed_wall_ns, (long long)cache->full_wall_ns);
    for (size_t i = 0; i < cache->file_count; i++) {
        const struct files_cached *file = &cache->files[i];
        rb_buf_adds(out, "f\t");
        rb_drift_value_string(out, file->key, strlen(file->key));
        rb_buf_addf(out, "\t%s\t%lld\t%lld\t%lld\t%lld\n", file->value, (long long)file->stat.mtime_ns, (long long)file->stat.ctime_ns,
                    (long long)file->stat.size, (long long)file->stat.ino);
    }
    for (size_t i = 0; i < cache->seen_count; i++) {
        const struct files_seen *seen = &cache->seen[i];
        rb_buf_adds(out, "d\t");
        rb_drift_value_string(out, seen->key, strlen(seen->key));
        rb_buf_addf(out, "\t%s\t%lld\t", seen->value ? seen->value : "-", (long long)seen->changed_wall_ns);
        line_add_optional(out, seen->note);
        rb_buf_addc(out, '\n');
    }
    if (listing->key)
        files_listing_encode(listing, out);
    int rc = rb_buf_check(out, "the cache", err);
    if (rc < 0)
        return rc;
    rb_buf_addf(out, "end\t%zu\t%zu\t%zu\t%08x\n", cache->file_count, cache->seen_count, folders, rb_crc32c(0, out->data, out->len));
    return rb_buf_check(out, "the cache", err);
}

static bool read_file_line(char **fields, size_t count, struct files_cached *out)
{
    if (count != 7)
        return false;
    out->key = line_unquote(fields[1]);
    out->value = fields[2];
    return out->key && line_number(fields[3], &out->stat.mtime_ns) && line_number(fields[4], &out->stat.ctime_ns) &&
           line_number(fields[5], &out->stat.size) && line_number(fields[6], &out->stat.ino);
}

static bool read_seen_line(char **fields, size_t count, struct files_seen *out)
{
    bool ok = count == 5;
    if (!ok)
        return false;
    out->key = line_unquote(fields[1]);
    out->value = strcmp(fields[2], "-") == 0 ? NULL : fields[2];
    ok = out->key && line_number(fields[3], &out->changed_wall_ns);
    out->note = line_optional(fields[4], &ok);
    return ok;
}

/* Reads the last line and makes room; the end of the lines, or NULL. */
static char *read_end(char *text, size_t len, struct rb_arena *arena, size_t told[3], struct files_cache *out)
{
    size_t start = len > 0 ? len - 1 : 0;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    char line[96], *fields[LINE_MAX_FIELDS];
    if (len - start >= sizeof line || len == start)
        return NULL;
    memcpy(line, text + start, len - start - 1);
    line[len - start - 1] = '\0';
    int64_t files = 0, seen = 0, folders = 0;
    if (line_split(line, fields) != 5 || strcmp(fields[0], "end") != 0 || !line_number(fields[1], &files) ||
        !line_number(fields[2], &seen) || files < 0 || seen < 0 || files > RB_DRIFT_MAX_FACTS || seen > RB_DRIFT_MAX_FACTS ||
        !line_number(fields[3], &folders) || folders < 0 || folders > RB_LISTING_MAX ||
        strtoul(fields[4], NULL, 16) != rb_crc32c(0, text, start))
        return NULL;
    told[0] = (size_t)files;
    told[1] = (size_t)seen;
    told[2] = out->listing.cap = (size_t)folders;
    out->files = rb_arena_array(arena, told[0] + 1, sizeof *out->files);
    out->seen = rb_arena_array(arena, told[1] + 1, sizeof *out->seen);
    out->listing.items = rb_arena_array(arena, told[2] + 1, sizeof *out->listing.items);
    return out->files && out->seen && out->listing.items ? text + start : NULL;
}

static bool read_line(char *line, const size_t told[3], struct rb_arena *arena, struct files_cache *out)
{
    char *fields[LINE_MAX_FIELDS];
    size_t count = line_split(line, fields);
    if (count == 0)
        return false;
    if (strcmp(fields[0], "f") == 0)
        return out->file_count < told[0] && read_file_line(fields, count, &out->files[out->file_count++]);
    if (strcmp(fields[0], "d") == 0)
        return out->seen_count < told[1] && read_seen_line(fields, count, &out->seen[out->seen_count++]);
    if (fields[0][0] != 't')
        return files_listing_read(fields, count, arena, &out->listing);
    return strcmp(fields[0], "t") == 0 && count == 3 && line_number(fields[1], &out->observed_wall_ns) &&
           line_number(fields[2], &out->full_wall_ns);
}

static bool decode(char *text, size_t len, struct rb_arena *arena, struct files_cache *out)
{
    size_t told[3];
    if (len < strlen(HEADER) || strncmp(text, HEADER, strlen(HEADER)) != 0)
        return false;
    char *end = read_end(text, len, arena, told, out);
    for (char *at = text + strlen(HEADER), *stop; end && at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            return false;
        *stop = '\0';
        if (!read_line(at, told, arena, out))
            return false;
    }
    return end && out->file_count == told[0] && out->seen_count == told[1] && out->listing.count == told[2];
}

void files_cache_read(const char *state_dir, const char *check, struct rb_arena *arena, struct files_cache *out)
{
    *out = (struct files_cache){0};
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/" RB_DRIFT_FOLDER "/%.64s.cache", state_dir, check);
    size_t size = 0;
    if (state_dir[0] == '\0' || len < 0 || (size_t)len >= sizeof path)
        return;
    char *text = line_read_file(path, CACHE_MAX, arena, &size);
    if (text && decode(text, size, arena, out))
        out->valid = true;
    else
        *out = (struct files_cache){0};
}

static int compare_files(const void *left, const void *right)
{
    return strcmp(((const struct files_cached *)left)->key, ((const struct files_cached *)right)->key);
}

const struct files_cached *files_cache_find(const struct files_cache *cache, const char *key)
{
    const struct files_cached wanted = {.key = key};
    return cache->file_count ? bsearch(&wanted, cache->files, cache->file_count, sizeof wanted, compare_files) : NULL;
}

static int compare_seen(const void *left, const void *right)
{
    return strcmp(((const struct files_seen *)left)->key, ((const struct files_seen *)right)->key);
}

const struct files_seen *files_cache_seen(const struct files_cache *cache, const char *key)
{
    const struct files_seen wanted = {.key = key};
    return cache->seen_count ? bsearch(&wanted, cache->seen, cache->seen_count, sizeof wanted, compare_seen) : NULL;
}
