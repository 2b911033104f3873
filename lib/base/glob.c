/* Path patterns, matched by simulating a nondeterministic automaton.
 *
 * The pattern becomes a small program (Thompson's construction: one instruction per character, splits for `*` and braces), and the
 * path is fed to the set of all its states at once. Time is O(pattern × path) whatever either holds, so a hostile pattern cannot
 * burn time the way a backtracking matcher lets it; and "could something below this folder match" is the same run, asked
 * whether any state is left. Characters are code points; a byte that is not UTF-8 counts as one character of its own.
 *
 * Invariants: a program never exceeds PROGRAM_MAX instructions (a pattern of 1,024 bytes cannot need more); every state can reach
 * the end, so an empty set is the only dead one. Patterns that rb_glob_check refuses match nothing. */
#include "runbook/base/glob.h"

#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define PATTERN_MAX 1024
#define PROGRAM_MAX (PATTERN_MAX * 4 + 8)
#define NESTING_MAX 8
#define BAD_BYTE    0x110000 /* added to a byte that is not part of a character: above every code point */

enum op { OP_CHAR, OP_ANY, OP_ANY_OR_SLASH, OP_CLASS, OP_SPLIT, OP_JUMP, OP_MATCH };

struct instruction {
    uint8_t op;
    uint16_t x, y;  /* targets of SPLIT and JUMP; CLASS: offset and length in the pattern */
    uint32_t value; /* CHAR */
};

struct program {
    const char *pattern;
    size_t pattern_len;
    unsigned count;
    const char *problem; /* static text; NULL while the pattern is valid */
    struct instruction code[PROGRAM_MAX];
};

static size_t next_character(const char *text, size_t len, uint32_t *out)
{
    size_t step = rb_utf8_decode(text, len, out);
    if (step)
        return step;
    *out = BAD_BYTE + (unsigned char)text[0];
    return 1;
}

static unsigned emit(struct program *program, enum op op, unsigned x, unsigned y)
{
    if (program->count == PROGRAM_MAX) {
        program->problem = "is too complex";
        return PROGRAM_MAX - 1;
    }
    program->code[program->count] = (struct instruction){.op = (uint8_t)op, .x = (uint16_t)x, .y = (uint16_t)y};
    return program->count++;
}

/* One instruction `op`, zero or more times. */
static void emit_star(struct program *program, enum op op)
{
    unsigned split = emit(program, OP_SPLIT, 0, 0);
    unsigned body = emit(program, op, 0, 0);
    (void)emit(program, OP_JUMP, split, 0);
    program->code[split].x = (uint16_t)body;
    program->code[split].y = (uint16_t)program->count;
}

static void emit_char(struct program *program, uint32_t value)
{
    unsigned at = emit(program, OP_CHAR, 0, 0);
    program->code[at].value = value;
}

/* Compiles the stars at `at`; returns the offset behind what was consumed. */
static size_t compile_stars(struct program *program, size_t at)
{
    const char *p = program->pattern;
    size_t end = at;
    while (end < program->pattern_len && p[end] == '*')
        end++;
    if (end - at == 1) {
        emit_star(program, OP_ANY);
        return end;
    }
    bool starts = at == 0 || strchr("/{,", p[at - 1]);
    if (!starts || end == program->pattern_len || p[end] != '/') {
        emit_star(program, OP_ANY_OR_SLASH);
        return end;
    }
    /* A whole segment followed by '/': zero or more folders, each with its slash. */
    unsigned split = emit(program, OP_SPLIT, 0, 0);
    program->code[split].x = (uint16_t)program->count;
    emit_star(program, OP_ANY_OR_SLASH);
    emit_char(program, '/');
    program->code[split].y = (uint16_t)program->count;
    return end + 1;
}

/* Offset behind the ']' of the class at `at`, or 0 when it does not end. */
static size_t class_end(const struct program *program, size_t at)
{
    const char *p = program->pattern;
    size_t i = at + 1;
    if (i < program->pattern_len && (p[i] == '!' || p[i] == '^'))
        i++;
    if (i < program->pattern_len && p[i] == ']')
        i++;
    for (; i < program->pattern_len; i++) {
        if (p[i] == ']')
            return i + 1;
        if (p[i] == '\\')
            i++;
    }
    return 0;
}

static size_t compile_class(struct program *program, size_t at)
{
    size_t end = class_end(program, at);
    if (end == 0)
        program->problem = "has '[' without ']' (write \\[ for the character itself)";
    else
        (void)emit(program, OP_CLASS, (unsigned)at, (unsigned)(end - at));
    return end ? end : program->pattern_len;
}

static size_t compile_literal(struct program *program, size_t at)
{
    if (program->pattern[at] == '\\' && ++at == program->pattern_len) {
        program->problem = "ends with a lone backslash";
        return at;
    }
    uint32_t c;
    size_t step = next_character(program->pattern + at, program->pattern_len - at, &c);
    emit_char(program, c);
    return at + step;
}

