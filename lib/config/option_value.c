/* Single values of option tables: text in a file to a C field, each error with what was expected and what was found.
 *
 * Quotes make no difference here: a value that came from `${VAR}` is often quoted and still means a number. YAML's old booleans (yes, on, off) are
 * refused with the word to write, because half of the world's parsers read them as text. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "option_value.h"

#include <errno.h>
#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/platform/platform.h"

const char *rb_option_found(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node)
{
    if (node->type == RB_NODE_MAPPING)
        return "a mapping";
    if (node->type == RB_NODE_SEQUENCE)
        return "a list";
    if (node->type == RB_NODE_NULL)
        return "nothing";
    if (node->secret || (option->flags & RB_OPT_SECRET) != 0 || rb_redact_key_is_secret(option->name))
        return "a value that is not shown";
    RB_BUF_AUTO clipped;
    rb_buf_init(&clipped, 512);
    rb_text_clip(&clipped, node->scalar, 60);
    const char *text = rb_arena_printf(context->arena, "'%s'", rb_buf_str(&clipped));
    return text != NULL ? text : "a value";
}

const char *rb_option_choice_names(struct rb_arena *arena, const struct rb_choice *choices)
{
    RB_BUF_AUTO names;
    rb_buf_init(&names, 2048);
    for (const struct rb_choice *choice = choices; choice != NULL && choice->name != NULL; choice++)
        rb_buf_addf(&names, "%s%s", choice == choices ? "" : ", ", choice->name);
    const char *text = rb_arena_strdup(arena, rb_buf_str(&names));
    return text != NULL ? text : "";
}

enum rb_option_type rb_option_item_type(enum rb_option_type type)
{
    switch (type) {
    case RB_OPT_STRINGS:
    case RB_OPT_ARGV:
        return RB_OPT_STRING;
    case RB_OPT_PATHS:
        return RB_OPT_PATH;
    case RB_OPT_GLOBS:
        return RB_OPT_GLOB;
    case RB_OPT_REGEXES:
        return RB_OPT_REGEX;
    default:
        return type;
    }
}

static int wrong(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, const char *expected)
{
    return rb_diag_add(context->diags, node->mark, "'%s' in %s wants %s, found %s", option->name, context->where, expected,
                       rb_option_found(context, option, node));
}

static int refuse(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, const char *why)
{
    return rb_diag_add(context->diags, node->mark, "'%s' in %s: %s", option->name, context->where, why);
}

static bool is_any(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static int read_bool(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, bool *out)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const old_yes[] = {"yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "1", NULL};
    static const char *const old_no[] = {"no", "No", "NO", "off", "Off", "OFF", "n", "N", "0", NULL};
    if (is_any(node->scalar, yes) || is_any(node->scalar, no)) {
        *out = is_any(node->scalar, yes);
        return 0;
    }
    if (is_any(node->scalar, old_yes))
        return wrong(context, option, node, "true or false (write true)");
    if (is_any(node->scalar, old_no))
        return wrong(context, option, node, "true or false (write false)");
    return wrong(context, option, node, "true or false");
}

static void print_limit(const struct rb_option *option, int64_t value, struct rb_buf *out)
{
    if (option->type == RB_OPT_DURATION)
        rb_duration_print_exact(out, value);
    else if (option->type == RB_OPT_SIZE)
        rb_size_print(out, value);
    else
        rb_buf_addf(out, "%lld", (long long)value);
}

static int check_range(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, int64_t value)
{
    if ((option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max))
        return 0;
    RB_BUF_AUTO range;
    rb_buf_init(&range, 128);
    print_limit(option, option->min, &range);
    rb_buf_adds(&range, " to ");
    print_limit(option, option->max, &range);
    return rb_diag_add(context->diags, node->mark, "'%s' in %s is out of range: found %s, allowed is %s", option->name, context->where,
                       rb_option_found(context, option, node), rb_buf_str(&range));
}

static int read_integer(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, int64_t *out)
{
    struct rb_error err = {0};
    int rc = option->type == RB_OPT_INT        ? rb_int_parse(node->scalar, out, &err)
             : option->type == RB_OPT_DURATION ? rb_duration_parse(node->scalar, out, &err)
                                               : rb_size_parse(node->scalar, out, &err);
    if (rc == 0)
        return check_range(context, option, node, *out);
    const char *expected = option->type == RB_OPT_INT        ? "a whole number"
                           : option->type == RB_OPT_DURATION ? "a duration such as 15s, 5m or 2h"
                                                             : "a size such as 512, 10kB or 2GiB";
    if (option->type == RB_OPT_DURATION && option->choices != NULL)
        expected = rb_arena_printf(context->arena, "%s, or %s", expected, rb_option_choice_names(context->arena, option->choices));
    return wrong(context, option, node, expected != NULL ? expected : "another value");
}

static int read_number(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, double *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtod(node->scalar, &end);
    bool decimal = node->scalar[0] != '\0' && strspn(node->scalar, "0123456789+-.eE") == strlen(node->scalar);
    if (!decimal || errno != 0 || end == NULL || *end != '\0' || !isfinite(*out))
        return wrong(context, option, node, "a number");
    if ((option->min != 0 || option->max != 0) && (*out < (double)option->min || *out > (double)option->max))
        return rb_diag_add(context->diags, node->mark, "'%s' in %s is out of range: found %s, allowed is %lld to %lld", option->name,
                           context->where, rb_option_found(context, option, node), (long long)option->min, (long long)option->max);
    return 0;
}

static bool read_named(const struct rb_option *option, const struct rb_node *node, int *out)
{
    for (const struct rb_choice *choice = option->choices; choice != NULL && choice->name != NULL; choice++)
        if (strcmp(choice->name, node->scalar) == 0) {
            *out = choice->value;
            return true;
        }
    return false;
}

static int read_choice(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, int *out)
{
    if (read_named(option, node, out))
        return 0;
    const char *names[65];
    size_t count = 0;
    for (const struct rb_choice *choice = option->choices; choice != NULL && choice->name != NULL && count < 64; choice++)
        names[count++] = choice->name;
    names[count] = NULL;
    const char *near = node->secret ? NULL : rb_text_nearest(node->scalar, names);
    return rb_diag_add(context->diags, node->mark, "'%s' in %s must be one of %s; found %s%s%s%s", option->name, context->where,
                       rb_option_choice_names(context->arena, option->choices), rb_option_found(context, option, node),
                       near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

static int read_amount(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                       struct rb_amount *out)
{
    struct rb_error err = {0};
    if (rb_amount_parse(node->scalar, out, &err) == 0)
        return 0;
    return wrong(context, option, node, "a share or a size such as 10% or 2GiB");
}

static int check_regex(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)node->scalar, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
    if (compiled != NULL) {
        pcre2_code_free(compiled);
        return 0;
    }
    PCRE2_UCHAR reason[160] = {0};
    (void)pcre2_get_error_message(code, reason, sizeof reason);
    return rb_diag_add(context->diags, node->mark, "'%s' in %s is no regular expression: %s at character %zu of %s", option->name,
                       context->where, (const char *)reason, (size_t)offset + 1, rb_option_found(context, option, node));
}

static bool scheme_allowed(const struct rb_option *option, const char *url, size_t len)
{
    static const struct rb_choice web[] = {{"http", 0, NULL}, {"https", 0, NULL}, {NULL, 0, NULL}};
    for (const struct rb_choice *choice = option->choices != NULL ? option->choices : web; choice->name != NULL; choice++)
        if (strlen(choice->name) == len && strncmp(choice->name, url, len) == 0)
            return true;
    return false;
}

/* What is wrong with a URL, or NULL. RFC 3986 section 3; looser on path and query, which servers judge themselves. */
static const char *url_fault(const struct rb_option *option, const char *url)
{
    const char *colon = strstr(url, "://");
    if (colon == NULL || !scheme_allowed(option, url, (size_t)(colon - url)))
        return option->choices != NULL ? "a URL must begin with one of the allowed schemes and ://"
                                       : "a URL must begin with http:// or https://";
    const char *authority = colon + 3;
    size_t len = strcspn(authority, "/?#");
    if (memchr(authority, '@', len) != NULL)
        return "a URL must not hold a user or password; use the options for authentication with '!file'";
    if (len == 0 || *authority == ':')
        return "the URL names no host";
    for (const unsigned char *p = (const unsigned char *)url; *p != '\0'; p++)
        if (*p <= 0x20 || *p == 0x7f || *p == '"' || *p == '<' || *p == '>' || *p == '\\')
            return "the URL holds a blank or a character that must be percent-encoded";
    const char *bracket = memchr(authority, ']', len);
    const char *port = bracket != NULL ? bracket + 1 : memchr(authority, ':', len);
    if (*authority == '[' && bracket == NULL)
        return "the URL has an unclosed '['";
    if (port == NULL || port == authority + len)
        return NULL;
    size_t digits = strspn(port + 1, "0123456789");
    if (*port != ':' || port + 1 + digits != authority + len)
        return "the URL's port is not a number";
    return digits > 5 || (digits > 0 && strtol(port + 1, NULL, 10) > 65535) ? "the URL's port is out of range" : NULL;
}

