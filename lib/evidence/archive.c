/* The list of members: masking on the way in, sorted, with manifest and sums on the way out.
 *
 * Invariants: what is stored was masked already, so no later step can leak; sizes are counted before bytes are copied, so the maximum holds; nothing in a member or in the
 * manifest tells when, where or by whom the archive was made. */
#include "runbook/evidence/archive.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "name.h"
#include "runbook/base/digest.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "tar.h"

#define MAX_SECRETS    4096u
#define MIN_SECRET     6u
#define LIST_MAX_BYTES ((size_t)128 << 20) /* of manifest and sums */

struct rb_archive {
    struct rb_arena *arena;
    char folder[32];
    int64_t mtime_s;
    struct member *members;
    size_t count, room, bytes;
    const char **missing;
    size_t missing_count, missing_room;
    const char *secrets[MAX_SECRETS];
    size_t secret_count, masked_names;
};

struct rb_archive *rb_archive_new(const char *folder, int64_t mtime_s)
{
    struct rb_archive *archive = calloc(1, sizeof *archive);
    if (!archive)
        return NULL;
    archive->arena = rb_arena_new(RB_ARCHIVE_MAX_BYTES + 2 * LIST_MAX_BYTES);
    if (!archive->arena || strlen(folder) >= sizeof archive->folder) {
        rb_archive_free(archive);
        return NULL;
    }
    memcpy(archive->folder, folder, strlen(folder) + 1);
    archive->mtime_s = mtime_s > 0 ? mtime_s : 0;
    return archive;
}

void rb_archive_free(struct rb_archive *archive)
{
    if (!archive)
        return;
    rb_arena_free(archive->arena);
    free(archive->members);
    free(archive->missing);
    free(archive);
}

/* ---- masking ---- */

void rb_archive_hide(struct rb_archive *archive, const char *secret)
{
    size_t len = strlen(secret);
    while (len > 0 && (secret[len - 1] == '\n' || secret[len - 1] == '\r'))
        len--;
    if (len < MIN_SECRET || archive->secret_count == MAX_SECRETS)
        return;
    const char *copy = rb_arena_strndup(archive->arena, secret, len);
    if (copy)
        archive->secrets[archive->secret_count++] = copy;
}

/* Every occurrence of one value; the number of them. */
static size_t mask_value(struct rb_buf *text, const char *secret)
{
    size_t secret_len = strlen(secret), found = 0, at = 0;
    const char *hit = text->len > 0 ? memmem(text->data, text->len, secret, secret_len) : NULL;
    if (!hit)
        return 0;
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, text->max);
    for (; hit; found++) {
        size_t start = (size_t)(hit - text->data);
        rb_buf_add(&masked, text->data + at, start - at);
        rb_buf_adds(&masked, RB_REDACTED);
        at = start + secret_len;
        hit = memmem(text->data + at, text->len - at, secret, secret_len);
    }
    rb_buf_add(&masked, text->data + at, text->len - at);
    struct rb_buf old = *text;
    *text = masked;
    masked = old;
    return found;
}

static size_t mask(const struct rb_archive *archive, const void *bytes, size_t len, struct rb_buf *out)
{
    size_t masked = rb_redact(out, bytes, len);
    for (size_t i = 0; i < archive->secret_count; i++)
        masked += mask_value(out, archive->secrets[i]);
    return masked;
}

/* A name may hold a secret as well as any text. Two that differed only in it get a number. */
static const char *masked_name(struct rb_archive *archive, const char *name, size_t *out_masked)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 4 * RB_ARCHIVE_MAX_NAME);
    size_t masked = mask(archive, name, strlen(name), &text);
    *out_masked += masked;
    if (masked == 0 || text.failed)
        return rb_arena_strdup(archive->arena, name);
    return rb_arena_printf(archive->arena, "%s~%zu", rb_buf_str(&text), ++archive->masked_names);
}

/* ---- adding ---- */

static bool is_reserved(const char *name)
{
    return strcmp(name, RB_ARCHIVE_MANIFEST) == 0 || strcmp(name, RB_ARCHIVE_SUMS) == 0;
}

static int check_name(const char *name, struct rb_error *err)
{
    if (!name_is_safe(name))
        return rb_error_set(err, RB_EINVAL, "\"%s\" is no name for a member: it must lie below the root", name);
    if (is_reserved(name))
        return rb_error_set(err, RB_EINVAL, "%s is the archive's own list; put yours into a folder", name);
    return 0;
}

static int add_member(struct rb_archive *archive, struct member member, struct rb_error *err)
{
    if (archive->count == RB_ARCHIVE_MAX_COUNT)
        return rb_error_set(err, RB_ELIMIT, "more than %u files; name fewer", RB_ARCHIVE_MAX_COUNT);
    if (archive->count == archive->room) {
        size_t room = archive->room ? archive->room * 2 : 64;
        struct member *grown = realloc(archive->members, room * sizeof *grown);
        if (!grown)
            return rb_error_set(err, RB_ENOMEM, "out of memory");
        archive->members = grown;
        archive->room = room;
    }
    if (rb_arena_failed(archive->arena))
        return rb_error_set(err, RB_ENOMEM, "out of memory while packing");
    archive->members[archive->count++] = member;
    return 0;
}

