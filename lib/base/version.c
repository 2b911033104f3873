/* Version numbers: a tolerant reader for what tools print and an order that people expect.
 *
 * There is no one standard: SemVer calls everything after a hyphen a pre-release, Debian and Linux kernels put revisions there, OpenSSL counts
 * with letters, Python writes 3.12.0rc1. So the word decides: a known pre-release word sorts before the release, anything else after it. A lone
 * "a" or "b" is a patch letter unless a digit follows. "+build" never counts (SemVer 2.0.0, section 10). */
#include "runbook/base/version.h"

#include <string.h>

struct stage_word {
    const char *word;
    enum rb_version_stage stage;
    bool needs_number;
};
/* A longer word stands before its own beginning. */
static const struct stage_word stage_words[] = {
    {"alpha", RB_VERSION_ALPHA, false},     {"beta", RB_VERSION_BETA, false},   {"preview", RB_VERSION_BETA, false},
    {"prerelease", RB_VERSION_BETA, false}, {"pre", RB_VERSION_BETA, false},    {"rc", RB_VERSION_RC, false},
    {"snapshot", RB_VERSION_DEV, false},    {"nightly", RB_VERSION_DEV, false}, {"devel", RB_VERSION_DEV, false},
    {"dev", RB_VERSION_DEV, false},         {"ea", RB_VERSION_BETA, false},     {"a", RB_VERSION_ALPHA, true},
    {"b", RB_VERSION_BETA, true},           {"c", RB_VERSION_RC, true},         {"m", RB_VERSION_ALPHA, true},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

static bool is_letter(char c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

static bool is_joint(char c)
{
    return c == '-' || c == '+' || c == '.' || c == '_' || c == '~';
}

static size_t read_number(const char *text, size_t len, uint64_t *out)
{
    size_t i = 0;
    uint64_t number = 0;
    for (; i < len && is_digit(text[i]); i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
    }
    *out = number;
    return i;
}

/* The stage that the letters at `text` name; RB_VERSION_PATCH when they are no pre-release word. */
static enum rb_version_stage stage_of(const char *text, size_t letters, bool number_follows)
{
    for (size_t w = 0; w < sizeof stage_words / sizeof stage_words[0]; w++) {
        const struct stage_word *row = &stage_words[w];
        size_t i = 0;
        while (i < letters && row->word[i] && lower(text[i]) == row->word[i])
            i++;
        if (i == letters && !row->word[i] && (number_follows || !row->needs_number))
            return row->stage;
    }
    return RB_VERSION_PATCH;
}

/* What stands after the numbers: "rc1", "-beta.2", "p1", "-18-amd64", "+build". Returns its length. */
static size_t read_suffix(const char *text, size_t len, struct rb_version *out)
{
    size_t start = len > 0 && is_joint(text[0]) ? 1 : 0;
    size_t word = start;
    while (word < len && is_letter(text[word]))
        word++;
    bool dotted = word > start && word + 1 < len && (text[word] == '.' || text[word] == '-') && is_digit(text[word + 1]);
    size_t number = word + (dotted ? 1 : 0);
    bool number_follows = number < len && is_digit(text[number]);
    if (word == start && (start == 0 || text[0] == '.' || !number_follows))
        return 0;
    out->stage = word == start ? RB_VERSION_PATCH : stage_of(text + start, word - start, number_follows);
    if (out->stage == RB_VERSION_PATCH && word - start == 1 && !number_follows)
        out->stage_number = (unsigned char)lower(text[start]);
    else if (number_follows)
        number += read_number(text + number, len - number, &out->stage_number);
    else
        number = word;
    /* The rest of the word ("-amd64", "+build.5") belongs to the version but orders nothing. */
    while (number < len && (is_letter(text[number]) || is_digit(text[number]) || is_joint(text[number])))
        number++;
    while (number > 0 && is_joint(text[number - 1]))
        number--;
    return number;
}

size_t rb_version_parse(const char *text, size_t len, struct rb_version *out)
{
    struct rb_version version = {.stage = RB_VERSION_RELEASE};
    size_t i = len > 1 && lower(text[0]) == 'v' && is_digit(text[1]) ? 1 : 0;
    if (i >= len || !is_digit(text[i]))
        return 0;
    for (;;) {
        uint64_t part;
        i += read_number(text + i, len - i, &part);
        if (version.count < RB_VERSION_PARTS)
            version.parts[version.count++] = part;
        if (i + 1 >= len || text[i] != '.' || !is_digit(text[i + 1]))
            break;
        i++;
    }
    if (i + 1 < len && text[i] == '+' && (is_letter(text[i + 1]) || is_digit(text[i + 1]))) {
        while (i < len && (is_letter(text[i]) || is_digit(text[i]) || is_joint(text[i])))
            i++;
    } else {
        i += read_suffix(text + i, len - i, &version);
    }
    *out = version;
    return i;
}

bool rb_version_parse_all(const char *text, struct rb_version *out)
{
    size_t len = strlen(text);
    return len > 0 && rb_version_parse(text, len, out) == len;
}

/* The first place from which a version with at least `parts` numbers can be read. */
static const char *find_with(const char *text, size_t len, size_t parts, size_t *out_len)
{
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i]) || (i > 0 && (is_digit(text[i - 1]) || text[i - 1] == '.')))
            continue;
        /* A bare number must stand alone: the 2 of "sha2" is no version. */
        if (parts < 2 && i > 0 && is_letter(text[i - 1]) && lower(text[i - 1]) != 'v')
            continue;
        struct rb_version version;
        size_t taken = rb_version_parse(text + i, len - i, &version);
        if (taken > 0 && version.count >= parts) {
            *out_len = taken;
            return text + i;
        }
    }
    return NULL;
}

const char *rb_version_find(const char *text, size_t len, size_t *out_len)
{
    const char *found = find_with(text, len, 2, out_len);
    return found ? found : find_with(text, len, 1, out_len);
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int rb_version_compare(const struct rb_version *a, const struct rb_version *b)
{
    for (size_t i = 0; i < RB_VERSION_PARTS; i++) {
        int order = compare_numbers(a->parts[i], b->parts[i]);
        if (order)
            return order;
    }
    if (a->stage != b->stage)
        return a->stage < b->stage ? -1 : 1;
    return compare_numbers(a->stage_number, b->stage_number);
}

int rb_version_compare_to_bound(const struct rb_version *version, const struct rb_version *bound)
{
    for (size_t i = 0; i < bound->count; i++) {
        int order = compare_numbers(version->parts[i], bound->parts[i]);
        if (order)
            return order;
    }
    return 0;
}
