/* The journal: what happened, in order, across restarts. Append-only lines in the state folder, each with a checksum; bounded by rotation.
 *
 * Format (docs/state-format.md): first line "runbookd journal 1\n"; then one event a line: "<seq> <wall_ns> <elapsed_ns> <boot> <type> <json>  <crc32c hex>\n".
 * `seq` grows by one and orders events even when the wall clock steps back. A torn last line is cut off at opening; a damaged line is skipped and counted with its number.
 *
 * Threads: append on the loop thread only formats and queues (bounded; beyond it events are dropped and counted). rb_journal_flush does the writing and runs on a worker task.
 * Entries are immutable and reference-counted; the ring holds the newest RB_TIMELINE_MAX. */
#ifndef RUNBOOK_STATE_JOURNAL_H
#define RUNBOOK_STATE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/buf.h"
#include "runbook/base/clock.h"

#define RB_TIMELINE_MAX 1024u

enum rb_event_kind {
    RB_EVENT_KIND_STATE,
    RB_EVENT_KIND_HEAD,
    RB_EVENT_KIND_RELOAD,
    RB_EVENT_KIND_SLEEP,
    RB_EVENT_KIND_START,
    RB_EVENT_KIND_STOP,
    RB_EVENT_KIND_CLOCK_STEP,
    RB_EVENT_KIND_NOTE,
    RB_EVENT_KIND_DRIFT,
    RB_EVENT_KIND_CONTAINER,
    RB_EVENT_KIND_ALERT,
    RB_EVENT_KIND_SAFETY,
    RB_EVENT_KIND_GAP,
    RB_EVENT_KIND_COUNT
};
const char *rb_event_kind_name(enum rb_event_kind kind); /* "state", "head" … */

struct rb_event_entry {
    unsigned refs;
    uint64_t seq;
    int64_t wall_ns, elapsed_ns;
    enum rb_event_kind kind;
    const char *check;     /* or NULL */
    const char *from, *to; /* states, commits …; or NULL */
    const char *text;      /* one line for people; already redacted */
};
struct rb_event_entry *rb_event_entry_ref(struct rb_event_entry *entry);
void rb_event_entry_unref(struct rb_event_entry *entry);

struct rb_journal;
struct rb_journal_report {
    size_t events, damaged, torn;
    unsigned first_damaged_line;
};
/* Opens or creates <dir>/journal; reads the newest events into the ring. `read_only`: nothing is created or cut. */
int rb_journal_open(const char *dir, const struct rb_clock *clock, bool read_only, struct rb_journal **out,
                    struct rb_journal_report *report, struct rb_error *err) RB_MUST_CHECK;
/* A journal without a folder (tests, --no-state): only the ring. NULL when memory is out. */
struct rb_journal *rb_journal_new_memory(const struct rb_clock *clock);
void rb_journal_free(struct rb_journal *journal); /* flush first */

/* What is appended from now on has a higher `seq` than this one. */
void rb_journal_number_after(struct rb_journal *journal, uint64_t seq);

struct rb_journal_event {
    enum rb_event_kind kind;
    const char *check, *from, *to, *text;
    int64_t wall_ns; /* when it happened; 0: now. The order is that of appending */
};
/* Queues one event; text is redacted here. Loop thread. */
void rb_journal_append(struct rb_journal *journal, const struct rb_journal_event *event);
bool rb_journal_dirty(const struct rb_journal *journal);
/* Takes what is queued (loop thread) … */
struct rb_journal_batch;
struct rb_journal_batch *
rb_journal_take(struct rb_journal *journal); /* NULL when nothing is queued, or while a batch is on its way: order is kept */
/* … writes and syncs it (any one thread; rotates at 4 MiB keeping one old file) … */
void rb_journal_write(struct rb_journal_batch *batch);
/* … and reports back (loop thread); frees the batch. A failed write is kept and tried again with the next one, within the bound. */
int rb_journal_written(struct rb_journal *journal, struct rb_journal_batch *batch, struct rb_error *err);
/* The newest `max` entries, newest last, each with a reference taken. Loop thread. */
size_t rb_journal_recent(struct rb_journal *journal, struct rb_event_entry **out, size_t max);
size_t rb_journal_ring_count(const struct rb_journal *journal); /* entries that rb_journal_recent can give */
uint64_t rb_journal_dropped(const struct rb_journal *journal);
uint64_t rb_journal_count(const struct rb_journal *journal); /* appended since it was opened */

#endif
