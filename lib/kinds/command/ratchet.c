/* Findings of a program against a list of accepted ones.
 *
 * A fingerprint is made of the line without the numbers that follow a colon, so that `docs/a.md:12: text` survives moving the line, and of how often the same line came before:
 * one more of them is new. A list that is missing accepts nothing; one that cannot be understood makes the check unknown, never ok. The list is read
 * on a worker before the program starts: its file system may hang. */
#include "ratchet.h"

#include <string.h>

#include "runbook/base/digest.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"
#include "runbook/check/match.h"

enum { MAX_FINDINGS = 2000, MAX_SHOWN = 20, PRINT_DIGITS = 16, SHOWN_COLUMNS = 200 };

struct print {
    char digits[PRINT_DIGITS + 1];
};
struct tally {
    struct rb_accepted accepted;
    struct print *bases; /* of the findings so far, without their number */
    size_t findings, fresh;
    const char *first; /* new one */
    bool too_many;
};

static void hash(const struct rb_buf *text, struct print *out)
{
    char hex[RB_SHA256_HEX];
    rb_sha256_of(rb_buf_str(text), text->len, hex);
    memcpy(out->digits, hex, PRINT_DIGITS);
    out->digits[PRINT_DIGITS] = '\0';
}

/* The line without line and column numbers: digits between a colon and another one. */
static void add_without_places(struct rb_buf *out, const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        size_t end = i + 1;
        while (line[i] == ':' && end < len && line[end] >= '0' && line[end] <= '9')
            end++;
        bool place = end > i + 1 && end < len && line[end] == ':';
        rb_buf_addc(out, line[i]);
        i = place ? end - 1 : i;
    }
}

static struct print fingerprint(struct tally *tally, const char *line, size_t len)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, len + 64);
    rb_buf_adds(&text, "command\n");
    add_without_places(&text, line, len);
    struct print *base = &tally->bases[tally->findings], print;
    hash(&text, base);
    size_t again = 0;
    for (size_t i = 0; i < tally->findings; i++)
        again += strcmp(tally->bases[i].digits, base->digits) == 0;
    rb_buf_addf(&text, "\n%zu", again);
    hash(&text, &print);
    return print;
}

static void take_finding(struct tally *tally, const char *line, size_t len, struct rb_outcome *out)
{
    struct print print = fingerprint(tally, line, len);
    tally->findings++;
    struct rb_accepted_entry *entry = rb_accepted_find(&tally->accepted, print.digits);
    if (entry) {
        entry->used++;
        return;
    }
    RB_BUF_AUTO whole, shown;
    rb_buf_init(&whole, len + 1);
    rb_buf_init(&shown, 4096);
    rb_buf_add(&whole, line, len);
    rb_text_clip(&shown, rb_buf_str(&whole), SHOWN_COLUMNS);
    if (!tally->first)
        tally->first = rb_arena_strdup(out->arena, rb_buf_str(&shown));
    if (tally->fresh++ < MAX_SHOWN)
        rb_outcome_evidence(out, "new: %s [%s]", rb_buf_str(&shown), print.digits);
}

/* The next finding at or behind `at`: its line's bounds. 0: none; negative: the expression reached its limits. */
static int next_finding(const struct rb_command_ratchet *ratchet, const struct rb_buf *text, size_t at, size_t *out_start, size_t *out_end)
{
    const char *bytes = rb_buf_str(text);
    size_t hit = at;
    if (ratchet->findings) {
        enum rb_match match = rb_match_regex(ratchet->findings, bytes + at, text->len - at, &hit);
        if (match != RB_MATCH_YES)
            return match == RB_MATCH_NO ? 0 : -1;
        hit += at;
    } else {
        hit += strspn(bytes + at, "\r\n\t ");
    }
    if (hit >= text->len && !ratchet->findings)
        return 0;
    size_t start = hit > at ? hit - 1 : hit; /* the match may end behind its line */
    while (start > at && bytes[start - 1] != '\n')
        start--;
    size_t end = start;
    while (end < text->len && bytes[end] != '\n')
        end++;
    *out_start = start;
    *out_end = end;
    return 1;
}

static int collect(const struct rb_command_ratchet *ratchet, const struct rb_buf *text, struct tally *tally, struct rb_outcome *out)
{
    size_t start = 0, end = 0;
    for (size_t at = 0; at < text->len; at = end + 1) {
        int found = next_finding(ratchet, text, at, &start, &end);
        if (found <= 0)
            return found;
        size_t len = end - start;
        while (len > 0 && strchr("\r\t ", rb_buf_str(text)[start + len - 1]))
            len--;
        tally->too_many = tally->findings == MAX_FINDINGS;
        if (tally->too_many)
            return 1;
        if (len > 0)
            take_finding(tally, rb_buf_str(text) + start, len, out);
    }
    return 1;
}

static void report(const char *path, const struct tally *tally, struct rb_outcome *out)
{
    size_t gone = 0;
    rb_outcome_value(out, "findings", NULL, (double)tally->fresh);
    for (size_t i = 0; i < tally->accepted.count; i++)
        gone += tally->accepted.items[i].used == 0;
    if (gone > 0)
        rb_outcome_evidence(out, "%zu entries of %s match nothing any more: remove them", gone, path);
    if (tally->fresh == 0)
        rb_outcome_set(out, RB_RESULT_OK, "none", "%zu findings, all accepted; 0 new", tally->findings);
    else
        rb_outcome_set(out, out->result, "new_findings", "%zu new findings (%zu accepted), first: %s", tally->fresh,
                       tally->findings - tally->fresh, tally->first ? tally->first : "");
    if (tally->fresh > MAX_SHOWN)
        rb_outcome_evidence(out, "and %zu more new ones", tally->fresh - MAX_SHOWN);
    if (tally->fresh > 0)
        rb_outcome_evidence(
            out, "to accept one, put its fingerprint, a blank and the reason into %s; `runbookd check --print-accepted` prints them so",
            path);
}

void rb_command_ratchet_read(const struct rb_check_ctx *ctx, const struct rb_command_ratchet *ratchet, struct rb_command_accepted *out)
{
    out->path = ratchet->accepted ? ratchet->accepted : rb_arena_printf(ctx->arena, ".runbookd/%s.accepted", ctx->spec->name);
    if (out->path)
        out->code = rb_accepted_load(ctx->root, out->path, ctx->arena, &out->list, &out->problem);
}

void rb_command_ratchet_judge(const struct rb_check_ctx *ctx, const struct rb_command_ratchet *ratchet, const struct rb_buf *text,
                              const struct rb_command_accepted *accepted, struct rb_outcome *out)
{
    const char *path = accepted->path;
    struct tally tally = {.accepted = accepted->list, .bases = rb_arena_array(ctx->arena, MAX_FINDINGS + 1, sizeof(struct print))};
    if (!path || !tally.bases)
        return; /* the arena has failed: the run ends as resource_limit */
    rb_outcome_fact(out, RB_FACT_FILE, "%s", path);
    if (accepted->code < 0 && accepted->code != RB_ENOTFOUND) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "accepted_unreadable", "%s", accepted->problem.message);
        return;
    }
    int code = collect(ratchet, text, &tally, out);
    if (code < 0)
        rb_outcome_evidence(out, "findings reached the limits of matching: nothing counts as accepted");
    else if (tally.too_many)
        rb_outcome_evidence(out, "more than %d findings: nothing counts as accepted", MAX_FINDINGS);
    else if (tally.findings > 0)
        report(path, &tally, out);
}
