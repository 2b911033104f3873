/* Baselines as text and back.
 *
 * Invariants: encode is deterministic (same content, same bytes); decode accepts nothing that encode would not write: order, counts and digest are checked, so that a torn or
 * edited file is seen as a whole. Values carry no tab and no line end (canonical JSON), keys and texts are JSON strings. */
#include "runbook/drift/baseline.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "runbook/base/digest.h"
#include "runbook/platform/platform.h"
#include "value.h"

#define HEADER        "runbookd baseline 1\n"
#define HEADER_FAMILY "runbookd baseline "

void rb_drift_baseline_name(const char *check, char out[RB_DRIFT_NAME_MAX])
{
    snprintf(out, RB_DRIFT_NAME_MAX, "%.64s.baseline", check);
}

/* ---- writing ---- */

static void add_text(struct rb_buf *out, char type, const char *key, const char *text)
{
    rb_buf_addf(out, "%c\t", type);
    rb_drift_value_string(out, key, strlen(key));
    rb_buf_addc(out, '\t');
    rb_drift_value_string(out, text, strlen(text));
    rb_buf_addc(out, '\n');
}

static void add_fact(struct rb_buf *out, const struct rb_drift_fact *fact)
{
    rb_buf_adds(out, "f\t");
    rb_drift_value_string(out, fact->key, strlen(fact->key));
    rb_buf_addf(out, "\t%s\t", fact->value);
    line_add_optional(out, fact->kept_text);
    rb_buf_addc(out, '\n');
}

static void add_overlay(struct rb_buf *out, const struct rb_drift_overlay *overlay)
{
    rb_buf_adds(out, "a\t");
    rb_drift_value_string(out, overlay->key, strlen(overlay->key));
    rb_buf_addf(out, "\t%s\t%lld\t%lld\t", overlay->value ? overlay->value : "-", (long long)overlay->at_wall_ns,
                (long long)overlay->accepted.until_wall_ns);
    const char *texts[] = {overlay->accepted.who, overlay->accepted.why, overlay->accepted.ref, overlay->kept_text};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        line_add_optional(out, texts[i]);
        rb_buf_addc(out, i + 1 < sizeof texts / sizeof texts[0] ? '\t' : '\n');
    }
}

int rb_drift_baseline_encode(const struct rb_drift_baseline *baseline, struct rb_buf *out, struct rb_error *err)
{
    size_t start = out->len;
    rb_buf_adds(out, HEADER);
    add_text(out, 'm', "check", baseline->check);
    add_text(out, 'm', "source", baseline->source);
    rb_buf_addf(out, "m\t\"at\"\t%lld\n", (long long)baseline->wall_ns);
    for (size_t i = 0; i < baseline->facts.count; i++)
        add_fact(out, &baseline->facts.items[i]);
    for (size_t i = 0; i < baseline->overlay_count; i++)
        add_overlay(out, &baseline->overlays[i]);
    int rc = rb_buf_check(out, "the baseline", err);
    if (rc < 0)
        return rc;
    char digest[RB_SHA256_HEX];
    rb_sha256_of(out->data + start, out->len - start, digest);
    rb_buf_addf(out, "end\t%zu\t%zu\t%s\n", baseline->facts.count, baseline->overlay_count, digest);
    return rb_buf_check(out, "the baseline", err);
}

/* ---- reading ---- */

struct reader {
    char *at, *end; /* of the copy, up to the last line */
    unsigned line;
    struct rb_arena *arena;
    struct rb_drift_baseline *out;
    size_t facts_told, overlays_told;
    struct rb_error *err;
};

static int damaged(const struct reader *reader, const char *why)
{
    return rb_error_set(reader->err, RB_ECORRUPT, "line %u: %s", reader->line, why);
}

static int read_meta(struct reader *reader, char **fields, size_t count)
{
    const char *name = count == 3 ? line_unquote(fields[1]) : NULL;
    if (!name)
        return damaged(reader, "not a line of a baseline");
    if (strcmp(name, "at") == 0)
        return line_number(fields[2], &reader->out->wall_ns) ? 0 : damaged(reader, "no time");
    const char *text = line_unquote(fields[2]);
    if (!text)
        return damaged(reader, "not a text");
    if (strcmp(name, "check") == 0)
        reader->out->check = text;
    else if (strcmp(name, "source") == 0)
        reader->out->source = text;
    else
        return damaged(reader, "unknown name");
    return 0;
}

static int read_fact(struct reader *reader, char **fields, size_t count)
{
    struct rb_drift_facts *facts = &reader->out->facts;
    bool ok = true;
    const char *key = count == 4 ? line_unquote(fields[1]) : NULL;
    const char *kept = key ? line_optional(fields[3], &ok) : NULL;
    if (!key || !ok || fields[2][0] == '\0')
        return damaged(reader, "not a fact");
    if (facts->count == reader->facts_told)
        return damaged(reader, "more facts than the last line tells");
    if (facts->count > 0 && strcmp(facts->items[facts->count - 1].key, key) >= 0)
        return damaged(reader, "facts out of order");
    facts->items[facts->count++] = (struct rb_drift_fact){.key = key, .value = fields[2], .kept_text = kept};
    return 0;
}

