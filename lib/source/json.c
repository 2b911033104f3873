/* JSON (RFC 8259), strict, or with comments and trailing commas.
 *
 * Our own scanner instead of a library: it knows the place of every token and of every duplicate key, accepts numbers of any size (they are valid JSON; the
 * tree holds them as the nearest double, as Python's json does), needs no memory to check a file, and its tests compare it with jansson.
 * Invariants: `at` never passes `end`; the nesting lives in the builder's frames, not on the C stack. One syntax problem ends the parse. */
#include "doc_build.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scanner {
    struct doc_builder *b;
    const char *text, *at, *end;
    struct doc_cursor cursor;
    bool lenient, used_lenient;
    bool failed;
};

static struct doc_place place_of(struct scanner *s, const char *where)
{
    return doc_cursor_at(&s->cursor, (size_t)(where - s->text));
}

static void fail_at(struct scanner *s, const char *where, const char *message)
{
    if (s->failed)
        return;
    s->failed = true;
    doc_problem(s->b, place_of(s, where), "%s", message);
}

static bool skip_comment(struct scanner *s)
{
    const char *start = s->at;
    if (s->end - s->at < 2 || (s->at[1] != '/' && s->at[1] != '*'))
        return false;
    if (!s->lenient) {
        fail_at(s, start, "comments are not allowed in JSON");
        return false;
    }
    s->used_lenient = true;
    bool line = s->at[1] == '/';
    for (s->at += 2; s->at < s->end; s->at++) {
        if (line && *s->at == '\n')
            return true;
        if (!line && *s->at == '*' && s->end - s->at > 1 && s->at[1] == '/') {
            s->at += 2;
            return true;
        }
    }
    if (!line)
        fail_at(s, start, "comment without an end");
    return line;
}

static void skip_blank(struct scanner *s)
{
    while (s->at < s->end) {
        char c = *s->at;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            s->at++;
        else if (c != '/' || !skip_comment(s))
            return;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX at `p`, or -1. */
static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Moves past a string that begins at `at` (on its quote); *out_raw is what lies between the quotes, *out_escaped tells of backslashes. */
static bool scan_string(struct scanner *s, const char **out_raw, size_t *out_len, bool *out_escaped)
{
    const char *start = s->at++;
    *out_escaped = false;
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20) {
            fail_at(s, s->at, "control character in a string (write it as an escape)");
            return false;
        }
        if (*s->at != '\\') {
            s->at++;
            continue;
        }
        *out_escaped = true;
        bool unicode = s->end - s->at > 1 && s->at[1] == 'u';
        if (s->end - s->at < 2 || (unicode ? hex4(s->at + 2, s->end) < 0 : (s->at[1] == '\0' || !strchr("\"\\/bfnrt", s->at[1])))) {
            fail_at(s, s->at, "invalid escape in a string");
            return false;
        }
        s->at += unicode ? 6 : 2;
    }
    if (s->at == s->end) {
        fail_at(s, start, "string without an end");
        return false;
    }
    *out_raw = start + 1;
    *out_len = (size_t)(s->at++ - *out_raw);
    return true;
}

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = more; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[more] | code);
    return more + 1;
}

/* The code point of the \u escape at raw[*at] (on the 'u'); half a surrogate pair becomes U+FFFD, as it is no character. */
static unsigned decode_unicode(const char *raw, size_t len, size_t *at)
{
    unsigned code = (unsigned)hex4(raw + *at + 1, raw + len);
    *at += 5;
    if (code < 0xD800 || code > 0xDFFF)
        return code;
    if (code < 0xDC00 && len - *at >= 6 && raw[*at] == '\\' && raw[*at + 1] == 'u') {
        int low = hex4(raw + *at + 2, raw + len);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *at += 6;
            return 0x10000 + ((code - 0xD800) << 10) + ((unsigned)low - 0xDC00);
        }
    }
    return 0xFFFD;
}

