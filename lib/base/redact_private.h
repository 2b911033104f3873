/* What the files of the redactor share: character classes, and the question whether a key names a secret. */
#ifndef RUNBOOK_LIB_BASE_REDACT_PRIVATE_H
#define RUNBOOK_LIB_BASE_REDACT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#define RB_REDACT_KEY_MAX 128 /* longer identifiers are no keys */

/* True when a key of `len` bytes names a secret. `in_query`: it is a parameter of a URL, where "key" and "sig" do too. */
bool rb_redact_names_secret(const char *key, size_t len, bool in_query);
/* True when one word of the key is `word` (a number behind it does not count); with `ends_is_enough`, or a word before a separator ends in it. */
bool rb_redact_has_word(const char *key, size_t len, const char *word, bool ends_is_enough);

static inline bool rb_redact_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char rb_redact_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool rb_redact_is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool rb_redact_is_word(char c)
{
    return rb_redact_is_digit(c) || (rb_redact_lower(c) >= 'a' && rb_redact_lower(c) <= 'z') || c == '_';
}

static inline bool rb_redact_is_key_char(char c)
{
    return rb_redact_is_word(c) || c == '-' || c == '.';
}

static inline bool rb_redact_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline bool rb_redact_is_space(char c)
{
    return rb_redact_is_blank(c) || c == '\n' || c == '\r';
}

static inline bool rb_redact_is_quote(char c)
{
    return c == '"' || c == '\'' || c == '`';
}

static inline bool rb_redact_equal_nocase(const char *text, size_t len, const char *lower_case)
{
    for (size_t i = 0; i < len; i++) {
        if (lower_case[i] == '\0' || rb_redact_lower(text[i]) != rb_redact_lower(lower_case[i]))
            return false;
    }
    return lower_case[len] == '\0';
}

static inline bool rb_redact_is_in(const char *text, size_t len, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rb_redact_equal_nocase(text, len, list[i]))
            return true;
    }
    return false;
}
#define RB_REDACT_IS_IN(text, len, list) rb_redact_is_in(text, len, list, sizeof(list) / sizeof((list)[0]))

#endif
