/* The journal on the loop thread: the ring of the newest entries and the queue of lines that wait for a writer.
 *
 * Invariants: an entry is numbered when it happens, whether or not it can be written; a gap in `seq` therefore shows a loss, and a `gap` entry tells it in words once there is room
 * again. At most one batch is on its way, so the file keeps the order. The queue is bounded in events and in bytes. Text is redacted first and escaped second: what is stored is
 * one line of valid UTF-8, in which only '"' and '\' need JSON's quoting.
 *
 * `session` (the format's <boot>) is the number of times that this journal was opened for writing: elapsed times compare only within one. */
#include "runbook/state/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal_private.h"
#include "runbook/base/digest.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"

#define QUEUE_MAX       4096u
#define QUEUE_BYTES_MAX ((size_t)4 << 20)
#define TEXT_MAX        ((size_t)2048) /* bytes of one member as it comes in */
#define CLEAN_MAX       ((size_t)6 * TEXT_MAX)

struct rb_journal {
    const struct rb_clock *clock;
    struct journal_file file;
    bool writes; /* has a folder, and may write there */
    struct rb_event_entry *ring[RB_TIMELINE_MAX];
    size_t ring_next, ring_count;
    uint64_t next_seq, session;
    struct rb_buf queue;
    size_t queue_count;
    struct rb_journal_batch *on_its_way;
    uint64_t dropped, dropped_untold, appended;
};

static const char *const kind_names[RB_EVENT_KIND_COUNT] = {
    [RB_EVENT_KIND_STATE] = "state",
    [RB_EVENT_KIND_HEAD] = "head",
    [RB_EVENT_KIND_RELOAD] = "reload",
    [RB_EVENT_KIND_SLEEP] = "sleep",
    [RB_EVENT_KIND_START] = "start",
    [RB_EVENT_KIND_STOP] = "stop",
    [RB_EVENT_KIND_CLOCK_STEP] = "clock_step",
    [RB_EVENT_KIND_NOTE] = "note",
    [RB_EVENT_KIND_DRIFT] = "drift",
    [RB_EVENT_KIND_CONTAINER] = "container",
    [RB_EVENT_KIND_ALERT] = "alert",
    [RB_EVENT_KIND_SAFETY] = "safety",
    [RB_EVENT_KIND_GAP] = "gap",
};

const char *rb_event_kind_name(enum rb_event_kind kind)
{
    return (unsigned)kind < RB_EVENT_KIND_COUNT ? kind_names[kind] : "note";
}

/* ---- entries ---- */

struct rb_event_entry *rb_event_entry_ref(struct rb_event_entry *entry)
{
    (void)__atomic_add_fetch(&entry->refs, 1, __ATOMIC_RELAXED);
    return entry;
}

