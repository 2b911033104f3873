/* Reading an archive as a stream, from the file to the digests of its members.
 *
 * file → inflate (zlib, which checks CRC and length; libarchive's own filter does not) → tar (libarchive) → SHA-256. Nothing is written to disk. In parallel the tar is packed
 * again and compared with the file: two different compressed forms of one content exist (a changed match distance inside zeros), so only that proves the last byte.
 * Every limit is looked at before bytes are kept, and reaching one ends the whole verification. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gzip.h"
#include "name.h"
#include "verify_internal.h"

#define CHUNK        65536
#define RATIO_FLOOR  (UINT64_C(1) << 20)
#define NAME_MAX_LEN 4096u
#define KEEP_MAX     ((size_t)64 << 20) /* kept bytes of one list or inner archive */
#define KEEP_ALL_MAX ((size_t)512 << 20)

struct stream {
    struct level *level;
    const struct input *input;
    uint64_t read_at; /* next byte of the file */
    z_stream inflate;
    unsigned char in[CHUNK], out[CHUNK];
    bool ended; /* the gzip member is over, checked */
    bool damaged;
    const char *why; /* the compressed data is damaged, and at which byte of the file */
    uint64_t damaged_at;
    const char *current; /* the member being read, or NULL */
    struct gzip_writer again;
    uint64_t again_at;
    bool again_differs;
};

