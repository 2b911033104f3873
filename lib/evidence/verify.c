/* Verification as a whole: the sum beside the file, the stream, its lists, archives inside, and whether the file is bit for bit what packing its content gives. */
#include "runbook/evidence/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "verify_internal.h"

#define SIDECAR_MAX 8192
#define NOTES_MAX   200u

static const char *const code_names[RB_VERIFY_CODES] = {
    [RB_VERIFY_SIDECAR] = "sidecar",     [RB_VERIFY_GZIP] = "gzip",       [RB_VERIFY_TAR] = "tar",
    [RB_VERIFY_PATH] = "path",           [RB_VERIFY_LINK] = "link",       [RB_VERIFY_TYPE] = "type",
    [RB_VERIFY_DUPLICATE] = "duplicate", [RB_VERIFY_BOMB] = "bomb",       [RB_VERIFY_MANIFEST] = "manifest",
    [RB_VERIFY_SUMS] = "sums",           [RB_VERIFY_CHANGED] = "changed", [RB_VERIFY_ABSENT] = "missing",
    [RB_VERIFY_UNLISTED] = "unlisted",
};

const char *rb_verify_code_name(enum rb_verify_code code)
{
    return code_names[code];
}

/* ---- what was found ---- */

void verify_problem(struct level *level, enum rb_verify_code code, const char *member, const char *fmt, ...)
{
    struct verify *verify = level->verify;
    struct rb_verify_report *report = verify->report;
    const char *whole = member ? rb_arena_printf(verify->arena, "%s%s", level->prefix, member) : level->prefix[0] ? level->prefix : NULL;
    for (size_t i = 0; member && whole && i < report->count; i++)
        if (report->problems[i].code == code && report->problems[i].member && strcmp(report->problems[i].member, whole) == 0)
            return;
    if (report->count == RB_VERIFY_MAX_PROBLEMS) {
        report->dropped++;
        return;
    }
    va_list args;
    va_start(args, fmt);
    const char *message = rb_arena_vprintf(verify->arena, fmt, args);
    va_end(args);
    report->problems[report->count++] = (struct rb_verify_problem){
        .code = code, .member = whole, .message = message ? message : "out of memory"};
}

void verify_note(struct verify *verify, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *note = rb_arena_vprintf(verify->arena, fmt, args);
    va_end(args);
    if (note && verify->report->note_count < NOTES_MAX)
        verify->report->notes[verify->report->note_count++] = note;
}

/* ---- one archive and those inside it ---- */

static void look_into(struct level *level, const struct input *input);

static bool is_gzip(const struct entry *entry)
{
    return entry->text && entry->text_len > 2 && (unsigned char)entry->text[0] == 0x1f && (unsigned char)entry->text[1] == 0x8b;
}

/* Recursion is bounded by RB_VERIFY_MAX_DEPTH. */
static void look_into_inner(struct level *level)
{
    for (size_t i = 0; i < level->count && !level->verify->stopped; i++) {
        const struct entry *entry = &level->entries[i];
        if (!is_gzip(entry))
            continue;
        if (level->depth == RB_VERIFY_MAX_DEPTH) {
            verify_problem(level, RB_VERIFY_BOMB, entry->name, "is an archive more than %u levels deep", RB_VERIFY_MAX_DEPTH);
            continue;
        }
        struct level inner = {.verify = level->verify,
                              .proven = true,
                              .depth = level->depth + 1,
                              .prefix = rb_arena_printf(level->verify->arena, "%s%s!", level->prefix, entry->name)};
        struct input input = {.fd = -1, .bytes = (const unsigned char *)entry->text, .len = entry->text_len};
        if (inner.prefix)
            look_into(&inner, &input);
    }
}

/* The last byte: packing the content again must give the file. Another zlib may pack otherwise; then only the sum beside the file can tell. */
static void check_form(struct level *level, const char *zlib)
{
    if (level->recompressed || !level->whole)
        return;
    if (!level->ours)
        verify_problem(level, RB_VERIFY_GZIP, NULL, "it was not packed by runbookd: its first bytes are other ones");
    else if (!level->proven && zlib && strcmp(zlib, zlibVersion()) == 0)
        verify_problem(level, RB_VERIFY_GZIP, NULL, "its compressed bytes are not those that runbookd writes for this content");
    else if (!level->proven)
        verify_note(level->verify,
                    "packed with zlib %s, this is %s: the members are proven, the compressed bytes are not; bring the .sha256 along",
                    zlib ? zlib : "?", zlibVersion());
}

