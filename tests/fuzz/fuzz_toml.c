/* Fuzz target: any bytes as TOML. Nothing may crash, hang or grow; with and without a tree the verdict is the same. */
#include "fuzz_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_document(RB_DOC_TOML, data, size, false);
    return 0;
}
