/* Fuzz target: any bytes as a runbook. The first line is an address, the rest the Markdown. Nothing may crash, hang or read beyond the text; every heading is found by its own line or told to be
 * ambiguous; every command has words, a text of one plain line and a line of the file; and a plan with a few checks judges each of them. */
#include "../support/fake_kinds.h"
#include "fuzz.h"
#include "runbook/base/text.h"
#include "runbook/config/runbook.h"

static const char config[] = "checks:\n"
                             "  - {name: web, kind: probe, url: 'http://localhost:8080/'}\n"
                             "  - {name: stack-prom, kind: probe, url: 'http://localhost:9090/-/ready'}\n";

static struct rb_plan *plan_of(struct rb_arena *arena)
{
    struct rb_diags diags;
    struct rb_plan *plan = NULL;
    struct rb_error err;
    struct rb_plan_request request = {.text = config, .root = "/", .state_dir = "/nonexistent", .cwd = "/"};
    rb_diags_init(&diags, arena);
    FUZZ_HOLDS(rb_plan_load(&request, &fake_kinds, &diags, &plan, &err) == 0);
    return plan;
}

static void look_for(const struct rb_runbook *book, const char *address, struct rb_arena *arena)
{
    const struct rb_runbook_heading *found = NULL;
    struct rb_error err = {0};
    const char *file;
    int rc = rb_runbook_find(book, rb_runbook_split(address, arena, &file), arena, &found, &err);
    FUZZ_HOLDS((rc == 0) == (found != NULL));
    FUZZ_HOLDS(rc == 0 || err.message[0] != '\0');
    for (size_t i = 0; i < book->heading_count && i < 200; i++) {
        const struct rb_runbook_heading *heading = &book->headings[i];
        found = NULL;
        FUZZ_HOLDS(heading->line >= 1 && heading->line <= book->line_count);
        unsigned end = rb_runbook_section_end(book, heading);
        FUZZ_HOLDS(end >= heading->line && end <= book->line_count);
        /* A heading with " > " or '#' in its text cannot be addressed by it alone. */
        rc = rb_runbook_find(book, heading->text, arena, &found, &err);
        FUZZ_HOLDS(rc == 0 || rc == RB_EINVAL || strstr(heading->text, " > ") != NULL || rb_arena_failed(arena));
    }
}

static void judge(const struct rb_runbook *book, struct rb_plan *plan, struct rb_arena *arena)
{
    struct rb_runbook_commands commands;
    bool chosen[8] = {false};
    rb_runbook_commands(book, 1, (unsigned)book->line_count, true, arena, &commands);
    FUZZ_HOLDS(commands.count <= RB_RUNBOOK_MAX_COMMANDS);
    for (size_t i = 0; i < commands.count; i++) {
        struct rb_covered covered;
        FUZZ_HOLDS(commands.items[i].word_count > 0 && commands.items[i].words[commands.items[i].word_count] == NULL);
        FUZZ_HOLDS(commands.items[i].line >= 1 && commands.items[i].line <= book->line_count);
        FUZZ_HOLDS(!strchr(commands.items[i].text, '\n'));
        rb_runbook_cover(plan, &commands.items[i], arena, &covered);
        FUZZ_HOLDS(covered.count <= plan->count && (covered.cover != RB_COVER_CHECKED || covered.count > 0));
    }
    for (size_t i = 0; i < book->heading_count && i < 20; i++)
        FUZZ_HOLDS(rb_runbook_select(plan, book, &book->headings[i], arena, chosen) <= plan->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    char *text = fuzz_string(data, size);
    struct rb_arena *arena = rb_arena_new(RB_RUNBOOK_ARENA * 8);
    char *newline = memchr(text, '\n', size);
    if (newline)
        *newline = '\0';
    const char *markdown = newline ? newline + 1 : text + size;
    struct rb_runbook *book = rb_runbook_parse("book.md", markdown, size - (size_t)(markdown - text), arena);
    struct rb_plan *plan = plan_of(arena);
    if (book) {
        look_for(book, text, arena);
        judge(book, plan, arena);
    }
    rb_plan_unref(plan);
    rb_arena_free(arena);
    free(text);
    return 0;
}
