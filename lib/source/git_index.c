/* The index file of git, read straight from its bytes (git's Documentation/gitformat-index.txt, versions 2 to 4).
 *
 * Why not libgit2 alone: it copies every entry, sorts them anew and hashes with a slow SHA-1, which cost five times what the lines below take, each cycle. What this reader
 * does not know for certain (another version, a mandatory extension, a wrong order, a wrong checksum, no room) it leaves to libgit2, which then reads it or says what is wrong.
 *
 * Invariants: nothing outside the bytes read is looked at; entries come in git's order (bytes of the path, then stage), else the file is refused; the stat data are those of
 * the very file that was read, taken before reading. A zero checksum (index.skipHash) counts as none, as for git. */
#include "git_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_BYTES = 12, FIXED_BYTES = 62, CHECKSUM_BYTES = 20, MAX_ENTRIES = 20000000 };
enum { FLAG_ASSUMED = 0x8000, FLAG_EXTENDED = 0x4000, FLAG_SKIP_WORKTREE = 0x4000, NAME_MASK = 0xfff };
#define MAX_ARENA_BYTES  ((off_t)8 << 20) /* a larger index must not eat up what a check may take */
#define MAX_INDEX_BYTES  ((off_t)1 << 30)
#define MAX_PATHS_BYTES  ((size_t)1 << 30) /* of version 4, which compresses them */
#define FIRST_PATH_BYTES ((size_t)1 << 16)

struct parser {
    struct index_file *out;
    const unsigned char *at, *end; /* end: where the checksum begins */
    unsigned version;
    const char *previous; /* path of the entry before; "" at first */
    unsigned previous_stage;
};

static uint32_t be32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t time_ns(const unsigned char *at)
{
    return (int64_t)be32(at) * 1000000000 + be32(at + 4);
}

/* ---- bytes ---- */

static void *take(const struct index_file *index, size_t size)
{
    return index->arena ? rb_arena_alloc(index->arena, size) : malloc(size);
}

