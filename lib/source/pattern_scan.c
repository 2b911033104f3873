/* Searching one text: which lines may match (Vectorscan), whether they do (PCRE2), in the order of the text.
 *
 * Vectorscan calls back at the end of each possible match; the line around it is judged by PCRE2 at once and then skipped for that pattern, so a line costs one look per
 * pattern however often it is reported, and memory grows only with true matches. PCRE2 code is compiled at a pattern's first candidate: most rules never
 * see one. Limits hold for every look: a line on which a pattern gives up is counted, never taken for a no. */
#include "pattern_scan_internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum {
    MATCH_LIMIT = 2000000,
    DEPTH_LIMIT = 20000,
    HEAP_LIMIT_KIB = 16384, /* of one look at one line */
    JIT_STACK_MIN = 32 << 10,
    JIT_STACK_MAX = 1 << 20,
    BINARY_LOOK = 64 << 10,  /* as rg: a NUL in the first 64 KiB means that the file is none of our business */
    MAX_HITS_TOTAL = 100000, /* of one text, all patterns */
    GROUPS = 8
};

struct confirmer {
    pcre2_code *code;
    bool broken;     /* could not be compiled: memory */
    size_t seen_end; /* the line up to here is judged in this view */
    size_t hits;
};

struct rb_pattern_scanner {
    const struct rb_pattern_set *set;
    hs_scratch_t *scratch;
    struct confirmer *confirmers;
    struct rb_pattern_misses *misses;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
    char *view, *decoded; /* copies of the text with bytes replaced; UTF-16 as UTF-8 */
    size_t view_cap, decoded_cap;
    struct rb_pattern_hit *hits;
    size_t hit_count, hit_cap;
    /* of the run that is on */
    const char *text;
    size_t len;
    const bool *wanted;
    bool wide_pass; /* only patterns with the wide mark count; else, on non-ASCII text, only the others */
    bool ascii;
    bool failed; /* memory */
};

void rb_pattern_scanner_free(struct rb_pattern_scanner *scanner)
{
    if (!scanner)
        return;
    for (size_t i = 0; scanner->confirmers && i < scanner->set->count; i++)
        pcre2_code_free(scanner->confirmers[i].code);
    pcre2_match_data_free(scanner->data);
    pcre2_match_context_free(scanner->limits);
    pcre2_jit_stack_free(scanner->stack);
    (void)hs_free_scratch(scanner->scratch);
    if (scanner->view)
        OPENSSL_cleanse(scanner->view, scanner->view_cap);
    if (scanner->decoded)
        OPENSSL_cleanse(scanner->decoded, scanner->decoded_cap);
    free(scanner->view);
    free(scanner->decoded);
    free(scanner->confirmers);
    free(scanner->misses);
    free(scanner->hits);
    free(scanner);
}

