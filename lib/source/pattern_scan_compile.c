/* Patterns into one Vectorscan database, and one more for those that mean something else on non-ASCII text.
 *
 * Invariant: a database finds at least every line on which PCRE2 would say yes; too many is fine, PCRE2 has the last word. Whatever may
 * break that promise (anchors of the whole text, constructs that only PCRE2 knows) goes to PCRE2 line by line. No start offsets are asked for: they cost
 * speed, and PCRE2 tells them. Compiling is the costly part of a short scan, so most patterns are in one database only. */
#include "pattern_scan_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pattern that only names ASCII characters one by one matches bytes as it matches characters. */
static bool means_more_than_bytes(const struct rb_pattern *pattern)
{
    if (pattern->flags & RB_PATTERN_BYTES)
        return false;
    const char *text = pattern->filter ? pattern->filter : pattern->regex;
    if ((pattern->flags & RB_PATTERN_IGNORE_CASE) && strpbrk(text, "kKsS"))
        return true; /* U+212A and U+017F fold to them */
    for (const char *at = text; *at; at++) {
        if (*at == '.' || (unsigned char)*at >= 0x80)
            return true;
        if (*at == '[' && (at[1] == '^' || at[1] == ':'))
            return true;
        if (*at == '(' && at[1] == '?' && at[2] != ':')
            return true;
        if (*at != '\\')
            continue;
        at++;
        if (*at == '\0' || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9'))
            return true;
    }
    return false;
}

/* Things that PCRE2 on one line and Vectorscan on the whole text understand differently, in the direction that would lose matches. */
static bool needs_lines(const char *regex)
{
    static const char *const anchors[] = {"\\A", "\\Z", "\\z", "\\G", "\\K", "\\R", "\\X", "\\Q", "(*", NULL};
    for (size_t i = 0; anchors[i]; i++)
        if (strstr(regex, anchors[i]))
            return true;
    for (const char *at = strstr(regex, "(?"); at; at = strstr(at + 2, "(?")) {
        const char *flags = at + 2;
        const char *end = flags + strspn(flags, "imsxnJU^-");
        if (end != flags && (*end == ')' || *end == ':') && (memchr(flags, '-', (size_t)(end - flags)) || *flags == '^'))
            return true; /* (?-m) takes ^ and $ away from the lines */
    }
    return false;
}

/* A '$' that is not escaped; one within a class is taken for one too. */
static bool looks_at_end(const char *regex)
{
    for (const char *at = regex; *at; at++) {
        if (*at == '$')
            return true;
        if (*at == '\\' && at[1])
            at++;
    }
    return false;
}

pcre2_code *pattern_compile(const struct rb_pattern *pattern, struct rb_error *err)
{
    uint32_t options = pattern->flags & RB_PATTERN_BYTES ? 0 : PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_UCP;
    if (pattern->flags & RB_PATTERN_IGNORE_CASE)
        options |= PCRE2_CASELESS;
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context) /* the line's end is not part of the subject: '.' may match any byte, also a lone '\r' */
        (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_code *compiled = context ? pcre2_compile((PCRE2_SPTR)pattern->regex, PCRE2_ZERO_TERMINATED, options, &code, &offset, context)
                                   : NULL;
    pcre2_compile_context_free(context);
    if (compiled) {
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without it the interpreter does the work */
        return compiled;
    }
    PCRE2_UCHAR reason[160] = {0};
    (void)pcre2_get_error_message(code, reason, sizeof reason);
    (void)rb_error_set(err, RB_EINVAL, "\"%s\" is no regular expression: %s at character %zu", pattern->regex, (const char *)reason,
                       (size_t)offset + 1);
    return NULL;
}

/* One database's input: parallel arrays as Vectorscan wants them. */
struct input {
    const char **texts;
    unsigned *flags, *ids;
    unsigned count;
};

static void take_out(struct input *input, size_t at)
{
    input->count--;
    memmove(input->texts + at, input->texts + at + 1, (input->count - at) * sizeof(*input->texts));
    memmove(input->flags + at, input->flags + at + 1, (input->count - at) * sizeof(*input->flags));
    memmove(input->ids + at, input->ids + at + 1, (input->count - at) * sizeof(*input->ids));
}

static void to_lines(struct rb_pattern_set *set, size_t pattern, bool wide)
{
    set->any_lines = true;
    for (size_t next = pattern + 1; next != 0; next = set->infos[next - 1].next) {
        if (wide)
            set->infos[next - 1].wide_way_lines = true;
        else
            set->infos[next - 1].way = WAY_LINES;
    }
}

/* Compiles what is in `input`; each pattern that fails is tried once more as a rough filter and then left to PCRE2. */
static int compile_input(struct rb_pattern_set *set, struct input *input, bool wide, hs_database_t **out, struct rb_error *err)
{
    while (input->count > 0) {
        hs_compile_error_t *failure = NULL;
        hs_error_t code = hs_compile_multi(input->texts, input->flags, input->ids, input->count, HS_MODE_BLOCK, NULL, out, &failure);
        int at = failure ? failure->expression : -1;
        bool memory = code == HS_NOMEM;
        char why[160];
        (void)snprintf(why, sizeof why, "%s", failure && failure->message ? failure->message : "unknown");
        hs_free_compile_error(failure);
        if (code == HS_SUCCESS)
            return 0;
        if (memory)
            return rb_error_set(err, RB_ENOMEM, "out of memory while compiling patterns");
        if (at < 0 && input->count == 1)
            at = 0;
        if (at < 0)
            return rb_error_set(err, RB_EUNSUPPORTED, "the patterns cannot be compiled together (%s): fewer or simpler ones", why);
        if (!(input->flags[at] & HS_FLAG_PREFILTER)) {
            input->flags[at] |= HS_FLAG_PREFILTER;
        } else {
            to_lines(set, input->ids[at], wide);
            take_out(input, (size_t)at);
        }
    }
    return 0;
}

static int compile_database(struct rb_pattern_set *set, bool wide, hs_database_t **out, struct rb_error *err)
{
    struct input input = {.texts = calloc(set->count + 1, sizeof(*input.texts)),
                          .flags = calloc(set->count + 1, sizeof(*input.flags)),
                          .ids = calloc(set->count + 1, sizeof(*input.ids))};
    bool have = input.texts && input.flags && input.ids;
    int code = have ? 0 : rb_error_set(err, RB_ENOMEM, "out of memory while compiling patterns");
    for (size_t i = 0; have && i < set->count; i++) {
        const struct rb_pattern *pattern = &set->patterns[i];
        if ((wide && !set->infos[i].wide) || set->infos[i].way == WAY_LINES || set->infos[i].follows)
            continue;
        input.texts[input.count] = pattern->filter ? pattern->filter : pattern->regex;
        input.flags[input.count] = HS_FLAG_MULTILINE | (wide ? HS_FLAG_UTF8 | HS_FLAG_UCP : 0u) |
                                   (pattern->flags & RB_PATTERN_IGNORE_CASE ? HS_FLAG_CASELESS : 0u);
        input.ids[input.count++] = (unsigned)i;
    }
    if (code == 0)
        code = compile_input(set, &input, wide, out, err);
    free(input.texts);
    free(input.flags);
    free(input.ids);
    return code;
}

/* Rules that share a filter share its place in the database. Only filters: they are ours, and known to compile. */
static void join_equal(struct rb_pattern_set *set, size_t index)
{
    const struct rb_pattern *pattern = &set->patterns[index];
    if (!pattern->filter || index == 0)
        return;
    const struct rb_pattern *before = &set->patterns[index - 1];
    if (before->filter && before->flags == pattern->flags && strcmp(before->filter, pattern->filter) == 0) {
        set->infos[index - 1].next = (unsigned)index + 1;
        set->infos[index].follows = true;
    }
}

/* Every expression must be PCRE2's before anything relies on it; `ways` are decided on the way. */
static int study(struct rb_pattern_set *set, size_t *out_bad, struct rb_error *err)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct rb_pattern *pattern = &set->patterns[i];
        struct pattern_info *info = &set->infos[i];
        const char *sought = pattern->filter ? pattern->filter : pattern->regex;
        info->wide = means_more_than_bytes(pattern);
        info->ends = looks_at_end(sought);
        if (needs_lines(sought))
            to_lines(set, i, false);
        set->any_wide = set->any_wide || info->wide;
        set->any_ends = set->any_ends || info->ends;
        join_equal(set, i);
        if (pattern->filter)
            continue; /* our own rules: compiled when a line asks for them, and all of them in their tests */
        pcre2_code *code = pattern_compile(pattern, err);
        *out_bad = i;
        if (!code)
            return RB_EINVAL;
        uint32_t empty = 0;
        (void)pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &empty);
        pcre2_code_free(code);
        if (empty) /* its matches have no end that lies within a line */
            to_lines(set, i, false);
    }
    return 0;
}