static bool read_whole(int fd, unsigned char *bytes, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, bytes + got, len - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

/* 1: read; 0: there is no index yet; negative: not a file that this reader takes. */
static int load(const char *path, struct index_file *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    bool ok = fstat(fd, &out->st) == 0 && S_ISREG(out->st.st_mode) && out->st.st_size >= HEADER_BYTES + CHECKSUM_BYTES &&
              out->st.st_size <= MAX_INDEX_BYTES;
    out->len = ok ? (size_t)out->st.st_size : 0;
    out->arena = out->st.st_size <= MAX_ARENA_BYTES ? out->arena : NULL;
    out->lasting = out->arena != NULL;
    out->bytes = ok ? take(out, out->len) : NULL;
    ok = out->bytes && read_whole(fd, out->bytes, out->len);
    close(fd);
    return ok ? 1 : -1;
}

static bool checksum_holds(const struct index_file *index)
{
    static const unsigned char none[CHECKSUM_BYTES];
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len = index->len - CHECKSUM_BYTES;
    if (memcmp(index->bytes + len, none, CHECKSUM_BYTES) == 0)
        return true;
    return EVP_Digest(index->bytes, len, digest, NULL, EVP_sha1(), NULL) == 1 && memcmp(digest, index->bytes + len, CHECKSUM_BYTES) == 0;
}

/* ---- entries ---- */

/* Version 4: how many bytes of the path before are left out (a number as in pack files, gitformat-pack.txt). */
static bool read_strip(struct parser *parser, size_t *out)
{
    size_t value = 0;
    for (unsigned i = 0; i < 5 && parser->at < parser->end; i++) {
        unsigned char byte = *parser->at++;
        value = (i > 0 ? (value + 1) << 7 : 0) | (byte & 0x7f);
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* Room for `len` bytes of unpacked paths; pieces stay where they are, since entries point into them. */
static char *path_room(struct index_file *out, size_t len)
{
    if (!out->paths || out->paths->size - out->paths->fill < len) {
        size_t size = out->paths ? out->paths->size * 2 : FIRST_PATH_BYTES;
        size = size < len ? len : size;
        struct index_paths *piece = size <= MAX_PATHS_BYTES ? take(out, sizeof *piece + size) : NULL;
        if (!piece)
            return NULL;
        *piece = (struct index_paths){.next = out->paths, .size = size};
        out->paths = piece;
    }
    char *room = out->paths->bytes + out->paths->fill;
    out->paths->fill += len;
    return room;
}

static const char *unpack_path(struct parser *parser, const unsigned char **out_end)
{
    size_t strip = 0, before = strlen(parser->previous);
    if (!read_strip(parser, &strip) || strip > before)
        return NULL;
    const unsigned char *stop = memchr(parser->at, '\0', (size_t)(parser->end - parser->at));
    size_t suffix = stop ? (size_t)(stop - parser->at) : 0, kept = before - strip;
    char *path = stop && kept + suffix <= PATH_MAX ? path_room(parser->out, kept + suffix + 1) : NULL;
    if (!path)
        return NULL;
    memcpy(path, parser->previous, kept);
    memcpy(path + kept, parser->at, suffix + 1);
    *out_end = stop + 1;
    return path;
}

/* Versions 2 and 3: the path in place, padded with NUL to a multiple of 8 from the entry's begin. */
static const char *plain_path(const struct parser *parser, const unsigned char *entry, const unsigned char **out_end)
{
    const unsigned char *stop = memchr(parser->at, '\0', (size_t)(parser->end - parser->at));
    if (!stop)
        return NULL;
    size_t size = ((size_t)(stop - entry) + 8) / 8 * 8;
    if (size > (size_t)(parser->end - entry))
        return NULL;
    *out_end = entry + size;
    return (const char *)parser->at;
}

static bool comes_after(const struct parser *parser, const char *path, unsigned stage)
{
    int order = strcmp(parser->previous, path);
    return path[0] != '\0' && (order < 0 || (order == 0 && parser->previous_stage < stage));
}

static bool parse_entry(struct parser *parser, struct index_entry *out)
{
    const unsigned char *from = parser->at, *next = NULL;
    if (parser->end - from < FIXED_BYTES + 2)
        return false;
    unsigned flags = (unsigned)from[60] << 8 | from[61], extended = 0;
    parser->at += FIXED_BYTES;
    if (flags & FLAG_EXTENDED) {
        extended = (unsigned)from[62] << 8 | from[63];
        parser->at += 2;
    }
    const char *path = parser->version == 4 ? unpack_path(parser, &next) : plain_path(parser, from, &next);
    unsigned stage = flags >> 12 & 3, told = flags & NAME_MASK;
    if (!path || (parser->version == 2 && (flags & FLAG_EXTENDED)) || (told < NAME_MASK && strlen(path) != told) ||
        !comes_after(parser, path, stage))
        return false;
    *out = (struct index_entry){.path = path,
                                .ctime_ns = time_ns(from),
                                .mtime_ns = time_ns(from + 8),
                                .ino = be32(from + 20),
                                .mode = be32(from + 24),
                                .size_bytes = be32(from + 36),
                                .id = from + 40,
                                .stage = (unsigned char)stage,
                                .assumed = (flags & FLAG_ASSUMED) || (extended & FLAG_SKIP_WORKTREE),
                                .skipped = (extended & FLAG_SKIP_WORKTREE) != 0};
    parser->at = next;
    parser->previous = path;
    parser->previous_stage = stage;
    return true;
}

/* ---- extensions ---- */

/* The root of the cached tree: "\0<entries> <subtrees>\n<id>"; -1 entries when something was staged since the tree was written. */
static void read_tree(struct index_file *out, const unsigned char *at, size_t len)
{
    const unsigned char *line_end = len > 1 && at[0] == '\0' ? memchr(at + 1, '\n', len - 1) : NULL;
    if (!line_end || at[1] == '-' || (size_t)(at + len - (line_end + 1)) < CHECKSUM_BYTES)
        return;
    out->tree = line_end + 1;
}

static bool parse_extensions(struct parser *parser)
{
    while (parser->at < parser->end) {
        if (parser->end - parser->at < 8)
            return false;
        size_t size = be32(parser->at + 4);
        const unsigned char *body = parser->at + 8;
        if (size > (size_t)(parser->end - body) || parser->at[0] < 'A' || parser->at[0] > 'Z')
            return false;
        if (memcmp(parser->at, "TREE", 4) == 0)
            read_tree(parser->out, body, size);
        parser->at = body + size;
    }
    return true;
}

static bool parse(struct index_file *out, bool verified)
{
    const unsigned char *bytes = out->bytes;
    struct parser parser = {
        .out = out, .at = bytes + HEADER_BYTES, .end = bytes + out->len - CHECKSUM_BYTES, .version = be32(bytes + 4), .previous = ""};
    size_t total = be32(bytes + 8);
    if (memcmp(bytes, "DIRC", 4) != 0 || parser.version < 2 || parser.version > 4 || total > MAX_ENTRIES ||
        total > out->len / FIXED_BYTES || !(verified || checksum_holds(out)))
        return false;
    out->items = malloc((total + 1) * sizeof *out->items);
    if (!out->items)
        return false;
    while (out->count < total && parse_entry(&parser, &out->items[out->count]))
        out->count++;
    return out->count == total && parse_extensions(&parser);
}

/* ---- through libgit2 ---- */

static int convert(struct rb_git *git, struct index_file *out, struct rb_error *err)
{
    if (git_repository_index(&out->libgit, git->repo) < 0)
        return git_fail(err, RB_ESYS, "cannot read the git index");
    const char *path = git_index_path(out->libgit);
    if (!path || lstat(path, &out->st) < 0)
        out->st = (struct stat){0};
    size_t total = git_index_entrycount(out->libgit);
    out->items = malloc((total + 1) * sizeof *out->items);
    if (!out->items)
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading the git index");
    for (out->count = 0; out->count < total; out->count++) {
        const git_index_entry *from = git_index_get_byindex(out->libgit, out->count);
        out->items[out->count] = (struct index_entry){.path = from->path,
                                                      .mtime_ns = (int64_t)from->mtime.seconds * 1000000000 + from->mtime.nanoseconds,
                                                      .ctime_ns = (int64_t)from->ctime.seconds * 1000000000 + from->ctime.nanoseconds,
                                                      .id = from->id.id,
                                                      .ino = from->ino,
                                                      .size_bytes = from->file_size,
                                                      .mode = from->mode,
                                                      .stage = (unsigned char)GIT_INDEX_ENTRY_STAGE(from),
                                                      .assumed = (from->flags & GIT_INDEX_ENTRY_VALID) ||
                                                                 (from->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE),
                                                      .skipped = (from->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE) != 0};
    }
    return 0;
}

int index_open(struct rb_git *git, struct rb_arena *arena, const struct rb_listed_stat *verified, struct index_file *out,
               struct rb_error *err)
{
    char path[PATH_MAX];
    *out = (struct index_file){.arena = arena};
    int len = snprintf(path, sizeof path, "%sindex", git_repository_path(git->repo));
    int got = len > 0 && (size_t)len < sizeof path ? load(path, out) : -1;
    struct rb_listed_stat now = listed_stat(&out->st, INT64_MAX);
    bool same = verified && verified->mtime_ns != 0 && listed_same(verified, &now);
    if (got == 0 || (got > 0 && parse(out, same)))
        return 0;
    index_close(out);
    int code = convert(git, out, err);
    if (code < 0)
        index_close(out);
    return code;
}

void index_close(struct index_file *index)
{
    while (index->paths && !index->arena) {
        struct index_paths *next = index->paths->next;
        free(index->paths);
        index->paths = next;
    }
    free(index->items);
    if (!index->arena)
        free(index->bytes);
    git_index_free(index->libgit);
    *index = (struct index_file){0};
}