static bool make_parts(struct rb_pattern_scanner *scanner)
{
    const struct rb_pattern_set *set = scanner->set;
    size_t count = set->count ? set->count : 1;
    scanner->confirmers = calloc(count, sizeof(*scanner->confirmers));
    scanner->misses = calloc(count, sizeof(*scanner->misses));
    scanner->data = pcre2_match_data_create(GROUPS, NULL);
    scanner->limits = pcre2_match_context_create(NULL);
    scanner->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (!scanner->confirmers || !scanner->misses || !scanner->data || !scanner->limits || !scanner->stack)
        return false;
    (void)pcre2_set_match_limit(scanner->limits, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(scanner->limits, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(scanner->limits, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(scanner->limits, NULL, scanner->stack);
    return (!set->narrow || hs_alloc_scratch(set->narrow, &scanner->scratch) == HS_SUCCESS) &&
           (!set->wide || hs_alloc_scratch(set->wide, &scanner->scratch) == HS_SUCCESS);
}

int rb_pattern_scanner_new(const struct rb_pattern_set *set, struct rb_pattern_scanner **out, struct rb_error *err)
{
    struct rb_pattern_scanner *scanner = calloc(1, sizeof(*scanner));
    if (scanner)
        scanner->set = set;
    if (!scanner || !make_parts(scanner)) {
        rb_pattern_scanner_free(scanner);
        return rb_error_set(err, RB_ENOMEM, "out of memory while preparing to search for patterns");
    }
    *out = scanner;
    return 0;
}

/* ---- one line, one pattern ---- */

static void add_hit(struct rb_pattern_scanner *scanner, size_t pattern, size_t line_start, size_t line_end)
{
    if (scanner->confirmers[pattern].hits >= RB_PATTERN_MAX_HITS || scanner->hit_count >= MAX_HITS_TOTAL) {
        scanner->misses[pattern].dropped++;
        return;
    }
    if (scanner->hit_count == scanner->hit_cap) {
        size_t cap = scanner->hit_cap ? 2 * scanner->hit_cap : 64;
        struct rb_pattern_hit *bigger = realloc(scanner->hits, cap * sizeof(*bigger));
        scanner->failed = scanner->failed || !bigger;
        if (!bigger)
            return;
        scanner->hits = bigger;
        scanner->hit_cap = cap;
    }
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(scanner->data);
    size_t value = 0;
    for (uint32_t group = 1; group < pcre2_get_ovector_count(scanner->data) && value == 0; group++)
        if (place[2 * group] != PCRE2_UNSET)
            value = group;
    scanner->hits[scanner->hit_count++] = (struct rb_pattern_hit){.pattern = pattern,
                                                                  .column = place[0] + 1,
                                                                  .start = line_start + place[0],
                                                                  .end = line_start + place[1],
                                                                  .value_start = line_start + place[2 * value],
                                                                  .value_end = line_start + place[2 * value + 1],
                                                                  .line_start = line_start,
                                                                  .line_end = line_end};
    scanner->confirmers[pattern].hits++;
}

static int look(struct rb_pattern_scanner *scanner, const pcre2_code *code, const char *line, size_t len, size_t from)
{
    int found = pcre2_match(code, (PCRE2_SPTR)line, len, from, 0, scanner->data, scanner->limits);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter takes its stack from the heap */
        found = pcre2_match(code, (PCRE2_SPTR)line, len, from, PCRE2_NO_JIT, scanner->data, scanner->limits);
    return found;
}

/* Finds matches in the `len` bytes of a line. Returns whether there was one. */
static bool search_line(struct rb_pattern_scanner *scanner, size_t pattern, size_t line_start, size_t len, size_t line_end)
{
    struct confirmer *confirmer = &scanner->confirmers[pattern];
    bool all = scanner->set->patterns[pattern].flags & RB_PATTERN_ALL, any = false;
    for (size_t from = 0; from <= len;) {
        int found = look(scanner, confirmer->code, scanner->text + line_start, len, from);
        if (found < 0) {
            scanner->misses[pattern].gave_up += found != PCRE2_ERROR_NOMATCH;
            return any;
        }
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(scanner->data);
        any = true;
        if (place[0] > place[1]) /* \K in a look-ahead: a match that ends before it begins */
            return any;
        size_t next = place[1] > from ? place[1] : from + 1;
        add_hit(scanner, pattern, line_start, line_end);
        if (!all)
            return true;
        from = next;
    }
    return any;
}

static bool ready(struct rb_pattern_scanner *scanner, size_t pattern)
{
    struct confirmer *confirmer = &scanner->confirmers[pattern];
    if (!confirmer->code && !confirmer->broken) {
        confirmer->code = pattern_compile(&scanner->set->patterns[pattern], NULL);
        confirmer->broken = !confirmer->code;
    }
    scanner->failed = scanner->failed || confirmer->broken;
    return !confirmer->broken;
}

/* A '\r' before the end belongs to the end, or to the line when only that makes a match: `$` and `\r` both find what people mean. */
static void judge_line(struct rb_pattern_scanner *scanner, size_t pattern, size_t line_start, size_t line_end)
{
    bool enough = (scanner->set->patterns[pattern].flags & RB_PATTERN_ONCE) && scanner->confirmers[pattern].hits > 0;
    if (enough || !ready(scanner, pattern))
        return;
    size_t len = line_end - line_start;
    bool returns = len > 0 && scanner->text[line_end - 1] == '\r';
    size_t shown_end = line_end - returns;
    if (!search_line(scanner, pattern, line_start, shown_end - line_start, shown_end) && returns)
        (void)search_line(scanner, pattern, line_start, len, shown_end);
}

/* ---- Vectorscan's reports ---- */

/* Offset after the last '\n' before `at`. (memrchr is not everywhere.) */
static size_t start_of_line(const char *text, size_t at)
{
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return at;
}

static bool counts(const struct rb_pattern_scanner *scanner, size_t pattern)
{
    if (!scanner->wanted[pattern])
        return false;
    return scanner->ascii || scanner->set->infos[pattern].wide == scanner->wide_pass;
}

static void judge_around(struct rb_pattern_scanner *scanner, size_t id, size_t to)
{
    struct confirmer *confirmer = &scanner->confirmers[id];
    if (to <= confirmer->seen_end || !counts(scanner, id))
        return;
    const char *end = memchr(scanner->text + to - 1, '\n', scanner->len - (to - 1));
    confirmer->seen_end = end ? (size_t)(end - scanner->text) : scanner->len;
    judge_line(scanner, id, start_of_line(scanner->text, to - 1), confirmer->seen_end);
}

static int on_report(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    struct rb_pattern_scanner *scanner = context;
    (void)from;
    (void)flags;
    if (to == 0 || scanner->text[to - 1] == '\n')
        return 0; /* a match across lines; if there is one within a line, it is reported too */
    for (unsigned next = id + 1; next != 0; next = scanner->set->infos[next - 1].next)
        judge_around(scanner, next - 1, (size_t)to);
    return scanner->failed;
}

static void pass(struct rb_pattern_scanner *scanner, const hs_database_t *database, const char *bytes)
{
    if (!database || scanner->failed)
        return;
    for (size_t i = 0; i < scanner->set->count; i++)
        scanner->confirmers[i].seen_end = 0;
    hs_error_t code = hs_scan(database, bytes, (unsigned)scanner->len, 0, scanner->scratch, on_report, scanner);
    scanner->failed = scanner->failed || code != HS_SUCCESS;
}

/* The same pass again over a text whose "\r\n" are "\n\n": what ends in `$` matches only there. */
static void pass_with_returns(struct rb_pattern_scanner *scanner, const hs_database_t *database, char *view)
{
    if (!scanner->set->any_ends || !text_has_returns(view, scanner->len))
        return;
    text_blank_returns(view, scanner->len);
    pass(scanner, database, view);
}

static char *ensure(char **buffer, size_t *cap, size_t size)
{
    if (size > *cap) {
        if (*buffer)
            OPENSSL_cleanse(*buffer, *cap);
        free(*buffer);
        *buffer = malloc(size);
        *cap = *buffer ? size : 0;
    }
    return *buffer;
}

static char *copy_text(struct rb_pattern_scanner *scanner)
{
    char *view = ensure(&scanner->view, &scanner->view_cap, scanner->len);
    scanner->failed = scanner->failed || !view;
    if (view)
        memcpy(view, scanner->text, scanner->len);
    return view;
}

static void search_narrow(struct rb_pattern_scanner *scanner)
{
    pass(scanner, scanner->set->narrow, scanner->text);
    if (!scanner->set->any_ends || !text_has_returns(scanner->text, scanner->len))
        return;
    char *view = copy_text(scanner);
    if (view)
        pass_with_returns(scanner, scanner->set->narrow, view);
}

static void search_wide(struct rb_pattern_scanner *scanner)
{
    char *view = copy_text(scanner);
    if (!view)
        return;
    scanner->wide_pass = true;
    (void)text_blank_invalid(view, scanner->len);
    pass(scanner, scanner->set->wide, view);
    pass_with_returns(scanner, scanner->set->wide, view);
    scanner->wide_pass = false;
}

/* What Vectorscan could not take: every line. */
static void search_lines(struct rb_pattern_scanner *scanner)
{
    for (size_t i = 0; i < scanner->set->count && !scanner->failed; i++) {
        const struct pattern_info *info = &scanner->set->infos[i];
        bool lines = info->way == WAY_LINES || (info->wide && info->wide_way_lines && !scanner->ascii);
        if (!lines || !scanner->wanted[i])
            continue;
        for (size_t at = 0; at < scanner->len && !scanner->failed;) {
            const char *end = memchr(scanner->text + at, '\n', scanner->len - at);
            size_t line_end = end ? (size_t)(end - scanner->text) : scanner->len;
            judge_line(scanner, i, at, line_end);
            at = line_end + 1;
        }
    }
}

/* ---- the run ---- */

static int compare_hits(const void *left, const void *right)
{
    const struct rb_pattern_hit *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->pattern != b->pattern)
        return a->pattern < b->pattern ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

/* Sorts, takes out what two views reported twice, and counts lines. */
static void order_hits(struct rb_pattern_scanner *scanner)
{
    struct rb_pattern_hit *hits = scanner->hits;
    size_t kept = 0, line = 1, at = 0;
    if (scanner->hit_count > 1)
        qsort(hits, scanner->hit_count, sizeof(*hits), compare_hits);
    for (size_t i = 0; i < scanner->hit_count; i++) {
        if (kept > 0 && hits[kept - 1].pattern == hits[i].pattern && hits[kept - 1].start == hits[i].start)
            continue;
        hits[kept] = hits[i];
        for (; at < hits[kept].line_start; at++)
            line += scanner->text[at] == '\n';
        hits[kept++].line = line;
    }
    scanner->hit_count = kept;
}

/* Decides what is searched: without a byte-order mark, UTF-16 as UTF-8, binary files only up to the line of their NUL. */
static bool choose_text(struct rb_pattern_scanner *scanner, const char *bytes, size_t len, bool *out_binary)
{
    bool little = len >= 2 && memcmp(bytes, "\xff\xfe", 2) == 0, big = len >= 2 && memcmp(bytes, "\xfe\xff", 2) == 0;
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        len -= 3;
    } else if (little || big) {
        char *decoded = ensure(&scanner->decoded, &scanner->decoded_cap, len / 2 * 3 + 1);
        if (!decoded)
            return false;
        len = text_from_utf16(bytes + 2, len - 2, big, decoded);
        bytes = decoded;
    }
    const char *nul = memchr(bytes, '\0', len);
    *out_binary = nul != NULL;
    if (nul && nul - bytes < BINARY_LOOK) {
        len = 0;
    } else if (nul) {
        len = start_of_line(bytes, (size_t)(nul - bytes));
    }
    scanner->text = bytes;
    scanner->len = len;
    return true;
}

static void prepare(struct rb_pattern_scanner *scanner, const bool *wanted)
{
    scanner->wanted = wanted;
    scanner->hit_count = 0;
    scanner->failed = false;
    scanner->wide_pass = false;
    memset(scanner->misses, 0, scanner->set->count * sizeof(*scanner->misses));
    for (size_t i = 0; i < scanner->set->count; i++)
        scanner->confirmers[i].hits = 0;
}

int rb_pattern_scan(struct rb_pattern_scanner *scanner, const char *bytes, size_t len, const bool *wanted, struct rb_pattern_result *out,
                    struct rb_error *err)
{
    bool binary = false;
    if (len > UINT32_MAX)
        return rb_error_set(err, RB_ELIMIT, "the text is larger than 4 GiB");
    prepare(scanner, wanted);
    if (!choose_text(scanner, bytes, len, &binary))
        return rb_error_set(err, RB_ENOMEM, "out of memory while searching for patterns");
    scanner->ascii = !scanner->set->any_wide || text_is_ascii(scanner->text, scanner->len);
    if (scanner->len > 0) {
        search_narrow(scanner);
        if (!scanner->ascii)
            search_wide(scanner);
        if (scanner->set->any_lines)
            search_lines(scanner);
    }
    if (scanner->failed)
        return rb_error_set(err, RB_ENOMEM, "out of memory while searching for patterns");
    order_hits(scanner);
    *out = (struct rb_pattern_result){.hits = scanner->hits,
                                      .count = scanner->hit_count,
                                      .misses = scanner->misses,
                                      .text = scanner->text,
                                      .len = scanner->len,
                                      .binary = binary};
    return 0;
}
