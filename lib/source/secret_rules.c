/* The rules for secrets and the judgement behind their shapes.
 *
 * A shape that its issuer documents is a finding unless it is an obvious placeholder; a value that people choose is one unless it names a variable or says that it is an
 * example; a generic value must look random as well. When in doubt a fixed shape counts and a generic value does not: a gate that cries wolf is switched off. */
#include "runbook/source/secret_rules.h"

#include <ctype.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { KEY_LOOK = 4096, KEY_RUN = 40, FINGERPRINT_ROUNDS = 1024, JWT_HEADER_MAX = 4096 };

#define CI RB_PATTERN_IGNORE_CASE
static const struct rb_secret_rule rules[] = {
#define RULE(rule, in, what, wide, shape, flag, judged) \
    {.name = #rule,                                     \
     .group = (in),                                     \
     .doc = (what),                                     \
     .judge = RB_SECRET_##judged,                       \
     .pattern = {.regex = (shape), .filter = (wide), .flags = (flag) | RB_PATTERN_BYTES | RB_PATTERN_ALL}},
#include "secret_rules.def"
#undef RULE
};

const struct rb_secret_rule *rb_secret_rules(size_t *out_count)
{
    *out_count = sizeof rules / sizeof rules[0];
    return rules;
}

double rb_secret_entropy(const char *value, size_t len)
{
    size_t counts[256] = {0};
    double bits = 0;
    for (size_t i = 0; i < len; i++)
        counts[(unsigned char)value[i]]++;
    for (size_t i = 0; i < 256; i++)
        if (counts[i] > 0)
            bits -= (double)counts[i] / (double)len * log2((double)counts[i] / (double)len);
    return bits;
}

/* ---- placeholders ---- */

static bool contains(const char *value, size_t len, const char *part)
{
    size_t size = strlen(part);
    for (size_t at = 0; at + size <= len; at++)
        if (strncasecmp(value + at, part, size) == 0)
            return true;
    return false;
}

static bool contains_any(const char *value, size_t len, const char *const *parts)
{
    for (size_t i = 0; parts[i]; i++)
        if (contains(value, len, parts[i]))
            return true;
    return false;
}

/* A run of `least` equal characters: "xxxxxxxx", "00000000". */
static bool has_run(const char *value, size_t len, size_t least)
{
    size_t run = 1;
    for (size_t i = 1; i < len; i++) {
        run = value[i] == value[i - 1] ? run + 1 : 1;
        if (run >= least)
            return true;
    }
    return false;
}

static bool is_blank_token(const char *value, size_t len)
{
    return (len >= 7 && memcmp(value + len - 7, "EXAMPLE", 7) == 0) || contains(value, len, "EXAMPLEKEY") || has_run(value, len, 10);
}

/* Text that stands for a value instead of being one: a variable, a template, a call, a hint. */
static bool is_reference(const char *value, size_t len)
{
    static const char *const parts[] = {"${",          "$(",   "{{",       "}}",     "%(",   "<",   ">",   "os.environ", "getenv",
                                        "process.env", "env.", "secrets.", "vault:", "!ref", "...", "***", NULL};
    if (value[0] == '$' || value[0] == '{' || value[0] == '[' || (value[0] == '%' && value[len - 1] == '%'))
        return true;
    return contains_any(value, len, parts) || (len > 1 && value[0] == '_' && value[1] == '_');
}

static bool is_placeholder(const char *value, size_t len)
{
    static const char *const whole[] = {"password", "passwd", "pass",      "secret",   "token", "user",  "username", "root",
                                        "admin",    "test",   "guest",     "postgres", "mysql", "redis", "none",     "null",
                                        "true",     "false",  "undefined", "string",   "pwd",   "pw",    NULL};
    static const char *const parts[] = {"example",  "changeme", "change_me", "change-me", "placeholder", "dummy",   "your_", "your-",
                                        "yourpass", "xxxx",     "redacted",  "replace",   "insert_",     "insert-", "todo",  "fixme",
                                        "sample",   "notreal",  "not-real",  "not_real",  "fake",        NULL};
    for (size_t i = 0; whole[i]; i++)
        if (strlen(whole[i]) == len && strncasecmp(value, whole[i], len) == 0)
            return true;
    return len == 0 || is_reference(value, len) || contains_any(value, len, parts) || has_run(value, len, len < 6 ? len : 6);
}

/* ---- generic values ---- */

/* A name, a path, a call, a sentence in one word: letters of one case with separators, no digit among them. */
static bool looks_like_code(const char *value, size_t len)
{
    size_t digits = 0, upper = 0, lower = 0, other = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        digits += isdigit(c) != 0;
        upper += isupper(c) != 0;
        lower += islower(c) != 0;
        other += !isalnum(c) && !strchr("._-/:", c);
    }
    if (digits == 0 && other == 0)
        return true;
    if (digits + (size_t)(upper > 0) + (size_t)(lower > 0) == digits) /* numbers and dates */
        return true;
    static const char *const marks[] = {"://", "()", "(", "::", "->", "&&", "||", "==", "[", NULL};
    return value[0] == '/' || value[0] == '.' || value[0] == '~' || value[0] == '@' || contains_any(value, len, marks);
}

