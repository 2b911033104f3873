/* The table of texts for people, and the one place that fills their placeholders.
 *
 * Placeholders are "%1" to "%9" and not printf formats: word order differs between languages, and a text can then never be a format string bug.
 * Arguments are appended as they are: the caller escapes what comes from outside. */
#include <assert.h>
#include <string.h>

#include "internal.h"
#include "runbook/incident/phrase.h"

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

void rb_render_phrase(struct rb_buf *out, enum rb_language language, const char *text)
{
    if (language == RB_LANGUAGE_DE)
        (void)rb_phrase_german(out, text);
    else
        rb_buf_adds(out, text);
}

/* Where a command's remark begins, behind its "# "; NULL: it has none. A quoted # is none. */
static const char *remark_of(const char *command)
{
    bool quoted = false;
    for (const char *at = command; *at; at++) {
        quoted = *at == '\'' ? !quoted : quoted;
        if (!quoted && at[0] == ' ' && at[1] == '#' && at[2] == ' ')
            return at + 3;
    }
    return NULL;
}

void rb_render_command(struct rb_buf *out, enum rb_language language, const char *command)
{
    const char *remark = remark_of(command);
    if (!remark) {
        rb_buf_adds(out, command);
        return;
    }
    rb_buf_add(out, command, (size_t)(remark - command));
    rb_render_phrase(out, language, remark);
}
