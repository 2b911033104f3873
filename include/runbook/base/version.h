/* Version numbers as programs print them: found in text, compared by their numbers, pre-releases before their release. */
#ifndef RUNBOOK_BASE_VERSION_H
#define RUNBOOK_BASE_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RB_VERSION_PARTS 8u

/* "3.12.0rc1" is parts 3, 12, 0 with stage RC and stage_number 1. */
struct rb_version {
    uint64_t parts[RB_VERSION_PARTS];
    size_t count; /* of parts as written; what is missing counts as 0 */
    enum rb_version_stage {
        RB_VERSION_DEV,
        RB_VERSION_ALPHA,
        RB_VERSION_BETA,
        RB_VERSION_RC,
        RB_VERSION_RELEASE,
        RB_VERSION_PATCH /* something after the release: "9.6p1", "1.1.1w", "6.1.0-18-amd64" */
    } stage;
    uint64_t stage_number;
};

/* Reads a version at the start of `text` (a leading "v" is skipped) and returns the number of bytes that belong to it; 0 when there is none. Parts beyond
 * RB_VERSION_PARTS are read and ignored; numbers saturate. */
size_t rb_version_parse(const char *text, size_t len, struct rb_version *out);
/* True when the whole of `text` is one version. */
bool rb_version_parse_all(const char *text, struct rb_version *out);
/* The first version in free text: the first "N.N…", else the first number that stands alone. Returns its start and sets `*out_len`; NULL when there is none. */
const char *rb_version_find(const char *text, size_t len, size_t *out_len);

/* < 0, 0, > 0. Missing parts are 0: 3.11 equals 3.11.0. A pre-release is less than its release, a patch level more. */
int rb_version_compare(const struct rb_version *a, const struct rb_version *b);
/* As above, but only the parts that `bound` has, and no stage: 3.12.4 equals the bound 3.12. */
int rb_version_compare_to_bound(const struct rb_version *version, const struct rb_version *bound);

#endif
