/* What secrets look like: rules by shape, and the judgement whether a value of that shape is one. */
#ifndef RUNBOOK_SOURCE_SECRET_RULES_H
#define RUNBOOK_SOURCE_SECRET_RULES_H

#include "runbook/source/pattern_scan.h"

/* How a match is judged beyond its shape. */
enum rb_secret_judge {
    RB_SECRET_TOKEN,    /* the shape says it all; only obvious placeholders are none */
    RB_SECRET_KEY,      /* a private key: must be followed by key material */
    RB_SECRET_JWT,      /* its header must decode */
    RB_SECRET_PASSWORD, /* chosen by people: placeholders and references to variables are none */
    RB_SECRET_GENERIC   /* as password, and it must look random */
};
struct rb_secret_rule {
    const char *name;          /* "aws_access_key" */
    const char *group;         /* cloud, forge, registry, chat, payment, service, database, key, token, generic */
    const char *doc;           /* "AWS access key" */
    struct rb_pattern pattern; /* the first capture group is the secret */
    enum rb_secret_judge judge;
};

/* All rules, specific ones first: of two that find the same value the earlier one counts. */
const struct rb_secret_rule *rb_secret_rules(size_t *out_count);

/* Bits of entropy a character in the distribution of the value's own characters (Shannon), 0 .. 8. */
double rb_secret_entropy(const char *value, size_t len);

/* The secret behind a hit: for private keys the key material, else the value of the hit. False when it is none: a placeholder, a reference, too regular. `text` is what
 * the hit's offsets refer to; `entropy` the least for generic values, in bits a character. */
bool rb_secret_value(const struct rb_secret_rule *rule, const char *text, size_t len, const struct rb_pattern_hit *hit, double entropy,
                     const char **out_value, size_t *out_len);

#define RB_SECRET_FINGERPRINT 17 /* bytes, with the terminator */

/* A name for a finding that does not depend on its line: 64 bits of PBKDF2-HMAC-SHA256 over rule, path and value, as hex. Slow on purpose (a quarter of a millisecond),
 * so that a weak password cannot be guessed back from a report. RB_ESYS when OpenSSL fails. */
int rb_secret_fingerprint(const char *rule, const char *path, const char *value, size_t len, char out[RB_SECRET_FINGERPRINT],
                          struct rb_error *err) RB_MUST_CHECK;

#endif
