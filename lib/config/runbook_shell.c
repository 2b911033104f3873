/* The commands in a shell text, as far as a report needs them: not a shell, but its words (POSIX.1-2017, XCU 2.2, 2.3, 2.10).
 *
 * A pipeline is one command: what its first program looks at is the question, the rest filters. Lists (&&, ||, ;), groups, loops and conditions fall apart into their pipelines.
 * Variables that the same text sets to a plain value, and defaults (${PORT:-9110}), are replaced; here-documents go to their command; what only guards another command
 * ([ -x FILE ] && FILE) is left out. Nothing is ever run, and text that no shell would take gives some commands or none, never an error. One pass, no recursion but for `sh -c` and
 * assignments from commands, at most MAX_DEPTH deep. */
#include <ctype.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook_internal.h"

#define MAX_WORDS     64u
#define MAX_WORD      1024u
#define MAX_TEXT      400u
#define MAX_INPUT     ((size_t)16 << 10)
#define MAX_VARIABLES 32u
#define MAX_HEREDOCS  4u
#define MAX_DEPTH     3u
#define MAX_PARENS    8u

struct variable {
    const char *name, *value;
};

struct heredoc {
    const char *end;
    bool strip_tabs;
};

/* The pipeline that is being read. */
struct pipeline {
    const char *words[MAX_WORDS + 1];
    size_t count;
    const char *begin, *end; /* in the text */
    unsigned line;
    bool later_stage;         /* behind a '|': words are those of a filter */
    const char *substitution; /* the inside of the first $(…) */
    size_t substitution_len;
    const char *input;
};

struct shell {
    const char *at, *end;
    unsigned line, depth;
    struct rb_shell_out *out;
    struct variable variables[MAX_VARIABLES];
    size_t variable_count;
    struct heredoc heredocs[MAX_HEREDOCS];
    size_t heredoc_count;
    const char *cwd;
    struct pipeline now;
    size_t guard; /* index + 1 of an emitted `test` that may guard what follows; 0: none */
    unsigned cases, parens;
    const char *outside[MAX_PARENS]; /* cwd before each open parenthesis */
};

static void parse(struct shell *shell);

/* ---- words ---- */

static const char *variable(const struct shell *shell, const char *name, size_t len)
{
    for (size_t i = shell->variable_count; i-- > 0;)
        if (strlen(shell->variables[i].name) == len && memcmp(shell->variables[i].name, name, len) == 0)
            return shell->variables[i].value;
    return NULL;
}

static size_t name_length(const char *at, const char *end)
{
    size_t len = 0;
    while (at + len < end && (isalnum((unsigned char)at[len]) || at[len] == '_'))
        len++;
    return len > 0 && isdigit((unsigned char)at[0]) ? 0 : len;
}

/* Behind an opening bracket: the place of its closing one, quotes and nesting respected, or the end. */
static const char *closing(struct shell *shell, const char *at, char open, char close)
{
    unsigned depth = 1;
    char quote = '\0';
    for (; at < shell->end; at++) {
        if (*at == '\n')
            shell->line++;
        if (*at == '\\' && quote != '\'' && at + 1 < shell->end)
            shell->line += *++at == '\n';
        else if (quote != '\0')
            quote = *at == quote ? '\0' : quote;
        else if (*at == '\'' || *at == '"')
            quote = *at;
        else if (*at == open)
            depth++;
        else if (*at == close && --depth == 0)
            return at;
    }
    return at;
}

/* At a '$': its value when it is known, else the text as it stands. */
static void add_expansion(struct shell *shell, struct rb_buf *word)
{
    const char *start = shell->at++;
    char next = '\0';
    if (shell->at < shell->end)
        next = *shell->at;
    if (next == '(') {
        const char *inside = shell->at + 1;
        shell->at = closing(shell, inside, '(', ')');
        if (shell->now.substitution == NULL) {
            shell->now.substitution = inside;
            shell->now.substitution_len = (size_t)(shell->at - inside);
        }
        shell->at += shell->at < shell->end;
        (void)rb_buf_add_some(word, start, (size_t)(shell->at - start));
        return;
    }
    const char *name = shell->at + (next == '{');
    size_t len = name_length(name, shell->end);
    const char *value = len > 0 ? variable(shell, name, len) : NULL, *stop = name + len;
    if (next == '{') {
        const char *close = closing(shell, stop, '{', '}');
        if (value == NULL && close - stop > 2 && stop[0] == ':' && (stop[1] == '-' || stop[1] == '='))
            value = rb_arena_strndup(shell->out->arena, stop + 2, (size_t)(close - stop - 2));
        stop = close + (close < shell->end);
    }
    shell->at = stop > shell->at ? stop : shell->at;
    if (value != NULL)
        (void)rb_buf_add_some(word, value, strlen(value));
    else
        (void)rb_buf_add_some(word, start, (size_t)(shell->at - start));
}

