/* The text of an error page: what is shown, and no secret however the page is made. */
#include <stdlib.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/check/net.h"

START_TEST(a_page_is_what_it_shows)
{
    static const struct {
        const char *body, *text;
    } rows[] = {
        {"", ""},
        {" \n\t", ""},
        {"upstream db:5432 is down\n", "upstream db:5432 is down"},
        {"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>\n<body><center><h1>502 Bad "
         "Gateway</h1></center><hr>nginx</body>",
         "502 Bad Gateway 502 Bad Gateway nginx"},
        {"<style>h1 { color: red }</style><h1>Down</h1><SCRIPT>if (a<b) x()</SCRIPT ><p>for now", "Down for now"},
        {"<!-- a > b --><p>un<b>believ</b>able: &lt;db&gt; &amp; &quot;x&quot;", "unbelievable: <db> & \"x\""},
        {"want 3 < 4 and 5 > 4", "want 3 < 4 and 5 > 4"},
        {"{\"error\": \"no host <db>\", \"port\": 5432}", "{\"error\": \"no host \", \"port\": 5432}"},
        {"cut <a href=", "cut"},
        {"<", "<"},
        {"&", "&"},
        {"</", "</"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        ck_assert_str_eq(rb_net_page(arena, rows[i].body, strlen(rows[i].body)), rows[i].text);
    }
}
END_TEST

START_TEST(no_secret_is_shown)
{
    static const char *const bodies[] = {
        "{\"token\": \"HUNTER2x\", \"a\": 1}",
        "{&quot;password&quot;: &quot;HUNTER2x&quot;}",
        "{&#34;token&#34;:&#34;HUNTER2x&#34;}",
        "{&#x27;api_key&#x27;: &#x27;HUNTER2x&#x27;}",
        "<tr><td class=e>DB_PASSWORD</td><td class=v>HUNTER2x</td></tr>",
        "<dt>secret_key</dt>\n<dd><code>'HUNTER2x'</code></dd>",
        "<span>password</span><span>=</span><span>'HUNTER2x'</span>",
        "<span>password</span> <span>HUNTER2x</span>",
        "<b>password</b>: <i>HUNTER2x</i>",
        "password&#61;HUNTER2x",
        "<b>ghp_</b><i>HUNTER2xHUNTER2xHUNTER2xHUNTER2xHUNT</i>",
        "Authorization: <b>Bearer</b> HUNTER2xHUNTER2x",
        "<p>postgres://app:<wbr>HUNTER2x@db/x</p>",
        "Set-Cookie: sid=HUNTER2x; Path=/",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        const char *text = rb_net_page(arena, bodies[i], strlen(bodies[i]));
        ck_assert_msg(!strstr(text, "HUNTER") && strlen(text) > 0, "row %zu: %s", i, text);
    }
}
END_TEST

START_TEST(any_bytes_at_the_limits)
{
    static const char nul[] = "a\0b";
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    ck_assert_str_eq(rb_net_page(arena, nul, 3), "");
    ck_assert_str_eq(rb_net_page(arena, NULL, 0), "");
    size_t len = (size_t)16 << 20;
    char *body = malloc(len);
    ck_assert_ptr_nonnull(body);
    static const char *const fills[] = {"<", "a", "<!--", "<style>", "&", "password<b>", "x "};
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        for (size_t i = 0, n = strlen(fills[f]); i < len; i++)
            body[i] = fills[f][i % n];
        RB_ARENA_AUTO *one = rb_arena_new(1 << 20);
        ck_assert_uint_lt(strlen(rb_net_page(one, body, len)), 1300);
    }
    free(body);
}
END_TEST

RB_TEST_MAIN("page", a_page_is_what_it_shows, no_secret_is_shown, any_bytes_at_the_limits)
