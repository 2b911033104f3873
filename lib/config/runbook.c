/* Addresses of sections: `runbook: "[FILE#]heading"` is proven when the plan is loaded, and its line kept for reports.
 *
 * Every heading that the parts of an address could mean is looked at, and the one with the most exact parts wins: "Steps" means the heading "Steps" even where "Steps (Commands)" stands
 * beside it. Two that are equally good are refused: a report that quotes the wrong section is worse than none. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "plan_internal.h"
#include "runbook/base/text.h"
#include "runbook/platform/platform.h"
#include "runbook_internal.h"

#define MAX_PARTS      6u
#define MAX_CANDIDATES 8u /* told of an ambiguous address */

enum match { MATCH_NO, MATCH_BEGINNING, MATCH_EXACT };

struct search {
    const struct rb_runbook *book;
    struct span parts[MAX_PARTS];
    size_t part_count;
    unsigned best; /* exact parts */
    const struct rb_runbook_heading *found[MAX_CANDIDATES];
    size_t count; /* may be larger than MAX_CANDIDATES */
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0 || (unsigned char)c >= 0x80;
}

static bool equals_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

/* Next character of the anchor that GitHub derives: lower case, blanks to '-', other punctuation dropped. 0 at the end. */
static char next_slug(const char **text)
{
    while (**text != '\0') {
        char c = *(*text)++;
        if (is_word(c) || c == '-' || c == '_')
            return (char)tolower((unsigned char)c);
        if (c == ' ')
            return '-';
    }
    return '\0';
}

static bool is_anchor_of(struct span anchor, const char *heading)
{
    for (size_t i = 0; i < anchor.len; i++)
        if (next_slug(&heading) != anchor.text[i])
            return false;
    return next_slug(&heading) == '\0';
}

static enum match match_part(struct span part, const char *heading)
{
    size_t len = strlen(heading);
    if (part.len == 0 || part.len > len)
        return part.len > 0 && is_anchor_of(part, heading) ? MATCH_EXACT : MATCH_NO;
    bool same = equals_nocase(part.text, heading, part.len);
    if ((same && part.len == len) || is_anchor_of(part, heading))
        return MATCH_EXACT;
    bool whole_words = !(is_word(heading[part.len]) && is_word(part.text[part.len - 1]));
    return same && whole_words ? MATCH_BEGINNING : MATCH_NO;
}

static void add_candidate(struct search *search, const struct rb_runbook_heading *heading, unsigned exact)
{
    if (exact < search->best)
        return;
    if (exact > search->best)
        search->count = 0;
    search->best = exact;
    for (size_t i = 0; i < search->count && i < MAX_CANDIDATES; i++)
        if (search->found[i] == heading)
            return; /* by another way */
    if (search->count < MAX_CANDIDATES)
        search->found[search->count] = heading;
    search->count++;
}

/* Everything in headings `from` to `to` that the parts from `depth` on could mean. A heading has at most seven above it, so the ways to one are few. */
static void look(struct search *search, size_t from, size_t to, size_t depth, unsigned exact)
{
    const struct rb_runbook_heading *headings = search->book->headings;
    for (size_t i = from; i < to; i++) {
        enum match match = match_part(search->parts[depth], headings[i].text);
        if (match == MATCH_NO)
            continue;
        unsigned now_exact = exact + (match == MATCH_EXACT);
        if (depth + 1 == search->part_count) {
            add_candidate(search, &headings[i], now_exact);
            continue;
        }
        size_t end = i + 1;
        while (end < search->book->heading_count && headings[end].level > headings[i].level)
            end++;
        look(search, i + 1, end, depth + 1, now_exact);
    }
}

static size_t split_parts(const char *address, struct span *parts)
{
    size_t count = 0;
    const char *rest = address;
    while (count < MAX_PARTS) {
        const char *sep = count + 1 < MAX_PARTS ? strstr(rest, " > ") : NULL;
        size_t len = sep != NULL ? (size_t)(sep - rest) : strlen(rest);
        parts[count++] = rb_span_trim((struct span){rest, len});
        if (sep == NULL)
            break;
        rest = sep + 3;
    }
    return count;
}

