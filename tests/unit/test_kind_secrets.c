/* secrets: every rule finds what it is for, placeholders are none, no value is ever told, fingerprints survive moving, the allow-list expires. */
#include <stdio.h>
#include <string.h>

#include "../support/check_main.h"
#include "../support/kind_real.h"
#include "../support/scratch.h"
#include "runbook/source/secret_rules.h"

extern const struct rb_kind rb_kind_secrets;

/* Values are put together here, so that no scanner, ours included, takes this file for a leak. */
#define R16   "Q7ZK3M5XW2PL9TDA"
#define R36   "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
#define HEX32 "9f86d081884c7d659a2feaa0c55ad015"
static const struct {
    const char *rule, *line;
} samples[] = {
    {"aws_access_key", "key: "
                       "AK"
                       "IA" R16},
    {"aws_secret_key", "aws_"
                       "secret_access_key = \""
                       "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzzKEYabc"
                       "\""},
    {"gcp_api_key", "x = AI"
                    "za"
                    "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"},
    {"gcp_service_account", "\"private_"
                            "key_id\": \"" HEX32 "deadbeef\""},
    {"azure_storage_key", "DefaultEndpointsProtocol=https;Account"
                          "Key=" R36 R36 "abcdefghijklmn=="},
    {"digitalocean_token", "do"
                           "p_v1_" HEX32 HEX32},
    {"github_token", "token ghp"
                     "_" R36},
    {"github_fine_grained", "github"
                            "_pat_11ABCDEFG0" R36},
    {"gitlab_token", "glp"
                     "at-"
                     "x7Yz9_Kq3Lm5Np8Rs2Tv"},
    {"npm_token", "//registry.npmjs.org/:_authToken=np"
                  "m_" R36},
    {"pypi_token", "py"
                   "pi-AgEIcHlwaS5vcmcC" R36 R36},
    {"slack_token", "xo"
                    "xb-123456789012-1234567890123-"
                    "aBcDeFgHiJkLmNoPqRsTuVwX"},
    {"slack_webhook", "https://hooks.slack"
                      ".com/services/T12345678/B12345678/"
                      "aBcDeFgHiJkLmNoPqRsTuVwX"},
    {"discord_webhook", "https://discord.com/api/web"
                        "hooks/123456789012345678/" R36 R36},
    {"discord_token", "BOT_"
                      "TOKEN=MTk4NjIyNDgzNDcxOTI1MjQ4"
                      ".Cl2FMQ."
                      "ZnCjm1XVW7vRze4b7Cq4se7kKWs"},
    {"telegram_token", "123456789"
                       ":AA"
                       "HdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"},
    {"stripe_key", "sk"
                   "_live_"
                   "4eC39HqLyjWDarjtT1zdp7dc"},
    {"sendgrid_key", "S"
                     "G.ngeVfQFYQlKU0ufo8x5d1A."
                     "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr"},
    {"private_key", "-----BEGIN RSA PRIV"
                    "ATE KEY-----\nMIIEpAIBAAKCAQEA" R36 R36 "\n-----END RSA PRIVATE KEY-----"},
    {"private_key", "{\"k\": \"-----BEGIN PRIV"
                    "ATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC" R36 "\\n-----END\"}"},
    {"private_key", "-----BEGIN OPENSSH PRIV"
                    "ATE KEY-----\r\nb3BlbnNzaC1rZXktdjEA" R36 "\r\n"},
    {"private_key", "-----BEGIN PGP PRIV"
                    "ATE KEY BLOCK-----\nVersion: x\n\nlQOYBF" R36 R16 "\n"},
    {"jwt", "Bearer ey"
            "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0."
            "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"},
    {"database_url", "DSN=postgres://app:"
                     "s3cr3tpw@db:5432/x"},
    {"database_url", "url: mongodb+srv://u:"
                     "p4ss.word@cluster0.mongodb.net"},
    {"database_url", "redis://:"
                     "hunter2@localhost:6379/0"},
    {"url_password", "https://bob:"
                     "c0rrecthorse@git.internal/x.git"},
    {"generic_quoted", "api_key = \""
                       "f3Zk9Qw7Lp2Xv8Rt"
                       "\""},
    {"generic_quoted", "\"clientSecret\": '"
                       "Tr0ub4dor&3kx"
                       "'"},
    {"generic_bare", "DB_PASSWORD="
                     "k8Jw2LqZ9xVt"},
    {"generic_bare", "  auth_token: "
                     "0a1B2c3D4e5F6g7H  # prod"},
};

START_TEST(each_rule_finds_its_secret)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    char rule[64];
    scratch_make(&s);
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        scratch_write(&s, "f.txt", samples[i].line);
        kind_run(&rb_kind_secrets, s.path, "{}", arena, &out);
        snprintf(rule, sizeof rule, "(%s)", samples[i].rule);
        ck_assert_msg(out.result == RB_RESULT_FAIL, "sample %zu, %s: %s", i, samples[i].rule, out.message);
        ck_assert_msg(outcome_mentions(&out, rule), "sample %zu, %s: %s", i, rule, out.evidence[0]);
        ck_assert_msg(out.evidence_count == 1, "sample %zu, %s is told %zu times: %s", i, rule, out.evidence_count, out.evidence[1]);
    }
    scratch_remove(&s);
}
END_TEST

START_TEST(no_value_is_told)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    RB_BUF_AUTO json;
    scratch_make(&s);
    scratch_write(&s, "ghp_" R36, "ghp_" R36 "\npostgres://app:zq9-Secret@h\n");
    kind_run(&rb_kind_secrets, s.path, "{}", arena, &out);
    rb_buf_init(&json, 1 << 20);
    ck_assert_int_eq(rb_outcome_to_json(&out, &json, NULL), 0);
    ck_assert_ptr_null(strstr(rb_buf_str(&json), R36)); /* nor as the name of the file */
    ck_assert_ptr_null(strstr(rb_buf_str(&json), "zq9"));
    ck_assert_uint_eq(out.evidence_count, 2);
    scratch_remove(&s);
}
END_TEST

