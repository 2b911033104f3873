/* Which keys name a secret: two tables and the cutting of a key into words. */
#include <string.h>

#include "runbook/base/redact.h"

#include "redact_private.h"

/* Names of secrets. A key is cut into words at '_', '-', '.', and at lower-to-upper steps; "anywhere" compares with the key written without
 * separators, so that PGPASSWORD and clientSecretValue are found. */
enum name_rule { NAME_ANYWHERE, NAME_WORD, NAME_WORD_ENDS, NAME_IN_QUERY };
static const struct {
    const char *name;
    enum name_rule rule;
} secret_names[] = {
    {"password", NAME_ANYWHERE},
    {"passwd", NAME_ANYWHERE},
    {"passphrase", NAME_ANYWHERE},
    {"passwort", NAME_ANYWHERE},
    {"kennwort", NAME_ANYWHERE},
    {"secret", NAME_ANYWHERE},
    {"apikey", NAME_ANYWHERE},
    {"privatekey", NAME_ANYWHERE},
    {"accesskey", NAME_ANYWHERE},
    {"signingkey", NAME_ANYWHERE},
    {"encryptionkey", NAME_ANYWHERE},
    {"masterkey", NAME_ANYWHERE},
    {"accountkey", NAME_ANYWHERE},
    {"sharedkey", NAME_ANYWHERE},
    {"storagekey", NAME_ANYWHERE},
    {"deploykey", NAME_ANYWHERE},
    {"licensekey", NAME_ANYWHERE},
    {"authkey", NAME_ANYWHERE},
    {"sessionid", NAME_ANYWHERE},
    {"sessid", NAME_ANYWHERE},
    {"credential", NAME_ANYWHERE},
    {"sessionkey", NAME_ANYWHERE},
    {"token", NAME_WORD_ENDS},
    {"tokens", NAME_WORD_ENDS},
    {"pwd", NAME_WORD_ENDS},
    {"pass", NAME_WORD},
    {"passcode", NAME_WORD},
    {"auth", NAME_WORD},
    {"authorization", NAME_WORD},
    {"cookie", NAME_WORD},
    {"cookies", NAME_WORD},
    {"bearer", NAME_WORD},
    {"jwt", NAME_WORD},
    {"key", NAME_IN_QUERY},
    {"sig", NAME_IN_QUERY},
    {"signature", NAME_IN_QUERY},
};

/* A key whose last word is one of these describes a secret without being one. */
static const char *const describing_words[] = {
    "file",    "path",      "dir",    "url",     "uri",      "name",    "names",    "count", "length", "len",   "size", "ttl",  "expiry",
    "expires", "expiresin", "policy", "enabled", "required", "timeout", "endpoint", "mode",  "method", "field", "env",  "type", "limit",
};

struct key_name {
    char joined[RB_REDACT_KEY_MAX + 1]; /* lower case, without separators */
    size_t joined_len;
    size_t last_word; /* offset of the last word in `joined` */
};

bool rb_redact_has_word(const char *key, size_t len, const char *name, bool ends_is_enough)
{
    size_t name_len = strlen(name), word = 0;
    for (size_t i = 0; i <= len; i++) {
        bool separator = i == len || !rb_redact_is_word(key[i]) || key[i] == '_';
        bool step = !separator && i > 0 && rb_redact_is_upper(key[i]) && !rb_redact_is_upper(key[i - 1]);
        if (!separator && !step)
            continue;
        size_t end = i;
        while (end > word && rb_redact_is_digit(key[end - 1]))
            end--;
        bool long_enough = ends_is_enough && separator ? end - word >= name_len : end - word == name_len;
        if (long_enough && rb_redact_equal_nocase(key + end - name_len, name_len, name))
            return true;
        word = separator ? i + 1 : i;
    }
    return false;
}

static struct key_name name_of(const char *key, size_t len)
{
    struct key_name name = {.joined_len = 0};
    for (size_t i = 0; i < len; i++) {
        bool separator = !rb_redact_is_word(key[i]) || key[i] == '_';
        bool step = i > 0 && rb_redact_is_upper(key[i]) && !rb_redact_is_upper(key[i - 1]);
        if (separator || step)
            name.last_word = name.joined_len;
        if (!separator)
            name.joined[name.joined_len++] = rb_redact_lower(key[i]);
    }
    return name;
}

bool rb_redact_names_secret(const char *key, size_t len, bool in_query)
{
    if (len == 0 || len > RB_REDACT_KEY_MAX)
        return false;
    /* The working folder, and lists of names of secrets (compose files, our own check kind). */
    if ((len == 3 && memcmp(key, "PWD", 3) == 0) || (len == 6 && memcmp(key, "OLDPWD", 6) == 0) ||
        rb_redact_equal_nocase(key, len, "secrets"))
        return false;
    struct key_name name = name_of(key, len);
    const char *last = name.joined + name.last_word;
    if (name.last_word > 0 && RB_REDACT_IS_IN(last, name.joined_len - name.last_word, describing_words))
        return false;
    for (size_t i = 0; i < sizeof secret_names / sizeof secret_names[0]; i++) {
        const char *secret = secret_names[i].name;
        enum name_rule rule = secret_names[i].rule;
        if (rule == NAME_IN_QUERY && !in_query)
            continue;
        bool hit = rule == NAME_ANYWHERE ? strstr(name.joined, secret) != NULL
                                         : rb_redact_has_word(key, len, secret, rule == NAME_WORD_ENDS);
        if (hit)
            return true;
    }
    return false;
}

bool rb_redact_key_is_secret(const char *key)
{
    return rb_redact_names_secret(key, strnlen(key, RB_REDACT_KEY_MAX + 1), false);
}
