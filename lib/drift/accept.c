/* Acceptances merged into a baseline, and the rules that refuse them. */
#include "runbook/drift/accept.h"

#include <stdlib.h>
#include <string.h>

#include "runbook/base/text.h"

static int check_text(const char *what, const char *text, bool required, struct rb_error *err)
{
    size_t len = text ? strlen(text) : 0;
    bool blank = !text || text[strspn(text, " \t")] == '\0';
    if (required && blank)
        return rb_error_set(err, RB_EINVAL, "%s is missing: say why this change is intended, e.g. --reason 'PR #1234'", what);
    if (len > RB_DRIFT_MAX_REASON)
        return rb_error_set(err, RB_EINVAL, "%s is longer than %d bytes", what, RB_DRIFT_MAX_REASON);
    if (text && !rb_text_is_plain(text, len))
        return rb_error_set(err, RB_EINVAL, "%s holds control or invisible characters", what);
    return 0;
}

int rb_drift_acceptance_check(const struct rb_drift_acceptance *acceptance, struct rb_error *err)
{
    int rc = check_text("the reason", acceptance->why, true, err);
    rc = rc == 0 ? check_text("the reference", acceptance->ref, false, err) : rc;
    rc = rc == 0 ? check_text("who accepts", acceptance->who, true, err) : rc;
    if (rc == 0 && acceptance->until_wall_ns != 0 && acceptance->until_wall_ns <= acceptance->now_wall_ns)
        rc = rb_error_set(err, RB_EINVAL, "the acceptance would end in the past");
    return rc;
}

static int compare_overlays(const void *left, const void *right)
{
    return strcmp(((const struct rb_drift_overlay *)left)->key, ((const struct rb_drift_overlay *)right)->key);
}

static bool replaced(const struct rb_drift_item *const *items, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i]->key, key) == 0)
            return true;
    return false;
}

/* What stays of the older acceptances: not those of the items, and not those whose time is over. */
static size_t keep_overlays(const struct rb_drift_baseline *baseline, const struct rb_drift_item *const *items, size_t count,
                            int64_t now_wall_ns, struct rb_drift_overlay *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < baseline->overlay_count; i++) {
        const struct rb_drift_overlay *overlay = &baseline->overlays[i];
        int64_t until = overlay->accepted.until_wall_ns;
        if ((until == 0 || now_wall_ns < until) && !replaced(items, count, overlay->key))
            out[kept++] = *overlay;
    }
    return kept;
}

int rb_drift_accept(const struct rb_drift_baseline *baseline, const struct rb_drift_item *const *items, size_t count,
                    const struct rb_drift_acceptance *acceptance, struct rb_arena *arena, struct rb_drift_baseline *out,
                    struct rb_error *err)
{
    if (baseline->overlay_count + count > RB_DRIFT_MAX_OVERLAYS)
        return rb_error_set(err, RB_ELIMIT, "more than %d accepted items over one baseline: record a new baseline", RB_DRIFT_MAX_OVERLAYS);
    struct rb_drift_overlay *overlays = rb_arena_array(arena, baseline->overlay_count + count + 1, sizeof *overlays);
    if (!overlays)
        return rb_error_set(err, RB_ENOMEM, "no memory for the acceptance");
    size_t kept = keep_overlays(baseline, items, count, acceptance->now_wall_ns, overlays);
    for (size_t i = 0; i < count; i++)
        overlays[kept++] = (struct rb_drift_overlay){
            .key = items[i]->key,
            .value = items[i]->new_value,
            .kept_text = items[i]->kept_text,
            .at_wall_ns = acceptance->now_wall_ns,
            .accepted = {
                .who = acceptance->who, .why = acceptance->why, .ref = acceptance->ref, .until_wall_ns = acceptance->until_wall_ns}};
    qsort(overlays, kept, sizeof *overlays, compare_overlays);
    *out = *baseline;
    out->overlays = overlays;
    out->overlay_count = kept;
    return 0;
}
