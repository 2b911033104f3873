/* Fixed texts for people in English and German: one table, one row a message (lib/render/messages.def). */
#ifndef RUNBOOK_RENDER_MESSAGES_H
#define RUNBOOK_RENDER_MESSAGES_H

enum rb_language { RB_LANGUAGE_EN, RB_LANGUAGE_DE, RB_LANGUAGE_COUNT };
enum rb_message {
#define RB_MESSAGE(id, en, de) RB_MSG_##id,
#include "runbook/render/messages.def"
#undef RB_MESSAGE
    RB_MSG_COUNT
};
/* Static text, never NULL. */
const char *rb_message(enum rb_language language, enum rb_message id);

#endif
