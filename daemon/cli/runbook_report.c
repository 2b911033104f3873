/* The commands of the team's runbooks that no check stands for, for people and for programs.
 *
 * For people: what looks at something comes first, each command once with all its lines, at most LISTED of them; what changes something is no check's business and takes one paragraph. A report,
 * never an error. */
#include "runbook_report.h"

#include <string.h>

#include "runbook/base/text.h"
#include "runbook/config/runbook.h"

#define LISTED      20u
#define COLUMNS     100u
#define COMMAND_MIN 40u /* columns of a command, however long the rest is */
#define MORE_SHOWN  6u  /* further lines of the same command */

struct finding {
    const struct rb_runbook_command *command;
    struct rb_covered covered;
    bool told; /* with an earlier one of the same words */
};

struct report {
    const struct rb_plan *plan;
    const char *file;
    struct rb_arena *arena;
    struct rb_error err; /* when the file could not be read */
    struct finding *items;
    size_t count, dropped, columns;
    size_t by_cover[RB_COVER_NOTHING + 1];
};

/* `sha256sum FILE || shasum -a 256 FILE` asks once. */
static bool is_alternative(const struct report *r, const struct finding *finding)
{
    const struct finding *before = finding - 1;
    if (r->count < 2 || before->covered.cover != finding->covered.cover || before->command->line != finding->command->line)
        return false;
    const struct rb_runbook_command *a = before->command, *b = finding->command;
    return a->word_count > 1 && b->word_count > 1 && strcmp(a->words[a->word_count - 1], b->words[b->word_count - 1]) == 0;
}

/* False: the file cannot be read. */
static bool examine(struct report *r)
{
    struct rb_runbook *book = NULL;
    struct rb_runbook_commands commands;
    if (r->arena == NULL || rb_runbook_read(r->plan->daemon.root, r->file, r->arena, &book, &r->err) < 0)
        return false;
    rb_runbook_commands(book, 1, (unsigned)book->line_count, false, r->arena, &commands);
    r->items = rb_arena_array(r->arena, commands.count + 1, sizeof *r->items);
    for (size_t i = 0; r->items != NULL && i < commands.count; i++) {
        struct finding *finding = &r->items[r->count++];
        *finding = (struct finding){0};
        finding->command = &commands.items[i];
        rb_runbook_cover(r->plan, finding->command, r->arena, &finding->covered);
        if (is_alternative(r, finding))
            r->count--;
        else
            r->by_cover[finding->covered.cover]++;
    }
    r->dropped = commands.dropped;
    return !rb_arena_failed(r->arena);
}

/* ---- for people ---- */

/* ", also 177, 353" for the same command further down; those are told with it. */
static void add_other_lines(struct report *r, size_t first, struct rb_buf *out)
{
    size_t shown = 0;
    for (size_t i = first + 1; i < r->count; i++) {
        struct finding *other = &r->items[i];
        if (other->covered.cover != RB_COVER_OPEN || strcmp(other->command->text, r->items[first].command->text) != 0)
            continue;
        other->told = true;
        if (shown++ < MORE_SHOWN)
            rb_buf_addf(out, "%s%u", shown == 1 ? "  (also " : ", ", other->command->line);
    }
    if (shown > 0)
        rb_buf_adds(out, shown > MORE_SHOWN ? ", …)" : ")");
}

static void add_open(struct report *r, struct rb_buf *out)
{
    size_t shown = 0, hidden = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct finding *finding = &r->items[i];
        if (finding->covered.cover != RB_COVER_OPEN || finding->told)
            continue;
        RB_BUF_AUTO also, line, head;
        rb_buf_init(&also, 256);
        rb_buf_init(&line, 8192);
        rb_buf_init(&head, 1024);
        add_other_lines(r, i, &also);
        if (finding->covered.missing != NULL)
            rb_buf_addf(&also, "  (no check: %.120s)", finding->covered.missing);
        if (shown++ >= LISTED) {
            hidden++;
            continue;
        }
        rb_buf_addf(&head, "  %s:%u: ", r->file, finding->command->line);
        size_t used = rb_text_columns(rb_buf_str(&head), head.len) + rb_text_columns(rb_buf_str(&also), also.len);
        rb_buf_add(&line, rb_buf_str(&head), head.len);
        RB_BUF_AUTO safe;
        rb_buf_init(&safe, 16384);
        rb_text_escapes(&safe, finding->command->text);
        rb_text_clip(&line, rb_buf_str(&safe), used + COMMAND_MIN < r->columns ? r->columns - used : COMMAND_MIN);
        rb_buf_add(&line, rb_buf_str(&also), also.len);
        rb_text_escapes(out, rb_buf_str(&line));
        rb_buf_addc(out, '\n');
    }
    if (hidden > 0)
        rb_buf_addf(out, "  … and %zu more; validate --json lists all\n", hidden);
}

/* "git push" for `git push -u origin x`, "cp" for `cp -v a b`. */
static void program_of(const struct rb_runbook_command *command, struct rb_buf *out)
{
    static const char *const with_verb[] = {"git", "gh", "docker", "docker-compose", "podman", "kubectl", "systemctl", "pip", "pip3",
                                            "npm", "uv", "brew"};
    rb_text_escapes(out, command->words[0]);
    bool verb = false;
    for (size_t i = 0; i < sizeof with_verb / sizeof with_verb[0]; i++)
        verb = verb || strcmp(command->words[0], with_verb[i]) == 0;
    size_t wanted = verb ? (strcmp(command->words[0], "gh") == 0 || strcmp(command->words[0], "docker") == 0 ? 2 : 1) : 0;
    for (size_t i = 1; i < command->word_count && wanted > 0 && command->words[i][0] != '-'; i++, wanted--) {
        rb_buf_addc(out, ' ');
        rb_text_escapes(out, command->words[i]);
    }
}