static void look_into(struct level *level, const struct input *input)
{
    verify_stream(level, input);
    if (level->depth == 0 || level->ours) {
        const char *zlib = level->verify->stopped ? NULL : verify_lists(level);
        check_form(level, zlib);
    }
    if (level->depth == 0)
        level->verify->report->members = level->count;
    verify_inner_sums(level);
    look_into_inner(level);
    free(level->entries);
}

/* ---- the file ---- */

static int digest_file(int fd, struct rb_verify_report *report, struct rb_error *err)
{
    struct input input = {.fd = fd};
    char chunk[65536];
    struct rb_sha256 *sha = rb_sha256_new();
    if (!sha)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    ssize_t got = 0;
    for (uint64_t at = 0; (got = input_read(&input, at, chunk, sizeof chunk)) > 0; at += (uint64_t)got)
        rb_sha256_add(sha, chunk, (size_t)got);
    rb_sha256_hex(sha, report->sha256);
    rb_sha256_free(sha);
    return got < 0 ? rb_error_sys(err, errno, "cannot read the archive") : 0;
}

/* "<path>.sha256": its one line must be the file's digest. The name in it is not compared: both may have been renamed. */
static bool check_sidecar(struct level *level, const char *path)
{
    struct rb_verify_report *report = level->verify->report;
    const char *beside = rb_arena_printf(level->verify->arena, "%s.sha256", path);
    int fd = beside ? open(beside, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0 && errno == ENOENT) {
        verify_note(level->verify, "there is no .sha256 beside it");
        return false;
    }
    report->sidecar = true;
    char text[SIDECAR_MAX], digest[RB_SHA256_HEX] = "";
    struct input input = {.fd = fd};
    ssize_t got = fd >= 0 ? input_read(&input, 0, text, sizeof text) : -1;
    if (fd >= 0)
        (void)close(fd);
    const char *at = text;
    bool ok = false;
    RB_BUF_AUTO name;
    rb_buf_init(&name, SIDECAR_MAX);
    bool line = got > 0 && verify_sum_line(&at, text + got, digest, &name, &ok);
    if (!line || !ok)
        verify_problem(level, RB_VERIFY_SIDECAR, NULL, "the .sha256 beside it holds no sum");
    else if (strcmp(digest, report->sha256) != 0)
        verify_problem(level, RB_VERIFY_SIDECAR, NULL, "its sha256 is %s, the .sha256 beside it says %s", report->sha256, digest);
    return line && ok && strcmp(digest, report->sha256) == 0;
}

static int open_file(const char *path, struct rb_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int saved = errno;
        if (fd >= 0)
            (void)close(fd);
        return rb_error_sys(err, saved, "cannot open %s", path);
    }
    if (S_ISREG(st.st_mode))
        return fd;
    (void)close(fd);
    return rb_error_set(err, RB_EINVAL, "%s is no regular file", path);
}

int rb_verify_file(const char *path, struct rb_arena *arena, struct rb_verify_report *out, struct rb_error *err)
{
    *out = (struct rb_verify_report){.problems = rb_arena_array(arena, RB_VERIFY_MAX_PROBLEMS, sizeof *out->problems),
                                     .notes = rb_arena_array(arena, NOTES_MAX, sizeof *out->notes)};
    if (!out->problems || !out->notes)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    int fd = open_file(path, err);
    if (fd < 0)
        return fd;
    struct verify verify = {.arena = arena, .report = out};
    struct level level = {.verify = &verify, .prefix = ""};
    struct input input = {.fd = fd};
    int rc = digest_file(fd, out, err);
    if (rc == 0) {
        level.proven = check_sidecar(&level, path);
        look_into(&level, &input);
    }
    (void)close(fd);
    out->bytes = verify.bytes;
    if (rc == 0 && (verify.out_of_memory || rb_arena_failed(arena)))
        rc = rb_error_set(err, RB_ENOMEM, "out of memory while verifying");
    return rc;
}
