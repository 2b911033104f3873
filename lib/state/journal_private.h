/* The two halves of the journal: journal.c (loop thread: ring and queue) and journal_file.c (one worker at a time: the file). */
#ifndef RB_STATE_JOURNAL_PRIVATE_H
#define RB_STATE_JOURNAL_PRIVATE_H

#include "runbook/state/journal.h"

#define JOURNAL_ROTATE_BYTES ((size_t)4 << 20)
#define JOURNAL_READ_MAX     ((size_t)16 << 20)
#define JOURNAL_LINE_MAX     ((size_t)32 << 10)

/* Belongs to whoever writes: the journal while nothing is on its way, else the batch's thread. */
struct journal_file {
    int dir_fd, fd; /* -1: not open */
    size_t size;    /* bytes up to the end of the last whole line */
    bool torn;      /* half a line could not be cut off: begin the next one with a newline */
};

struct rb_journal_batch {
    struct journal_file *file;
    char *lines;
    size_t len;
    size_t count;
    size_t written; /* bytes of `lines` that are safe */
    size_t written_count;
    struct rb_error err; /* code 0 when all was written */
};

/* One line as read back. Strings live in `json` (a json_t). */
struct journal_line {
    uint64_t seq, session;
    int64_t wall_ns, elapsed_ns;
    enum rb_event_kind kind;
    const char *check, *from, *to, *text;
    void *json;
};
typedef bool journal_visit(void *ctx, const struct journal_line *line); /* false: memory is out */

void rb_journal_file_init(struct journal_file *file);
void rb_journal_file_close(struct journal_file *file);
/* Opens the folder and the file, cuts a torn end off (unless read_only), visits every good line of the old and the current file. */
int rb_journal_file_open(struct journal_file *file, const char *dir, bool read_only, journal_visit *visit, void *ctx,
                         struct rb_journal_report *report, struct rb_error *err) RB_MUST_CHECK;

#endif
