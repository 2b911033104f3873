/* Regular expressions on hostile text: PCRE2 with limits, so that no body can hold the loop.
 *
 * PCRE2's own limit counts anew from every position at which a match may begin: a page of long lines and an ordinary pattern (a.*[bc]) took minutes. The budget here is for the
 * whole text: PCRE2 calls back before every item of the pattern, and each call costs one step and more for every 16 bytes that were passed since the last one.
 *
 * A pattern is compiled for each use: that costs a few microseconds, while a cache would need an owner that outlives runs and reloads. */
#include "runbook/check/match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCH_LIMIT = 200000, DEPTH_LIMIT = 2000, HEAP_LIMIT_KIB = 4096, STEPS = 6000000, BYTES_PER_STEP = 16 };

struct budget {
    size_t left, at;
};

static int spend(pcre2_callout_block *block, void *arg)
{
    struct budget *budget = arg;
    size_t at = block->current_position, moved = at > budget->at ? at - budget->at : budget->at - at;
    size_t cost = 1 + moved / BYTES_PER_STEP;
    budget->at = at;
    if (cost > budget->left)
        return PCRE2_ERROR_MATCHLIMIT;
    budget->left -= cost;
    return 0;
}

enum rb_match rb_match_regex(const char *pattern, const char *text, size_t len, size_t *out_end)
{
    int code;
    PCRE2_SIZE offset;
    enum rb_match verdict = RB_MATCH_GAVE_UP;
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE | PCRE2_AUTO_CALLOUT, &code, &offset, NULL);
    struct budget budget = {.left = STEPS};
    pcre2_match_data *match = regex ? pcre2_match_data_create(1, NULL) : NULL;
    pcre2_match_context *limits = match ? pcre2_match_context_create(NULL) : NULL;
    if (limits) {
        (void)pcre2_set_match_limit(limits, MATCH_LIMIT);
        (void)pcre2_set_depth_limit(limits, DEPTH_LIMIT);
        (void)pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
        (void)pcre2_set_callout(limits, spend, &budget);
        int found = pcre2_match(regex, (PCRE2_SPTR)text, len, 0, 0, match, limits);
        if (found >= 0)
            verdict = RB_MATCH_YES;
        else if (found == PCRE2_ERROR_NOMATCH)
            verdict = RB_MATCH_NO;
        if (verdict == RB_MATCH_YES && out_end)
            *out_end = pcre2_get_ovector_pointer(match)[1];
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(match);
    pcre2_code_free(regex);
    return verdict;
}
