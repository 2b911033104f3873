/* Commands: what the HTTP thread asks of the loop. A bounded queue in, one completion out; the only way from a request to the state.
 *
 * Ownership: the server makes a command with one reference and submits it (the queue takes another). The loop fills the answer and calls rb_command_complete once, from the loop
 * thread. The server may abandon a command (client gone, deadline): it drops its reference and ignores the completion. */
#ifndef RUNBOOKD_COMMAND_H
#define RUNBOOKD_COMMAND_H

#include "runbook/state/snapshot.h"

enum rb_command_type {
    RB_COMMAND_RELOAD,       /* read the configuration again */
    RB_COMMAND_RUN,          /* run one check now: `name` */
    RB_COMMAND_ROUND,        /* bring triage checks forward: `max_age_ns`, `deadline_ns` */
    RB_COMMAND_DRIFT_ACCEPT, /* take drift for normal: `body`; the answer's JSON is in `detail` */
    RB_COMMAND_INCIDENT,     /* `verb`, of the incident `name` where it is about one; the answer is in `detail` */
    RB_COMMAND_SILENCE       /* `body`; the answer's JSON is in `detail` */
};
enum rb_command_verb { RB_VERB_LIST, RB_VERB_GET, RB_VERB_NOTE, RB_VERB_CLOSE, RB_VERB_POSTMORTEM, RB_VERB_ALERT };

enum rb_report_form { RB_REPORT_TEXT, RB_REPORT_JSON, RB_REPORT_HTML };

struct rb_command {
    unsigned refs; /* atomic builtins only */
    enum rb_command_type type;
    char name[80];
    int64_t max_age_ns;
    int64_t deadline_ns; /* elapsed clock: the loop completes by then at the latest */
    enum rb_command_verb verb;
    int language;             /* POSTMORTEM, ROUND that opens: enum rb_language, or -1 for the configuration's */
    enum rb_report_form form; /* ROUND that opens: of the answer */
    bool as_it_is;            /* ROUND: nothing is run for it */
    bool
        opens_incident; /* ROUND: when it ended, an incident is opened from `body`; the answer's `name` is its id and `payload` its struct rb_incident_report */
    void *payload; /* ALERT: struct rb_webhook as it was parsed. Freed with the command */
    void (*payload_free)(void *payload);
    struct rb_buf body; /* of the request, as sent; filled before it is submitted */
    /* the answer */
    int status;                   /* HTTP status: 200, 202, 404, 409, 422, 503 */
    char problem[32];             /* type for problem+json when status ≥ 400 */
    struct rb_buf detail;         /* text for people (reload errors …) */
    struct rb_snapshot *snapshot; /* a reference: the state after the command, or NULL */
    double duration_s;
    /* the server's */
    void (*completed)(struct rb_command *command, void *arg); /* called on the loop thread; must not block */
    void *arg;
    struct rb_command *next; /* the queue's */
};

/* Bounded queue, any thread in, loop thread out. */
struct rb_command_queue;
/* Returns false when it is full (answer 503). Wakes the loop. Takes its own reference. */
struct ev_loop;
#define RB_COMMAND_QUEUE_MAX 64u
/* Besides: plain rounds, which carry nothing and share one. As many as the server has connections, so that a burst of GET /triage is never answered with old results. */
#define RB_COMMAND_ROUNDS_MAX 512u
/* `handler` runs on the loop thread, once a command, and takes over the queue's reference: it (or whoever it hands the command to) must end it by rb_command_complete. NULL when memory is out. */
struct rb_command_queue *rb_command_queue_new(struct ev_loop *loop, void (*handler)(struct rb_command *command, void *arg), void *arg);
/* Completes what is still queued with 503 "stopping". Loop thread; after it no submit may come (free the server first). */
void rb_command_queue_free(struct rb_command_queue *queue);
/* Ends a command whose answer is filled in: calls `completed` and drops the reference that the handler was given. Loop thread, exactly once a command. */
void rb_command_complete(struct rb_command *command);
bool rb_command_submit(struct rb_command_queue *queue, struct rb_command *command);
struct rb_command *rb_command_new(enum rb_command_type type);
struct rb_command *rb_command_ref(struct rb_command *command);
void rb_command_unref(struct rb_command *command);

#endif