static void add_double_quoted(struct shell *shell, struct rb_buf *word)
{
    for (shell->at++; shell->at < shell->end && *shell->at != '"';) {
        if (*shell->at == '$') {
            add_expansion(shell, word);
            continue;
        }
        if (*shell->at == '\n')
            shell->line++;
        if (*shell->at == '\\' && shell->at + 1 < shell->end && strchr("\\\"$`", shell->at[1]) != NULL)
            shell->at++;
        (void)rb_buf_add_some(word, shell->at++, 1);
    }
    shell->at += shell->at < shell->end;
}

static void add_single_quoted(struct shell *shell, struct rb_buf *word)
{
    for (shell->at++; shell->at < shell->end && *shell->at != '\''; shell->at++) {
        shell->line += *shell->at == '\n';
        (void)rb_buf_add_some(word, shell->at, 1);
    }
    shell->at += shell->at < shell->end;
}

static bool ends_word(char c)
{
    return strchr(" \t\r\n;&|()<>", c) != NULL;
}

/* The next word, quotes removed; `out_quoted`: some of it was quoted. */
static const char *read_word(struct shell *shell, bool *out_quoted)
{
    RB_BUF_AUTO word;
    rb_buf_init(&word, MAX_WORD);
    *out_quoted = false;
    while (shell->at < shell->end && !(*shell->at != '\0' && ends_word(*shell->at))) {
        char c = *shell->at;
        *out_quoted = *out_quoted || c == '\'' || c == '"';
        if (c == '\'') {
            add_single_quoted(shell, &word);
        } else if (c == '"') {
            add_double_quoted(shell, &word);
        } else if (c == '$' && shell->at + 1 < shell->end && shell->at[1] == '\'') {
            shell->at++;
            add_single_quoted(shell, &word);
        } else if (c == '$') {
            add_expansion(shell, &word);
        } else if (c == '\\' && shell->at + 1 < shell->end) {
            shell->at++;
            shell->line += *shell->at == '\n';
            if (*shell->at != '\n' && *shell->at != '\r')
                (void)rb_buf_add_some(&word, shell->at, 1);
            shell->at++;
        } else {
            (void)rb_buf_add_some(&word, shell->at++, 1);
        }
    }
    return rb_arena_strdup(shell->out->arena, rb_buf_str(&word));
}

/* ---- commands ---- */

static bool is_assignment(const char *word)
{
    size_t len = name_length(word, word + strlen(word));
    return len > 0 && word[len] == '=';
}

static void remember_variable(struct shell *shell, const char *word)
{
    const char *equals = strchr(word, '=');
    if (shell->variable_count == MAX_VARIABLES || strpbrk(equals + 1, "$`*?") != NULL)
        return;
    const char *name = rb_arena_strndup(shell->out->arena, word, (size_t)(equals - word));
    if (name != NULL)
        shell->variables[shell->variable_count++] = (struct variable){name, equals + 1};
}

/* Programs that only start another one, and their options that take a value. */
static const struct {
    const char *name, *with_value;
    unsigned operands; /* before the program */
} wrappers[] = {{"sudo", "-u -g -U -h -p -C --user --group", 0},
                {"doas", "-u", 0},
                {"env", "-u -C --unset --chdir", 0},
                {"nohup", "", 0},
                {"time", "-f -o", 0},
                {"exec", "-a", 0},
                {"builtin", "", 0},
                {"nice", "-n", 0},
                {"ionice", "-c -n", 0},
                {"stdbuf", "-i -o -e", 0},
                {"timeout", "-k -s --signal --kill-after", 1},
                {"gtimeout", "-k -s --signal --kill-after", 1},
                {"watch", "-n --interval", 0},
                {"caffeinate", "-t -w", 0}};