int rb_archive_add_with(struct rb_archive *archive, const char *name, const char *source, const struct rb_buf *bytes,
                        struct rb_member_traits traits, struct rb_error *err)
{
    int rc = check_name(name, err);
    if (rc < 0)
        return rc;
    if (bytes->len > RB_ARCHIVE_MAX_MEMBER || archive->bytes + bytes->len > RB_ARCHIVE_MAX_BYTES)
        return rb_error_set(err, RB_ELIMIT, "%s does not fit: a file may have %zu MiB, all together %zu MiB; leave it out", name,
                            RB_ARCHIVE_MAX_MEMBER >> 20, RB_ARCHIVE_MAX_BYTES >> 20);
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, RB_ARCHIVE_MAX_MEMBER);
    size_t in_source = 0;
    struct member member = {.executable = traits.executable, .masked = traits.masked};
    member.name = masked_name(archive, name, &member.masked);
    member.source = masked_name(archive, source, &in_source);
    member.masked += mask(archive, rb_buf_str(bytes), bytes->len, &masked);
    if ((rc = rb_buf_check(&masked, name, err)) < 0)
        return rc;
    member.len = masked.len;
    member.bytes = rb_arena_strndup(archive->arena, rb_buf_str(&masked), masked.len);
    archive->bytes += masked.len;
    return add_member(archive, member, err);
}

int rb_archive_add(struct rb_archive *archive, const char *name, const char *source, const void *bytes, size_t len, struct rb_error *err)
{
    RB_BUF_AUTO copy;
    rb_buf_init(&copy, RB_ARCHIVE_MAX_MEMBER);
    rb_buf_add(&copy, bytes, len);
    int rc = rb_buf_check(&copy, name, err);
    return rc < 0 ? rc : rb_archive_add_with(archive, name, source, &copy, (struct rb_member_traits){0}, err);
}

int rb_archive_add_missing(struct rb_archive *archive, const char *name, const char *why, struct rb_error *err)
{
    if (archive->missing_count == archive->missing_room) {
        size_t room = archive->missing_room ? archive->missing_room * 2 : 16;
        const char **grown = realloc(archive->missing, room * sizeof *grown);
        if (!grown)
            return rb_error_set(err, RB_ENOMEM, "out of memory");
        archive->missing = grown;
        archive->missing_room = room;
    }
    RB_BUF_AUTO text;
    rb_buf_init(&text, 16384);
    rb_buf_adds(&text, RB_ARCHIVE_MISSING " ");
    rb_text_escapes(&text, name);
    rb_buf_adds(&text, ": ");
    rb_text_escapes(&text, why);
    rb_buf_addc(&text, '\n');
    const char *member = rb_arena_printf(archive->arena, "%s." RB_ARCHIVE_MISSING, name);
    size_t in_name = 0;
    const char *kept = masked_name(archive, name, &in_name);
    if (!member || !kept)
        return rb_error_set(err, RB_ENOMEM, "out of memory while packing");
    int rc = rb_archive_add(archive, member, RB_ARCHIVE_MISSING, rb_buf_str(&text), text.len, err);
    if (rc < 0)
        return rc;
    archive->members[archive->count - 1].missing = kept;
    archive->missing[archive->missing_count++] = kept;
    return 0;
}

const char *rb_archive_missing(const struct rb_archive *archive, size_t index)
{
    return index < archive->missing_count ? archive->missing[index] : NULL;
}

/* ---- finishing ---- */

static int by_name(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int encode_names(struct rb_archive *archive, bool ascii, bool *out_fit, struct rb_error *err)
{
    RB_BUF_AUTO name, field;
    rb_buf_init(&name, RB_ARCHIVE_MAX_NAME);
    rb_buf_init(&field, 4 * RB_ARCHIVE_MAX_NAME);
    *out_fit = true;
    for (size_t i = 0; i < archive->count; i++) {
        struct member *member = &archive->members[i];
        rb_buf_reset(&name);
        name_encode(&name, member->name, ascii);
        if (rb_buf_check(&name, "a name", err) < 0)
            return rb_error_set(err, RB_ELIMIT, "the name of a file is longer than %u bytes; leave it out: %.200s…", RB_ARCHIVE_MAX_NAME,
                                member->name);
        *out_fit = *out_fit && name_fits_ustar(archive->folder, rb_buf_str(&name));
        member->packed = rb_arena_strdup(archive->arena, rb_buf_str(&name));
    }
    return rb_arena_failed(archive->arena) ? rb_error_set(err, RB_ENOMEM, "out of memory while packing") : 0;
}

/* Two patterns may name the same file: one of them stays. Two contents under one name are a mistake. */
static int drop_twins(struct rb_archive *archive, struct rb_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < archive->count; i++) {
        const struct member *member = &archive->members[i], *last = kept > 0 ? &archive->members[kept - 1] : NULL;
        if (!last || strcmp(last->name, member->name) != 0) {
            archive->members[kept++] = *member;
            continue;
        }
        if (last->len != member->len || memcmp(last->bytes, member->bytes, member->len) != 0)
            return rb_error_set(err, RB_EINVAL, "%s was named twice, with different contents", member->name);
        archive->missing_count -= member->missing != NULL;
    }
    archive->count = kept;
    return 0;
}