static int read_overlay(struct reader *reader, char **fields, size_t count)
{
    struct rb_drift_baseline *out = reader->out;
    struct rb_drift_overlay overlay = {0};
    bool ok = count == 9;
    if (ok) {
        overlay.key = line_unquote(fields[1]);
        overlay.value = strcmp(fields[2], "-") == 0 ? NULL : fields[2];
        ok = overlay.key && line_number(fields[3], &overlay.at_wall_ns) && line_number(fields[4], &overlay.accepted.until_wall_ns);
        overlay.accepted.who = line_optional(fields[5], &ok);
        overlay.accepted.why = line_optional(fields[6], &ok);
        overlay.accepted.ref = line_optional(fields[7], &ok);
        overlay.kept_text = line_optional(fields[8], &ok);
    }
    if (!ok || !overlay.key)
        return damaged(reader, "not an accepted item");
    if (out->overlay_count == reader->overlays_told)
        return damaged(reader, "more accepted items than the last line tells");
    if (out->overlay_count > 0 && strcmp(out->overlays[out->overlay_count - 1].key, overlay.key) >= 0)
        return damaged(reader, "accepted items out of order");
    out->overlays[out->overlay_count++] = overlay;
    return 0;
}

static int read_line(struct reader *reader, char *line)
{
    char *fields[LINE_MAX_FIELDS];
    size_t count = line_split(line, fields);
    if (count < 2 || fields[0][0] == '\0' || fields[0][1] != '\0')
        return damaged(reader, "not a line of a baseline");
    switch (fields[0][0]) {
    case 'm':
        return read_meta(reader, fields, count);
    case 'f':
        return read_fact(reader, fields, count);
    case 'a':
        return read_overlay(reader, fields, count);
    default:
        return damaged(reader, "unknown kind of line");
    }
}

/* The last line: counts and the digest of everything before it. Cuts the text there. */
static int read_end(struct reader *reader, const char *text, size_t len)
{
    size_t start = len > 0 && text[len - 1] == '\n' ? len - 1 : 0;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    char line[160], digest[RB_SHA256_HEX], *fields[LINE_MAX_FIELDS];
    size_t size = len - start;
    if (start == 0 || size >= sizeof line || strncmp(text + start, "end\t", 4) != 0)
        return rb_error_set(reader->err, RB_ECORRUPT, "the file ends early");
    memcpy(line, text + start, size - 1);
    line[size - 1] = '\0';
    int64_t facts = -1, overlays = -1;
    if (line_split(line, fields) != 4 || !line_number(fields[1], &facts) || !line_number(fields[2], &overlays) || facts < 0 ||
        overlays < 0 || facts > RB_DRIFT_MAX_FACTS || overlays > RB_DRIFT_MAX_OVERLAYS)
        return rb_error_set(reader->err, RB_ECORRUPT, "the last line is not one of a baseline");
    rb_sha256_of(text, start, digest);
    if (strcmp(digest, fields[3]) != 0)
        return rb_error_set(reader->err, RB_ECORRUPT, "the content does not have the SHA-256 that its last line tells");
    reader->facts_told = (size_t)facts;
    reader->overlays_told = (size_t)overlays;
    reader->end = reader->at + start;
    return 0;
}

static int read_lines(struct reader *reader)
{
    reader->at += strlen(HEADER);
    for (reader->line = 2; reader->at < reader->end; reader->line++) {
        char *line = reader->at, *stop = memchr(line, '\n', (size_t)(reader->end - line));
        if (!stop || memchr(line, '\0', (size_t)(stop - line)))
            return damaged(reader, "not a line of text");
        *stop = '\0';
        reader->at = stop + 1;
        int rc = read_line(reader, line);
        if (rc < 0)
            return rc;
    }
    const struct rb_drift_baseline *out = reader->out;
    if (!out->check || !out->source || out->facts.count != reader->facts_told || out->overlay_count != reader->overlays_told)
        return damaged(reader, "something is missing");
    return 0;
}

