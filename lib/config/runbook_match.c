/* What a check is about, as far as its options tell: is it one of these kinds, does it have this object, does it run this program?
 *
 * Only the names of options are looked at, in the file as it was read; a kind that is not known here still has an address through `url`, `address` and `port`, and a program through `argv`. */
#include <ctype.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook_internal.h"

bool rb_word_listed(const char *word, const char *list)
{
    size_t len = strlen(word);
    for (const char *at = list; *at != '\0'; at += strspn(at, " ")) {
        size_t item = strcspn(at, " ");
        if (item == len && memcmp(at, word, len) == 0)
            return true;
        at += item;
    }
    return false;
}

const char *rb_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- what a check is about ---- */

static const struct rb_node *option_of(const struct rb_check_spec *spec, const char *name)
{
    return spec->node != NULL ? rb_node_get(spec->node, name) : NULL;
}

/* True for a scalar, or a list with one, for which `holds` is true; mappings are looked through, keys too. */
static bool any_text(const struct rb_node *node, bool (*holds)(const char *text, const void *with), const void *with)
{
    if (node == NULL || node->secret)
        return false;
    if (node->type == RB_NODE_SCALAR)
        return node->scalar != NULL && holds(node->scalar, with);
    for (size_t i = 0; i < node->count; i++)
        if ((node->type == RB_NODE_MAPPING && holds(node->keys[i], with)) || any_text(node->items[i], holds, with))
            return true;
    return false;
}

/* A path that a glob matches: "**" and "*" become "x", "{a,b}" its first. */
static void sample_of(const char *glob, struct rb_buf *out)
{
    bool drop = false;
    for (const char *at = glob; *at != '\0'; at++) {
        if (*at == '*' || *at == '?') {
            rb_buf_adds(out, "x");
            at += *at == '*' && at[1] == '*';
        } else if (*at == '}') {
            drop = false;
        } else if (*at == ',' && !drop && strchr(at, '}') != NULL) {
            drop = true;
        } else if (!drop && *at != '{') {
            rb_buf_addc(out, *at);
        }
    }
}

static bool glob_meets(const char *a, const char *b)
{
    struct rb_error ignored;
    RB_BUF_AUTO sample;
    rb_buf_init(&sample, 2048);
    sample_of(b, &sample);
    return rb_glob_check(a, &ignored) == 0 && rb_glob_match(a, rb_buf_str(&sample));
}

/* As above for a check's own options, without what every check has: a check may be called like a folder. */
static bool any_own_text(const struct rb_check_spec *spec, bool (*holds)(const char *text, const void *with), const void *with)
{
    static const char common[] = "name kind phase severity presence every timeout runbook hints depends_on triage";
    for (size_t i = 0; spec->node != NULL && i < spec->node->count; i++)
        if (!rb_word_listed(spec->node->keys[i], common) && any_text(spec->node->items[i], holds, with))
            return true;
    return false;
}

/* The same path, a pattern that has it, or the folder in which the check looks. */
static bool is_path_of(const char *text, const void *with)
{
    const char *path = with;
    size_t len = strlen(path);
    while (strncmp(text, "./", 2) == 0)
        text += 2;
    bool below = strncmp(text, path, len) == 0 && text[len] == '/';
    return strcmp(text, path) == 0 || below || glob_meets(text, path) || glob_meets(path, text);
}

static bool has_word(const char *text, const void *with)
{
    return rb_text_find_nocase(text, with) != NULL;
}

static bool is_variable(const char *text, const void *with)
{
    struct rb_error ignored;
    return strcmp(text, with) == 0 || (rb_glob_check(text, &ignored) == 0 && rb_glob_match(text, with));
}

static bool is_same(const char *text, const void *with)
{
    return strcmp(text, with) == 0;
}

struct wanted_endpoint {
    const char *endpoint; /* "localhost:9110", ":9110" */
    struct rb_arena *arena;
};

static bool is_endpoint(const char *text, const void *with)
{
    const struct wanted_endpoint *wanted = with;
    const char *own;
    if (!rb_endpoint_parse(text, wanted->arena, &own))
        return false;
    return strcmp(own, wanted->endpoint) == 0 || (wanted->endpoint[0] == ':' && strcmp(strrchr(own, ':'), wanted->endpoint) == 0);
}

static bool has_endpoint(const struct rb_check_spec *spec, const char *endpoint, struct rb_arena *arena)
{
    static const char *const names[] = {"url", "address", "http", "targets"};
    struct wanted_endpoint wanted = {endpoint, arena};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (any_text(option_of(spec, names[i]), is_endpoint, &wanted))
            return true;
    const char *port = strrchr(endpoint, ':') + 1;
    bool here = endpoint[0] == ':' || strncmp(endpoint, "localhost:", 10) == 0;
    return here && any_text(option_of(spec, "port"), is_same, port);
}