/* Names first as they are; when one is too long for ustar, the format is pax, whose names must be UTF-8 in every reader: then all of them ASCII. */
static int settle_names(struct rb_archive *archive, bool *out_ustar, struct rb_error *err)
{
    bool ascii_fit;
    int rc = encode_names(archive, false, out_ustar, err);
    if (rc == 0 && !*out_ustar)
        rc = encode_names(archive, true, &ascii_fit, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < archive->count; i++)
        archive->members[i].name = archive->members[i].packed;
    qsort(archive->members, archive->count, sizeof *archive->members, by_name);
    return drop_twins(archive, err);
}

static json_t *member_json(const struct member *member)
{
    RB_BUF_AUTO source;
    rb_buf_init(&source, 65536);
    rb_text_escapes(&source, member->source);
    json_t *out = json_pack("{s:s, s:s, s:I, s:s, s:I}", "name", member->name, "sha256", member->sha256, "size", (json_int_t)member->len,
                            "source", rb_buf_str(&source), "masked", (json_int_t)member->masked);
    if (out && member->executable)
        (void)json_object_set_new(out, "executable", json_true());
    return out;
}

static json_t *manifest_json(const struct rb_archive *archive, const struct rb_archive_totals *totals)
{
    json_t *members = json_array(), *missing = json_array();
    for (size_t i = 0; i < archive->count; i++) {
        (void)json_array_append_new(members, member_json(&archive->members[i]));
        if (!archive->members[i].missing)
            continue;
        RB_BUF_AUTO name;
        rb_buf_init(&name, 65536);
        rb_text_escapes(&name, archive->members[i].missing);
        (void)json_array_append_new(missing, json_string(rb_buf_str(&name)));
    }
    return json_pack("{s:s, s:i, s:s, s:I, s:s, s:s, s:I, s:o, s:o}", "schema", RB_ARCHIVE_SCHEMA, "version", RB_ARCHIVE_VERSION, "folder",
                     archive->folder, "mtime", (json_int_t)archive->mtime_s, "producer", "runbookd " RB_VERSION, "zlib", zlibVersion(),
                     "masked", (json_int_t)totals->masked, "missing", missing, "members", members);
}

static int add_list(struct rb_archive *archive, const char *name, const char *bytes, size_t len, struct rb_error *err)
{
    struct member member = {
        .name = rb_arena_strdup(archive->arena, name), .source = "", .len = len, .bytes = rb_arena_strndup(archive->arena, bytes, len)};
    rb_sha256_of(bytes, len, member.sha256);
    return add_member(archive, member, err);
}

static int add_manifest(struct rb_archive *archive, const struct rb_archive_totals *totals, struct rb_error *err)
{
    json_t *manifest = manifest_json(archive, totals);
    char *text = manifest ? json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    size_t listed = json_array_size(json_object_get(manifest, "members"));
    json_decref(manifest);
    int rc = RB_ENOMEM;
    if (text && listed == archive->count) {
        size_t len = strlen(text);
        text[len] = '\n'; /* in the place of its end: the length goes along */
        rc = add_list(archive, RB_ARCHIVE_MANIFEST, text, len + 1, err);
    } else {
        (void)rb_error_set(err, RB_ENOMEM, "out of memory while packing");
    }
    free(text);
    return rc;
}

static int add_sums(struct rb_archive *archive, struct rb_error *err)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, LIST_MAX_BYTES);
    qsort(archive->members, archive->count, sizeof *archive->members, by_name);
    for (size_t i = 0; i < archive->count; i++)
        rb_buf_addf(&text, "%s  %s\n", archive->members[i].sha256, archive->members[i].name);
    int rc = rb_buf_check(&text, RB_ARCHIVE_SUMS, err);
    return rc < 0 ? rc : add_list(archive, RB_ARCHIVE_SUMS, rb_buf_str(&text), text.len, err);
}

int rb_archive_finish(struct rb_archive *archive, struct rb_buf *out, struct rb_archive_totals *totals, struct rb_error *err)
{
    bool ustar;
    int rc = settle_names(archive, &ustar, err);
    if (rc < 0)
        return rc;
    *totals = (struct rb_archive_totals){.members = archive->count, .missing = archive->missing_count, .bytes = archive->bytes};
    for (size_t i = 0; i < archive->count; i++) {
        totals->masked += archive->members[i].masked;
        rb_sha256_of(archive->members[i].bytes, archive->members[i].len, archive->members[i].sha256);
    }
    rc = add_manifest(archive, totals, err);
    if (rc == 0)
        rc = add_sums(archive, err);
    if (rc < 0)
        return rc;
    qsort(archive->members, archive->count, sizeof *archive->members, by_name);
    struct tar_request tar = {
        .folder = archive->folder, .members = archive->members, .count = archive->count, .mtime_s = archive->mtime_s, .ustar = ustar};
    return tar_write(&tar, out, err);
}