/* "git push 284, 303": lines of all calls of the same program that change something. */
static void add_program(struct report *r, size_t first, struct rb_buf *out)
{
    RB_BUF_AUTO name, other;
    rb_buf_init(&name, 4096);
    rb_buf_init(&other, 4096);
    program_of(r->items[first].command, &name);
    rb_buf_addf(out, "%s%s %u", out->len > 0 ? "; " : "", rb_buf_str(&name), r->items[first].command->line);
    for (size_t i = first + 1; i < r->count; i++) {
        if (r->items[i].covered.cover != RB_COVER_ACTS || r->items[i].told)
            continue;
        rb_buf_reset(&other);
        program_of(r->items[i].command, &other);
        if (strcmp(rb_buf_str(&other), rb_buf_str(&name)) != 0)
            continue;
        r->items[i].told = true;
        rb_buf_addf(out, ", %u", r->items[i].command->line);
    }
}

static void add_acts(struct report *r, struct rb_buf *out)
{
    RB_BUF_AUTO list;
    rb_buf_init(&list, RB_RENDER_MAX);
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].covered.cover == RB_COVER_ACTS && !r->items[i].told)
            add_program(r, i, &list);
    if (list.len == 0)
        return;
    rb_buf_addf(out, "  %zu change something, which is no check's business (with their lines):\n    ", r->by_cover[RB_COVER_ACTS]);
    rb_cli_wrap(out, rb_buf_str(&list), 4, 4, COLUMNS);
    rb_buf_addc(out, '\n');
}

static void add_file(struct report *r, struct rb_buf *out)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, 8192);
    if (!examine(r)) {
        rb_buf_addf(&line, "runbook %s: %s", r->file, r->err.message);
        rb_text_escapes(out, rb_buf_str(&line));
        rb_buf_addc(out, '\n');
        return;
    }
    size_t looking = r->by_cover[RB_COVER_CHECKED] + r->by_cover[RB_COVER_OPEN];
    rb_buf_addf(&line, "runbook %s: ", r->file);
    rb_text_escapes(out, rb_buf_str(&line));
    if (looking + r->by_cover[RB_COVER_ACTS] == 0) {
        rb_buf_adds(out, "no commands in blocks of a shell\n");
        return;
    }
    rb_buf_addf(out, "%zu of %zu commands that look at something have a check%s\n", r->by_cover[RB_COVER_CHECKED], looking,
                r->by_cover[RB_COVER_OPEN] > 0 ? "; no check covers:" : "");
    add_open(r, out);
    add_acts(r, out);
    if (r->dropped > 0)
        rb_buf_addf(out, "  %zu commands more were not looked at: %u are the most\n", r->dropped, RB_RUNBOOK_MAX_COMMANDS);
}

void rb_cli_runbooks_text(const struct rb_plan *plan, size_t columns, struct rb_buf *out)
{
    RB_ARENA_AUTO *arena = rb_arena_new((size_t)1 << 20);
    struct rb_strings files = arena != NULL ? rb_runbook_files(plan, arena) : (struct rb_strings){0};
    for (size_t i = 0; i < files.count; i++) {
        RB_ARENA_AUTO *own = rb_arena_new(RB_RUNBOOK_ARENA * 2);
        struct report report = {.plan = plan, .file = files.items[i], .arena = own, .columns = columns};
        add_file(&report, out);
    }
}

/* ---- for programs ---- */

static json_t *names_json(const struct rb_plan *plan, const struct rb_covered *covered)
{
    json_t *names = json_array();
    for (size_t i = 0; i < covered->count; i++)
        (void)json_array_append_new(names, rb_cli_json_text(plan->checks[covered->checks[i]].name));
    return names;
}

static json_t *finding_json(const struct rb_plan *plan, const struct finding *finding)
{
    return json_pack("{s:I, s:o, s:o, s:b, s:o}", "line", (json_int_t)finding->command->line, "command",
                     rb_cli_json_text(finding->command->text), "missing", rb_cli_json_text(finding->covered.missing), "changes",
                     finding->covered.cover == RB_COVER_ACTS, "checks", names_json(plan, &finding->covered));
}

static json_t *file_json(struct report *r)
{
    json_t *uncovered = json_array(), *covered = json_array();
    bool readable = examine(r);
    for (size_t i = 0; readable && i < r->count; i++) {
        enum rb_cover cover = r->items[i].covered.cover;
        if (cover != RB_COVER_NOTHING)
            (void)json_array_append_new(cover == RB_COVER_CHECKED ? covered : uncovered, finding_json(r->plan, &r->items[i]));
    }
    return json_pack("{s:o, s:o, s:I, s:o, s:o}", "file", rb_cli_json_text(r->file), "error",
                     rb_cli_json_text(readable ? NULL : r->err.message), "dropped", (json_int_t)r->dropped, "covered", covered, "uncovered",
                     uncovered);
}

json_t *rb_cli_runbooks_json(const struct rb_plan *plan)
{
    json_t *list = json_array();
    RB_ARENA_AUTO *arena = rb_arena_new((size_t)1 << 20);
    struct rb_strings files = arena != NULL ? rb_runbook_files(plan, arena) : (struct rb_strings){0};
    for (size_t i = 0; i < files.count; i++) {
        RB_ARENA_AUTO *own = rb_arena_new(RB_RUNBOOK_ARENA * 2);
        struct report report = {.plan = plan, .file = files.items[i], .arena = own};
        (void)json_array_append_new(list, file_json(&report));
    }
    return list;
}
