/* Input: pattern, newline, path. Holds: a pattern that is refused matches nothing, and pruning never hides a match. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "runbook/base/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    char *pattern = fuzz_string(data, size);
    char *path = strchr(pattern, '\n');
    if (path)
        *path++ = '\0';
    else
        path = pattern + strlen(pattern);
    bool valid = rb_glob_check(pattern, NULL) == 0;
    bool matches = rb_glob_match(pattern, path);
    FUZZ_HOLDS(valid || !matches);
    (void)rb_glob_is_literal(pattern);
    char *slash;
    while ((slash = strrchr(path, '/')) != NULL) {
        *slash = '\0';
        FUZZ_HOLDS(rb_glob_may_match_below(pattern, path) || !matches);
    }
    free(pattern);
    return 0;
}
