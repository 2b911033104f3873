/* The ratchet of command: findings in a program's output that people accepted stay quiet, new ones keep its verdict. */
#ifndef RB_KINDS_COMMAND_RATCHET_H
#define RB_KINDS_COMMAND_RATCHET_H

#include "runbook/check/kind.h"

struct rb_command_ratchet {
    bool on;
    const char *accepted; /* file below root, or NULL: .runbookd/NAME.accepted */
    const char *findings; /* regular expression of the lines that are findings, or NULL: every line that is not empty */
};

static inline bool rb_command_ratchet_on(const struct rb_command_ratchet *ratchet)
{
    return ratchet->on || ratchet->accepted || ratchet->findings;
}

/* Looks at the output (masked already) of a program whose exit code means warn or fail. All findings accepted: ok. Some new: the verdict stays, with reason `new_findings` and
 * their fingerprints as evidence. No finding at all: it failed in another way and nothing changes. */
void rb_command_ratchet_judge(const struct rb_check_ctx *ctx, const struct rb_command_ratchet *ratchet, const struct rb_buf *text,
                              struct rb_outcome *out);

#endif