static int not_found(const struct search *search, const char *address, struct rb_arena *arena, struct rb_error *err)
{
    const struct rb_runbook *book = search->book;
    struct span last = search->parts[search->part_count - 1];
    const char **names = rb_arena_array(arena, book->heading_count + 1, sizeof *names);
    const char *wanted = rb_arena_strndup(arena, last.text, last.len);
    for (size_t i = 0; names != NULL && i < book->heading_count; i++)
        names[i] = book->headings[i].text;
    const char *near = names != NULL && wanted != NULL ? rb_text_nearest(wanted, names) : NULL;
    return rb_error_set(err, RB_ENOTFOUND, "heading '%.120s' is not in %s%s%.120s%s", address, book->file,
                        near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

static int ambiguous(const struct search *search, const char *address, struct rb_error *err)
{
    RB_BUF_AUTO lines;
    rb_buf_init(&lines, 512);
    size_t shown = search->count < MAX_CANDIDATES ? search->count : MAX_CANDIDATES;
    for (size_t i = 0; i < shown; i++)
        rb_buf_addf(&lines, "%s%u", i > 0 ? ", " : "", search->found[i]->line);
    return rb_error_set(err, RB_EINVAL,
                        "heading '%.120s' is ambiguous in %s: lines %s%s; write more of it, or the heading above it: 'Above > %.60s'",
                        address, search->book->file, rb_buf_str(&lines), search->count > shown ? ", …" : "", address);
}

int rb_runbook_find(const struct rb_runbook *book, const char *address, struct rb_arena *arena, const struct rb_runbook_heading **out,
                    struct rb_error *err)
{
    struct search search = {.book = book};
    search.part_count = split_parts(address, search.parts);
    look(&search, 0, book->heading_count, 0, 0);
    if (search.count == 0)
        return not_found(&search, address, arena, err);
    if (search.count > 1)
        return ambiguous(&search, address, err);
    *out = search.found[0];
    return 0;
}

const char *rb_runbook_split(const char *address, struct rb_arena *arena, const char **out_file)
{
    const char *hash = strchr(address, '#');
    *out_file = hash != NULL && hash != address ? rb_arena_strndup(arena, address, (size_t)(hash - address)) : NULL;
    return hash != NULL ? hash + 1 : address;
}

int rb_runbook_read(const char *root, const char *file, struct rb_arena *arena, struct rb_runbook **out, struct rb_error *err)
{
    RB_BUF_AUTO bytes;
    rb_buf_init(&bytes, RB_RUNBOOK_MAX_BYTES);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rb_error_set(err, RB_ESYS, "root %s cannot be opened", root);
    int rc = rb_file_read_below(fd, file, RB_RUNBOOK_MAX_BYTES, &bytes, err);
    close(fd);
    if (rc < 0)
        return rc;
    const char *text = rb_arena_strndup(arena, rb_buf_str(&bytes), bytes.len);
    *out = text != NULL ? rb_runbook_parse(file, text, bytes.len, arena) : NULL;
    return *out != NULL ? 0 : rb_error_set(err, RB_ENOMEM, "no memory for the outline of %s", file);
}

struct rb_strings rb_runbook_files(const struct rb_plan *plan, struct rb_arena *arena)
{
    const char **files = rb_arena_array(arena, plan->count + 2, sizeof *files);
    size_t count = 0;
    for (size_t i = 0; files != NULL && i <= plan->count; i++) {
        const char *file = i == 0 ? plan->daemon.runbook : plan->checks[i - 1].runbook_file;
        bool known = file == NULL;
        for (size_t k = 0; k < count && !known; k++)
            known = strcmp(files[k], file) == 0;
        if (!known)
            files[count++] = file;
    }
    return (struct rb_strings){.items = count > 0 ? files : NULL, .count = count};
}

/* ---- when a plan is loaded ---- */

/* One runbook file, read once for all the checks that name it. */
struct document {
    const char *file;
    struct rb_arena *arena;
    struct rb_runbook *book; /* NULL: not readable */
    struct rb_error err;
};

static void document_read(struct document *document, const char *root, const char *file)
{
    if (document->file != NULL && strcmp(document->file, file) == 0)
        return;
    rb_arena_free(document->arena);
    document->file = file;
    document->book = NULL;
    document->arena = rb_arena_new(RB_RUNBOOK_ARENA);
    if (document->arena == NULL)
        (void)rb_error_set(&document->err, RB_ENOMEM, "no memory");
    else if (rb_runbook_read(root, file, document->arena, &document->book, &document->err) < 0)
        document->book = NULL;
}

static int check_reference(struct rb_plan_builder *builder, struct rb_check_spec *spec, struct document *document)
{
    struct rb_plan *plan = builder->plan;
    struct rb_mark mark = rb_plan_mark(builder, spec->node, "runbook");
    const struct rb_runbook_heading *found = NULL;
    struct rb_error err = {0};
    const char *heading = rb_runbook_split(spec->runbook, plan->arena, &spec->runbook_file);
    if (spec->runbook_file == NULL)
        spec->runbook_file = plan->daemon.runbook;
    if (spec->runbook_file == NULL)
        return rb_diag_add(builder->diags, mark, "no runbook is configured: set 'runbook' under 'daemon', or write FILE#heading");
    document_read(document, plan->daemon.root, spec->runbook_file);
    if (document->book == NULL)
        return rb_diag_add(builder->diags, mark, "runbook %s cannot be read: %s", spec->runbook_file, document->err.message);
    if (rb_runbook_find(document->book, heading, document->arena, &found, &err) < 0 || found == NULL)
        return rb_diag_add(builder->diags, mark, "%s", err.message);
    spec->runbook_line = found->line;
    spec->runbook_heading = rb_arena_strdup(plan->arena, found->text);
    return 0;
}

int rb_plan_check_runbooks(struct rb_plan_builder *builder)
{
    struct rb_plan *plan = builder->plan;
    struct document document = {0};
    int rc = 0;
    if (plan->daemon.root == NULL || plan->daemon.root[0] != '/')
        return RB_ECONFIG; /* reported with the root */
    for (size_t i = 0; i < plan->count; i++)
        if (plan->checks[i].runbook != NULL && check_reference(builder, &plan->checks[i], &document) < 0)
            rc = RB_ECONFIG;
    rb_arena_free(document.arena);
    return rc;
}
