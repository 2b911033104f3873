/* The checks that a section of the team's runbook names, for `check --runbook`.
 *
 * Without a file in the address every runbook that the configuration knows is asked, and exactly one of them must have the section. A section that names no check is an error that shows which
 * commands stand in it: silence would look like a green phase. */
#include "runbook_select.h"

#include <string.h>

#include "runbook/base/text.h"
#include "runbook/config/runbook.h"

#define COMMANDS_SHOWN 10u

struct place {
    struct rb_runbook *book;
    const struct rb_runbook_heading *heading;
};

/* RB_ENOTFOUND, RB_EINVAL: `err` tells of the address; another code: of the file. */
static int find_in(const struct rb_plan *plan, const char *file, const char *heading, struct rb_arena *arena, struct place *out,
                   struct rb_error *err)
{
    struct rb_error cause = {0};
    if (rb_runbook_read(plan->daemon.root, file, arena, &out->book, &cause) < 0)
        return rb_error_set(err, RB_ESYS, "runbook %s cannot be read: %s", file, cause.message);
    return rb_runbook_find(out->book, heading, arena, &out->heading, err);
}

static int find_place(const struct rb_plan *plan, const char *address, struct rb_arena *arena, struct place *out, struct rb_error *err)
{
    const char *file;
    const char *heading = rb_runbook_split(address, arena, &file);
    if (file != NULL)
        return find_in(plan, file, heading, arena, out, err);
    struct rb_strings files = rb_runbook_files(plan, arena);
    if (files.count == 0)
        return rb_error_set(err, RB_EINVAL,
                            "the configuration names no runbook: set 'runbook' under 'daemon', or write --runbook 'FILE#heading'");
    size_t found = 0;
    int rc = RB_ENOTFOUND;
    for (size_t i = 0; i < files.count; i++) {
        struct place place = {0};
        struct rb_error why = {0};
        int one = find_in(plan, files.items[i], heading, arena, &place, &why);
        if (one == 0 && found++ == 0)
            *out = place;
        if (one < 0 && (i == 0 || one == RB_EINVAL)) { /* an ambiguity says more than "not there" */
            *err = why;
            rc = one;
        }
    }
    if (found > 1)
        return rb_error_set(err, RB_EINVAL, "%zu runbooks have a heading '%.120s'; write the file before it: --runbook '%s#%.120s'", found,
                            heading, files.items[0], heading);
    return found == 1 ? 0 : rc;
}

static void names_nothing(const struct place *place, struct rb_arena *arena)
{
    if (!place->heading)
        return;
    struct rb_runbook_commands commands;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    rb_runbook_commands(place->book, place->heading->line, rb_runbook_section_end(place->book, place->heading), true, arena, &commands);
    rb_cli_error("%s:%u  %s: no check is named there; give checks a `runbook:` address in it (docs/runbooks.md)%s", place->book->file,
                 place->heading->line, place->heading->text, commands.count > 0 ? ". Its commands:" : ", and it holds no command");
    for (size_t i = 0; i < commands.count && i < COMMANDS_SHOWN; i++) {
        rb_buf_addf(&text, "  %u: ", commands.items[i].line);
        rb_text_escapes(&text, commands.items[i].text);
        rb_buf_addc(&text, '\n');
    }
    if (commands.count > COMMANDS_SHOWN)
        rb_buf_addf(&text, "  … and %zu more\n", commands.count - COMMANDS_SHOWN);
    (void)fputs(rb_buf_str(&text), stderr);
}

static int names_of(const struct rb_plan *plan, const bool *chosen, int phase, struct rb_arena *arena, struct rb_strings *out)
{
    const char **names = rb_arena_array(arena, plan->count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; names != NULL && i < plan->count; i++)
        if (chosen[i] && (phase < 0 || (int)plan->checks[i].phase == phase))
            names[count++] = rb_arena_strdup(arena, plan->checks[i].name);
    *out = (struct rb_strings){.items = names, .count = count};
    return rb_arena_failed(arena) ? RB_ENOMEM : 0;
}

static int select_names(const struct rb_cli *cli, const struct rb_plan *plan, const char *address, int phase, struct rb_strings *out_names)
{
    struct rb_error err = {0};
    struct place place = {0};
    RB_ARENA_AUTO *arena = rb_arena_new(RB_RUNBOOK_ARENA * 4);
    bool *chosen = arena != NULL ? rb_arena_array(arena, plan->count + 1, sizeof *chosen) : NULL;
    if (chosen == NULL) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    int rc = find_place(plan, address, arena, &place, &err);
    if (rc < 0) {
        rb_cli_error("--runbook: %s", err.message);
        return rc == RB_ENOTFOUND || rc == RB_EINVAL ? RB_EXIT_USAGE : RB_EXIT_CANNOT;
    }
    (void)rb_runbook_select(plan, place.book, place.heading, arena, chosen);
    if (names_of(plan, chosen, phase, cli->arena, out_names) < 0) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    if (out_names->count > 0)
        return RB_EXIT_OK;
    names_nothing(&place, arena);
    return RB_EXIT_CANNOT;
}

int rb_cli_runbook_names(const struct rb_cli *cli, const char *address, int phase, struct rb_strings *out_names)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    if (loaded == NULL)
        return RB_EXIT_CANNOT;
    if (loaded->plan == NULL)
        return rb_cli_load_failed(loaded);
    int code = select_names(cli, loaded->plan, address, phase, out_names);
    rb_plan_unref(loaded->plan);
    return code;
}
