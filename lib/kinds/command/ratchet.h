/* The ratchet of command: findings in a program's output that people accepted stay quiet, new ones keep its verdict. */
#ifndef RB_KINDS_COMMAND_RATCHET_H
#define RB_KINDS_COMMAND_RATCHET_H

#include "runbook/check/kind.h"
#include "runbook/source/accepted.h"

struct rb_command_ratchet {
    bool on;
    const char *accepted; /* file below root, or NULL: .runbookd/NAME.accepted */
    const char *findings; /* regular expression of the lines that are findings, or NULL: every line that is not empty */
};

/* The accepted findings, as the worker part read them. */
struct rb_command_accepted {
    const char *path;
    struct rb_accepted list;
    int code; /* below 0: `problem` */
    struct rb_error problem;
};

static inline bool rb_command_ratchet_on(const struct rb_command_ratchet *ratchet)
{
    return ratchet->on || ratchet->accepted || ratchet->findings;
}

/* Reads the list. May block: workers only. */
void rb_command_ratchet_read(const struct rb_check_ctx *ctx, const struct rb_command_ratchet *ratchet, struct rb_command_accepted *out);

/* Looks at the output (masked already) of a program whose exit code means warn or fail. All findings accepted: ok. Some new: the verdict stays, with reason `new_findings` and
 * their fingerprints as evidence. No finding at all: it failed in another way and nothing changes. */
void rb_command_ratchet_judge(const struct rb_check_ctx *ctx, const struct rb_command_ratchet *ratchet, const struct rb_buf *text,
                              const struct rb_command_accepted *accepted, struct rb_outcome *out);

#endif
