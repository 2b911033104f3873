/* The table of texts for people, and the one place that fills their placeholders.
 *
 * Placeholders are "%1" to "%9" and not printf formats: word order differs between languages, and a text can then never be a format string bug.
 * Arguments are appended as they are: the caller escapes what comes from outside. */
#include <assert.h>

#include "internal.h"

static const char *const messages[RB_MSG_COUNT][RB_LANGUAGE_COUNT] = {
#define RB_MESSAGE(id, en, de) [RB_MSG_##id] = {en, de},
#include "runbook/render/messages.def"
#undef RB_MESSAGE
};

const char *rb_message(enum rb_language language, enum rb_message id)
{
    assert((unsigned)id < RB_MSG_COUNT);
    return messages[id][(unsigned)language < RB_LANGUAGE_COUNT ? language : RB_LANGUAGE_EN];
}

void rb_render_message(struct rb_buf *out, enum rb_language language, enum rb_message id, const char *const *args)
{
    size_t count = 0;
    while (args && args[count])
        count++;
    for (const char *text = rb_message(language, id); *text; text++) {
        if (text[0] != '%' || text[1] < '1' || text[1] > '9') {
            rb_buf_addc(out, *text);
            continue;
        }
        size_t index = (size_t)(text[1] - '1');
        if (index < count)
            rb_buf_adds(out, args[index]);
        text++;
    }
}