/* snake_case_2, module.attr1, kebab-name-3: words with a number or two are names. */
static bool is_name_with_number(const char *value, size_t len)
{
    size_t digits = 0, separators = 0, longest = 0, run = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if (isupper(c) && i > 0 && islower((unsigned char)value[i - 1]))
            return false;
        run = isalpha(c) ? run + 1 : 0;
        longest = run > longest ? run : longest;
        digits += isdigit(c) != 0;
        separators += strchr("._-/:", c) != NULL;
    }
    return separators > 0 && digits * 5 <= len && longest >= 4;
}

static bool is_random(const char *value, size_t len, double entropy)
{
    if (len == 0)
        return false;
    double most = log2((double)len) * 0.85; /* a short value cannot have many bits a character */
    return rb_secret_entropy(value, len) >= (entropy < most ? entropy : most);
}

static bool is_generic_secret(const char *value, size_t len, double entropy)
{
    static const char *const words[] = {"password", "secret", "token", "test", "default", "localhost", NULL};
    return !is_placeholder(value, len) && !looks_like_code(value, len) && !is_name_with_number(value, len) &&
           !(len < 20 && contains_any(value, len, words)) && is_random(value, len, entropy);
}

/* ---- keys and tokens with an inside ---- */

static bool is_base64(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '=';
}

/* The first run of key material behind a header. An escaped line end ("\n" in JSON) ends a run as a real one does. */
static bool find_key_material(const char *text, size_t len, size_t from, const char **out, size_t *out_len)
{
    size_t end = len - from > KEY_LOOK ? from + KEY_LOOK : len;
    for (size_t at = from; at < end;) {
        if (text[at] == '\\' && at + 1 < end) {
            at += 2;
            continue;
        }
        size_t run = 0;
        while (at + run < end && is_base64(text[at + run]))
            run++;
        if (run >= KEY_RUN && !has_run(text + at, run, 20)) {
            *out = text + at;
            *out_len = run;
            return true;
        }
        if (at + 9 < end && memcmp(text + at, "-----END ", 9) == 0)
            return false;
        at += run ? run : 1;
    }
    return false;
}

static int base64url_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* RFC 7519 section 7.2: the first part decodes to a JSON object with "alg". */
static bool is_jwt(const char *value, size_t len)
{
    char header[JWT_HEADER_MAX];
    size_t used = 0;
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < len && value[i] != '.' && used < sizeof header; i++) {
        int digit = base64url_value(value[i]);
        if (digit < 0)
            return false;
        held = (held << 6 | (unsigned)digit) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            header[used++] = (char)(held >> bits & 0xFF);
        }
    }
    return used > 2 && header[0] == '{' && contains(header, used, "\"alg\"") && header[used - 1] == '}';
}

bool rb_secret_value(const struct rb_secret_rule *rule, const char *text, size_t len, const struct rb_pattern_hit *hit, double entropy,
                     const char **out_value, size_t *out_len)
{
    const char *value = text + hit->value_start;
    size_t size = hit->value_end - hit->value_start;
    *out_value = value;
    *out_len = size;
    switch (rule->judge) {
    case RB_SECRET_TOKEN:
        return !is_blank_token(value, size);
    case RB_SECRET_KEY:
        return find_key_material(text, len, hit->value_end, out_value, out_len);
    case RB_SECRET_JWT:
        return is_jwt(value, size);
    case RB_SECRET_PASSWORD:
        return !is_placeholder(value, size);
    case RB_SECRET_GENERIC:
        return is_generic_secret(value, size, entropy);
    }
    return false;
}

int rb_secret_fingerprint(const char *rule, const char *path, const char *value, size_t len, char out[RB_SECRET_FINGERPRINT],
                          struct rb_error *err)
{
    unsigned char salt[EVP_MAX_MD_SIZE], digest[(RB_SECRET_FINGERPRINT - 1) / 2];
    unsigned salt_len = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool salted = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                  EVP_DigestUpdate(context, rule, strlen(rule) + 1) == 1 && EVP_DigestUpdate(context, path, strlen(path) + 1) == 1 &&
                  EVP_DigestFinal_ex(context, salt, &salt_len) == 1;
    EVP_MD_CTX_free(context);
    int size = len > INT32_MAX ? INT32_MAX : (int)len;
    if (!salted || PKCS5_PBKDF2_HMAC(value, size, salt, (int)salt_len, FINGERPRINT_ROUNDS, EVP_sha256(), (int)sizeof digest, digest) != 1)
        return rb_error_set(err, RB_ESYS, "OpenSSL cannot compute a fingerprint: its SHA-256 is disabled or memory is out");
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return 0;
}