/* Decodes the escapes of a scanned string; never longer than its source. */
static const char *decode(struct scanner *s, const char *raw, size_t *len)
{
    char *out = rb_arena_alloc(s->b->arena, *len + 1);
    if (!out) {
        doc_build_fail(s->b, RB_ENOMEM, "out of memory while reading the document");
        return NULL;
    }
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    size_t used = 0;
    for (size_t i = 0; i < *len;) {
        if (raw[i] != '\\') {
            out[used++] = raw[i++];
        } else if (raw[++i] == 'u') {
            used += put_utf8(out + used, decode_unicode(raw, *len, &i));
        } else {
            out[used++] = values[strchr(names, raw[i]) - names];
            i++;
        }
    }
    out[used] = '\0';
    *len = used;
    return out;
}

static void value_string(struct scanner *s)
{
    struct doc_place place = place_of(s, s->at);
    const char *raw;
    size_t len;
    bool escaped;
    if (!scan_string(s, &raw, &len, &escaped))
        return;
    struct rb_doc_node *node = doc_build_scalar(s->b, RB_DOC_STRING, place);
    if (node) {
        node->string = escaped ? decode(s, raw, &len) : rb_arena_strndup(s->b->arena, raw, len);
        node->string_len = len;
        if (!node->string)
            doc_build_fail(s->b, RB_ENOMEM, "out of memory while reading the document");
    }
    doc_build_value(s->b, node, (struct doc_size){1, 0});
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static void store_number(struct scanner *s, struct rb_doc_node *node, const char *start, bool integer)
{
    const char *text = node ? rb_arena_strndup(s->b->arena, start, (size_t)(s->at - start)) : NULL;
    if (!text)
        return;
    errno = 0;
    long long whole = integer ? strtoll(text, NULL, 10) : 0;
    bool fits = integer && errno == 0;
    node->type = fits ? RB_DOC_INT : RB_DOC_FLOAT;
    node->integer = fits ? whole : 0;
    node->number = fits ? (double)whole : strtod(text, NULL);
}

static void value_number(struct scanner *s)
{
    const char *start = s->at;
    struct doc_place place = place_of(s, start);
    const char *p = start + (*start == '-');
    const char *digits = p;
    bool integer = true;
    p = p < s->end && *p == '0' ? p + 1 : skip_digits(p, s->end);
    bool good = p > digits;
    if (good && p < s->end && *p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p, s->end);
        good = p > fraction;
        integer = false;
    }
    if (good && p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < s->end && (*p == '+' || *p == '-');
        const char *exponent = p;
        p = skip_digits(p, s->end);
        good = p > exponent;
        integer = false;
    }
    if (!good || (p < s->end && *p >= '0' && *p <= '9')) {
        fail_at(s, start, "invalid number");
        return;
    }
    s->at = p;
    struct rb_doc_node *node = doc_build_scalar(s->b, RB_DOC_INT, place);
    store_number(s, node, start, integer);
    doc_build_value(s->b, node, (struct doc_size){1, 0});
}

static void value_word(struct scanner *s)
{
    static const struct {
        const char *word;
        enum rb_doc_type type;
        bool boolean;
    } words[] = {{"true", RB_DOC_BOOL, true}, {"false", RB_DOC_BOOL, false}, {"null", RB_DOC_NULL, false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i].word);
        if ((size_t)(s->end - s->at) < len || memcmp(s->at, words[i].word, len) != 0)
            continue;
        struct rb_doc_node *node = doc_build_scalar(s->b, words[i].type, place_of(s, s->at));
        if (node)
            node->boolean = words[i].boolean;
        s->at += len;
        doc_build_value(s->b, node, (struct doc_size){1, 0});
        return;
    }
    fail_at(s, s->at, "expected a value");
}