static size_t compile_sequence(struct program *program, size_t at, unsigned depth);

/* `{a,b}`: a split before each alternative but the last, a jump to the end after each. The jumps are chained through their targets until the
 * end is known. */
static size_t compile_braces(struct program *program, size_t at, unsigned depth)
{
    unsigned pending = PROGRAM_MAX;
    if (depth == NESTING_MAX) {
        program->problem = "nests braces too deeply";
        return program->pattern_len;
    }
    do {
        unsigned split = emit(program, OP_SPLIT, 0, 0);
        program->code[split].x = (uint16_t)program->count;
        at = compile_sequence(program, at + 1, depth + 1);
        if (at < program->pattern_len && program->pattern[at] == ',') {
            pending = emit(program, OP_JUMP, pending, 0);
            program->code[split].y = (uint16_t)program->count;
        } else {
            program->code[split].y = program->code[split].x;
        }
    } while (!program->problem && at < program->pattern_len && program->pattern[at] == ',');
    if (program->problem)
        return program->pattern_len;
    if (at == program->pattern_len) {
        program->problem = "has '{' without '}' (write \\{ for the character itself)";
        return at;
    }
    while (pending != PROGRAM_MAX) {
        unsigned next = program->code[pending].x;
        program->code[pending].x = (uint16_t)program->count;
        pending = next;
    }
    return at + 1;
}

/* Compiles until the end, or inside braces until ',' or '}'; returns where it stopped. */
static size_t compile_sequence(struct program *program, size_t at, unsigned depth)
{
    while (!program->problem && at < program->pattern_len) {
        char c = program->pattern[at];
        if (depth > 0 && (c == ',' || c == '}'))
            break;
        if (c == '*')
            at = compile_stars(program, at);
        else if (c == '[')
            at = compile_class(program, at);
        else if (c == '{')
            at = compile_braces(program, at, depth);
        else if (c == '?') {
            (void)emit(program, OP_ANY, 0, 0);
            at++;
        } else
            at = compile_literal(program, at);
    }
    return at;
}

/* True when a segment is "..", also as an alternative in braces. */
static bool has_parent_segment(const char *pattern, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        bool starts = i == 0 || strchr("/{,", pattern[i - 1]);
        bool ends = i + 2 >= len || strchr("/},", pattern[i + 2]);
        if (starts && ends && pattern[i] == '.' && pattern[i + 1] == '.')
            return true;
    }
    return false;
}

/* Compiles; a leading "./" and a trailing "/" mean nothing in a relative path. */
static void compile(struct program *program, const char *pattern)
{
    program->count = 0;
    program->problem = NULL;
    while (pattern[0] == '.' && pattern[1] == '/')
        pattern += 2;
    size_t len = strnlen(pattern, PATTERN_MAX + 1);
    if (len > PATTERN_MAX) {
        program->problem = "is longer than 1024 bytes";
        return;
    }
    if (pattern[0] == '/') {
        program->problem = "is absolute; patterns count from the root folder";
        return;
    }
    while (len > 0 && pattern[len - 1] == '/')
        len--;
    program->pattern = pattern;
    program->pattern_len = len;
    if (len == 0)
        program->problem = "is empty";
    else if (has_parent_segment(pattern, len))
        program->problem = "has a \"..\" segment; nothing outside the root folder is read";
    else
        (void)compile_sequence(program, 0, 0);
    if (!program->problem)
        (void)emit(program, OP_MATCH, 0, 0);
}

struct states {
    unsigned count;
    uint16_t at[PROGRAM_MAX];
};

struct machine {
    struct program program;
    struct states sets[2];
    struct states stack;        /* work list of the closure */
    uint32_t seen[PROGRAM_MAX]; /* the step in which a state was added last */
    uint32_t step;
};

/* Adds a state and all that it reaches without reading a character. */
static void add_state(struct machine *machine, struct states *set, unsigned at)
{
    struct states *stack = &machine->stack;
    stack->count = 0;
    stack->at[stack->count++] = (uint16_t)at;
    while (stack->count) {
        unsigned state = stack->at[--stack->count];
        if (machine->seen[state] == machine->step)
            continue;
        machine->seen[state] = machine->step;
        const struct instruction *i = &machine->program.code[state];
        if (i->op == OP_SPLIT && stack->count + 2 <= PROGRAM_MAX) {
            stack->at[stack->count++] = i->x;
            stack->at[stack->count++] = i->y;
        } else if (i->op == OP_JUMP) {
            stack->at[stack->count++] = i->x;
        } else {
            set->at[set->count++] = (uint16_t)state;
        }
    }
}

