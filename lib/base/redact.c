/* The redactor: one pass over the text, tables of rules (those for keys are in redact_keys.c), no regular expression.
 *
 * At each place where a word begins the scanner asks, in this order: a PEM block? a token with a well-known prefix? a key that names
 * a secret, followed by a value? and at "://": a URL with a password? What matches is replaced by the mask, everything else is copied.
 * When in doubt it masks: a masked word costs an operator a look, a leaked one costs a key rotation. Not masked are values that cannot be
 * secrets (true, false, 0, 1, null, empty, ${VAR}) and counts below plural keys ("max_tokens: 4096").
 *
 * Linear: each look-ahead either consumes what it saw or is bounded by a constant. */
#include "runbook/base/redact.h"

#include <string.h>

#include "redact_private.h"

/* ---- rules ---- */

/* Tokens that tell what they are. `tail` characters must follow; the run of the token's characters is masked whole. */
enum tail_set { TAIL_ALNUM, TAIL_DASH, TAIL_DOT };
static const struct token_rule {
    const char *prefix;
    unsigned char tail;
    unsigned char set; /* enum tail_set */
    bool digit;        /* a digit must be among the first of them: keeps words such as sk-learn whole */
} token_rules[] = {
    {"ghp_", 20, TAIL_ALNUM, false},     {"gho_", 20, TAIL_ALNUM, false},
    {"ghu_", 20, TAIL_ALNUM, false},     {"ghs_", 20, TAIL_ALNUM, false},
    {"ghr_", 20, TAIL_ALNUM, false},     {"github_pat_", 16, TAIL_ALNUM, false},
    {"glpat-", 16, TAIL_DASH, false},    {"gldt-", 16, TAIL_DASH, false},
    {"glrt-", 16, TAIL_DASH, false},     {"xoxa-", 10, TAIL_DASH, false},
    {"xoxb-", 10, TAIL_DASH, false},     {"xoxe-", 10, TAIL_DASH, false},
    {"xoxp-", 10, TAIL_DASH, false},     {"xoxr-", 10, TAIL_DASH, false},
    {"xoxs-", 10, TAIL_DASH, false},     {"xapp-", 10, TAIL_DASH, false},
    {"sk_live_", 10, TAIL_ALNUM, false}, {"sk_test_", 10, TAIL_ALNUM, false},
    {"rk_live_", 10, TAIL_ALNUM, false}, {"rk_test_", 10, TAIL_ALNUM, false},
    {"whsec_", 16, TAIL_ALNUM, false},   {"sk-", 20, TAIL_DASH, true},
    {"AKIA", 16, TAIL_ALNUM, false},     {"ASIA", 16, TAIL_ALNUM, false},
    {"AIza", 30, TAIL_DASH, false},      {"ya29.", 20, TAIL_DASH, false},
    {"npm_", 30, TAIL_ALNUM, false},     {"pypi-", 40, TAIL_DASH, false},
    {"dckr_pat_", 16, TAIL_DASH, false}, {"hf_", 30, TAIL_ALNUM, false},
    {"SG.", 40, TAIL_DOT, false},        {"shpat_", 20, TAIL_ALNUM, false},
    {"dop_v1_", 30, TAIL_ALNUM, false},  {"hvs.", 20, TAIL_DASH, false},
    {"hvb.", 20, TAIL_DASH, false},      {"glsa_", 20, TAIL_ALNUM, false},
    {"ATATT", 40, TAIL_DASH, true},      {"AGE-SECRET-KEY-1", 30, TAIL_ALNUM, false},
    {"eyJ", 30, TAIL_DOT, false},
};

/* URLs that are secrets themselves: all behind the prefix is masked. */
static const char *const secret_urls[] = {"hooks.slack.com/services/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/"};

/* The first word of a credential, worth keeping: it tells how somebody authenticates. */
static const char *const schemes[] = {"bearer", "basic", "token", "digest", "negotiate", "apikey"};

static const char *const harmless_values[] = {"true", "false", "0",  "1",   "null",  "none", "nil",
                                              "yes",  "no",    "on", "off", "unset", "~",    RB_REDACTED};

