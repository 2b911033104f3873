/* Which lines of a runbook are commands: fenced shell blocks, and on request code spans of the prose.
 *
 * A block is shell when its info string says so. A session (console, or any block with lines that begin with "$ ") has commands only on its prompt lines and on what continues them; the rest is
 * output. Line numbers are kept by blanking what is left out instead of dropping it. */
#include <ctype.h>
#include <string.h>

#include "runbook_internal.h"

#define MAX_BLOCK ((size_t)1 << 20)

enum language { LANGUAGE_OTHER, LANGUAGE_NONE, LANGUAGE_SHELL, LANGUAGE_SESSION };

/* The first word behind the fence: "bash", "{.sh .numberLines}", "console title=x". */
static enum language language_of(const struct rb_runbook_line *fence)
{
    static const char *const shells[] = {"sh", "bash", "zsh", "ksh", "dash", "shell", "shellscript", "posix"};
    static const char *const sessions[] = {"console", "shell-session", "sh-session", "bash-session", "shellsession", "terminal"};
    struct span line = rb_span_trim((struct span){fence->text, fence->len});
    size_t at = 0, len = 0;
    while (at < line.len && strchr("`~{. \t", line.text[at]) != NULL)
        at++;
    while (at + len < line.len && (isalnum((unsigned char)line.text[at + len]) || line.text[at + len] == '-'))
        len++;
    if (len == 0)
        return LANGUAGE_NONE;
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strlen(shells[i]) == len && memcmp(shells[i], line.text + at, len) == 0)
            return LANGUAGE_SHELL;
    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++)
        if (strlen(sessions[i]) == len && memcmp(sessions[i], line.text + at, len) == 0)
            return LANGUAGE_SESSION;
    return LANGUAGE_OTHER;
}

/* "$ command", "user@host:~$ command", "% command": where the command begins; 0: no prompt. */
static size_t prompt_length(const struct rb_runbook_line *line)
{
    size_t at = 0;
    while (at < line->len && strchr(" \t", line->text[at]) != NULL)
        at++;
    size_t start = at;
    while (at < line->len && strchr(" \t$%", line->text[at]) == NULL)
        at++;
    bool named = at == start || memchr(line->text + start, '@', at - start) != NULL;
    bool marked = at + 1 < line->len && strchr("$%", line->text[at]) != NULL && line->text[at + 1] == ' ';
    return named && marked ? at + 2 : 0;
}

static bool has_prompt(const struct rb_runbook *book, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++)
        if (prompt_length(&book->lines[i - 1]) > 0)
            return true;
    return false;
}

static bool is_continued(const struct rb_runbook_line *line)
{
    struct span text = rb_span_trim((struct span){line->text, line->len});
    return text.len > 0 && text.text[text.len - 1] == '\\';
}

/* Lines `first` to `last` of one block. */
static void read_block(const struct rb_runbook *book, size_t first, size_t last, bool session, struct rb_shell_out *out)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, MAX_BLOCK);
    bool goes_on = false;
    for (size_t i = first; i <= last; i++) {
        const struct rb_runbook_line *line = &book->lines[i - 1];
        size_t prompt = session ? prompt_length(line) : 0, skip = prompt;
        bool taken = !session || prompt > 0 || goes_on;
        if (goes_on && prompt == 0 && line->len > 2 && memcmp(line->text, "> ", 2) == 0)
            skip = 2; /* the shell's second prompt */
        goes_on = taken && session && is_continued(line);
        if (taken)
            (void)rb_buf_add_some(&text, line->text + skip, line->len - skip);
        (void)rb_buf_add_some(&text, "\n", 1);
    }
    /* The words point into the text: it lives as long as they do. */
    const char *kept = rb_arena_strndup(out->arena, rb_buf_str(&text), text.len);
    if (kept != NULL)
        rb_shell_commands(kept, text.len, (unsigned)first, out);
}

/* `git status` in a sentence is a command, `main` is not. */
static void read_spans(const struct rb_runbook_line *line, unsigned number, struct rb_shell_out *out)
{
    const char *end = line->text + line->len;
    for (const char *at = memchr(line->text, '`', line->len); at != NULL && at < end;) {
        const char *close = memchr(at + 1, '`', (size_t)(end - at - 1));
        if (close == NULL)
            return;
        const char *text = rb_arena_strndup(out->arena, at + 1, (size_t)(close - at - 1));
        const char *first = text != NULL ? rb_arena_strndup(out->arena, text, strcspn(text, " ")) : NULL;
        if (first != NULL && (rb_runbook_knows_program(first) || (strchr(first, '/') != NULL && strchr(text, ' ') != NULL)))
            rb_shell_commands(text, strlen(text), number, out);
        at = close + 1 < end ? memchr(close + 1, '`', (size_t)(end - close - 1)) : NULL;
    }
}

void rb_runbook_commands(const struct rb_runbook *book, unsigned first, unsigned last, bool with_spans, struct rb_arena *arena,
                         struct rb_runbook_commands *out)
{
    struct rb_shell_out found = {.arena = arena, .items = rb_arena_array(arena, RB_RUNBOOK_MAX_COMMANDS, sizeof *found.items)};
    enum language language = LANGUAGE_NONE;
    *out = (struct rb_runbook_commands){0};
    for (size_t i = 1; found.items != NULL && i <= book->line_count && i <= last; i++) {
        const struct rb_runbook_line *line = &book->lines[i - 1];
        if (line->kind == RB_RUNBOOK_FENCE)
            language = language_of(line); /* of a closing one too: no code line follows it */
        if (with_spans && line->kind == RB_RUNBOOK_PROSE && i >= first)
            read_spans(line, (unsigned)i, &found);
        if (line->kind != RB_RUNBOOK_CODE)
            continue;
        size_t from = i > first ? i : first;
        while (i < book->line_count && i < last && book->lines[i].kind == RB_RUNBOOK_CODE)
            i++;
        bool prompts = from <= i && has_prompt(book, from, i), shell = language == LANGUAGE_SHELL;
        if (from <= i && (shell || language == LANGUAGE_SESSION || (language == LANGUAGE_NONE && prompts)))
            read_block(book, from, i, prompts || language == LANGUAGE_SESSION, &found);
    }
    *out = (struct rb_runbook_commands){.items = found.items, .count = found.count, .dropped = found.dropped};
}
