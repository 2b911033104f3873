/* Diagnostics: collected in the order they are found, printed in the order of the files.
 *
 * Invariants: what an entry points to lives in the arena of the collection, never in that of the plan, because a plan that failed is gone before
 * its errors are printed. A configuration full of errors costs at most RB_DIAG_MAX entries. */
#include "runbook/config/diag.h"

#include <stdarg.h>
#include <string.h>

#include "runbook/base/text.h"

void rb_diags_init(struct rb_diags *diags, struct rb_arena *arena)
{
    diags->arena = arena;
    diags->count = 0;
    diags->dropped = 0;
}

/* Most errors of a run are about one file: its name is kept once. */
static const char *keep_file_name(struct rb_diags *diags, const char *file)
{
    if (file == NULL)
        return "configuration";
    if (diags->count > 0 && strcmp(diags->items[diags->count - 1].mark.file, file) == 0)
        return diags->items[diags->count - 1].mark.file;
    const char *copy = rb_arena_strdup(diags->arena, file);
    return copy != NULL ? copy : "configuration";
}

int rb_diag_add(struct rb_diags *diags, struct rb_mark mark, const char *fmt, ...)
{
    if (diags->count == RB_DIAG_MAX) {
        diags->dropped++;
        return RB_ECONFIG;
    }
    va_list args;
    va_start(args, fmt);
    const char *message = rb_arena_vprintf(diags->arena, fmt, args);
    va_end(args);
    mark.file = keep_file_name(diags, mark.file);
    diags->items[diags->count++] = (struct rb_diag){.mark = mark, .message = message != NULL ? message : "out of memory"};
    return RB_ECONFIG;
}

/* The place of a file in the output is that of its first error. */
static size_t file_rank(const struct rb_diags *diags, const char *file)
{
    size_t i = 0;
    while (strcmp(diags->items[i].mark.file, file) != 0)
        i++;
    return i;
}

static bool comes_before(const struct rb_diags *diags, size_t a, size_t b)
{
    const struct rb_mark *x = &diags->items[a].mark;
    const struct rb_mark *y = &diags->items[b].mark;
    size_t rank_x = file_rank(diags, x->file);
    size_t rank_y = file_rank(diags, y->file);
    if (rank_x != rank_y)
        return rank_x < rank_y;
    if (x->line != y->line)
        return x->line < y->line;
    return x->column < y->column;
}

static void print_one(const struct rb_diag *diag, struct rb_buf *out)
{
    rb_text_escapes(out, diag->mark.file);
    if (diag->mark.line > 0)
        rb_buf_addf(out, ":%u:%u", diag->mark.line, diag->mark.column);
    rb_buf_adds(out, ": ");
    rb_text_escapes(out, diag->message);
    rb_buf_addc(out, '\n');
}

void rb_diags_print(const struct rb_diags *diags, struct rb_buf *out)
{
    size_t order[RB_DIAG_MAX];
    for (size_t i = 0; i < diags->count; i++) {
        size_t at = i;
        while (at > 0 && comes_before(diags, i, order[at - 1])) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    for (size_t i = 0; i < diags->count; i++)
        print_one(&diags->items[order[i]], out);
    if (diags->dropped > 0)
        rb_buf_addf(out, "%zu more errors are not shown; mend these first\n", diags->dropped);
}
