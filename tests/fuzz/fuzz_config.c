/* Fuzz target: any bytes as a configuration. Nothing may crash, leak or hang; a plan comes out exactly when there is no diagnostic.
 *
 * Kinds are made up (every option type); variables come from a fixed list; the folder does not exist, so that no relative include or secret is read. */
#include "../support/fake_kinds.h"
#include "fuzz.h"

const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 forgets its 2 KiB scratch buffer when a long quoted scalar is not closed: once a reload of a broken file, not ours to free. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

static const char *fixed_variable(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "A") == 0 ? "value" : strcmp(name, "TOKEN") == 0 ? "secret" : NULL;
}

static const struct rb_node_load_options load_options = {.getenv = fixed_variable};

/* The bytes as they are, with NUL and all: the tree, and its canonical form. */
static void load_nodes(const char *text, size_t size)
{
    struct rb_arena *arena = rb_arena_new((size_t)64 << 20);
    struct rb_diags diags;
    struct rb_node *root = NULL;
    struct rb_buf json;
    rb_buf_init(&json, 8u << 20);
    if (arena == NULL)
        return;
    rb_diags_init(&diags, arena);
    int rc = rb_node_load_text("fuzz.yml", "/nonexistent", text, size, &load_options, arena, &diags, &root);
    FUZZ_HOLDS((rc == 0) == (diags.count == 0));
    FUZZ_HOLDS(rc < 0 || root != NULL);
    rb_node_to_json(root, false, &json);
    rb_buf_fini(&json);
    rb_arena_free(arena);
}

static void load_plan(const char *text)
{
    struct rb_arena *arena = rb_arena_new((size_t)64 << 20);
    struct rb_diags diags;
    struct rb_plan *plan = NULL;
    struct rb_error err;
    struct rb_buf printed;
    rb_buf_init(&printed, 8u << 20);
    if (arena == NULL)
        return;
    rb_diags_init(&diags, arena);
    struct rb_plan_request request = {.text = text, .root = "/", .state_dir = "/nonexistent", .cwd = "/", .load = &load_options};
    int rc = rb_plan_load(&request, &fake_kinds, &diags, &plan, &err);
    FUZZ_HOLDS((rc == 0) == (plan != NULL));
    FUZZ_HOLDS(rc < 0 || diags.count == 0);
    FUZZ_HOLDS(rc != RB_ECONFIG || diags.count > 0);
    rb_diags_print(&diags, &printed);
    rb_plan_unref(plan);
    rb_buf_fini(&printed);
    rb_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > (256u << 10))
        return 0;
    char *text = fuzz_string(data, size);
    load_nodes(text, size);
    load_plan(text);
    free(text);
    return 0;
}
