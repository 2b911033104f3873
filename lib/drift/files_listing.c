/* The listing of folders as lines of the cache.
 *
 * Names belong to the folder line before them. The numbers of a record are taken as they stand: a wrong one equals no folder's stat data, and the cache's checksum covers all. */
#include <string.h>

#include "files.h"
#include "lines.h"
#include "value.h"

static void add_stat(struct rb_buf *out, const struct rb_listed_stat *stat)
{
    rb_buf_addf(out, "\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld", (long long)stat->mtime_ns, (long long)stat->ctime_ns, (long long)stat->size,
                (long long)stat->dev, (long long)stat->ino, (long long)stat->links);
}

static void add_folder(struct rb_buf *out, const struct rb_listed_folder *folder)
{
    rb_buf_adds(out, "w\t");
    rb_drift_value_string(out, folder->path, strlen(folder->path));
    add_stat(out, &folder->stat);
    rb_buf_addf(out, "\t%lld\t%d\n", (long long)folder->unreachable, folder->ignore_unsettled);
    if (folder->ignore.mtime_ns != 0) {
        rb_buf_addc(out, 'g');
        add_stat(out, &folder->ignore);
        rb_buf_addc(out, '\n');
    }
    for (const struct rb_listed_name *name = folder->names; name; name = name->next) {
        rb_buf_adds(out, "n\t");
        rb_drift_value_string(out, name->name, strlen(name->name));
        rb_buf_addc(out, '\n');
    }
}

void files_listing_encode(const struct rb_listing *listing, struct rb_buf *out)
{
    rb_buf_addf(out, "k\t%s", listing->key);
    add_stat(out, &listing->index);
    rb_buf_addc(out, '\n');
    for (size_t i = 0; i < listing->count && !out->failed; i++)
        add_folder(out, &listing->items[i]);
}

static bool read_stat(char **fields, struct rb_listed_stat *out)
{
    int64_t *const numbers[] = {&out->mtime_ns, &out->ctime_ns, &out->size, &out->dev, &out->ino, &out->links};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!line_number(fields[i], numbers[i]))
            return false;
    return true;
}

static bool read_folder(char **fields, struct rb_listing *out)
{
    struct rb_listed_folder *folder = &out->items[out->count++];
    int64_t unsettled = 0;
    *folder = (struct rb_listed_folder){.path = line_unquote(fields[1])};
    bool ok = folder->path && read_stat(fields + 2, &folder->stat) && line_number(fields[8], &folder->unreachable) &&
              line_number(fields[9], &unsettled);
    folder->ignore_unsettled = unsettled != 0;
    return ok;
}

static bool read_name(char *field, struct rb_arena *arena, struct rb_listing *out)
{
    struct rb_listed_folder *folder = &out->items[out->count - 1];
    struct rb_listed_name *name = rb_arena_alloc(arena, sizeof *name);
    const char *text = line_unquote(field);
    size_t len = text ? strlen(text) : 0;
    if (!name || len == 0 || memchr(text, '/', len - 1) || ++out->names > RB_LISTING_MAX)
        return false;
    name->name = text;
    if (folder->last)
        folder->last->next = name;
    else
        folder->names = name;
    folder->last = name;
    return true;
}

bool files_listing_read(char **fields, size_t count, struct rb_arena *arena, struct rb_listing *out)
{
    char type = fields[0][0] && !fields[0][1] ? fields[0][0] : '\0';
    if (type == 'k' && count == 8) {
        out->key = fields[1];
        return read_stat(fields + 2, &out->index);
    }
    if (type == 'w' && count == 10 && out->count < out->cap)
        return read_folder(fields, out);
    if (type == 'g' && count == 7 && out->count > 0)
        return read_stat(fields + 1, &out->items[out->count - 1].ignore);
    return type == 'n' && count == 2 && out->count > 0 && read_name(fields[1], arena, out);
}