/* A key and its colon. */
static void object_key(struct scanner *s)
{
    if (s->at == s->end || *s->at != '"') {
        fail_at(s, s->at, s->at == s->end ? "object without an end" : "expected a key in double quotes");
        return;
    }
    struct doc_key key = {.place = place_of(s, s->at), .kind = 's'};
    bool escaped;
    if (!scan_string(s, &key.text, &key.len, &escaped))
        return;
    if (escaped)
        key.text = decode(s, key.text, &key.len);
    else if (s->b->tree && !(key.text = rb_arena_strndup(s->b->arena, key.text, key.len)))
        doc_build_fail(s->b, RB_ENOMEM, "out of memory while reading the document");
    doc_build_key(s->b, &key);
    skip_blank(s);
    if (s->at == s->end || *s->at != ':') {
        fail_at(s, s->at, "expected ':' after a key");
        return;
    }
    s->at++;
    skip_blank(s);
}

static void close_node(struct scanner *s)
{
    s->at++;
    struct doc_size size;
    struct rb_doc_node *node = doc_build_close(s->b, &size);
    doc_build_value(s->b, node, size);
}

/* After a '[' or '{' or a comma: the next element, or the end of the node. False when the node ended. */
static bool begin_element(struct scanner *s, bool after_comma)
{
    const struct doc_frame *frame = &s->b->frames[s->b->depth - 1];
    char closer = frame->table ? '}' : ']';
    skip_blank(s);
    if (s->at < s->end && *s->at == closer) {
        if (after_comma && !s->lenient) {
            fail_at(s, s->at, "trailing comma");
            return false;
        }
        s->used_lenient = s->used_lenient || after_comma;
        close_node(s);
        return false;
    }
    if (frame->table)
        object_key(s);
    return true;
}

/* After a complete value: commas and closers up to where the next value begins. False at the end of the document. */
static bool after_value(struct scanner *s)
{
    while (s->b->depth > 0 && !s->failed && s->b->code == 0) {
        const struct doc_frame *frame = &s->b->frames[s->b->depth - 1];
        skip_blank(s);
        if (s->failed)
            return false;
        if (s->at < s->end && *s->at == ',') {
            s->at++;
            if (begin_element(s, true))
                return true;
        } else if (s->at < s->end && *s->at == (frame->table ? '}' : ']')) {
            close_node(s);
        } else if (s->at == s->end) {
            fail_at(s, s->at, frame->table ? "object without an end" : "array without an end");
        } else {
            fail_at(s, s->at, frame->table ? "expected ',' or '}'" : "expected ',' or ']'");
        }
    }
    return false;
}

/* One value at `at`; for a container only its beginning. True when another value has to follow at `at`. */
static bool step(struct scanner *s)
{
    char c = s->at < s->end ? *s->at : '\0';
    if (c == '{' || c == '[') {
        doc_build_open(s->b, c == '{', place_of(s, s->at));
        s->at++;
        if (s->b->code < 0)
            return false;
        return begin_element(s, false) || after_value(s);
    }
    if (c == '"')
        value_string(s);
    else if (c == '-' || (c >= '0' && c <= '9'))
        value_number(s);
    else if (s->at == s->end)
        fail_at(s, s->at, s->b->depth ? "the document ends too early" : "the document is empty");
    else
        value_word(s);
    return after_value(s);
}

void doc_parse_json(struct doc_builder *b, const char *bytes, size_t len, bool lenient, bool *out_lenient)
{
    struct scanner s = {.b = b, .text = bytes, .at = bytes, .end = bytes + len, .lenient = lenient};
    doc_cursor_init(&s.cursor, bytes);
    if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
        s.at += 3;
        if (!lenient)
            fail_at(&s, bytes, "starts with a byte order mark, which JSON does not allow");
        s.used_lenient = true;
    }
    skip_blank(&s);
    while (!s.failed && b->code == 0 && step(&s))
        ;
    if (!s.failed && b->code == 0) {
        skip_blank(&s);
        if (s.at < s.end)
            fail_at(&s, s.at, "more text after the end of the document");
    }
    if (out_lenient)
        *out_lenient = s.used_lenient;
}
