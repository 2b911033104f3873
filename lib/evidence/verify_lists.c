/* What an archive says about itself, compared with what is in it: manifest.json, SHA256SUMS.txt, and sums of folders inside. */
#include <jansson.h>
#include <string.h>

#include "verify_internal.h"

#define SUFFIX ".sha256"

bool verify_is_sums(const char *name)
{
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    size_t len = strlen(last);
    return strcmp(last, RB_ARCHIVE_SUMS) == 0 || (len > sizeof SUFFIX - 1 && strcmp(last + len - (sizeof SUFFIX - 1), SUFFIX) == 0);
}

/* ---- lines of sums ---- */

static bool is_hex(const char *text)
{
    size_t digits = 0;
    while (digits < RB_SHA256_HEX - 1 && text[digits] != '\0' && strchr("0123456789abcdefABCDEF", text[digits]))
        digits++;
    return digits == RB_SHA256_HEX - 1;
}

bool verify_sum_line(const char **at, const char *end, char out_digest[RB_SHA256_HEX], struct rb_buf *out_name, bool *out_ok)
{
    while (*at < end && (**at == '\n' || **at == '\r'))
        (*at)++;
    if (*at >= end)
        return false;
    const char *line_end = memchr(*at, '\n', (size_t)(end - *at));
    size_t len = (size_t)((line_end ? line_end : end) - *at);
    const char *line = *at;
    *at += len;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    const size_t digits = RB_SHA256_HEX - 1;
    *out_ok = len > digits + 2 && is_hex(line) && line[digits] == ' ' && (line[digits + 1] == ' ' || line[digits + 1] == '*');
    rb_buf_reset(out_name);
    if (!*out_ok)
        return true;
    for (size_t i = 0; i < digits; i++)
        out_digest[i] = (char)(line[i] >= 'A' && line[i] <= 'F' ? line[i] + ('a' - 'A') : line[i]);
    out_digest[digits] = '\0';
    rb_buf_add(out_name, line + digits + 2, len - digits - 2);
    return true;
}

/* ---- manifest ---- */

struct lists {
    struct level *level;
    const char *folder; /* "evidence" */
    json_t *manifest;
    json_t *by_name; /* name → its row in the manifest */
};

static struct entry *find_in(const struct lists *lists, const char *name, const char **out_whole)
{
    const char *whole = rb_arena_printf(lists->level->verify->arena, "%s/%s", lists->folder, name);
    *out_whole = whole ? whole : name;
    return whole ? verify_find(lists->level, whole) : NULL;
}

static void check_row(struct lists *lists, json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name")), *digest = json_string_value(json_object_get(row, "sha256"));
    json_t *size = json_object_get(row, "size");
    if (!name || !digest || !json_is_integer(size)) {
        verify_problem(lists->level, RB_VERIFY_MANIFEST, NULL, "a row of the manifest lacks name, sha256 or size");
        return;
    }
    (void)json_object_set(lists->by_name, name, row);
    json_int_t masked = json_integer_value(json_object_get(row, "masked"));
    lists->level->verify->report->masked += masked > 0 ? (size_t)masked : 0;
    const char *whole;
    struct entry *entry = find_in(lists, name, &whole);
    if (entry)
        entry->masked = masked > 0 ? (size_t)masked : 0;
    if (!entry) {
        if (lists->level->whole)
            verify_problem(lists->level, RB_VERIFY_ABSENT, whole, "is in the manifest, but not in the archive");
    } else if (strcmp(entry->sha256, digest) != 0 || (json_int_t)entry->size != json_integer_value(size)) {
        verify_problem(lists->level, RB_VERIFY_CHANGED, whole, "was changed: its sha256 is %s, the manifest says %.64s", entry->sha256,
                       digest);
    }
}