int rb_pattern_set_new(const struct rb_pattern *patterns, size_t count, struct rb_pattern_set **out, size_t *out_bad, struct rb_error *err)
{
    size_t bad = 0;
    if (count > RB_PATTERN_MAX_COUNT)
        return rb_error_set(err, RB_ELIMIT, "more than %d patterns in one scan: join some with |", RB_PATTERN_MAX_COUNT);
    if (hs_valid_platform() != HS_SUCCESS)
        return rb_error_set(err, RB_EUNSUPPORTED, "this processor lacks what Vectorscan needs (SSE4.2 or NEON)");
    struct rb_pattern_set *set = calloc(1, sizeof(*set));
    if (set)
        set->infos = calloc(count ? count : 1, sizeof(*set->infos));
    if (!set || !set->infos) {
        rb_pattern_set_free(set);
        return rb_error_set(err, RB_ENOMEM, "out of memory while compiling patterns");
    }
    set->patterns = patterns;
    set->count = count;
    int code = study(set, out_bad ? out_bad : &bad, err);
    if (code == 0)
        code = compile_database(set, false, &set->narrow, err);
    if (code == 0 && set->any_wide)
        code = compile_database(set, true, &set->wide, err);
    if (code < 0) {
        rb_pattern_set_free(set);
        return code;
    }
    *out = set;
    return 0;
}

void rb_pattern_set_free(struct rb_pattern_set *set)
{
    if (!set)
        return;
    (void)hs_free_database(set->narrow);
    (void)hs_free_database(set->wide);
    free(set->infos);
    free(set);
}