static bool class_has(const char *class, size_t len, uint32_t c)
{
    size_t i = 1;
    bool negated = class[i] == '!' || class[i] == '^';
    bool found = false;
    i += negated;
    while (i < len - 1) {
        uint32_t low, high;
        i += class[i] == '\\' && i + 1 < len - 1;
        i += next_character(class + i, len - 1 - i, &low);
        high = low;
        if (i + 1 < len - 1 && class[i] == '-') {
            i++;
            i += class[i] == '\\' && i + 1 < len - 1;
            i += next_character(class + i, len - 1 - i, &high);
        }
        found = found || (c >= low && c <= high);
    }
    return found != negated;
}

static bool accepts(const struct program *program, const struct instruction *i, uint32_t c)
{
    switch ((enum op)i->op) {
    case OP_CHAR:
        return i->value == c;
    case OP_ANY:
        return c != '/';
    case OP_ANY_OR_SLASH:
        return true;
    case OP_CLASS:
        return c != '/' && class_has(program->pattern + i->x, i->y, c);
    case OP_SPLIT:
    case OP_JUMP:
    case OP_MATCH:
        break;
    }
    return false;
}

static void start(struct machine *machine)
{
    memset(machine->seen, 0, machine->program.count * sizeof machine->seen[0]);
    machine->step = 1;
    machine->sets[0].count = 0;
    add_state(machine, &machine->sets[0], 0);
}

/* Feeds `text`; the surviving states are in sets[0]. */
static void feed(struct machine *machine, const char *text, size_t len)
{
    struct states *now = &machine->sets[0], *next = &machine->sets[1];
    for (size_t i = 0; i < len && now->count;) {
        uint32_t c;
        i += next_character(text + i, len - i, &c);
        next->count = 0;
        machine->step++;
        for (unsigned s = 0; s < now->count; s++) {
            if (accepts(&machine->program, &machine->program.code[now->at[s]], c))
                add_state(machine, next, now->at[s] + 1U);
        }
        struct states *spare = now;
        now = next;
        next = spare;
    }
    if (now != &machine->sets[0]) {
        machine->sets[0].count = now->count;
        memcpy(machine->sets[0].at, now->at, now->count * sizeof now->at[0]);
    }
}

/* The three forms that nearly every configuration uses, decided without the machine (whole trees are matched at each run): a literal path, "folder/" "**", and "**" "/" "*.ext".
 * 1: matches, 0: does not, -1: another form, or one that might have a problem. */
static int match_simple(const char *pattern, const char *path)
{
    static const char meta[] = "*?[]{}\\";
    if (strncmp(pattern, "**/*", 4) == 0) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        size_t name_len = strlen(name), suffix_len = strcspn(pattern + 4, "*?[]{}\\/");
        if (pattern[4 + suffix_len] != '\0' || suffix_len > 256 || name_len == 0)
            return -1;
        return name_len >= suffix_len && memcmp(name + name_len - suffix_len, pattern + 4, suffix_len) == 0;
    }
    size_t len = strlen(pattern), literal = strcspn(pattern, meta);
    if (strcmp(pattern, "**") == 0)
        return path[0] != '\0';
    if ((literal != len && strcmp(pattern + literal, "**") != 0) || literal < 2 || len >= 1024 || pattern[0] == '/' ||
        strstr(pattern, "..") || strstr(pattern, "//") || strstr(pattern, "./"))
        return -1;
    if (literal == len)
        return pattern[len - 1] == '/' ? -1 : strcmp(pattern, path) == 0;
    return pattern[literal - 1] != '/' ? -1 : strncmp(pattern, path, literal) == 0 && path[literal] != '\0';
}

bool rb_glob_match(const char *pattern, const char *path)
{
    int simple = match_simple(pattern, path);
    if (simple >= 0)
        return simple == 1;
    struct machine machine; /* 90 kB, of which a usual pattern touches 2; never cleared as a whole */
    compile(&machine.program, pattern);
    if (machine.program.problem)
        return false;
    start(&machine);
    feed(&machine, path, strlen(path));
    for (unsigned s = 0; s < machine.sets[0].count; s++) {
        if (machine.program.code[machine.sets[0].at[s]].op == OP_MATCH)
            return true;
    }
    return false;
}

bool rb_glob_may_match_below(const char *pattern, const char *dir)
{
    struct machine machine;
    compile(&machine.program, pattern);
    if (machine.program.problem)
        return false;
    start(&machine);
    size_t len = strlen(dir);
    while (len > 0 && dir[len - 1] == '/')
        len--;
    if (len == 0)
        return true;
    feed(&machine, dir, len);
    feed(&machine, "/", 1);
    return machine.sets[0].count > 0;
}

bool rb_glob_is_literal(const char *pattern)
{
    return pattern[strcspn(pattern, "*?[{\\")] == '\0';
}

int rb_glob_check(const char *pattern, struct rb_error *err)
{
    struct program program;
    compile(&program, pattern);
    if (!program.problem)
        return RB_OK;
    return rb_error_set(err, RB_EINVAL, "pattern \"%.80s\" %s", pattern, program.problem);
}
