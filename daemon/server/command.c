/* One command: a reference-counted request for the loop with room for its answer.
 *
 * The references are atomic because the HTTP thread and the loop thread each drop theirs when they are done. The answer's fields are written by the loop
 * before rb_command_complete and read by the server only after `completed` told it so (under the waiter's lock): no other ordering is needed. */
#include "command.h"

#include <stdlib.h>

#define DETAIL_MAX ((size_t)256 * 1024)
#define BODY_MAX   ((size_t)64 * 1024)

struct rb_command *rb_command_new(enum rb_command_type type)
{
    struct rb_command *command = calloc(1, sizeof *command);
    if (!command)
        return NULL;
    command->refs = 1;
    command->type = type;
    command->status = 503;
    command->deadline_ns = INT64_MAX;
    rb_buf_init(&command->detail, DETAIL_MAX);
    rb_buf_init(&command->body, BODY_MAX);
    return command;
}

struct rb_command *rb_command_ref(struct rb_command *command)
{
    __atomic_add_fetch(&command->refs, 1, __ATOMIC_RELAXED);
    return command;
}

void rb_command_unref(struct rb_command *command)
{
    if (!command || __atomic_sub_fetch(&command->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rb_snapshot_unref(command->snapshot);
    rb_buf_fini(&command->detail);
    rb_buf_fini(&command->body);
    if (command->payload)
        command->payload_free(command->payload);
    free(command);
}

void rb_command_complete(struct rb_command *command)
{
    if (command->completed)
        command->completed(command, command->arg);
    rb_command_unref(command);
}