#define GAP_MAX        32  /* blanks between key, separator and value */
#define TOKEN_LOOK_MAX 64  /* how far a tail is checked */
#define URL_LOOK_MAX   256 /* how far a password with a slash is searched for its '@' */

/* ---- the scanner ---- */

struct scanner {
    struct rb_buf *out;
    const char *text;
    size_t len;
    size_t copied;     /* all before this offset is in `out` already */
    size_t at;         /* next byte to look at */
    size_t line_start; /* offset of the current line */
    size_t masked;
};

static void copy_to(struct scanner *s, size_t end)
{
    rb_buf_add(s->out, s->text + s->copied, end - s->copied);
    s->copied = end;
    s->at = end;
}

static void mask_to(struct scanner *s, size_t end)
{
    copy_to(s, s->at);
    rb_buf_adds(s->out, RB_REDACTED);
    s->masked++;
    for (size_t i = s->at; i < end; i++) {
        if (s->text[i] == '\n')
            s->line_start = i + 1;
    }
    s->copied = end;
    s->at = end;
}

static char peek(const struct scanner *s, size_t at)
{
    return at < s->len ? s->text[at] : '\0';
}

static bool starts_with(const struct scanner *s, size_t at, const char *prefix)
{
    size_t len = strlen(prefix);
    return at <= s->len && s->len - at >= len && memcmp(s->text + at, prefix, len) == 0;
}

/* The first `c` on the line, or the line's end. Looks no further than the answer, so that a long line is not searched once per key. */
static size_t find_in_line(const struct scanner *s, size_t at, char c)
{
    size_t i = at;
    while (i < s->len && s->text[i] != c && s->text[i] != '\n')
        i++;
    bool at_end = i == s->len || s->text[i] == '\n';
    return at_end && i > at && s->text[i - 1] == '\r' ? i - 1 : i;
}

static size_t line_end(const struct scanner *s, size_t at)
{
    return find_in_line(s, at, '\n');
}

static size_t skip_blanks(const struct scanner *s, size_t at)
{
    size_t limit = at + GAP_MAX;
    while (at < limit && rb_redact_is_blank(peek(s, at)))
        at++;
    return at;
}

/* The end of `needle` behind `from`, or 0. */
static size_t find_end(const struct scanner *s, size_t from, const char *needle)
{
    size_t len = strlen(needle);
    for (size_t i = from; i + len <= s->len; i++) {
        const char *hit = memchr(s->text + i, needle[0], s->len - i - len + 1);
        if (!hit)
            return 0;
        i = (size_t)(hit - s->text);
        if (memcmp(hit, needle, len) == 0)
            return i + len;
    }
    return 0;
}

/* "-----BEGIN … PRIVATE KEY…-----" up to the end of its END line; without one, to the end of the text. */
static bool mask_pem(struct scanner *s)
{
    static const char begin[] = "-----BEGIN ";
    if (!starts_with(s, s->at, begin))
        return false;
    size_t label = s->at + sizeof begin - 1, end = label;
    while (end < label + 64 && peek(s, end) != '-' && peek(s, end) != '\n' && end < s->len)
        end++;
    struct scanner window = {.text = s->text, .len = end};
    if (!starts_with(s, end, "-----") || find_end(&window, label, "PRIVATE KEY") == 0)
        return false;
    size_t footer = find_end(s, end, "-----END ");
    size_t stop = footer ? find_end(s, footer, "-----") : 0;
    mask_to(s, stop ? stop : s->len);
    return true;
}

static bool in_tail(char c, unsigned set)
{
    return rb_redact_is_word(c) || (set != TAIL_ALNUM && (c == '-' || (set == TAIL_DOT && c == '.')));
}

