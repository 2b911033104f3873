/* Which processes belong to a folder. */
#ifndef RUNBOOK_SOURCE_PROCESS_H
#define RUNBOOK_SOURCE_PROCESS_H

#include <stdbool.h>

#include "runbook/base/buf.h"
#include "runbook/platform/platform.h"

/* Appends the command line, joined by blanks. */
void rb_process_command(const struct rb_process *process, struct rb_buf *out);

/* True when the working folder lies in `folder` (absolute, no slash at its end) or `command` names it or something in it as a whole path. */
bool rb_process_lies_in(const struct rb_process *process, const char *command, const char *folder);

/* The same for arguments that name the folder in another way: through symbolic links, with `..`, or relative to the working folder. Reads links, one readlink per
 * component; never goes below `mounts` (NULL-terminated, may hang) unless `folder` lies there too. Workers only. */
bool rb_process_leads_to(const struct rb_process *process, const char *folder, const char *const *mounts);

#endif
