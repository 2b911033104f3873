/* Input: a dotenv file. Holds: names are names, lines ascend, a refusal says its line, and a value never takes in what follows its line unless it is quoted. */
#include <stdbool.h>

#include "fuzz.h"
#include "runbook/source/dotenv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    char *text = fuzz_string(data, size);
    struct rb_arena *arena = rb_arena_new((size_t)16 << 20);
    struct rb_dotenv env;
    struct rb_error err = {0};
    unsigned line = 1;
    FUZZ_HOLDS(arena != NULL);
    int code = rb_dotenv_parse(text, size, arena, &env, &err);
    FUZZ_HOLDS(code == 0 || (env.count == 0 && err.message[0] != '\0'));
    for (size_t i = 0; i < env.count; i++) {
        const struct rb_dotenv_entry *entry = &env.items[i];
        bool quoted = strchr(text, '"') || strchr(text, '\'');
        FUZZ_HOLDS(entry->name[0] != '\0' && !strpbrk(entry->name, "= \t\r\n#'\""));
        FUZZ_HOLDS(entry->line >= line);
        FUZZ_HOLDS(quoted || !entry->value || !strchr(entry->value, '\n'));
        line = entry->line;
    }
    rb_arena_free(arena);
    free(text);
    return 0;
}