static bool mask_token(struct scanner *s)
{
    for (size_t i = 0; i < sizeof token_rules / sizeof token_rules[0]; i++) {
        const struct token_rule *rule = &token_rules[i];
        if (rule->prefix[0] != s->text[s->at] || !starts_with(s, s->at, rule->prefix))
            continue;
        size_t tail = s->at + strlen(rule->prefix), end = tail;
        bool digit = false;
        for (; end < tail + TOKEN_LOOK_MAX && end < s->len && in_tail(s->text[end], rule->set); end++)
            digit = digit || rb_redact_is_digit(s->text[end]);
        if (end - tail < rule->tail || (rule->digit && !digit))
            continue;
        while (end < s->len && in_tail(s->text[end], rule->set))
            end++;
        mask_to(s, end);
        return true;
    }
    return false;
}

/* ---- values ---- */

struct value {
    size_t start, end;
    bool plain; /* without quotes */
};

static bool is_value_stop(char c)
{
    return c == '\0' || rb_redact_is_space(c) || rb_redact_is_quote(c) || strchr(",;)]}>|", c) != NULL;
}

/* A quoted value: up to the same quote (a quote that is itself escaped, as in JSON inside JSON, ends at its like), else to the line's end. */
static bool quoted_value(const struct scanner *s, size_t at, struct value *out)
{
    bool escaped = peek(s, at) == '\\' && rb_redact_is_quote(peek(s, at + 1));
    char quote = peek(s, at + escaped);
    if (!rb_redact_is_quote(quote))
        return false;
    size_t i = at + escaped + 1;
    out->start = i;
    for (; i < s->len && s->text[i] != '\n'; i++) {
        bool backslash = s->text[i] == '\\' && i + 1 < s->len && s->text[i + 1] != '\n';
        if (s->text[i] == quote && !escaped)
            break;
        if (backslash && escaped && s->text[i + 1] == quote)
            break;
        i += backslash;
    }
    out->end = i;
    return true;
}

/* A bare word: to the next blank. In a URL's query it ends at '&'; behind a quoted key at JSON's punctuation; a quote ends it only where the
 * quote closes something, because a password may hold one. */
static size_t bare_end(const struct scanner *s, size_t at, bool in_query, bool json)
{
    const size_t start = at;
    for (; at < s->len && !rb_redact_is_space(s->text[at]); at++) {
        char c = s->text[at];
        if (in_query && (c == '&' || c == '#' || rb_redact_is_quote(c) || c == '<' || c == '>'))
            break;
        if (json && (c == ',' || c == '}' || c == ']'))
            break;
        if (c == '"' || (rb_redact_is_quote(c) && is_value_stop(peek(s, at + 1))))
            break;
        if (c == '\\' && peek(s, at + 1) == '"')
            break;
    }
    /* Punctuation of the sentence or the shell; at the end of a secret it gives nothing away. */
    while (at > start && (s->text[at - 1] == ',' || s->text[at - 1] == ';'))
        at--;
    return at;
}

/* A block scalar ("key: |"): all lines that are indented deeper than the key's. */
static size_t block_end(const struct scanner *s, size_t at)
{
    size_t indent = 0;
    while (rb_redact_is_blank(peek(s, s->line_start + indent)))
        indent++;
    size_t end = line_end(s, at);
    while (end < s->len) {
        size_t next = end, depth = 0;
        while (next < s->len && s->text[next] != '\n')
            next++;
        next++;
        while (rb_redact_is_blank(peek(s, next + depth)))
            depth++;
        char first = peek(s, next + depth);
        if (next >= s->len || (depth <= indent && first != '\n' && first != '\r'))
            break;
        end = line_end(s, next);
    }
    return end;
}

static bool is_block_mark(const struct scanner *s, size_t at)
{
    if (peek(s, at) != '|' && peek(s, at) != '>')
        return false;
    at++;
    while (rb_redact_is_digit(peek(s, at)) || peek(s, at) == '+' || peek(s, at) == '-')
        at++;
    at = skip_blanks(s, at);
    return at == s->len || peek(s, at) == '\n' || peek(s, at) == '\r';
}