static bool tells_secrets(const char *word)
{
    static const char *const words[] = {"secret", "token", "passw", "api_key", "apikey", "credential", "private", "key"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (rb_text_find_nocase(word, words[i]) != NULL)
            return true;
    return false;
}

bool rb_check_has_object(const struct rb_check_spec *spec, enum object kind, const char *object, struct rb_arena *arena)
{
    switch (kind) {
    case OF_ENDPOINT:
        return has_endpoint(spec, object, arena);
    case OF_PATH:
        return any_own_text(spec, is_path_of, object);
    case OF_PATTERN:
        return strcmp(spec->kind->schema.name, "secrets") == 0
                   ? tells_secrets(object)
                   : any_text(option_of(spec, "forbid"), has_word, object) || any_text(option_of(spec, "require"), has_word, object);
    case OF_VARIABLE:
        return any_text(option_of(spec, "require"), is_variable, object) || any_text(option_of(spec, "deny"), is_variable, object);
    case OF_PROJECT:
        return any_text(option_of(spec, "project"), is_same, object);
    case OF_ANY:
    case OF_INPUT:
        break;
    }
    return true;
}

/* "git drift.git *": is the check one of these? */
bool rb_check_is_target(const struct rb_check_spec *spec, const char *targets)
{
    const char *kind = spec->kind->schema.name;
    for (const char *at = targets; *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " "), name = strcspn(at, ". ");
        bool same = (len == 1 && *at == '*') || (strlen(kind) == name && memcmp(kind, at, name) == 0);
        char option[32] = "";
        if (name < len && len - name - 1 < sizeof option)
            memcpy(option, at + name + 1, len - name - 1);
        if (same && (option[0] == '\0' || option_of(spec, option) != NULL))
            return true;
        at += len;
    }
    return false;
}

/* ---- programs ---- */

struct call {
    const char *program; /* a script's path in the tree where one is run */
    const char *verb;    /* the first operand that looks like a word, or NULL */
    bool version;        /* asks for the version alone */
};

static bool is_script(const char *word)
{
    static const char *const endings[] = {".sh", ".py", ".rb", ".js", ".pl", ".bash"};
    const char *dot = strrchr(word, '.');
    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof endings[0]; i++)
        if (strcmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static struct call call_of(const char *const *words, size_t count, const char *cwd, struct rb_arena *arena)
{
    static const char interpreters[] = "sh bash zsh dash ksh python python3 node ruby perl source .";
    struct call call = {.program = words[0]};
    size_t at = 0;
    if (count > 1 && rb_word_listed(rb_path_base(words[0]), interpreters) && is_script(words[1]))
        call.program = words[at = 1];
    if (strchr(call.program, '/') != NULL || at == 1) {
        const char *in_tree = rb_path_in_tree(call.program, cwd, arena);
        if (in_tree != NULL && in_tree[0] != '\0')
            call.program = in_tree;
        else if (call.program[0] != '/')
            call.program = "?"; /* of a folder that cannot be told: no check's */
        return call;
    }
    for (size_t i = 1; i < count; i++) {
        const char *word = words[i];
        bool plain = isalpha((unsigned char)word[0]) && strpbrk(word, "/.$=*") == NULL;
        if (plain && call.verb == NULL)
            call.verb = word;
    }
    bool asks = count == 2 && rb_word_listed(words[1], "--version -version -V -VV -v version");
    call.version = asks || (count == 3 && strcmp(words[1], "version") == 0 && words[2][0] == '-');
    return call;
}

static bool same_program(const char *a, const char *b)
{
    return strcmp(strchr(b, '/') != NULL ? a : rb_path_base(a), strchr(a, '/') != NULL ? b : rb_path_base(b)) == 0;
}

bool rb_check_runs(const struct rb_check_spec *spec, const struct rb_runbook_command *command, struct rb_arena *arena)
{
    const struct rb_node *argv = option_of(spec, "argv");
    const char *words[8];
    size_t count = 0;
    for (size_t i = 0; argv != NULL && argv->type == RB_NODE_SEQUENCE && i < argv->count && count < 8; i++)
        if (argv->items[i]->type == RB_NODE_SCALAR && argv->items[i]->scalar != NULL)
            words[count++] = argv->items[i]->scalar;
    if (count == 0)
        return false;
    bool tool = strcmp(spec->kind->schema.name, "tool") == 0;
    bool lookup = command->word_count > 1 && rb_word_listed(command->words[0], "which command type hash");
    if (tool && lookup)
        return same_program(words[0], command->words[command->word_count - 1]);
    struct call own = call_of(words, count, "", arena), asked = call_of(command->words, command->word_count, command->cwd, arena);
    if (!same_program(own.program, asked.program))
        return false;
    if (tool || asked.version)
        return asked.version && (tool || own.version);
    return (own.verb == NULL) == (asked.verb == NULL) && (own.verb == NULL || strcmp(own.verb, asked.verb) == 0);
}

bool rb_command_asks_version(const struct rb_runbook_command *command, struct rb_arena *arena)
{
    return call_of(command->words, command->word_count, command->cwd, arena).version;
}
