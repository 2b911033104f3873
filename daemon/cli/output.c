/* What leaves the program on its streams: escaped, checked for having got out, coloured only where somebody looks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"

#define DEFAULT_COLUMNS   100
#define UNCLIPPED_COLUMNS 4096 /* into a file or a pipe: nothing is cut that a person may search for */
#define MIN_COLUMNS       40

void rb_cli_error(const char *fmt, ...)
{
    RB_BUF_AUTO text, line;
    rb_buf_init(&text, 65536);
    rb_buf_init(&line, 262144);
    va_list args;
    va_start(args, fmt);
    rb_buf_addv(&text, fmt, args);
    va_end(args);
    rb_buf_adds(&line, "runbookd: ");
    rb_text_escapes(&line, rb_buf_str(&text));
    rb_buf_addc(&line, '\n');
    (void)fputs(rb_buf_str(&line), stderr);
}

int rb_cli_write(const struct rb_buf *text, int code)
{
    struct rb_error err = {0};
    if (rb_buf_check(text, "the output", &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    if (fwrite(rb_buf_str(text), 1, text->len, stdout) == text->len && fflush(stdout) == 0)
        return code;
    if (errno == EPIPE)
        return RB_EXIT_CANNOT; /* the reader has seen enough (| head): no news */
    (void)rb_error_sys(&err, errno, "the output could not be written");
    rb_cli_error("%s", err.message);
    return RB_EXIT_CANNOT;
}

static int add_json(const char *bytes, size_t len, void *buf)
{
    rb_buf_add(buf, bytes, len);
    return 0;
}

int rb_cli_write_json(json_t *take_value, int code)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    size_t flags = JSON_INDENT(2) | (rb_cli_is_terminal(stdout) ? JSON_ENSURE_ASCII : 0);
    bool dumped = take_value && json_dump_callback(take_value, add_json, &text, flags) == 0;
    json_decref(take_value);
    if (!dumped) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    rb_buf_addc(&text, '\n');
    return rb_cli_write(&text, code);
}

json_t *rb_cli_json_text(const char *text)
{
    if (!text)
        return json_null();
    if (rb_text_is_utf8(text, strlen(text)))
        return json_string(text);
    RB_BUF_AUTO escaped;
    rb_buf_init(&escaped, RB_RENDER_MAX);
    rb_text_escapes(&escaped, text);
    return json_string(rb_buf_str(&escaped));
}

bool rb_cli_is_terminal(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

struct rb_text_style rb_cli_style(FILE *stream, int language)
{
    struct rb_text_style style = {.columns = UNCLIPPED_COLUMNS, .language = (enum rb_language)language};
    if (!rb_cli_is_terminal(stream))
        return style;
    style.columns = DEFAULT_COLUMNS;
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    style.colour = (!no_color || no_color[0] == '\0') && term && strcmp(term, "dumb") != 0;
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        style.columns = size.ws_col < MIN_COLUMNS ? MIN_COLUMNS : size.ws_col;
    return style;
}

void rb_cli_add_lines(struct rb_buf *out, const char *text, size_t len)
{
    for (size_t start = 0; start < len;) {
        const char *end = memchr(text + start, '\n', len - start);
        size_t line = end ? (size_t)(end - (text + start)) : len - start;
        rb_text_escape(out, text + start, line);
        rb_buf_addc(out, '\n');
        start += line + 1;
    }
}

void rb_cli_add_argv(struct rb_buf *out, const struct rb_node *argv)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, 65536);
    for (size_t i = 0; argv && argv->type == RB_NODE_SEQUENCE && i < argv->count; i++) {
        const struct rb_node *item = argv->items[i];
        const char *word = item->secret ? RB_REDACTED : item->scalar ? item->scalar : "";
        rb_buf_adds(&line, i > 0 ? " " : "");
        if (!rb_text_shell_quote(&line, word)) {
            rb_buf_addc(&line, '\'');
            rb_text_escapes(&line, word);
            rb_buf_addc(&line, '\'');
        }
    }
    (void)rb_redact(out, rb_buf_str(&line), line.len);
}