/* As rb_drift_baseline_decode, of a text that lies in the arena and is cut up where it stands. */
static int decode_in_place(char *text, size_t len, struct rb_arena *arena, struct rb_drift_baseline *out, struct rb_error *err)
{
    *out = (struct rb_drift_baseline){0};
    rb_drift_facts_init(&out->facts, arena);
    if (len < strlen(HEADER) || strncmp(text, HEADER, strlen(HEADER)) != 0) {
        bool newer = len > strlen(HEADER_FAMILY) && strncmp(text, HEADER_FAMILY, strlen(HEADER_FAMILY)) == 0;
        return rb_error_set(err, newer ? RB_EUNSUPPORTED : RB_ECORRUPT, "%s",
                            newer ? "written by another version of runbookd" : "the first line is not that of a baseline");
    }
    struct reader reader = {.at = text, .arena = arena, .out = out, .err = err};
    int rc = read_end(&reader, text, len);
    if (rc < 0)
        return rc;
    out->facts.items = rb_arena_array(arena, reader.facts_told + 1, sizeof *out->facts.items);
    out->facts.cap = reader.facts_told + 1;
    out->overlays = rb_arena_array(arena, reader.overlays_told + 1, sizeof *out->overlays);
    if (!out->facts.items || !out->overlays)
        return rb_error_set(err, RB_ENOMEM, "no memory for the baseline");
    out->facts.sorted = true;
    return read_lines(&reader);
}

int rb_drift_baseline_decode(const char *text, size_t len, struct rb_arena *arena, struct rb_drift_baseline *out, struct rb_error *err)
{
    char *copy = rb_arena_strndup(arena, text, len);
    return copy ? decode_in_place(copy, len, arena, out, err) : rb_error_set(err, RB_ENOMEM, "no memory for the baseline");
}

/* True when a damaged baseline of this check was set aside and none was accepted since. */
static bool set_aside(const char *folder, const char *name, char *out_name, size_t out_size)
{
    DIR *dir = opendir(folder);
    size_t len = strlen(name);
    bool found = false;
    for (struct dirent *entry; dir && !found && (entry = readdir(dir)) != NULL;) {
        found = strncmp(entry->d_name, name, len) == 0 && strncmp(entry->d_name + len, ".damaged-", 9) == 0;
        if (found)
            snprintf(out_name, out_size, "%s", entry->d_name);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* What could not be read at once: there may be none, or somebody has to be told why. */
static int read_slowly(const char *folder, const char *name, struct rb_arena *arena, struct rb_drift_baseline *out, struct rb_error *err)
{
    char path[PATH_MAX + RB_DRIFT_NAME_MAX + 2], aside[NAME_MAX + 1];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    struct rb_error read_err = {0};
    int rc = rb_file_read(path, RB_DRIFT_BASELINE_MAX, true, &text, &read_err);
    if (rc == RB_ENOTFOUND || (rc == RB_ESYS && read_err.saved_errno == ENOENT)) {
        if (set_aside(folder, name, aside, sizeof aside))
            return rb_error_set(err, RB_ECORRUPT, "it was damaged and is kept as %s", aside);
        return rb_error_set(err, RB_ENOTFOUND, "no baseline");
    }
    if (rc < 0)
        return rb_error_set(err, rc, "%s", read_err.message);
    return rb_drift_baseline_decode(rb_buf_str(&text), text.len, arena, out, err);
}

int rb_drift_baseline_read(const char *state_dir, const char *check, struct rb_arena *arena, struct rb_drift_baseline *out,
                           struct rb_error *err)
{
    char name[RB_DRIFT_NAME_MAX], folder[PATH_MAX], path[PATH_MAX + RB_DRIFT_NAME_MAX + 2];
    rb_drift_baseline_name(check, name);
    int len = snprintf(folder, sizeof folder, "%s/" RB_DRIFT_FOLDER, state_dir);
    if (state_dir[0] == '\0' || len < 0 || (size_t)len >= sizeof folder)
        return rb_error_set(err, RB_ENOTFOUND, "there is no folder of state");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    size_t size = 0;
    char *text = line_read_file(path, RB_DRIFT_BASELINE_MAX, arena, &size);
    int rc = text ? decode_in_place(text, size, arena, out, err) : read_slowly(folder, name, arena, out, err);
    if (rc == 0 && strcmp(out->check, check) != 0)
        rc = rb_error_set(err, RB_ECORRUPT, "it belongs to the check '%s'", out->check);
    return rc;
}

static int compare_overlays(const void *left, const void *right)
{
    return strcmp(((const struct rb_drift_overlay *)left)->key, ((const struct rb_drift_overlay *)right)->key);
}

const char *rb_drift_baseline_kept(const void *baseline_object, const char *key)
{
    const struct rb_drift_baseline *baseline = baseline_object;
    const struct rb_drift_overlay wanted = {.key = key};
    const struct rb_drift_overlay *overlay =
        baseline->overlay_count ? bsearch(&wanted, baseline->overlays, baseline->overlay_count, sizeof wanted, compare_overlays) : NULL;
    if (overlay && overlay->kept_text)
        return overlay->kept_text;
    const struct rb_drift_fact *fact = rb_drift_facts_find(&baseline->facts, key);
    return fact ? fact->kept_text : NULL;
}
