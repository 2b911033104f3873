/* The accept log as text and back.
 *
 * A line: wall_ns, check, id, key, change, old, new, until, who, why, ref, and CRC-32C over the previous line's checksum (8 hex digits) and this line without its own.
 * It finds damage and lost lines; it is no proof against a forger, who can compute checksums too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "runbook/base/digest.h"
#include "runbook/drift/accept.h"
#include "value.h"

#define HEADER        "runbookd drift log 1\n"
#define HEADER_FAMILY "runbookd drift log "
enum { FIELDS = 11, CHECKSUM = 8 };

static uint32_t sum(uint32_t previous, const char *line, size_t len)
{
    char text[CHECKSUM + 1];
    snprintf(text, sizeof text, "%08x", previous);
    return rb_crc32c(rb_crc32c(0, text, CHECKSUM), line, len);
}

void rb_drift_log_header(struct rb_buf *out)
{
    rb_buf_adds(out, HEADER);
}

void rb_drift_log_line(const struct rb_drift_log_entry *entry, uint32_t *checksum, struct rb_buf *out)
{
    size_t start = out->len;
    const char *const before[] = {entry->check, entry->id, entry->key, entry->change, entry->old_text, entry->new_text};
    const char *const after[] = {entry->accepted.who, entry->accepted.why, entry->accepted.ref};
    rb_buf_addf(out, "%lld", (long long)entry->wall_ns);
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        rb_buf_addc(out, '\t');
        line_add_optional(out, before[i]);
    }
    rb_buf_addf(out, "\t%lld", (long long)entry->accepted.until_wall_ns);
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
        rb_buf_addc(out, '\t');
        line_add_optional(out, after[i]);
    }
    if (out->failed)
        return;
    *checksum = sum(*checksum, out->data + start, out->len - start);
    rb_buf_addf(out, "\t%08x\n", *checksum);
}

static bool parse_fields(char *line, struct rb_drift_log_entry *out)
{
    char *fields[LINE_MAX_FIELDS];
    bool ok = line_split(line, fields) == FIELDS;
    if (!ok)
        return false;
    ok = line_number(fields[0], &out->wall_ns) && line_number(fields[7], &out->accepted.until_wall_ns);
    out->check = line_unquote(fields[1]);
    out->id = line_unquote(fields[2]);
    out->key = line_unquote(fields[3]);
    out->change = line_unquote(fields[4]);
    out->old_text = line_optional(fields[5], &ok);
    out->new_text = line_optional(fields[6], &ok);
    out->accepted.who = line_optional(fields[8], &ok);
    out->accepted.why = line_optional(fields[9], &ok);
    out->accepted.ref = line_optional(fields[10], &ok);
    return ok && out->check && out->id && out->key && out->change;
}

/* One whole line, terminated. The line's own checksum is what the next one builds on, so that one damaged line is told once. */
static bool parse_line(char *line, size_t len, uint32_t *checksum, struct rb_drift_log_entry *out)
{
    char *end = NULL;
    if (len < CHECKSUM + 2 || line[len - CHECKSUM - 1] != '\t' || strlen(line) != len)
        return false;
    unsigned long told = strtoul(line + len - CHECKSUM, &end, 16);
    uint32_t before = *checksum;
    *checksum = (uint32_t)told;
    if (*end != '\0' || sum(before, line, len - CHECKSUM - 1) != (uint32_t)told)
        return false;
    line[len - CHECKSUM - 1] = '\0';
    return parse_fields(line, out);
}

static size_t count_lines(const char *text, size_t len)
{
    size_t lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    return lines;
}

int rb_drift_log_read(const char *text, size_t len, struct rb_arena *arena, struct rb_drift_log *out, struct rb_error *err)
{
    *out = (struct rb_drift_log){0};
    if (len == 0)
        return 0;
    char *copy = rb_arena_strndup(arena, text, len);
    out->items = rb_arena_array(arena, count_lines(text, len) + 1, sizeof *out->items);
    if (!copy || !out->items)
        return rb_error_set(err, RB_ENOMEM, "no memory for the accept log");
    unsigned number = 1;
    for (char *line = copy, *stop; line < copy + len; line = stop + 1, number++) {
        stop = memchr(line, '\n', len - (size_t)(line - copy));
        if (!stop) {
            out->torn = true;
            break;
        }
        *stop = '\0';
        out->whole_len = (size_t)(stop - copy) + 1;
        if (number == 1 && strncmp(line, HEADER, strlen(HEADER) - 1) == 0 && (size_t)(stop - line) == strlen(HEADER) - 1)
            continue;
        if (number == 1 && strncmp(line, HEADER_FAMILY, strlen(HEADER_FAMILY)) == 0)
            return rb_error_set(err, RB_EUNSUPPORTED, "the accept log was written by another version of runbookd");
        struct rb_drift_log_entry entry = {0};
        if (parse_line(line, (size_t)(stop - line), &out->checksum, &entry))
            out->items[out->count++] = entry;
        else if (out->damaged++ == 0)
            out->first_damaged_line = number;
    }
    return 0;
}
