/* Escaping, clipping and quoting of any bytes. Holds: the result is one plain line, escaping again changes nothing, a clipped text is never
 * wider than asked, and what the shell quoting lets through has no control character. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "runbook/base/text.h"

static void check_quote(const char *text)
{
    RB_BUF_AUTO quoted = {.max = FUZZ_OUT_MAX};
    bool accepted = rb_text_shell_quote(&quoted, text);
    FUZZ_HOLDS(accepted == rb_text_is_plain(text, strlen(text)));
    FUZZ_HOLDS(accepted ? quoted.len > 0 : quoted.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    const char *bytes = (const char *)data;
    RB_BUF_AUTO once = {.max = FUZZ_OUT_MAX};
    rb_text_escape(&once, bytes, size);
    FUZZ_HOLDS(!once.failed);
    FUZZ_HOLDS(rb_text_is_utf8(rb_buf_str(&once), once.len));
    FUZZ_HOLDS(rb_text_is_plain(rb_buf_str(&once), once.len));
    RB_BUF_AUTO twice = {.max = FUZZ_OUT_MAX};
    rb_text_escape(&twice, rb_buf_str(&once), once.len);
    FUZZ_HOLDS(twice.len == once.len && strcmp(rb_buf_str(&twice), rb_buf_str(&once)) == 0);
    size_t columns = size ? data[0] % 40U : 0;
    RB_BUF_AUTO clipped = {.max = FUZZ_OUT_MAX};
    rb_text_clip(&clipped, rb_buf_str(&once), columns);
    FUZZ_HOLDS(rb_text_columns(rb_buf_str(&clipped), clipped.len) <= columns);
    FUZZ_HOLDS(rb_text_is_utf8(rb_buf_str(&clipped), clipped.len));
    char *text = fuzz_string(data, size);
    check_quote(text);
    FUZZ_HOLDS(rb_text_distance(text, text) == 0 || strlen(text) > 64);
    FUZZ_HOLDS(rb_text_find_nocase(text, text) == text);
    free(text);
    return 0;
}
