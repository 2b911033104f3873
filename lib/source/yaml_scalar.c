/* Core schema resolution (YAML 1.2.2, 10.3.2): null, bool, int (decimal, 0o, 0x), float, else text.
 *
 * An explicit !!str makes text of anything; other tags (`!Ref`, `!vault`) leave a plain scalar's own reading as text, because only their
 * application knows what they mean. */
#include "yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* [-+]? [0-9]+ | 0o [0-7]+ | 0x [0-9a-fA-F]+ */
static bool is_int(const char *text, int *out_base, const char **out_digits)
{
    static const char decimal[] = "0123456789";
    bool octal = strncmp(text, "0o", 2) == 0, hex = strncmp(text, "0x", 2) == 0;
    const char *digits = text + (octal || hex ? 2 : *text == '-' || *text == '+');
    size_t len = strlen(digits);
    const char *set = octal ? "01234567" : hex ? "0123456789abcdefABCDEF" : decimal;
    *out_base = octal ? 8 : hex ? 16 : 10;
    *out_digits = octal || hex ? digits : text;
    return len > 0 && strspn(digits, set) == len;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *text)
{
    static const char decimal[] = "0123456789";
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, decimal);
    text += whole;
    size_t fraction = 0;
    if (*text == '.') {
        fraction = strspn(text + 1, decimal);
        text += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = strspn(text, decimal);
        text += exponent;
        if (exponent == 0)
            return false;
    }
    return *text == '\0';
}

static bool special_float(const char *text, double *out)
{
    static const char *const infinite[] = {".inf", ".Inf", ".INF", NULL}, *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
    bool sign = *text == '-' || *text == '+';
    if (one_of(text + sign, infinite)) {
        *out = *text == '-' ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    *out = (double)NAN;
    return one_of(text, nan_words);
}

static void set_number(struct rb_doc_node *node)
{
    int base;
    const char *digits;
    if (is_int(node->string, &base, &digits)) {
        errno = 0;
        long long value = strtoll(digits, NULL, base);
        node->type = errno == 0 ? RB_DOC_INT : RB_DOC_FLOAT;
        node->integer = errno == 0 ? value : 0;
        node->number = errno == 0 ? (double)value : strtod(node->string, NULL);
    } else if (special_float(node->string, &node->number)) {
        node->type = RB_DOC_FLOAT;
    } else if (is_float(node->string)) {
        node->type = RB_DOC_FLOAT;
        node->number = strtod(node->string, NULL);
    }
}

void yaml_scalar_type(struct rb_doc_node *node, bool plain, const char *tag, size_t tag_len)
{
    static const char core[] = "tag:yaml.org,2002:";
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE", NULL};
    bool core_tag = tag && tag_len >= sizeof(core) - 1 && memcmp(tag, core, sizeof(core) - 1) == 0;
    bool text_tag = tag && (!core_tag || (tag_len == sizeof(core) + 2 && memcmp(tag + sizeof(core) - 1, "str", 3) == 0));
    node->type = RB_DOC_STRING;
    if (text_tag || (!plain && !core_tag) || strlen(node->string) != node->string_len)
        return;
    if (one_of(node->string, nulls)) {
        node->type = plain ? RB_DOC_NULL : RB_DOC_STRING;
    } else if (one_of(node->string, yes) || one_of(node->string, no)) {
        node->type = RB_DOC_BOOL;
        node->boolean = one_of(node->string, yes);
    } else {
        set_number(node);
    }
}