/* How many words stand before the program that is meant. */
static size_t wrapped(const char *const *words, size_t count)
{
    size_t at = 0;
    for (bool again = true; again;) {
        again = false;
        while (at < count && is_assignment(words[at]))
            at++;
        for (size_t w = 0; at < count && w < sizeof wrappers / sizeof wrappers[0]; w++) {
            if (strcmp(words[at], wrappers[w].name) != 0)
                continue;
            size_t next = at + 1;
            while (next < count && words[next][0] == '-')
                next += 1 + rb_word_listed(words[next], wrappers[w].with_value);
            next += wrappers[w].operands;
            while (next < count && is_assignment(words[next]))
                next++;
            again = next < count;
            at = again ? next : at;
            break;
        }
    }
    return at;
}

static const char *shown_text(const struct shell *shell)
{
    RB_BUF_AUTO plain, masked, clipped;
    rb_buf_init(&plain, (size_t)64 << 10);
    rb_buf_init(&masked, (size_t)256 << 10);
    rb_buf_init(&clipped, MAX_TEXT * 4);
    bool blank = true;
    for (const char *at = shell->now.begin; at < shell->now.end; at++) {
        bool continued = *at == '\\' && at + 1 < shell->now.end && (at[1] == '\n' || at[1] == '\r');
        if (continued || strchr(" \t\r\n", *at) != NULL) {
            blank = true;
            continue;
        }
        if (blank && plain.len > 0)
            (void)rb_buf_add_some(&plain, " ", 1);
        (void)rb_buf_add_some(&plain, at, 1);
        blank = false;
    }
    (void)rb_redact(&masked, rb_buf_str(&plain), plain.len);
    rb_text_clip(&clipped, rb_buf_str(&masked), MAX_TEXT);
    return rb_arena_strdup(shell->out->arena, rb_buf_str(&clipped));
}

static const char *join_folder(struct shell *shell, const char *folder)
{
    if (folder[0] == '/' || folder[0] == '~' || strpbrk(folder, "$`") != NULL || shell->cwd == NULL || strcmp(folder, "-") == 0)
        return NULL;
    return shell->cwd[0] != '\0' ? rb_arena_printf(shell->out->arena, "%s/%s", shell->cwd, folder) : folder;
}

/* Commands inside of another: `sh -c '…'`, H=$(…). */
static void parse_inside(struct shell *shell, const char *text, size_t len)
{
    if (shell->depth == MAX_DEPTH)
        return;
    struct shell inside = {
        .at = text, .end = text + len, .line = shell->now.line, .depth = shell->depth + 1, .out = shell->out, .cwd = shell->cwd};
    memcpy(inside.variables, shell->variables, sizeof inside.variables);
    inside.variable_count = shell->variable_count;
    parse(&inside);
}

static void emit(struct shell *shell, const char *const *words, size_t count)
{
    struct rb_shell_out *out = shell->out;
    if (out->count == RB_RUNBOOK_MAX_COMMANDS) {
        out->dropped++;
        return;
    }
    const char **copy = rb_arena_array(out->arena, count + 1, sizeof *copy);
    const char *text = shown_text(shell);
    if (copy == NULL || text == NULL)
        return;
    memcpy(copy, words, count * sizeof *copy);
    out->items[out->count++] = (struct rb_runbook_command){
        .line = shell->now.line, .text = text, .words = copy, .word_count = count, .input = shell->now.input, .cwd = shell->cwd};
}

/* True when the words were about the shell itself and are done with. */
static bool is_of_shell(struct shell *shell, const char *const *words, size_t count)
{
    if (strcmp(words[0], "cd") == 0 || strcmp(words[0], "pushd") == 0) {
        shell->cwd = count > 1 ? join_folder(shell, words[count - 1]) : NULL;
        return true;
    }
    bool inline_shell = count > 2 && rb_word_listed(words[0], "sh bash zsh dash ksh") && words[1][0] == '-' &&
                        strchr(words[1], 'c') != NULL;
    if (inline_shell)
        parse_inside(shell, words[2], strlen(words[2]));
    return inline_shell;
}

