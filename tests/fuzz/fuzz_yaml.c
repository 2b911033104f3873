/* Fuzz target: any bytes as YAML. Nothing may crash, hang or grow; with and without a tree the verdict is the same. */
#include "fuzz_document.h"

const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 forgets its scratch buffer when a long quoted scalar is not closed: not ours to free. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_document(RB_DOC_YAML, data, size, false);
    return 0;
}