START_TEST(placeholders_are_none)
{
    static const char *const lines[] = {"password = \"changeme123\"",
                                        "api_key: \"${API_KEY}\"",
                                        "token = os.environ[\"MY_TOKEN_1\"]",
                                        "AKIAIOSFODNN7EXAMPLE",
                                        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                        "postgres://user:password@localhost/db",
                                        "postgres://u:${PW}@db/x",
                                        "redis://:<password>@host",
                                        "secret_name = \"my-app-secret-name\"",
                                        "password = get_password(user1)",
                                        ("-----BEGIN RSA PRIV"
                                         "ATE KEY-----"),
                                        "\"token_type\": \"bearer_token\"",
                                        "token = config.tokens.primary2",
                                        "key = \"00000000000000000000\"",
                                        "eyJhbGciOi.eyJzdWIi.notajsonwebtoken",
                                        "secret_key: /run/secrets/app1",
                                        "password: \"{{ vault_pw_1 }}\"",
                                        "api_key = \"20260101120000\"",
                                        "https://example.org:8080/a@b",
                                        "access_key_id_field = \"access_key_id\""};
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    scratch_make(&s);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        scratch_write(&s, "f.txt", lines[i]);
        kind_run(&rb_kind_secrets, s.path, "{}", arena, &out);
        ck_assert_msg(out.result == RB_RESULT_OK, "%s: %s", lines[i], out.evidence_count ? out.evidence[0] : out.message);
    }
    scratch_remove(&s);
}
END_TEST

static void print_of(const struct rb_outcome *out, char print[17])
{
    const char *at = strstr(out->evidence[0], "fingerprint ");
    ck_assert_ptr_nonnull(at);
    memcpy(print, at + 12, 16);
    print[16] = '\0';
}

START_TEST(fingerprints_and_allow_list)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    struct scratch s;
    struct rb_outcome out;
    char first[17], second[17], yaml[300];
    scratch_make(&s);
    scratch_write(&s, "f.txt",
                  "a\nghp"
                  "_" R36 "\n");
    kind_run(&rb_kind_secrets, s.path, "{}", arena, &out);
    ck_assert(outcome_mentions(&out, "f.txt:2:1:"));
    print_of(&out, first);
    scratch_write(&s, "f.txt",
                  "a\n\n\n\n\n\n\n\n\n\n\n    x = ghp"
                  "_" R36 "\n");
    kind_run(&rb_kind_secrets, s.path, "{}", arena, &out);
    ck_assert(outcome_mentions(&out, "f.txt:12:9:"));
    print_of(&out, second);
    ck_assert_str_eq(first, second);
    snprintf(yaml, sizeof yaml, "{allow: [{fingerprint: \"%s\", reason: test key, until: 2200-01-01}]}", first);
    kind_run(&rb_kind_secrets, s.path, yaml, arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert_double_eq(outcome_number(&out, "allowed", NULL), 1);
    snprintf(yaml, sizeof yaml, "{allow: [{fingerprint: \"%s\", reason: test key, until: 2020-01-01}]}", first);
    kind_run(&rb_kind_secrets, s.path, yaml, arena, &out);
    ck_assert_str_eq(out.reason, "allow_expired");
    ck_assert(outcome_mentions(&out, "allowed until 2020-01-01, which has passed (test key)"));
    /* Another value at the same place is another finding; the entry then matches nothing. */
    scratch_write(&s, "f.txt",
                  "a\nghp"
                  "_b" R36 "\n");
    snprintf(yaml, sizeof yaml, "{allow: [{fingerprint: \"%s\", reason: test key}]}", first);
    kind_run(&rb_kind_secrets, s.path, yaml, arena, &out);
    ck_assert_str_eq(out.reason, "found");
    ck_assert(outcome_mentions(&out, "matches nothing any more"));
    kind_run(&rb_kind_secrets, s.path, "{disable: [forge]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    kind_run(&rb_kind_secrets, s.path, "{rules: [github_token]}", arena, &out);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    kind_run(&rb_kind_secrets, s.path, "{files: [\"*.none\"]}", arena, &out);
    ck_assert_str_eq(out.reason, "no_files");
    scratch_remove(&s);
}
END_TEST

/* A rule whose filter loses what its expression finds would be blind: all are compiled, and each sample of a rule passes both (above). */
START_TEST(rules_compile)
{
    size_t count = 0;
    const struct rb_secret_rule *rules = rb_secret_rules(&count);
    ck_assert_uint_gt(count, 40);
    for (size_t i = 0; i < count; i++) {
        struct rb_pattern pattern = {.regex = rules[i].pattern.regex, .flags = rules[i].pattern.flags};
        struct rb_pattern_set *set = NULL;
        struct rb_error err = {0};
        ck_assert_msg(rb_pattern_set_new(&pattern, 1, &set, NULL, &err) == 0, "%s: %s", rules[i].name, err.message);
        rb_pattern_set_free(set);
    }
    ck_assert_double_eq_tol(rb_secret_entropy("aaaa", 4), 0, 1e-9);
    ck_assert_double_eq_tol(rb_secret_entropy("abcd", 4), 2, 1e-9);
}
END_TEST

RB_TEST_MAIN("kind_secrets", each_rule_finds_its_secret, no_value_is_told, placeholders_are_none, fingerprints_and_allow_list,
             rules_compile)