ssize_t input_read(const struct input *input, uint64_t at, void *out, size_t len)
{
    if (input->fd < 0) {
        size_t left = at < input->len ? (size_t)(input->len - at) : 0;
        size_t part = len < left ? len : left;
        memcpy(out, input->bytes + (part > 0 ? at : 0), part);
        return (ssize_t)part;
    }
    for (size_t done = 0;;) {
        ssize_t got = pread(input->fd, (char *)out + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 && done == 0 ? -1 : (ssize_t)done;
        done += (size_t)got;
        if (done == len)
            return (ssize_t)done;
    }
}

/* ---- packing again ---- */

static int compare_packed(void *ctx, const unsigned char *bytes, size_t len)
{
    struct stream *stream = ctx;
    unsigned char original[CHUNK];
    for (size_t done = 0; done < len && !stream->again_differs;) {
        size_t part = len - done < sizeof original ? len - done : sizeof original;
        ssize_t got = input_read(stream->input, stream->again_at, original, part);
        stream->again_differs = got != (ssize_t)part || memcmp(original, bytes + done, part) != 0;
        stream->again_at += part;
        done += part;
    }
    return stream->again_differs;
}

/* ---- unpacking ---- */

/* Told when the tar reader has come as far: only then it is known which member the damage hits. */
static void damage(struct stream *stream, const char *what)
{
    if (stream->damaged)
        return;
    stream->damaged = true;
    stream->why = what;
    stream->damaged_at = stream->read_at - stream->inflate.avail_in;
}

static void tell_damage(struct stream *stream)
{
    if (stream->why)
        verify_problem(stream->level, RB_VERIFY_GZIP, stream->current, "%sthe compressed data is damaged: %s, near byte %llu",
                       stream->current ? "here or right behind it " : "", stream->why, (unsigned long long)stream->damaged_at);
}

static void stop(struct level *level, const char *member, const char *what, unsigned long long limit, const char *unit)
{
    if (!level->verify->stopped)
        verify_problem(level, RB_VERIFY_BOMB, member, "%s more than %llu %s; the rest was not read", what, limit, unit);
    level->verify->stopped = true;
}

/* More input when there is none. False: the file ends here or cannot be read. */
static bool refill(struct stream *stream)
{
    if (stream->inflate.avail_in > 0)
        return true;
    ssize_t got = input_read(stream->input, stream->read_at, stream->in, sizeof stream->in);
    if (got <= 0)
        return false;
    stream->read_at += (uint64_t)got;
    stream->inflate.next_in = stream->in;
    stream->inflate.avail_in = (uInt)got;
    return true;
}

static void end_of_gzip(struct stream *stream)
{
    stream->ended = true;
    if (refill(stream))
        verify_problem(stream->level, RB_VERIFY_GZIP, NULL, "something follows the end of the compressed data, at byte %llu",
                       (unsigned long long)(stream->read_at - stream->inflate.avail_in));
}

static bool within_limits(struct stream *stream, size_t got)
{
    struct verify *verify = stream->level->verify;
    verify->bytes += got;
    uint64_t in = stream->inflate.total_in ? stream->inflate.total_in : 1, out = stream->inflate.total_out;
    if (verify->bytes > RB_VERIFY_MAX_BYTES)
        stop(stream->level, stream->current, "unpacks to", RB_VERIFY_MAX_BYTES, "bytes");
    else if (out > RATIO_FLOOR && out / in >= RB_VERIFY_MAX_RATIO)
        stop(stream->level, stream->current, "unpacks to", RB_VERIFY_MAX_RATIO, "times its size");
    return !verify->stopped;
}

/* The next unpacked bytes; 0 at the end, -1 after damage or a limit. */
static la_ssize_t next_bytes(struct stream *stream)
{
    while (!stream->ended && !stream->damaged) {
        if (!refill(stream)) {
            damage(stream, "it ends too early");
            break;
        }
        stream->inflate.next_out = stream->out;
        stream->inflate.avail_out = sizeof stream->out;
        int rc = inflate(&stream->inflate, Z_NO_FLUSH);
        size_t got = sizeof stream->out - stream->inflate.avail_out;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            damage(stream, stream->inflate.msg ? stream->inflate.msg : "not gzip");
        if (!within_limits(stream, got))
            return -1;
        if (!stream->again_differs)
            gzip_add(&stream->again, stream->out, got);
        if (rc == Z_STREAM_END)
            end_of_gzip(stream);
        if (got > 0)
            return (la_ssize_t)got;
    }
    return stream->damaged ? -1 : 0;
}

static la_ssize_t read_tar(struct archive *tar, void *ctx, const void **out)
{
    struct stream *stream = ctx;
    *out = stream->out;
    la_ssize_t got = next_bytes(stream);
    if (got < 0)
        archive_set_error(tar, EIO, "stopped");
    return got;
}

/* ---- members ---- */

static const char *entry_name(struct level *level, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (!name)
        name = "";
    while (name[0] == '.' && name[1] == '/' && name[2] != '\0')
        name += 2;
    return rb_arena_strndup(level->verify->arena, name, strnlen(name, NAME_MAX_LEN + 1));
}

static bool check_name(struct level *level, const char *name, bool folder)
{
    char copy[NAME_MAX_LEN + 2];
    size_t len = strlen(name);
    (void)snprintf(copy, sizeof copy, "%s", name);
    while (folder && len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    const char *why = len > NAME_MAX_LEN    ? "its name is longer than 4096 bytes"
                      : name[0] == '/'      ? "its name is an absolute path"
                      : !name_is_safe(copy) ? "its name leads out of the folder, or is no name"
                                            : NULL;
    bool dot = folder && strcmp(copy, ".") == 0;
    if (why && !dot)
        verify_problem(level, RB_VERIFY_PATH, name, "%s", why);
    return !why || dot;
}

/* An inner archive of somebody else may hold links, as long as they stay inside. */
static bool link_stays(const char *name, const char *target)
{
    if (target[0] == '/')
        return false;
    long depth = 0;
    for (const char *c = name; *c; c++)
        depth += *c == '/';
    while (*target) {
        size_t len = strcspn(target, "/");
        if (len == 2 && target[0] == '.' && target[1] == '.')
            depth--;
        else if (len > 0 && !(len == 1 && target[0] == '.'))
            depth++;
        if (depth < 0)
            return false;
        target += len + (target[len] == '/');
    }
    return true;
}

/* True when the member's bytes are to be read. */
static bool check_type(struct level *level, const char *name, struct archive_entry *entry)
{
    const char *hard = archive_entry_hardlink(entry), *soft = archive_entry_symlink(entry);
    if (hard || archive_entry_filetype(entry) == AE_IFLNK) {
        const char *target = hard ? hard : soft ? soft : "";
        if (level->depth == 0 || !link_stays(hard ? "" : name, target))
            verify_problem(level, RB_VERIFY_LINK, name, "is a link to %s", target);
        return false;
    }
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return false;
    if (archive_entry_filetype(entry) != AE_IFREG) {
        verify_problem(level, RB_VERIFY_TYPE, name, "is a device, FIFO or socket");
        return false;
    }
    unsigned mode = (unsigned)archive_entry_perm(entry);
    if (level->depth == 0 && level->ours && mode != 0644 && mode != 0755)
        verify_problem(level, RB_VERIFY_TYPE, name, "has the permissions %o; runbookd writes 644 or 755", mode);
    return true;
}

static struct entry *new_entry(struct level *level, const char *name)
{
    if (level->count == level->room) {
        size_t room = level->room ? level->room * 2 : 256;
        struct entry *grown = realloc(level->entries, room * sizeof *grown);
        if (!grown) {
            level->verify->out_of_memory = true;
            return NULL;
        }
        level->entries = grown;
        level->room = room;
    }
    struct entry *entry = &level->entries[level->count];
    *entry = (struct entry){.name = name};
    return entry;
}

static bool is_inner_archive(const char *name)
{
    size_t len = strlen(name);
    return (len > 7 && strcmp(name + len - 7, ".tar.gz") == 0) || (len > 4 && strcmp(name + len - 4, ".tgz") == 0);
}

static bool is_kept(const char *name)
{
    const char *slash = strrchr(name, '/');
    return verify_is_sums(name) || is_inner_archive(name) || strcmp(slash ? slash + 1 : name, RB_ARCHIVE_MANIFEST) == 0;
}

/* Reads one member's bytes. False: the stream is over. */
static bool read_member(struct stream *stream, struct archive *tar, struct entry *entry)
{
    struct rb_sha256 *sha = rb_sha256_new();
    RB_BUF_AUTO kept;
    size_t room = KEEP_ALL_MAX - stream->level->verify->kept;
    rb_buf_init(&kept, !is_kept(entry->name) ? 0 : room < KEEP_MAX ? room : KEEP_MAX);
    char chunk[CHUNK];
    la_ssize_t got = sha ? 1 : -1;
    stream->level->verify->out_of_memory |= !sha;
    while (got > 0 && !stream->level->verify->stopped) {
        got = archive_read_data(tar, chunk, sizeof chunk);
        if (got <= 0)
            break;
        entry->size += (uint64_t)got;
        rb_sha256_add(sha, chunk, (size_t)got);
        if (kept.max > 0)
            rb_buf_add(&kept, chunk, (size_t)got);
        if (entry->size > RB_VERIFY_MAX_BYTES) /* holes cost no input */
            stop(stream->level, entry->name, "unpacks to", RB_VERIFY_MAX_BYTES, "bytes");
    }
    if (sha)
        rb_sha256_hex(sha, entry->sha256);
    rb_sha256_free(sha);
    if (kept.failed || (is_kept(entry->name) && room == 0))
        verify_note(stream->level->verify, "%s%s is too large to look into", stream->level->prefix, entry->name);
    else if (kept.max > 0) {
        entry->text = rb_arena_strndup(stream->level->verify->arena, rb_buf_str(&kept), kept.len);
        entry->text_len = kept.len;
        stream->level->verify->kept += kept.len;
    }
    return got >= 0 && !stream->level->verify->stopped;
}

static void tar_damage(struct stream *stream, struct archive *tar, const char *member)
{
    const char *why = archive_error_string(tar);
    if (!stream->damaged && !stream->level->verify->stopped)
        verify_problem(stream->level, RB_VERIFY_TAR, member, "the tar is damaged: %s", why ? why : "unreadable");
    stream->damaged = true;
}

/* One member. False: the stream is over. */
static bool take_member(struct stream *stream, struct archive *tar, struct archive_entry *header)
{
    struct level *level = stream->level;
    if (level->verify->members++ >= RB_VERIFY_MAX_MEMBERS) {
        stop(level, NULL, "holds", RB_VERIFY_MAX_MEMBERS, "members");
        return false;
    }
    const char *name = entry_name(level, header);
    if (!name) {
        level->verify->out_of_memory = true;
        return false;
    }
    stream->current = name;
    bool folder = archive_entry_filetype(header) == AE_IFDIR;
    bool named = check_name(level, name, folder);
    if (!check_type(level, name, header) || !named)
        return true;
    struct entry *entry = new_entry(level, name);
    if (!entry)
        return false;
    bool more = read_member(stream, tar, entry);
    if (more)
        level->count++;
    else if (!level->verify->out_of_memory)
        tar_damage(stream, tar, name);
    return more;
}

static void read_members(struct stream *stream, struct archive *tar)
{
    struct archive_entry *header = NULL;
    for (;;) {
        int rc = archive_read_next_header(tar, &header);
        if (rc == ARCHIVE_EOF)
            return;
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
            tar_damage(stream, tar, stream->current);
            return;
        }
        if (!take_member(stream, tar, header))
            return;
    }
}

/* What follows the end of the tar: zeros, or something that was hidden there. Reading it lets zlib check the CRC. */
static void read_rest(struct stream *stream)
{
    bool told = false;
    stream->current = NULL;
    for (la_ssize_t got = next_bytes(stream); got > 0; got = next_bytes(stream)) {
        for (la_ssize_t i = 0; i < got && !told; i++)
            told = stream->out[i] != 0;
        if (told) {
            verify_problem(stream->level, RB_VERIFY_TAR, NULL, "something is hidden behind the end of the tar");
            return;
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcmp(left->name, right->name);
}

struct entry *verify_find(const struct level *level, const char *name)
{
    struct entry key = {.name = name};
    return level->count ? bsearch(&key, level->entries, level->count, sizeof key, by_name) : NULL;
}

static void find_twins(struct level *level)
{
    if (level->count > 1)
        qsort(level->entries, level->count, sizeof *level->entries, by_name);
    for (size_t i = 1; i < level->count; i++)
        if (strcmp(level->entries[i - 1].name, level->entries[i].name) == 0)
            verify_problem(level, RB_VERIFY_DUPLICATE, level->entries[i].name, "is there twice");
}

static void read_stream(struct stream *stream)
{
    struct archive *tar = archive_read_new();
    bool ready = tar && archive_read_support_format_tar(tar) == ARCHIVE_OK && archive_read_support_filter_none(tar) >= ARCHIVE_WARN;
    stream->level->verify->out_of_memory |= !ready;
    if (ready && archive_read_open(tar, stream, NULL, read_tar, NULL) == ARCHIVE_OK)
        read_members(stream, tar);
    else if (ready)
        tar_damage(stream, tar, NULL);
    (void)archive_read_free(tar);
    if (!stream->damaged && !stream->level->verify->stopped)
        read_rest(stream);
    tell_damage(stream);
}

void verify_stream(struct level *level, const struct input *input)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream || inflateInit2(&stream->inflate, 15 + 16) != Z_OK) {
        level->verify->out_of_memory = true;
        free(stream);
        return;
    }
    stream->level = level;
    stream->input = input;
    unsigned char head[RB_ARCHIVE_MARK_BYTES];
    ssize_t got = input_read(input, 0, head, sizeof head);
    enum gzip_form form = GZIP_BEST;
    level->ours = got > 0 && gzip_header_form(head, (size_t)got, &form);
    stream->again_differs = !level->ours || level->proven;
    gzip_begin(&stream->again, form, compare_packed, stream);
    read_stream(stream);
    level->whole = !stream->damaged && stream->ended && !level->verify->stopped;
    bool packed = gzip_end(&stream->again);
    level->recompressed = packed && !stream->again_differs && stream->again_at == stream->read_at - stream->inflate.avail_in;
    (void)inflateEnd(&stream->inflate);
    free(stream);
    find_twins(level);
}
