/* Content negotiation (RFC 9110 section 12.5) and entity tag comparison (8.8.3.2), pure functions over header text.
 *
 * Headers are hostile and may be long; every function is one pass over them without allocation. */
#include <string.h>
#include <strings.h>

#include "internal.h"

struct element {
    const char *start; /* media range or coding, trimmed */
    size_t len;        /* up to the first ';' */
    const char *params;
    size_t params_len;
    int q; /* thousandths */
};

static const char *skip(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

static int parse_q(const char *at, const char *end)
{
    int value = 0, scale = 1000;
    if (at < end && *at == '1')
        return 1000;
    if (at == end || *at != '0')
        return 0;
    if (++at == end || *at != '.')
        return 0;
    for (at++; at < end && *at >= '0' && *at <= '9' && scale > 1; at++) {
        scale /= 10;
        value += (*at - '0') * scale;
    }
    return value;
}

/* Takes one comma-separated element off the list; false at the end. */
static bool next_element(const char **list, struct element *out)
{
    const char *at = *list;
    while (*at == ',' || *at == ' ' || *at == '\t')
        at++;
    if (!*at)
        return false;
    const char *end = at + strcspn(at, ",");
    const char *semicolon = memchr(at, ';', (size_t)(end - at));
    const char *stop = semicolon ? semicolon : end;
    *list = end;
    *out = (struct element){.start = at, .params = stop, .params_len = (size_t)(end - stop), .q = 1000};
    while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    out->len = (size_t)(stop - at);
    for (const char *param = semicolon; param; param = memchr(param, ';', (size_t)(end - param))) {
        param = skip(param + 1, end);
        if (end - param > 2 && (param[0] == 'q' || param[0] == 'Q') && param[1] == '=')
            out->q = parse_q(param + 2, end);
    }
    return true;
}

static bool same(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

static bool has_param(const struct element *element, const char *param)
{
    size_t len = strlen(param);
    for (size_t i = 0; i + len <= element->params_len; i++) {
        bool starts = i > 0 && (element->params[i - 1] == ';' || element->params[i - 1] == ' ');
        char after = (char)(i + len < element->params_len ? element->params[i + len] : ';');
        if (starts && strncasecmp(element->params + i, param, len) == 0 && (after == ';' || after == ' '))
            return true;
    }
    return false;
}

int rb_accept_quality(const char *accept, const char *type, const char *param, bool exact)
{
    if (!accept)
        return exact ? 0 : 1000;
    size_t major = strcspn(type, "/") + 1;
    int best = 0, best_rank = 0;
    struct element element;
    while (next_element(&accept, &element)) {
        int rank = 0;
        if (same(element.start, element.len, type) && (!param || has_param(&element, param)))
            rank = 3;
        else if (!exact && element.len == major + 1 && element.start[major] == '*' && strncasecmp(element.start, type, major) == 0)
            rank = 2;
        else if (!exact && same(element.start, element.len, "*/*"))
            rank = 1;
        if (rank > best_rank || (rank && rank == best_rank && element.q > best)) {
            best = element.q;
            best_rank = rank;
        }
    }
    return best;
}

bool rb_accept_gzip(const char *accept_encoding)
{
    struct element element;
    int named = -1, any = 0;
    while (accept_encoding && next_element(&accept_encoding, &element)) {
        if (same(element.start, element.len, "gzip") || same(element.start, element.len, "x-gzip"))
            named = element.q;
        else if (same(element.start, element.len, "*"))
            any = element.q;
    }
    return named >= 0 ? named > 0 : any > 0;
}

bool rb_etag_matches(const char *if_none_match, const char *etag)
{
    if (!if_none_match)
        return false;
    const char *opaque = strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag;
    struct element element;
    while (next_element(&if_none_match, &element)) {
        const char *tag = element.start;
        size_t len = element.len;
        if (same(tag, len, "*"))
            return true;
        if (len > 2 && tag[0] == 'W' && tag[1] == '/') {
            tag += 2;
            len -= 2;
        }
        if (strlen(opaque) == len && memcmp(tag, opaque, len) == 0)
            return true;
    }
    return false;
}