/* The pipeline has ended; `op`: what ended it. */
static void finish(struct shell *shell, const char *op)
{
    struct pipeline *now = &shell->now;
    size_t guard = shell->guard;
    bool and = strcmp(op, "&&") == 0;
    shell->guard = 0;
    size_t skip = wrapped(now->words, now->count);
    for (size_t i = 0; i < skip && skip == now->count; i++)
        if (is_assignment(now->words[i]))
            remember_variable(shell, now->words[i]);
    if (now->count > 0 && skip == now->count && now->substitution != NULL)
        parse_inside(shell, now->substitution, now->substitution_len);
    bool of_shell = skip < now->count && is_of_shell(shell, now->words + skip, now->count - skip);
    if (skip < now->count && !of_shell) {
        bool is_test = rb_word_listed(now->words[skip], "[ [[ test");
        bool tells = rb_word_listed(now->words[skip], "echo printf true : exit return"); /* then the test is the question */
        if (guard > 0 && guard == shell->out->count && !is_test && !tells)
            shell->out->count--; /* the test only guarded this one */
        emit(shell, now->words + skip, now->count - skip);
        if (is_test && and)
            shell->guard = shell->out->count;
    } else if (guard > 0 && and) {
        shell->guard = guard; /* [ -d x ] && (cd x && …) */
    }
    *now = (struct pipeline){0};
}

/* ---- operators ---- */

static void skip_heredocs(struct shell *shell)
{
    RB_BUF_AUTO body;
    rb_buf_init(&body, MAX_INPUT);
    for (size_t i = 0; i < shell->heredoc_count; i++) {
        for (bool ended = false; shell->at < shell->end && !ended;) {
            const char *line = shell->at, *stop = memchr(line, '\n', (size_t)(shell->end - line));
            size_t len = stop != NULL ? (size_t)(stop - line) : (size_t)(shell->end - line);
            shell->at = line + len + (stop != NULL);
            shell->line += stop != NULL;
            const char *text = line;
            while (shell->heredocs[i].strip_tabs && text < line + len && *text == '\t')
                text++;
            size_t rest = len - (size_t)(text - line);
            rest -= rest > 0 && text[rest - 1] == '\r';
            ended = rest == strlen(shell->heredocs[i].end) && memcmp(text, shell->heredocs[i].end, rest) == 0;
            if (!ended)
                (void)rb_buf_add_some(&body, line, len + (stop != NULL));
        }
    }
    shell->heredoc_count = 0;
    shell->now.input = rb_arena_strdup(shell->out->arena, rb_buf_str(&body));
}

/* At '<' or '>': its target is no word of the command. */
static void redirection(struct shell *shell)
{
    bool here = shell->end - shell->at > 1 && memcmp(shell->at, "<<", 2) == 0, quoted;
    bool here_string = here && shell->end - shell->at > 2 && shell->at[2] == '<';
    bool process = shell->end - shell->at > 1 && shell->at[1] == '(';
    if (process) { /* <(command) is a word */
        shell->at = closing(shell, shell->at + 2, '(', ')');
        shell->at += shell->at < shell->end;
        return;
    }
    bool strip = here && !here_string && shell->end - shell->at > 2 && shell->at[2] == '-';
    while (shell->at < shell->end && strchr("<>&|-", *shell->at) != NULL && *shell->at != '\0')
        shell->at++;
    while (shell->at < shell->end && (*shell->at == ' ' || *shell->at == '\t'))
        shell->at++;
    const char *target = read_word(shell, &quoted);
    if (here && !here_string && target != NULL && target[0] != '\0' && shell->heredoc_count < MAX_HEREDOCS)
        shell->heredocs[shell->heredoc_count++] = (struct heredoc){target, strip};
    shell->now.end = shell->at;
}

static void newline(struct shell *shell)
{
    shell->at++;
    shell->line++;
    if (shell->heredoc_count > 0)
        skip_heredocs(shell);
    if (shell->now.later_stage && shell->now.end != NULL && shell->now.end[-1] == '|')
        return; /* a pipeline goes on behind its '|' */
    finish(shell, ";");
}

static void pipe_operator(struct shell *shell)
{
    struct pipeline *now = &shell->now;
    size_t skip = wrapped(now->words, now->count);
    /* What a text is only printed into is what asks: echo ruok | nc host 2181. */
    if (skip < now->count && !now->later_stage && rb_word_listed(now->words[skip], "echo printf yes true"))
        now->count = 0;
    else
        now->later_stage = true;
    shell->at += shell->end - shell->at > 1 && shell->at[1] == '&' ? 2 : 1;
    now->end = shell->at;
    if (now->later_stage && shell->at[-1] == '&')
        now->end = shell->at - 1;
}