void rb_event_entry_unref(struct rb_event_entry *entry)
{
    if (entry && __atomic_sub_fetch(&entry->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(entry);
}

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *put_text(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

/* One allocation: the entry with its strings behind it. */
static struct rb_event_entry *entry_new(const struct journal_line *line)
{
    size_t size = text_size(line->check) + text_size(line->from) + text_size(line->to) + text_size(line->text);
    struct rb_event_entry *entry = malloc(sizeof *entry + size);
    if (!entry)
        return NULL;
    *entry = (struct rb_event_entry){
        .refs = 1, .seq = line->seq, .wall_ns = line->wall_ns, .elapsed_ns = line->elapsed_ns, .kind = line->kind};
    char *at = (char *)(entry + 1);
    entry->check = put_text(&at, line->check);
    entry->from = put_text(&at, line->from);
    entry->to = put_text(&at, line->to);
    entry->text = line->text ? put_text(&at, line->text) : "";
    return entry;
}

static void ring_put(struct rb_journal *journal, struct rb_event_entry *entry)
{
    rb_event_entry_unref(journal->ring[journal->ring_next]);
    journal->ring[journal->ring_next] = entry;
    journal->ring_next = (journal->ring_next + 1) % RB_TIMELINE_MAX;
    if (journal->ring_count < RB_TIMELINE_MAX)
        journal->ring_count++;
}

size_t rb_journal_recent(struct rb_journal *journal, struct rb_event_entry **out, size_t max)
{
    size_t count = journal->ring_count < max ? journal->ring_count : max;
    for (size_t i = 0; i < count; i++) {
        size_t at = (journal->ring_next + RB_TIMELINE_MAX - count + i) % RB_TIMELINE_MAX;
        out[i] = rb_event_entry_ref(journal->ring[at]);
    }
    return count;
}

/* ---- life ---- */

struct rb_journal *rb_journal_new_memory(const struct rb_clock *clock)
{
    struct rb_journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return NULL;
    journal->clock = clock;
    journal->next_seq = 1;
    journal->session = 1;
    rb_journal_file_init(&journal->file);
    rb_buf_init(&journal->queue, QUEUE_BYTES_MAX);
    return journal;
}

void rb_journal_number_after(struct rb_journal *journal, uint64_t seq)
{
    if (seq < INT64_MAX && seq >= journal->next_seq)
        journal->next_seq = seq + 1;
}

static bool remember(void *ctx, const struct journal_line *line)
{
    struct rb_journal *journal = ctx;
    journal->next_seq = line->seq + 1;
    if (line->session >= journal->session)
        journal->session = line->session + 1;
    struct rb_event_entry *entry = entry_new(line);
    if (entry)
        ring_put(journal, entry);
    return entry != NULL;
}

int rb_journal_open(const char *dir, const struct rb_clock *clock, bool read_only, struct rb_journal **out,
                    struct rb_journal_report *report, struct rb_error *err)
{
    struct rb_journal *journal = rb_journal_new_memory(clock);
    if (!journal)
        return rb_error_set(err, RB_ENOMEM, "not enough memory for the journal");
    struct rb_journal_report unused = {0};
    struct rb_journal_report *told = report ? report : &unused;
    *told = (struct rb_journal_report){0};
    int rc = rb_journal_file_open(&journal->file, dir, read_only, remember, journal, told, err);
    if (rc < 0) {
        rb_journal_free(journal);
        return rc;
    }
    journal->writes = !read_only;
    *out = journal;
    return 0;
}

void rb_journal_free(struct rb_journal *journal)
{
    if (!journal)
        return;
    for (size_t i = 0; i < RB_TIMELINE_MAX; i++)
        rb_event_entry_unref(journal->ring[i]);
    rb_buf_fini(&journal->queue);
    rb_journal_file_close(&journal->file);
    free(journal);
}

/* ---- appending ---- */

/* Redacted, escaped, bounded. Empty when memory is out. NULL stays NULL. */
static const char *clean(struct rb_buf *out, const char *text)
{
    if (!text)
        return NULL;
    size_t len = strnlen(text, TEXT_MAX);
    RB_BUF_AUTO redacted;
    rb_buf_init(&redacted, 2 * TEXT_MAX);
    (void)rb_redact(&redacted, text, len);
    if (!redacted.failed)
        rb_text_escape(out, rb_buf_str(&redacted), redacted.len);
    return out->failed ? "" : rb_buf_str(out);
}

static void add_member(struct rb_buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    rb_buf_addf(out, "%s\"%s\":\"", out->data[out->len - 1] == '{' ? "" : ",", name);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            rb_buf_addc(out, '\\');
        rb_buf_addc(out, *c);
    }
    rb_buf_addc(out, '"');
}

static void format_line(const struct journal_line *line, struct rb_buf *out)
{
    rb_buf_addf(out, "%" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64 " %s {", line->seq, line->wall_ns, line->elapsed_ns, line->session,
                rb_event_kind_name(line->kind));
    if (out->failed)
        return;
    add_member(out, "check", line->check);
    add_member(out, "from", line->from);
    add_member(out, "to", line->to);
    add_member(out, "text", line->text);
    rb_buf_addc(out, '}');
    if (!out->failed)
        rb_buf_addf(out, "  %08" PRIx32 "\n", rb_crc32c(0, out->data, out->len));
}

static void drop(struct rb_journal *journal)
{
    journal->dropped++;
    journal->dropped_untold++;
}

static bool has_room(const struct rb_journal *journal, size_t events, size_t bytes)
{
    size_t on_its_way = journal->on_its_way ? journal->on_its_way->count : 0;
    return journal->queue_count + on_its_way + events <= QUEUE_MAX && journal->queue.len + bytes <= QUEUE_BYTES_MAX;
}

static void enqueue(struct rb_journal *journal, const struct journal_line *line)
{
    if (!journal->writes)
        return;
    RB_BUF_AUTO text;
    rb_buf_init(&text, JOURNAL_LINE_MAX);
    format_line(line, &text);
    if (text.failed || !has_room(journal, 1, text.len)) {
        drop(journal);
        return;
    }
    rb_buf_add(&journal->queue, text.data, text.len);
    if (!journal->queue.failed) {
        journal->queue_count++;
        return;
    }
    /* Out of memory half-way is impossible: rb_buf adds all or nothing. What stood there is still whole. */
    journal->queue.failed = journal->queue.out_of_memory = false;
    drop(journal);
}

/* Numbers, remembers and queues one event whose strings are clean. */
static void put(struct rb_journal *journal, struct journal_line *line)
{
    line->seq = journal->next_seq++;
    line->session = journal->session;
    if (line->wall_ns == 0)
        line->wall_ns = rb_wall_ns(journal->clock);
    line->elapsed_ns = rb_elapsed_ns(journal->clock);
    journal->appended++;
    struct rb_event_entry *entry = entry_new(line);
    if (entry)
        ring_put(journal, entry);
    enqueue(journal, line);
}

static void tell_drops(struct rb_journal *journal)
{
    if (!journal->dropped_untold || !has_room(journal, 2, JOURNAL_LINE_MAX))
        return;
    char text[96];
    (void)snprintf(text, sizeof text, "%" PRIu64 " events before this one were not written: the queue was full", journal->dropped_untold);
    journal->dropped_untold = 0;
    put(journal, &(struct journal_line){.kind = RB_EVENT_KIND_GAP, .text = text});
}

void rb_journal_append(struct rb_journal *journal, const struct rb_journal_event *event)
{
    if (!journal)
        return;
    RB_BUF_AUTO check;
    RB_BUF_AUTO from;
    RB_BUF_AUTO to;
    RB_BUF_AUTO text;
    rb_buf_init(&check, CLEAN_MAX);
    rb_buf_init(&from, CLEAN_MAX);
    rb_buf_init(&to, CLEAN_MAX);
    rb_buf_init(&text, CLEAN_MAX);
    tell_drops(journal);
    put(journal, &(struct journal_line){.kind = event->kind,
                                        .wall_ns = event->wall_ns,
                                        .check = clean(&check, event->check),
                                        .from = clean(&from, event->from),
                                        .to = clean(&to, event->to),
                                        .text = clean(&text, event->text ? event->text : "")});
}

/* ---- batches ---- */

bool rb_journal_dirty(const struct rb_journal *journal)
{
    return journal->queue_count > 0;
}

struct rb_journal_batch *rb_journal_take(struct rb_journal *journal)
{
    if (journal->on_its_way || journal->queue_count == 0)
        return NULL;
    struct rb_journal_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->file = &journal->file;
    batch->lines = rb_buf_steal(&journal->queue, &batch->len);
    if (!batch->lines) {
        free(batch);
        return NULL;
    }
    batch->count = journal->queue_count;
    journal->queue_count = 0;
    journal->on_its_way = batch;
    return batch;
}

/* Puts the unwritten lines back, before those that came meanwhile. */
static void put_back(struct rb_journal *journal, const struct rb_journal_batch *batch)
{
    struct rb_buf again;
    rb_buf_init(&again, 2 * QUEUE_BYTES_MAX);
    rb_buf_add(&again, batch->lines + batch->written, batch->len - batch->written);
    rb_buf_add(&again, rb_buf_str(&journal->queue), journal->queue.len);
    if (again.failed) {
        journal->dropped += batch->count - batch->written_count;
        journal->dropped_untold += batch->count - batch->written_count;
        rb_buf_fini(&again);
        return;
    }
    rb_buf_fini(&journal->queue);
    journal->queue = again;
    journal->queue_count += batch->count - batch->written_count;
}

int rb_journal_written(struct rb_journal *journal, struct rb_journal_batch *batch, struct rb_error *err)
{
    if (batch->written < batch->len)
        put_back(journal, batch);
    journal->on_its_way = NULL;
    int rc = batch->err.code;
    if (rc < 0 && err)
        *err = batch->err;
    free(batch->lines);
    free(batch);
    return rc;
}

size_t rb_journal_ring_count(const struct rb_journal *journal)
{
    return journal->ring_count;
}

uint64_t rb_journal_dropped(const struct rb_journal *journal)
{
    return journal->dropped;
}

uint64_t rb_journal_count(const struct rb_journal *journal)
{
    return journal->appended;
}
