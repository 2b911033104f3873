/* Fuzz target: any bytes as JSON, strict and lenient. jansson is asked too: what it accepts we accept, and the other way round but for numbers out of
 * range, half surrogate pairs and very deep nesting. What is strictly valid is valid in the lenient mode as well. */
#include <jansson.h>

#include "fuzz_document.h"

static int verdict(const char *text, size_t size, bool lenient)
{
    struct rb_arena *arena = rb_arena_new(1 << 20);
    struct rb_doc_options options = {.lenient_json = lenient};
    struct rb_doc_problems problems;
    struct rb_error err;
    int code = rb_doc_parse(RB_DOC_JSON, text, size, &options, arena, NULL, NULL, &problems, &err);
    rb_arena_free(arena);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    fuzz_document(RB_DOC_JSON, data, size, false);
    fuzz_document(RB_DOC_JSON, data, size, true);
    char *text = fuzz_string(data, size);
    int strict = verdict(text, size, false);
    FUZZ_HOLDS(strict != 0 || verdict(text, size, true) == 0);
    json_error_t error;
    json_t *theirs = memchr(text, '\0', size) ? NULL
                                              : json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    FUZZ_HOLDS(!theirs || strict == 0 || strict == RB_ELIMIT);
    json_decref(theirs);
    free(text);
    return 0;
}
