/* The redactor: what must be masked, what must stay, and that it is linear.
 *
 * Sample tokens are glued together at compile time so that no scanner mistakes this file for a leak. */
#include <string.h>
#include <time.h>

#include "../support/check_main.h"
#include "runbook/base/redact.h"

#define M RB_REDACTED

static void expect(const char *text, const char *expected)
{
    RB_BUF_AUTO out = {.max = 1 << 20};
    (void)rb_redact(&out, text, strlen(text));
    ck_assert_str_eq(rb_buf_str(&out), expected);
    /* What is masked stays masked, and nothing more is lost. */
    RB_BUF_AUTO twice = {.max = 1 << 20};
    (void)rb_redact(&twice, rb_buf_str(&out), out.len);
    ck_assert_str_eq(rb_buf_str(&twice), expected);
}

START_TEST(headers)
{
    expect("Authorization: Bearer abc.def", "Authorization: Bearer " M);
    expect("authorization:Basic dTpw\r\nHost: h\r\n", "authorization:Basic " M "\r\nHost: h\r\n");
    expect("curl -H 'Authorization: Bearer xyz' http://h/ -v", "curl -H 'Authorization: Bearer " M "' http://h/ -v");
    expect("Cookie: a=b; c=d\nX: y", "Cookie: " M "\nX: y");
    expect("Set-Cookie: sid=1; HttpOnly", "Set-Cookie: " M);
    expect("X-Api-Key: abc", "X-Api-Key: " M);
    expect("sent Bearer abcdef0123456789", "sent Bearer " M);
}
END_TEST

START_TEST(keys_and_values)
{
    expect("password: \"a b\"", "password: \"" M "\"");
    expect("password: two words  # why", "password: " M "  # why");
    expect("DB_PASSWORD=hunter2 PATH=/bin", "DB_PASSWORD=" M " PATH=/bin");
    expect("export PGPASSWORD='a b' X=1", "export PGPASSWORD='" M "' X=1");
    expect("{\"token\":12345,\"a\":1,\"password\":\"x\\\"y\",\"ok\":\"z\"}",
           "{\"token\":" M ",\"a\":1,\"password\":\"" M "\",\"ok\":\"z\"}");
    expect("{\\\"secret\\\": \\\"abc\\\", \\\"x\\\": 1}", "{\\\"secret\\\": \\\"" M "\\\", \\\"x\\\": 1}");
    expect("{'password': 'ab\\'c', 'x': 1}", "{'password': '" M "', 'x': 1}");
    expect("api_key => 'abc'", "api_key => '" M "'");
    expect("clientSecret=abc", "clientSecret=" M);
    expect("_authToken=abc", "_authToken=" M);
    expect("--password hunter2 --token=abc --verbose", "--password " M " --token=" M " --verbose");
    expect("[\"--token\", \"abc\", \"x\"]", "[\"--token\", \"" M "\", \"x\"]");
    expect("<password>abc</password>", "<password>" M "</password>");
    expect("GET /x?token=abc&y=1&sig=zzz HTTP", "GET /x?token=" M "&y=1&sig=" M " HTTP");
    expect("password=ab,c;d&e rest", "password=" M " rest");
    expect("token=abc, next=1; secret=x; echo", "token=" M ", next=1; secret=" M "; echo");
    expect("curl -u admin:hunter2 http://h/", "curl -u admin:" M " http://h/");
    expect("curl --user 'a:b c' x", "curl --user 'a:" M "' x");
    expect("docker run -u 1000:1000 x", "docker run -u 1000:1000 x");
    expect("tokens: [a, b]\nnext: 1", "tokens: " M "\nnext: 1");
    expect("auth: |\n  line one\n\n  line two\nnext: 1", "auth: " M "\nnext: 1");
}
END_TEST

START_TEST(urls)
{
    expect("postgres://u:p@ss@host/db", "postgres://u:" M "@host/db");
    expect("mysql://u:p/w@host/x", "mysql://u:" M "@host/x");
    expect("see http://localhost:9090/x@y ok", "see http://localhost:9090/x@y ok");
    expect("ssh://git@github.com/x", "ssh://git@github.com/x");
    expect("https://abcdefghijklmnopqrstuv@h/x", "https://" M "@h/x");
    expect("https://hooks.slack.com/services/T0/B0/xyz end", "https://hooks.slack.com/services/" M " end");
    expect("http://[::1]:9112/a@b", "http://[::1]:9112/a@b");
}
END_TEST

