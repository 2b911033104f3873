/* Discovery: from where it stands to a configuration *text*, the same that `init` writes; the daemon then loads that text like any file.
 * Quiet on a healthy developer machine (SPEC 4). Reads the file system and the list of listeners; starts no program, opens no connection. */
#ifndef RUNBOOK_CONFIG_DISCOVERY_H
#define RUNBOOK_CONFIG_DISCOVERY_H

#include "runbook/base/buf.h"
#include "runbook/config/plan.h"
#include "runbook/platform/platform.h"

struct rb_discovery_request {
    const char *root; /* absolute */
    const struct rb_platform *platform;
    const struct rb_kind_list *kinds; /* checks of kinds that are not registered are left out; NULL: every kind is */
};

/* Appends a commented YAML configuration to `out`. Thread: config. */
int rb_discover(const struct rb_discovery_request *request, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* What discovery looks at and which programs its plan may start: text for `explain --discovery`. */
void rb_discovery_explain(struct rb_buf *out);

#endif
