/* Between children.c (runs of the child class) and child_process.c (one process): the list of what is running. */
#ifndef RUNBOOKD_ENGINE_CHILDREN_H
#define RUNBOOKD_ENGINE_CHILDREN_H

#include "../run.h"

struct rb_children {
    struct ev_loop *loop;
    const struct rb_platform *platform;
    struct rb_child_process *first;
    size_t running;
    bool stopping; /* no new process */
};

/* Reports every process as cancelled; none can be started any more. */
void child_processes_cancel(struct rb_children *children);
/* Signals every group that still runs; false when there is none. */
bool child_processes_signal(struct rb_children *children, int signal_number);
/* Collects those that have ended, without their results and without waiting; for the way out, when the loop no longer reaps. */
void child_processes_reap(struct rb_children *children);
/* Forgets what is left, reaped or not. */
void child_processes_forget(struct rb_children *children);

#endif
