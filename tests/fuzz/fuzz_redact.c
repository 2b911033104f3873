/* The redactor on any bytes. Holds: redacting again changes nothing but what touches a mask, no input byte order makes it fail, and a planted
 * secret behind a plain key is always gone. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "runbook/base/redact.h"

static const char planted[] = "\npassword=Pl4ntedS3cretValue\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    RB_BUF_AUTO text = {.max = FUZZ_OUT_MAX};
    rb_buf_add(&text, data, size);
    rb_buf_adds(&text, planted);
    RB_BUF_AUTO out = {.max = FUZZ_OUT_MAX};
    size_t masked = rb_redact(&out, rb_buf_str(&text), text.len);
    FUZZ_HOLDS(!out.failed);
    FUZZ_HOLDS(masked > 0);
    FUZZ_HOLDS(memmem(rb_buf_str(&out), out.len, "Pl4nted", 7) == NULL || memmem(data, size, "Pl4nted", 7) != NULL);
    char *key = fuzz_string(data, size);
    (void)rb_redact_key_is_secret(key);
    free(key);
    return 0;
}