/* Values that cannot be secrets. `counts`: the key is a plural or a verdict, so numbers pass. */
static bool is_harmless(const char *text, size_t len, bool counts)
{
    if (len == 0 || RB_REDACT_IS_IN(text, len, harmless_values))
        return true;
    /* A reference names a secret without holding it; a default would hold it. */
    if (len > 3 && text[0] == '$' && text[1] == '{' && text[len - 1] == '}') {
        size_t i = 2;
        while (i < len - 1 && rb_redact_is_word(text[i]))
            i++;
        if (i == len - 1)
            return true;
    }
    size_t stars = 0;
    while (stars < len && text[stars] == '*')
        stars++;
    if (stars == len)
        return true;
    size_t digits = 0;
    while (digits < len && (rb_redact_is_digit(text[digits]) || text[digits] == '.' || text[digits] == ','))
        digits++;
    return counts && digits == len;
}

/* ---- keys in the text ---- */

struct found_key {
    size_t start, end; /* the identifier */
    char quote;        /* around the key, or '\0' */
    char before;       /* the character before the identifier and its quote */
    bool at_line_start;
    bool header; /* Authorization, Cookie: the value is the rest of the line */
    bool option; /* --password */
    bool counts;
};

/* Only indentation, "- ", "export " or a diff sign before the key: a line of a configuration file. */
static bool starts_line(const struct scanner *s, size_t at)
{
    size_t i = s->line_start;
    if (peek(s, i) == '+' || peek(s, i) == '-')
        i++;
    while (i < at && (rb_redact_is_blank(s->text[i]) || s->text[i] == '-'))
        i++;
    if (starts_with(s, i, "export "))
        i += 7;
    return i == at;
}

/* What separates key and value, from `at`. Returns the offset of the value, or 0; *out_sep is ':' '=' ' ' or '>'. */
static size_t value_offset(const struct scanner *s, const struct found_key *key, size_t at, char *out_sep)
{
    if (key->quote && peek(s, at) == '\\')
        at++;
    if (key->quote && peek(s, at) == key->quote)
        at++;
    if (key->before == '<' && peek(s, at) == '>') {
        *out_sep = '>';
        return at + 1;
    }
    size_t sep = skip_blanks(s, at);
    char c = peek(s, sep);
    if (c == ':' || c == '=') {
        size_t end = sep + 1;
        while (end < sep + 3 && (peek(s, end) == '=' || peek(s, end) == '>'))
            end++;
        *out_sep = c;
        /* "::" is a name space, "://" a scheme. */
        bool other = c == ':' && (peek(s, end) == ':' || starts_with(s, end, "//"));
        return other ? 0 : skip_blanks(s, end);
    }
    /* "--password x", and the same as elements of a list: "--password", "x". */
    if (key->option && (sep > at || c == ',')) {
        *out_sep = ' ';
        return c == ',' ? skip_blanks(s, sep + 1) : sep;
    }
    return 0;
}

/* Keeps "Bearer " of a value: returns the offset behind it, or `at`. */
static size_t skip_scheme(const struct scanner *s, size_t at, size_t end)
{
    size_t word = at;
    while (word < end && word < at + 16 && rb_redact_is_word(s->text[word]))
        word++;
    if (word == at || !rb_redact_is_blank(peek(s, word)) || !RB_REDACT_IS_IN(s->text + at, word - at, schemes))
        return at;
    size_t next = skip_blanks(s, word);
    return next < end ? next : at;
}

static size_t header_end(const struct scanner *s, const struct found_key *key, size_t at)
{
    /* -H 'Authorization: …': the quote that opened before the key closes the value. */
    return find_in_line(s, at, rb_redact_is_quote(key->before) ? key->before : '\n');
}

static size_t plain_end(const struct scanner *s, const struct found_key *key, size_t at, char sep)
{
    if (sep == '>')
        return find_in_line(s, at, '<');
    if (key->header && sep == ':')
        return header_end(s, key, at);
    if (sep == ':' && is_block_mark(s, at))
        return block_end(s, at);
    if (peek(s, at) == '[') {
        size_t close = find_in_line(s, at, ']');
        return close + (peek(s, close) == ']');
    }
    /* "key: several words" at the start of a line is YAML or a header; a comment behind it stays. */
    if (sep == ':' && !key->quote && key->at_line_start) {
        size_t end = line_end(s, at);
        for (size_t i = at + 1; i < end; i++) {
            if (s->text[i] == '#' && rb_redact_is_blank(s->text[i - 1]))
                end = i;
        }
        while (end > at && rb_redact_is_blank(s->text[end - 1]))
            end--;
        return end;
    }
    bool in_query = key->before == '?' || key->before == '&';
    size_t scheme = skip_scheme(s, at, s->len);
    return bare_end(s, scheme, in_query, key->quote != '\0');
}

