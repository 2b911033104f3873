/* Incidents: what was opened, by whom, what was told of it since, and the part of the timeline that belongs to it.
 *
 * One incident is one JSON document, and that document is the model: what is kept in memory is what its file holds. Its file is <state>/incidents/<id>/incident.json
 * (docs/state-format.md): header, document, checksum; replaced whole. Beside it lie the state as it was at opening: status.json, triage.json, triage.txt, never changed afterwards.
 *
 * Two lists grow, both bounded: `events` (what people and alerts said; a note is never dropped) and `timeline` (what the journal holds from an hour before the opening until the
 * closing). Both are ordered by the journal's `seq`, never by a clock. All text is redacted when it enters. Not thread-safe: one owner, the loop. */
#ifndef RUNBOOK_INCIDENT_INCIDENT_H
#define RUNBOOK_INCIDENT_INCIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/buf.h"
#include "runbook/state/journal.h"

struct json_t;

#define RB_INCIDENT_ID_SIZE   64u
#define RB_INCIDENT_FOLDER    "incidents"
#define RB_INCIDENT_FILE      "incident.json"
#define RB_INCIDENT_MAX_BYTES ((size_t)4 << 20) /* of one file */
#define RB_INCIDENT_NOTE_MAX  8192u             /* bytes of one note */
#define RB_INCIDENT_EVENTS    500u
#define RB_INCIDENT_TIMELINE  1500u
#define RB_INCIDENT_BEFORE_NS (INT64_C(3600) * RB_NS_PER_S) /* how much of the timeline before the opening belongs to it */

enum rb_incident_severity { RB_INCIDENT_LOW, RB_INCIDENT_MEDIUM, RB_INCIDENT_HIGH, RB_INCIDENT_SEVERITY_COUNT };
const char *rb_incident_severity_name(enum rb_incident_severity severity); /* "Low" "Medium" "High" */
/* Reads a name of ours (any case) or a label of Prometheus rules: page, critical: High; warn, warning: Medium; else false. */
bool rb_incident_severity_parse(const char *text, enum rb_incident_severity *out);

struct rb_incident {
    struct json_t *doc;
    bool dirty;  /* changed since it was last given to be written */
    bool urgent; /* and by somebody who waits for it, not by the timeline alone */
};

struct rb_incident_opening {
    const char *tag;    /* words for the id, or NULL: from `title` */
    const char *title;  /* one line */
    const char *source; /* "http" "cli" "alertmanager" */
    const char *who;    /* or NULL */
    const char *group_key;
    enum rb_incident_severity severity;
    const char *host, *root, *branch, *commit; /* or NULL */
    const char *safety;                        /* at opening, rb_safety_name */
    int64_t wall_ns;
    uint64_t seq; /* of its entry in the journal */
};
/* "INC-20260822-0307-TAG": UTC, the tag in upper-case letters, digits and '-', at most 24. `taken` tells ids that exist: then "-2" and so on follows. */
void rb_incident_make_id(const struct rb_incident_opening *opening, bool (*taken)(void *ctx, const char *id), void *ctx,
                         char out[RB_INCIDENT_ID_SIZE]);
/* True for text that has the form of an id: such a text is safe as the name of a folder. */
bool rb_incident_is_id(const char *text);
/* NULL when memory is out. */
struct rb_incident *rb_incident_new(const struct rb_incident_opening *opening, const char *id);
void rb_incident_free(struct rb_incident *incident);