static int check_path(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                      const char **out)
{
    struct rb_error err = {0};
    if (node->scalar[0] == '\0')
        return wrong(context, option, node, "a path");
    if (node->scalar[0] != '~')
        return 0;
    char expanded[4096];
    if (rb_path_expand(node->scalar, expanded, sizeof expanded, &err) < 0)
        return refuse(context, option, node, err.message);
    *out = rb_arena_strdup(context->arena, expanded);
    return *out != NULL ? 0 : RB_ENOMEM;
}

int rb_option_check_text(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                         enum rb_option_type type, const char **out)
{
    struct rb_error err = {0};
    *out = node->scalar;
    if ((option->flags & RB_OPT_NONEMPTY) != 0 && node->scalar[0] == '\0')
        return refuse(context, option, node, "must not be empty");
    switch (type) {
    case RB_OPT_PATH:
        return check_path(context, option, node, out);
    case RB_OPT_GLOB:
        return rb_glob_check(node->scalar, &err) == 0 ? 0 : refuse(context, option, node, err.message);
    case RB_OPT_REGEX:
        return check_regex(context, option, node);
    case RB_OPT_URL: {
        const char *fault = url_fault(option, node->scalar);
        return fault == NULL ? 0 : refuse(context, option, node, fault);
    }
    default:
        return 0;
    }
}