START_TEST(known_tokens)
{
    static const char *const tokens[] = {
        "gh"
        "p_abcdefghijklmnopqrstuvwxyz0123456789",
        "github"
        "_pat_11ABCDEFG0abcdefghij_klmn",
        "gl"
        "pat-abcdefghij0123456789",
        "xo"
        "xb-123456789012-abcdef",
        "sk"
        "-proj-abcdefghij0123456789abcd",
        "sk"
        "_live_abcdefghij0123",
        "AK"
        "IAIOSFODNN7EXAMPLE",
        "AI"
        "zaSyA0123456789abcdefghijklmnopqrstuv",
        "ey"
        "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijkl",
        "np"
        "m_abcdefghijklmnopqrstuvwxyz0123456789",
    };
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        RB_BUF_AUTO text = {.max = 1000};
        rb_buf_addf(&text, "saw %s.\n(%s)", tokens[i], tokens[i]);
        RB_BUF_AUTO out = {.max = 1000};
        ck_assert_uint_eq(rb_redact(&out, rb_buf_str(&text), text.len), 2);
        ck_assert_ptr_null(strstr(rb_buf_str(&out), tokens[i]));
        ck_assert_int_eq(strncmp(rb_buf_str(&out), "saw " M, strlen("saw " M)), 0);
    }
}
END_TEST

START_TEST(pem_blocks)
{
    expect("a\n-----BEGIN RSA "
           "PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nb",
           "a\n" M "\nb");
    expect("-----BEGIN "
           "PRIVATE KEY-----\nMIIE never ends",
           M);
    expect("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----");
}
END_TEST

START_TEST(ordinary_text_stays)
{
    static const char *const plain[] = {
        "the token is expired, the secret of success",
        "tokens=57 keys",
        "max_tokens: 4096",
        "token_file: /run/secrets/x",
        "password: ${DB_PASSWORD}",
        "password: true",
        "secret: null",
        "token=",
        "password: ''",
        "PWD=/home/op",
        "secrets: 3 findings",
        "pass: 5 fail: 0",
        "bearer token missing",
        "sk-learn and skip",
        "author: Ann, monkey: yes",
        "SAFETY   OK: live execution is still forbidden (57 keys, 5/5 processes, 3/3 containers; 1 s ago)",
        "passwords are hashed; std::token::next",
        "--password --verbose",
        "1. CAUSE [high]  prometheus-local exits with code 2; down since 03:02:08Z (5 min 33 s), 9 restarts",
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        expect(plain[i], plain[i]);
        RB_BUF_AUTO out = {.max = 1000};
        ck_assert_uint_eq(rb_redact(&out, plain[i], strlen(plain[i])), 0);
    }
}
END_TEST

START_TEST(key_names)
{
    static const char *const secret[] = {
        "password",    "DB_PASSWORD", "apiKey", "api-key",     "GITHUB_TOKEN", "client_secret", "aws_secret_access_key",
        "private_key", "authToken",   "Cookie", "credentials", "SESSION_ID",   "token2",        "spring.datasource.password"};
    static const char *const open[] = {"",          "key",           "keyboard", "author", "tokenizer", "PWD",
                                       "token_url", "password_file", "compass",  "path",   "secrets"};
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        ck_assert_msg(rb_redact_key_is_secret(secret[i]), "%s", secret[i]);
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        ck_assert_msg(!rb_redact_key_is_secret(open[i]), "%s", open[i]);
}
END_TEST

START_TEST(any_bytes)
{
    static const char bytes[] = "a\0password=\xff\xfe x\0token: \x80";
    RB_BUF_AUTO out = {.max = 1000};
    ck_assert_uint_eq(rb_redact(&out, bytes, sizeof bytes - 1), 2);
    ck_assert_uint_gt(out.len, 0);
    ck_assert_mem_eq(out.data, "a\0password=" M " x", strlen("password=" M " x") + 2);
    RB_BUF_AUTO small = {.max = 4};
    (void)rb_redact(&small, "password=x", 10);
    ck_assert(small.failed);
}
END_TEST

/* Inputs that make a careless scanner quadratic: 2 MB each. */
START_TEST(linear_time)
{
    static const char *const pieces[] = {"sk-",  "a://a:b/",  "token=\"", "password:", "-----BEGIN ", "eyJ.",
                                         "a.b-", "key: |\n ", "://",      "cookie:'",  "\\\""};
    const size_t size = 2 << 20;
    char *text = malloc(size + 16);
    ck_assert_ptr_nonnull(text);
    clock_t begin = clock();
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t len = strlen(pieces[i]);
        for (size_t at = 0; at < size; at += len)
            memcpy(text + at, pieces[i], len);
        RB_BUF_AUTO out = {.max = 64 << 20};
        (void)rb_redact(&out, text, size);
        ck_assert(!out.failed);
    }
    free(text);
    ck_assert_int_lt((clock() - begin) / CLOCKS_PER_SEC, 20);
}
END_TEST

RB_TEST_MAIN("redact", headers, keys_and_values, urls, known_tokens, pem_blocks, ordinary_text_stays, key_names, any_bytes, linear_time)
