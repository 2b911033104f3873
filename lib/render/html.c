/* What the HTML renderers share: escaping, the frame of a page, and the style sheet.
 *
 * Pages are self-contained and have no script. The Content-Security-Policy names the style sheet by its digest, so the sheet is one static string and no
 * element carries a style attribute. Colours hold WCAG AA contrast in light and dark; state is always text too, never colour alone. */
#include <string.h>

#include "internal.h"

static const char style[] =
    ":root{color-scheme:light "
    "dark;--fg:#1b1f24;--bg:#fff;--line:#d0d7de;--dim:#57606a;--ok:#116329;--warn:#7d4e00;--fail:#a40e26;--card:#f6f8fa}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#30363d;--dim:#9aa4af;--ok:#56d364;--warn:#e3b341;--fail:#"
    "ff7b72;--card:#161b22}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:1rem;font:16px/1.5 "
    "system-ui,sans-serif;color:var(--fg);background:var(--bg)}"
    "h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}a{color:inherit}"
    "p,dl{margin:.4rem 0}.dim{color:var(--dim)}.card{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.6rem "
    ".9rem;margin:.6rem 0}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid "
    "var(--line)}"
    "td,tbody "
    "th{white-space:nowrap}td.text{white-space:normal;overflow-wrap:anywhere}.ok,.skip,.held{color:var(--ok)}.warn,.pending,.stale,."
    "unknown{color:var(--warn)}.fail,.violated{color:var(-"
    "-fail)}"
    ".state{font-weight:700;white-space:nowrap}pre,code{font:14px/1.45 "
    "ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0}"
    ".scroll{overflow-x:auto}dt{font-weight:600}dd{margin:0 0 .4rem 1rem}";

const char *rb_render_html_style(void)
{
    return style;
}

void rb_html_text(struct rb_buf *out, const char *text)
{
    RB_BUF_AUTO safe;
    rb_buf_init(&safe, (size_t)1 << 20);
    rb_text_escapes(&safe, text);
    for (const char *at = rb_buf_str(&safe); *at; at++) {
        switch (*at) {
        case '&':
            rb_buf_adds(out, "&amp;");
            break;
        case '<':
            rb_buf_adds(out, "&lt;");
            break;
        case '>':
            rb_buf_adds(out, "&gt;");
            break;
        case '"':
            rb_buf_adds(out, "&quot;");
            break;
        case '\'':
            rb_buf_adds(out, "&#39;");
            break;
        default:
            rb_buf_addc(out, *at);
        }
    }
}

void rb_html_head(struct rb_buf *out, enum rb_language language, const char *title, unsigned refresh_s)
{
    rb_buf_addf(out, "<!doctype html>\n<html lang=\"%s\">\n<head><meta charset=\"utf-8\">\n", language == RB_LANGUAGE_DE ? "de" : "en");
    rb_buf_adds(
        out, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    if (refresh_s)
        rb_buf_addf(out, "<meta http-equiv=\"refresh\" content=\"%u\">\n", refresh_s);
    rb_buf_adds(out, "<title>");
    rb_html_text(out, title);
    rb_buf_addf(out, "</title>\n<style>%s</style></head>\n<body><main>\n", style);
}

void rb_html_tail(struct rb_buf *out)
{
    rb_buf_adds(out, "</main></body></html>\n");
}