static void list_operator(struct shell *shell)
{
    size_t left = (size_t)(shell->end - shell->at);
    char c = *shell->at;
    bool twice = left > 1 && shell->at[1] == c;
    const struct pipeline *now = &shell->now;
    if (now->count > 0 && strcmp(now->words[0], "[[") == 0 && strcmp(now->words[now->count - 1], "]]") != 0 && c != ';') {
        shell->at++; /* inside of a condition: no list */
        return;
    }
    if (c == '|' && !twice) {
        pipe_operator(shell);
        return;
    }
    if (c == '&' && left > 1 && shell->at[1] == '>') { /* &>file */
        shell->at++;
        redirection(shell);
        return;
    }
    if (c == ')' && shell->parens == 0 && shell->cases > 0)
        shell->now = (struct pipeline){0}; /* a pattern of `case` */
    if (c == '(' && shell->now.count == 1 && left > 1 && shell->at[1] == ')')
        shell->now = (struct pipeline){0}; /* name() { */
    bool list = (c == '&' || c == '|') && twice;
    finish(shell, list ? (c == '&' ? "&&" : "||") : c == '(' ? "&&" : ";");
    shell->at += twice && c != '(' && c != ')' ? 2 : 1;
    if (c == '(' && shell->parens++ < MAX_PARENS)
        shell->outside[shell->parens - 1] = shell->cwd;
    if (c == ')' && shell->parens > 0 && --shell->parens < MAX_PARENS)
        shell->cwd = shell->outside[shell->parens]; /* a cd in a subshell ends with it */
}

static void word(struct shell *shell)
{
    struct pipeline *now = &shell->now;
    bool quoted;
    const char *begin = shell->at;
    unsigned line = shell->line;
    const char *text = read_word(shell, &quoted);
    if (text == NULL)
        return;
    bool number = strlen(text) == 1 && isdigit((unsigned char)text[0]) && shell->at < shell->end && strchr("<>", *shell->at) != NULL;
    if (number)
        return; /* 2>file */
    if (now->begin == NULL) {
        now->begin = begin;
        now->line = line;
    }
    if (!now->later_stage && now->count < MAX_WORDS)
        now->words[now->count++] = text;
    now->end = shell->at;
    if (quoted || now->count > 1 || now->later_stage)
        return;
    bool opens_loop = rb_word_listed(text, "for select"), opens_case = strcmp(text, "case") == 0;
    shell->cases += opens_case;
    shell->cases -= strcmp(text, "esac") == 0 && shell->cases > 0;
    if (opens_loop || opens_case || strcmp(text, "function") == 0) { /* up to `do`, `in` or the end of the line */
        while (shell->at < shell->end && *shell->at != '\n' && *shell->at != ';' &&
               !(opens_case && shell->end - shell->at > 3 && memcmp(shell->at, " in", 3) == 0 && ends_word(shell->at[3])))
            shell->at++;
        shell->at += opens_case && shell->at < shell->end && *shell->at == ' ' ? 3 : 0;
        *now = (struct pipeline){0};
    } else if (rb_word_listed(text, "if then else elif do while until ! { } fi done esac")) {
        *now = (struct pipeline){0};
    }
}

static void parse(struct shell *shell)
{
    while (shell->at < shell->end && !rb_arena_failed(shell->out->arena)) {
        char c = *shell->at;
        bool continued = c == '\\' && shell->end - shell->at > 1 &&
                         (shell->at[1] == '\n' || (shell->at[1] == '\r' && shell->end - shell->at > 2));
        if (c == '\n') {
            newline(shell);
        } else if (continued) {
            shell->line++;
            shell->at += shell->at[1] == '\r' ? 3 : 2;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            shell->at++;
        } else if (c == '#') {
            while (shell->at < shell->end && *shell->at != '\n')
                shell->at++;
        } else if (c == '<' || c == '>') {
            redirection(shell);
        } else if (c != '\0' && strchr(";&|()", c) != NULL) {
            list_operator(shell);
        } else {
            word(shell);
        }
    }
    finish(shell, ";");
}

void rb_shell_commands(const char *text, size_t len, unsigned line, struct rb_shell_out *out)
{
    struct shell shell = {.at = text, .end = text + len, .line = line, .out = out, .cwd = ""};
    parse(&shell);
}