/* Reads what rb_incident_save wrote; RB_ECORRUPT when form or checksum do not fit, RB_EUNSUPPORTED for a newer format. */
int rb_incident_load(const char *text, size_t len, struct rb_incident **out, struct rb_error *err) RB_MUST_CHECK;
int rb_incident_save(const struct rb_incident *incident, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* ---- reading; text is borrowed, "" when absent */
const char *rb_incident_text(const struct rb_incident *incident, const char *field); /* "id" "title" "severity" "source" "group_key" … */
bool rb_incident_is_open(const struct rb_incident *incident);
int64_t rb_incident_opened_ns(const struct rb_incident *incident);
int64_t rb_incident_closed_ns(const struct rb_incident *incident); /* 0: open */

/* ---- changing. Each sets `dirty` and returns 0 or a negative code */
struct rb_incident_event {
    const char *kind; /* "note" "alert" "closed" "reopened" */
    const char *to;   /* alert: "firing" "repeated" "resolved"; or NULL */
    const char *text, *who;
    int64_t wall_ns;
    uint64_t seq;
};
/* RB_ELIMIT when the list holds nothing but notes already. An alert "repeated" that follows one like it only counts it up. */
int rb_incident_add(struct rb_incident *incident, const struct rb_incident_event *event, struct rb_error *err) RB_MUST_CHECK;
/* Adds the event "closed" or "reopened" and changes the state. */
int rb_incident_close(struct rb_incident *incident, const struct rb_incident_event *event, struct rb_error *err) RB_MUST_CHECK;
int rb_incident_reopen(struct rb_incident *incident, const struct rb_incident_event *event, struct rb_error *err) RB_MUST_CHECK;
/* Remembers what alerts looked like; true when it is what was remembered before. */
bool rb_incident_same_alerts(struct rb_incident *incident, const char *signature);
/* Takes from the newest entries of the journal (oldest first) what belongs to this incident and is not there yet; returns how many were new. */
size_t rb_incident_collect(struct rb_incident *incident, struct rb_event_entry *const *entries, size_t count);

/* ---- all incidents of a state folder */
#define RB_INCIDENTS_MAX       200u
#define RB_INCIDENTS_OPEN_MAX  100u
#define RB_INCIDENTS_AGE_NS    (INT64_C(90) * 86400 * RB_NS_PER_S) /* closed ones go after this */
#define RB_INCIDENTS_REOPEN_NS (INT64_C(6) * 3600 * RB_NS_PER_S)   /* a group that fires again within this continues its incident */

struct rb_incidents {
    struct rb_incident *items[RB_INCIDENTS_MAX]; /* oldest opening first */
    size_t count;
    uint64_t total; /* opened since the folder was made, as far as it is known */
};
struct rb_incidents_report {
    size_t damaged;          /* folders set aside, or (without `writable`) left out */
    char first_damaged[256]; /* its name now */
    size_t left_out;         /* beyond the maximum */
};
/* Reads every incident below <dir>/incidents. Blocks. `writable`: what is damaged is renamed to <id>.damaged-<stamp>. An absent folder is no error. */
int rb_incidents_load(struct rb_incidents *incidents, const char *dir, int64_t wall_ns, bool writable, struct rb_incidents_report *report,
                      struct rb_error *err) RB_MUST_CHECK;
void rb_incidents_fini(struct rb_incidents *incidents);
struct rb_incident *rb_incidents_find(const struct rb_incidents *incidents, const char *id); /* or NULL */
/* The newest incident of a group key that is open, or was closed less than RB_INCIDENTS_REOPEN_NS ago; or NULL. */
struct rb_incident *rb_incidents_of_group(const struct rb_incidents *incidents, const char *group_key, int64_t wall_ns);
size_t rb_incidents_open_count(const struct rb_incidents *incidents);
/* The highest `seq` in any of them; 0: none. The journal has to go on behind it (rb_journal_number_after): an incident is on disk before it is answered, the journal a moment
 * later, so that a crash in between leaves numbers here that the journal would give a second time. */
uint64_t rb_incidents_last_seq(const struct rb_incidents *incidents);
/* Makes an id, the incident and its place. RB_ELIMIT: RB_INCIDENTS_OPEN_MAX are open. */
int rb_incidents_open(struct rb_incidents *incidents, const struct rb_incident_opening *opening, struct rb_incident **out,
                      struct rb_error *err) RB_MUST_CHECK;
/* Takes out one closed incident that is too old or too many (the one closed first goes first); NULL when all may stay. `spare`: places that must be free. */
struct rb_incident *rb_incidents_retire(struct rb_incidents *incidents, int64_t wall_ns, size_t spare);
/* Writes one file of an incident's folder, making the folder when it is not there. Blocks. */
int rb_incident_write_file(const char *dir, const char *id, const char *name, const void *bytes, size_t len,
                           struct rb_error *err) RB_MUST_CHECK;
/* Removes the folder of an incident. Blocks. */
void rb_incident_remove_folder(const char *dir, const char *id);

/* ---- JSON of the API */
/* {id, state, severity, title, source, opened, closed, events: n} */
int rb_incidents_list_json(const struct rb_incidents *incidents, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* The whole document. */
int rb_incident_json(const struct rb_incident *incident, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

#endif