/* Masks the value of a secret key whose identifier ends at key->end. False when there is no value worth masking. */
static bool mask_value(struct scanner *s, const struct found_key *key)
{
    char sep = '\0';
    size_t at = value_offset(s, key, key->end, &sep);
    if (at == 0 || at >= s->len || peek(s, at) == '\n' || peek(s, at) == '\r' || peek(s, at) == '{')
        return false;
    /* An option without a value, followed by the next option. */
    if (sep == ' ' && peek(s, at) == '-')
        return false;
    struct value value = {.start = at};
    if (!quoted_value(s, at, &value)) {
        value.plain = true;
        value.end = plain_end(s, key, at, sep);
    }
    size_t first = value.start;
    while (first < value.end && !rb_redact_is_space(s->text[first]))
        first++;
    if (is_harmless(s->text + value.start, value.end - value.start, key->counts))
        return false;
    if (value.plain && key->counts && is_harmless(s->text + value.start, first - value.start, true))
        return false;
    copy_to(s, skip_scheme(s, value.start, value.end));
    mask_to(s, value.end);
    return true;
}

/* At the start of an identifier: when it names a secret and a value follows, masks the value. */
static bool mask_key(struct scanner *s)
{
    struct found_key key = {.start = s->at, .end = s->at};
    while (key.end < s->len && key.end - key.start <= RB_REDACT_KEY_MAX && rb_redact_is_key_char(s->text[key.end]))
        key.end++;
    size_t start = key.start;
    while (start < key.end && s->text[start] == '-')
        start++;
    key.option = start - key.start == 2;
    size_t front = key.start;
    if (front > 0 && rb_redact_is_quote(s->text[front - 1])) {
        key.before = s->text[front - 1];
        if (peek(s, key.end) == key.before || (peek(s, key.end) == '\\' && peek(s, key.end + 1) == key.before))
            key.quote = key.before;
    } else if (front > 0) {
        key.before = s->text[front - 1];
    }
    const char *name = s->text + start;
    size_t len = key.end - start;
    bool in_query = key.before == '?' || key.before == '&';
    char sep = '\0';
    /* Most words are followed by no separator: asked first because it is cheap. */
    if (value_offset(s, &key, key.end, &sep) == 0 || !rb_redact_names_secret(name, len, in_query))
        return false;
    key.at_line_start = starts_line(s, start);
    key.header = rb_redact_has_word(name, len, "authorization", false) || rb_redact_has_word(name, len, "cookie", false);
    key.counts = rb_redact_lower(name[len - 1]) == 's' || rb_redact_equal_nocase(name, len, "auth");
    return mask_value(s, &key);
}

/* "Bearer x" outside a header: masked when x does not look like a word of prose. */
static bool mask_bearer(struct scanner *s)
{
    if (s->len - s->at < 8 || !rb_redact_equal_nocase(s->text + s->at, 6, "bearer") || !rb_redact_is_blank(s->text[s->at + 6]))
        return false;
    size_t start = skip_blanks(s, s->at + 6), end = start;
    bool digit = false;
    while (end < s->len && (rb_redact_is_key_char(s->text[end]) || strchr("~+/=", s->text[end])) && s->text[end] != '\0') {
        digit = digit || rb_redact_is_digit(s->text[end]);
        end++;
    }
    if (end - start < 8 || (!digit && end - start < 20))
        return false;
    copy_to(s, start);
    mask_to(s, end);
    return true;
}