static const char *scalar_name(const struct rb_options_context *context, const struct rb_option *option)
{
    const char *name = rb_arena_printf(context->arena, "one value (%s)", rb_option_type_name(option->type));
    return name != NULL ? name : "one value";
}

int rb_option_read_scalar(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, void *field)
{
    int named = 0;
    bool flag = false;
    if (node->type != RB_NODE_SCALAR)
        return wrong(context, option, node, scalar_name(context, option));
    switch (option->type) {
    case RB_OPT_BOOL:
        return read_bool(context, option, node, field);
    case RB_OPT_TRISTATE:
        if (read_bool(context, option, node, &flag) < 0)
            return RB_ECONFIG;
        *(int8_t *)field = flag ? 1 : 0;
        return 0;
    case RB_OPT_INT:
    case RB_OPT_DURATION:
    case RB_OPT_SIZE:
        if (!read_named(option, node, &named))
            return read_integer(context, option, node, field);
        *(int64_t *)field = named;
        return 0;
    case RB_OPT_NUMBER:
        return read_number(context, option, node, field);
    case RB_OPT_AMOUNT:
        return read_amount(context, option, node, field);
    case RB_OPT_CHOICE:
        return read_choice(context, option, node, field);
    default:
        return rb_option_check_text(context, option, node, option->type, field);
    }
}
