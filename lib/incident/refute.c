/* What the facts refute: explanations that somebody would look for first, and that a check has already excluded.
 *
 * Only what was looked at is refuted: no host check, no word about the disk. */
#include <string.h>

#include "internal.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"

static void add(struct diagnosis *d, struct rb_cause *cause, enum rb_ruled kind, const char *what, const char *why, const char *detail)
{
    if (!cause->ruled_out)
        cause->ruled_out = rb_arena_array(d->arena, RB_RULED_COUNT, sizeof *cause->ruled_out);
    if (!cause->ruled_out || cause->ruled_out_count == RB_RULED_COUNT)
        return;
    const char *whole = detail ? rb_arena_printf(d->arena, "%s: %s", why, detail) : why;
    cause->ruled_out[cause->ruled_out_count++] = (struct rb_ruled_out){
        .kind = kind, .what = what, .why = whole ? whole : why, .detail = detail};
}

static bool says(const struct rb_record *record, const char *phrase)
{
    for (size_t i = 0; rb_check_line(record, i); i++) {
        if (rb_text_find_nocase(rb_check_line(record, i), phrase))
            return true;
    }
    return false;
}

/* The first check of a kind that is well, or GRAPH_NONE; with `option` only one that was told to look at that. */
static size_t well(const struct diagnosis *d, const char *kind, const char *option)
{
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct rb_node *node = record_of(d, i)->spec->node;
        if (d->graph.nodes[i].state == RB_STATE_OK && rb_check_is(d->view, i, kind) && (!option || (node && rb_node_get(node, option))))
            return i;
    }
    return GRAPH_NONE;
}

void rb_rule_out(struct diagnosis *d, struct rb_cause *cause)
{
    static const char *const ended[] = {"exited", "crash_loop", "stopped", "unhealthy", "restarted", NULL};
    static const char *const of_the_disk[] = {"disk_low", "inodes_low", "read_only", NULL};
    const struct rb_record *record = record_of(d, cause->check);
    bool container = rb_check_is(d->view, cause->check, "compose") && rb_reason_in(record->reason, ended);
    bool vanished = strcmp(record->reason, "not_listening") == 0;
    bool program = rb_check_is(d->view, cause->check, "command");
    if (container && rb_fact_of(record, RB_FACT_IMAGE)) {
        if (!says(record, "memory"))
            add(d, cause, RB_RULED_MEMORY, "out of memory", "the engine reports none", NULL);
        if (record->last_ok_wall_ns && !says(record, "image"))
            add(d, cause, RB_RULED_IMAGE, "image", "the same as when it last was well", NULL);
    }
    size_t disk = container || vanished || program ? well(d, "host", "disk") : GRAPH_NONE;
    if (disk != GRAPH_NONE && !rb_reason_in(record->reason, of_the_disk) && !says(record, "no space left"))
        add(d, cause, RB_RULED_DISK, "disk full", record_of(d, disk)->spec->name,
            record_of(d, disk)->message[0] ? record_of(d, disk)->message : NULL);
    size_t engine = container || (vanished && rb_fact_of(record, RB_FACT_CONTAINER)) ? well(d, "docker", NULL) : GRAPH_NONE;
    if (engine != GRAPH_NONE)
        add(d, cause, RB_RULED_ENGINE, "Docker engine", record_of(d, engine)->spec->name,
            record_of(d, engine)->message[0] ? record_of(d, engine)->message : NULL);
    if (vanished)
        add(d, cause, RB_RULED_STRANGER, "port taken by another program", "nobody listens there", NULL);
}
