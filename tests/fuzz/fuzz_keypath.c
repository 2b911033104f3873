/* Input: a key path, newline, a JSON document. Holds: what a path finds is written so that it reads back to that one value and no other. */
#include <stdbool.h>

#include "fuzz.h"
#include "runbook/source/keypath.h"

static bool readable(const char *path)
{
    size_t segments = 1;
    for (const char *p = path; *p; p++)
        segments += *p == '.' || *p == '[';
    return path[0] != '\0' && strlen(path) < RB_KEYPATH_MAX_TEXT && segments <= RB_KEYPATH_MAX_SEGMENTS;
}

static void read_back(const struct rb_keypath_match *match, const struct rb_doc_node *root, struct rb_arena *arena)
{
    const struct rb_keypath *path = NULL;
    struct rb_keypath_matches again;
    if (!readable(match->path))
        return;
    FUZZ_HOLDS(rb_keypath_parse(match->path, arena, &path, NULL) == 0 || rb_arena_failed(arena));
    if (!path || rb_keypath_find(path, root, 10, arena, &again, NULL) < 0)
        return;
    FUZZ_HOLDS(again.count == 1 && again.items[0].node == match->node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    char *text = fuzz_string(data, size);
    char *document = strchr(text, '\n');
    struct rb_arena *arena = rb_arena_new((size_t)64 << 20);
    const struct rb_doc_options tree = {.tree = true};
    const struct rb_keypath *path = NULL;
    struct rb_doc_node *root = NULL;
    struct rb_keypath_matches matches;
    FUZZ_HOLDS(arena != NULL);
    if (document)
        *document++ = '\0';
    bool usable = document && !strstr(document, "\\u0000") && rb_keypath_parse(text, arena, &path, NULL) == 0 &&
                  rb_doc_parse(RB_DOC_JSON, document, strlen(document), &tree, arena, &root, NULL, NULL, NULL) == 0;
    if (usable && rb_keypath_find(path, root, 200, arena, &matches, NULL) == 0) {
        for (size_t i = 0; i < matches.count; i++)
            read_back(&matches.items[i], root, arena);
    }
    rb_arena_free(arena);
    free(text);
    return 0;
}