/* "-u user:password" as curl takes it; "-u 1000:1000" names a user and a group. */
static bool mask_user_option(struct scanner *s)
{
    static const char *const options[] = {"-u ", "--user ", "--user=", "--proxy-user "};
    size_t start = 0;
    for (size_t i = 0; i < sizeof options / sizeof options[0] && !start; i++) {
        if (starts_with(s, s->at, options[i]))
            start = s->at + strlen(options[i]);
    }
    if (!start)
        return false;
    char quote = rb_redact_is_quote(peek(s, start)) ? s->text[start++] : ' ';
    size_t end = start, colon = 0;
    bool number = true;
    for (; end < s->len && s->text[end] != quote && s->text[end] != '\n' && s->text[end] != '\r'; end++) {
        if (colon)
            number = number && rb_redact_is_digit(s->text[end]);
        else if (s->text[end] == ':')
            colon = end;
    }
    if (!colon || number || s->text[colon + 1] == '/')
        return false;
    copy_to(s, colon + 1);
    mask_to(s, end);
    return true;
}

/* ---- URLs ---- */

static bool ends_authority(char c)
{
    return rb_redact_is_space(c) || rb_redact_is_quote(c) || c == '/' || c == '?' || c == '#' || c == '<' || c == '>';
}

/* Offset of the '@' that ends the user information, or 0. A password may hold a raw slash: then the '@' is looked for a little further. */
static size_t userinfo_end(const struct scanner *s, size_t start)
{
    size_t end = start, at = 0, colon = 0;
    for (; end < s->len && !ends_authority(s->text[end]); end++) {
        if (s->text[end] == '@')
            at = end;
        if (s->text[end] == ':' && !colon)
            colon = end;
    }
    if (at || !colon || rb_redact_is_digit(peek(s, colon + 1)) || s->text[start] == '[')
        return at;
    for (size_t i = end; i < s->len && i < end + URL_LOOK_MAX && !rb_redact_is_space(s->text[i]) && !rb_redact_is_quote(s->text[i]); i++) {
        if (s->text[i] == '@')
            return i;
    }
    return 0;
}

/* At "://": keeps the user, masks the password; a long lone user of http(s) is a token. */
static bool mask_url(struct scanner *s)
{
    if (!starts_with(s, s->at, "://"))
        return false;
    bool web = s->at >= 4 && (starts_with(s, s->at - 4, "http://") || starts_with(s, s->at - 5, "https://"));
    size_t start = s->at + 3;
    for (size_t i = 0; i < sizeof secret_urls / sizeof secret_urls[0]; i++) {
        if (starts_with(s, start, secret_urls[i])) {
            copy_to(s, start + strlen(secret_urls[i]));
            mask_to(s, bare_end(s, s->at, true, false));
            return true;
        }
    }
    size_t at = userinfo_end(s, start);
    if (at == 0)
        return false;
    const char *colon = memchr(s->text + start, ':', at - start);
    if (colon) {
        size_t password = (size_t)(colon - s->text) + 1;
        if (is_harmless(s->text + password, at - password, false))
            return false;
        copy_to(s, password);
        mask_to(s, at);
        return true;
    }
    if (!web || at - start < 16)
        return false;
    copy_to(s, start);
    mask_to(s, at);
    return true;
}

static bool mask_here(struct scanner *s)
{
    char before = s->at > 0 ? s->text[s->at - 1] : '\0';
    if (s->text[s->at] == ':')
        return mask_url(s);
    if (rb_redact_is_word(before))
        return false;
    if (s->text[s->at] == '-' && mask_pem(s))
        return true;
    if (!rb_redact_is_key_char(s->text[s->at]))
        return false;
    if (mask_token(s) || mask_bearer(s) || (s->text[s->at] == '-' && mask_user_option(s)))
        return true;
    return !rb_redact_is_key_char(before) && mask_key(s);
}

size_t rb_redact(struct rb_buf *out, const char *text, size_t len)
{
    struct scanner s = {.out = out, .text = text, .len = len};
    while (s.at < len) {
        if (mask_here(&s))
            continue;
        if (text[s.at] == '\n')
            s.line_start = s.at + 1;
        s.at++;
    }
    copy_to(&s, len);
    return s.masked;
}
