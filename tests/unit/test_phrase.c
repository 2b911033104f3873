/* The German catalogue: every row is sound and found by its own form; foreign and hostile text stays as it is, in bounded time. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/text.h"
#include "runbook/incident/phrase.h"

static void expect(const char *english, const char *german)
{
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1u << 20);
    bool known = rb_phrase_german(&out, english);
    ck_assert_str_eq(rb_buf_str(&out), german);
    ck_assert_msg(known == (strcmp(english, german) != 0), "%s", english);
}

/* The place of the mark at `at` among all marks, -1 when there is none. */
static int mark_at(const char *at)
{
    static const char marks[] = "123456789abcdefghiABCDEFGHI";
    const char *found = at[0] == '%' && at[1] != '\0' ? strchr(marks, at[1]) : NULL;
    return found ? (int)(found - marks) : -1;
}

static unsigned marks_of(const char *form)
{
    unsigned set = 0;
    for (; *form; form++) {
        if (mark_at(form) >= 0)
            set |= 1u << mark_at(form);
    }
    return set;
}

/* A sentence of this form: each mark becomes a word of its own. */
static void fill(struct rb_buf *out, const char *form)
{
    for (; *form; form++) {
        size_t one = strcspn(form, "|]");
        bool plural = *form == '[' && form[one] == '|';
        if (plural)
            form += one; /* no filled number is 1 */
        else if (*form == ']' && mark_at(form - 2) < 0)
            continue;
        else if (mark_at(form) >= 0)
            rb_buf_addf(out, "q%cz", *++form);
        else
            rb_buf_addc(out, *form);
    }
}

START_TEST(test_rows_are_sound)
{
    const char *german, *english;
    for (size_t i = 0; (english = rb_phrase_row(i, &german)); i++) {
        ck_assert_msg(marks_of(english) == marks_of(german), "%s / %s", english, german);
        ck_assert_msg(rb_text_is_plain(english, strlen(english)) && rb_text_is_plain(german, strlen(german)), "%s", english);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(english, rb_phrase_row(k, NULL));
    }
    ck_assert_ptr_null(rb_phrase_row(100000, &german));
}
END_TEST

START_TEST(test_each_row_is_found_by_its_form)
{
    const char *german, *english;
    for (size_t i = 0; (english = rb_phrase_row(i, &german)); i++) {
        RB_BUF_AUTO text, wanted, said;
        rb_buf_init(&text, 4096);
        rb_buf_init(&wanted, 4096);
        rb_buf_init(&said, 65536);
        fill(&text, english);
        fill(&wanted, german);
        bool joins = strncmp(english, "%a: %A", 6) == 0 || strncmp(english, "%A", 2) == 0;
        bool known = rb_phrase_german(&said, rb_buf_str(&text));
        if (joins && !known)
            continue; /* a list counts only with a known part */
        ck_assert_msg(strcmp(rb_buf_str(&said), rb_buf_str(&wanted)) == 0, "%s: %s, not %s", english, rb_buf_str(&said),
                      rb_buf_str(&wanted));
    }
}
END_TEST

START_TEST(test_sentences)
{
    expect("prometheus-local exited with code 2", "prometheus-local mit Exit-Code 2 beendet");
    expect("prometheus-local exited with code 2 at 2026-08-22 03:02:08Z",
           "prometheus-local mit Exit-Code 2 beendet (2026-08-22 03:02:08Z)");
    expect("obs: prometheus-local exited with code 2", "obs: prometheus-local mit Exit-Code 2 beendet");
    expect("nobody listens on port 9110", "auf Port 9110 lauscht niemand");
    expect("nobody listens on 127.0.0.1:9090", "auf 127.0.0.1:9090 lauscht niemand");
    expect("http://localhost:9092/-/ready refused", "http://localhost:9092/-/ready: Verbindung abgelehnt");
    expect("port 80 is held by nginx (pid 7) on 0.0.0.0:80, expected python",
           "Port 80 ist belegt von nginx (PID 7) auf 0.0.0.0:80, erwartet python");
    expect("2 changed, 1 removed since 2026-08-19", "2 geändert, 1 gelöscht seit 2026-08-19");
    expect("1 key in 1 file", "1 Schlüssel in 1 Datei");
    expect("1 of 3 files broken: a.json:1:9: trailing comma (valid only as JSON with comments: exclude it, or set json: lenient)",
           "1 von 3 Dateien defekt: a.json:1:9: trailing comma (nur als JSON mit Kommentaren gültig: ausschließen oder json: lenient)");
    expect("57 keys in 12 files", "57 Schlüssel in 12 Dateien");
    expect("p: 1 of 1 containers run", "p: 1 von 1 Container läuft");
    expect("/ is 91 % full (42 GiB free); up 3 min", "/ ist zu 91 % voll (42 GiB frei); Uptime 3 min");
}
END_TEST

START_TEST(test_foreign_words_stay)
{
    expect("", "");
    expect("level=error msg=\"line 35: cannot unmarshal\"", "level=error msg=\"line 35: cannot unmarshal\"");
    expect("error: something, somewhere; somehow", "error: something, somewhere; somehow");
    expect("two words refused", "two words refused"); /* a word mark takes no blank */
    expect("nobody listens on ", "nobody listens on ");
    expect("Connection refused by policy", "Connection refused by policy");
    expect("prometheus \033[31m exited with code 2", "prometheus \033[31m exited with code 2"); /* the renderer escapes, not this */
}
END_TEST

START_TEST(test_hostile_text_is_bounded)
{
    static const char *const pieces[] = {
        " ", "%1", "%A; ", ": ", "a; ", " of ", " is ", " at x", "no result for 1 s; the last was: ", "\xff"};
    RB_BUF_AUTO text, out;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        for (size_t size = RB_PHRASE_MAX; size <= 65536; size *= 16) {
            rb_buf_init(&text, 1u << 20);
            rb_buf_init(&out, 1u << 20);
            while (text.len + strlen(pieces[i]) <= size)
                rb_buf_adds(&text, pieces[i]);
            (void)rb_phrase_german(&out, rb_buf_str(&text));
            ck_assert(!out.failed);
            if (size > RB_PHRASE_MAX)
                ck_assert_str_eq(rb_buf_str(&out), rb_buf_str(&text));
            rb_buf_fini(&text);
            rb_buf_fini(&out);
        }
    }
    rb_buf_init(&text, 8);
    rb_buf_init(&out, 8);
    (void)rb_phrase_german(&out, "obs: prometheus-local exited with code 2");
    ck_assert(out.failed);
}
END_TEST

RB_TEST_MAIN("phrase", test_rows_are_sound, test_each_row_is_found_by_its_form, test_sentences, test_foreign_words_stay,
             test_hostile_text_is_bounded)