static void check_unlisted(struct lists *lists)
{
    size_t len = strlen(lists->folder);
    for (size_t i = 0; i < lists->level->count; i++) {
        const char *name = lists->level->entries[i].name;
        const char *below = strncmp(name, lists->folder, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
        bool listed = below && (json_object_get(lists->by_name, below) || strcmp(below, RB_ARCHIVE_MANIFEST) == 0 ||
                                strcmp(below, RB_ARCHIVE_SUMS) == 0);
        if (!listed)
            verify_problem(lists->level, RB_VERIFY_UNLISTED, name, "was added: the manifest does not list it");
    }
}

/* The manifest's rows; false when it is not one that this version reads. */
static bool read_manifest(struct lists *lists, const struct entry *entry)
{
    json_error_t why;
    lists->manifest = json_loadb(entry->text ? entry->text : "", entry->text_len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    const char *schema = json_string_value(json_object_get(lists->manifest, "schema"));
    if (!lists->manifest || !schema || strcmp(schema, RB_ARCHIVE_SCHEMA) != 0) {
        verify_problem(lists->level, RB_VERIFY_MANIFEST, entry->name, "is no manifest of runbookd: %s",
                       lists->manifest ? "other schema" : why.text);
        return false;
    }
    json_int_t version = json_integer_value(json_object_get(lists->manifest, "version"));
    if (version != RB_ARCHIVE_VERSION) {
        verify_problem(lists->level, RB_VERIFY_MANIFEST, entry->name, "has version %lld; this runbookd reads %d", (long long)version,
                       RB_ARCHIVE_VERSION);
        return false;
    }
    return true;
}

static void check_manifest(struct lists *lists, const struct entry *entry)
{
    if (!read_manifest(lists, entry))
        return;
    lists->by_name = json_object();
    json_t *rows = json_object_get(lists->manifest, "members");
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row) check_row(lists, row);
    lists->level->verify->report->missing += json_array_size(json_object_get(lists->manifest, "missing"));
    check_unlisted(lists);
}

/* ---- the archive's own sums ---- */

static void check_sum(struct lists *lists, const char *name, const char *digest)
{
    const char *whole;
    const struct entry *entry = find_in(lists, name, &whole);
    if (!entry && lists->level->whole)
        verify_problem(lists->level, RB_VERIFY_ABSENT, whole, "is in " RB_ARCHIVE_SUMS ", but not in the archive");
    else if (entry && strcmp(entry->sha256, digest) != 0)
        verify_problem(lists->level, RB_VERIFY_CHANGED, whole, "was changed: its sha256 is %s, " RB_ARCHIVE_SUMS " says %s", entry->sha256,
                       digest);
}

static void check_own_sums(struct lists *lists, const struct entry *sums)
{
    const char *at = sums->text ? sums->text : "", *end = at + sums->text_len;
    char digest[RB_SHA256_HEX];
    size_t lines = 0;
    bool ok;
    RB_BUF_AUTO name;
    rb_buf_init(&name, 8192);
    while (verify_sum_line(&at, end, digest, &name, &ok)) {
        lines++;
        if (ok)
            check_sum(lists, rb_buf_str(&name), digest);
        else
            verify_problem(lists->level, RB_VERIFY_SUMS, sums->name, "line %zu is no sum", lines);
    }
    size_t expected = json_array_size(json_object_get(lists->manifest, "members")) + 1;
    if (lists->by_name && lines != expected)
        verify_problem(lists->level, RB_VERIFY_SUMS, sums->name, "has %zu lines; with the manifest's members it would be %zu", lines,
                       expected);
}

/* The folder that everything lies in: that of the first manifest directly below one. */
static const char *folder_of(const struct level *level)
{
    for (size_t i = 0; i < level->count; i++) {
        const char *name = level->entries[i].name, *slash = strchr(name, '/');
        if (slash && (strcmp(slash + 1, RB_ARCHIVE_MANIFEST) == 0 || strcmp(slash + 1, RB_ARCHIVE_SUMS) == 0))
            return rb_arena_strndup(level->verify->arena, name, (size_t)(slash - name));
    }
    return NULL;
}

const char *verify_lists(struct level *level)
{
    struct lists lists = {.level = level, .folder = folder_of(level)};
    const char *whole, *zlib = NULL;
    if (!lists.folder) {
        verify_problem(level, RB_VERIFY_MANIFEST, NULL, "there is no %s in it; it is no archive of runbookd, or it was cut",
                       RB_ARCHIVE_MANIFEST);
        return NULL;
    }
    const struct entry *manifest = find_in(&lists, RB_ARCHIVE_MANIFEST, &whole);
    if (manifest)
        check_manifest(&lists, manifest);
    else
        verify_problem(level, RB_VERIFY_MANIFEST, whole, "is not there");
    const struct entry *sums = find_in(&lists, RB_ARCHIVE_SUMS, &whole);
    if (sums)
        check_own_sums(&lists, sums);
    else
        verify_problem(level, RB_VERIFY_SUMS, whole, "is not there");
    const char *version = json_string_value(json_object_get(lists.manifest, "zlib"));
    if (version)
        zlib = rb_arena_strdup(level->verify->arena, version);
    if (level->depth == 0)
        level->verify->report->folder = lists.folder;
    json_decref(lists.by_name);
    json_decref(lists.manifest);
    return zlib;
}

/* ---- sums inside ---- */

/* "a/b/SHA256SUMS.txt" and "x" are "a/b/x". */
static const char *beside(const struct level *level, const char *sums, const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    const char *slash = strrchr(sums, '/');
    return rb_arena_printf(level->verify->arena, "%.*s%s", slash ? (int)(slash - sums + 1) : 0, sums, name);
}

static bool is_own(const struct level *level, const char *name)
{
    const char *slash = strchr(name, '/');
    return level->ours && slash && strcmp(slash + 1, RB_ARCHIVE_SUMS) == 0;
}

static void check_inner_file(struct level *level, const struct entry *sums)
{
    const char *at = sums->text ? sums->text : "", *end = at + sums->text_len;
    char digest[RB_SHA256_HEX];
    bool ok;
    RB_BUF_AUTO name;
    rb_buf_init(&name, 8192);
    while (verify_sum_line(&at, end, digest, &name, &ok)) {
        const char *whole = ok ? beside(level, sums->name, rb_buf_str(&name)) : NULL;
        const struct entry *entry = whole ? verify_find(level, whole) : NULL;
        if (!ok)
            verify_problem(level, RB_VERIFY_SUMS, sums->name, "holds a line that is no sum");
        else if (!entry)
            verify_problem(level, RB_VERIFY_ABSENT, whole, "is in %s, but not in the archive", sums->name);
        else if (strcmp(entry->sha256, digest) == 0)
            continue;
        else if (entry->masked > 0)
            verify_note(level->verify,
                        "%s%s: secrets were masked in it, so the sum in %s, which is that of the original, cannot be checked",
                        level->prefix, whole, sums->name);
        else
            verify_problem(level, RB_VERIFY_CHANGED, whole, "was changed: its sha256 is %s, %s says %s", entry->sha256, sums->name, digest);
    }
}

void verify_inner_sums(struct level *level)
{
    for (size_t i = 0; i < level->count && level->whole; i++)
        if (verify_is_sums(level->entries[i].name) && !is_own(level, level->entries[i].name))
            check_inner_file(level, &level->entries[i]);
}
