/* Environments against a guard's rules.
 *
 * Showing is by allow-list: what a denied variable holds may be a token whatever the variable is called, so only plain flags, modes, small numbers and paths are printed.
 * Every occurrence of a name counts (a dotenv file may set it twice, and readers disagree which one wins). */
#include "runbook/check/env_guard.h"

#include <string.h>
#include <strings.h>

#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"

enum { MAX_SHOWN_PATH = 200 };

struct rb_env_variables rb_env_split(const char *const *items, size_t count, struct rb_arena *arena)
{
    struct rb_env_variables out = {0};
    size_t total = 0;
    while (total < count && items && items[total])
        total++;
    out.items = rb_arena_array(arena, total + 1, sizeof *out.items);
    for (size_t i = 0; out.items && i < total; i++) {
        const char *equals = strchr(items[i], '=');
        const char *name = equals ? rb_arena_strndup(arena, items[i], (size_t)(equals - items[i])) : NULL;
        if (name)
            out.items[out.count++] = (struct rb_env_variable){.name = name, .value = equals + 1};
    }
    return out;
}

static bool is_safe(const struct rb_strings *safe, const char *value)
{
    static const char *const usual[] = {"", "0", "false", "no", "off"};
    const char *const *words = safe->items ? safe->items : usual;
    size_t count = safe->items ? safe->count : sizeof usual / sizeof usual[0];
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(words[i], value) == 0)
            return true;
    }
    return false;
}

bool rb_env_denies(const struct rb_env_guard *guard, const char *name, const char *value)
{
    for (size_t i = 0; i < guard->deny.count; i++) {
        if (rb_glob_match(guard->deny.items[i], name))
            return !value || !is_safe(&guard->safe, value);
    }
    return false;
}

static bool is_plain_word(const char *value)
{
    static const char *const words[] = {"",        "true",    "false",    "yes",  "no",    "on",      "off",      "y",
                                        "n",       "t",       "f",        "none", "null",  "enabled", "disabled", "live",
                                        "paper",   "shadow",  "test",     "dev",  "armed", "testnet", "staging",  "research",
                                        "dry_run", "dry-run", "backtest", "prod", "demo",  "sandbox", "active",   "production"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(words[i], value) == 0)
            return true;
    }
    size_t digits = strspn(value, "0123456789");
    return digits > 0 && digits <= 3 && value[digits] == '\0';
}

static bool is_plain_path(const char *value)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./ -";
    bool begins = value[0] == '/' || strncmp(value, "./", 2) == 0 || strncmp(value, "~/", 2) == 0 || strncmp(value, "../", 3) == 0;
    size_t skip = value[0] == '~' ? 1 : 0;
    return begins && strlen(value) <= MAX_SHOWN_PATH && value[skip + strspn(value + skip, allowed)] == '\0';
}

const char *rb_env_show(const char *name, const char *value, struct rb_arena *arena)
{
    if (!value || rb_redact_key_is_secret(name))
        return NULL;
    bool path = is_plain_path(value);
    if (!path && !is_plain_word(value))
        return NULL;
    RB_BUF_AUTO masked;
    rb_buf_init(&masked, 4096);
    if (path && rb_redact(&masked, value, strlen(value)) > 0)
        return NULL;
    return value[0] == '\0' ? "\"\"" : rb_arena_strdup(arena, value);
}

/* ---- judging ---- */

static const char *place_of(const struct rb_env_variable *variable, const char *where, struct rb_arena *arena)
{
    const char *text = variable->line > 0 ? rb_arena_printf(arena, "%s:%u", where, variable->line) : where;
    return text ? text : where;
}

static const char *set_to(const struct rb_env_variable *variable, struct rb_arena *arena)
{
    const char *shown = rb_env_show(variable->name, variable->value, arena);
    const char *text = shown ? rb_arena_printf(arena, "set to %s", shown) : "set (value hidden)";
    return text ? text : "set";
}

static size_t judge_denied(const struct rb_env_guard *guard, const struct rb_env_variables *variables, const char *where,
                           struct rb_outcome *out)
{
    size_t found = 0;
    for (size_t i = 0; i < variables->count; i++) {
        const struct rb_env_variable *variable = &variables->items[i];
        if (!rb_env_denies(guard, variable->name, variable->value))
            continue;
        found++;
        rb_outcome_raise(out, RB_RESULT_FAIL, "denied_set", "%s is %s in %s", variable->name, set_to(variable, out->arena),
                         place_of(variable, where, out->arena));
    }
    return found;
}

/* Counts wrong values of one required variable; *out_set tells whether it is there at all. */
static size_t judge_required(const struct rb_pair *wanted, const struct rb_env_variables *variables, const char *where, bool *out_set,
                             struct rb_outcome *out)
{
    size_t wrong = 0;
    for (size_t i = 0; i < variables->count; i++) {
        const struct rb_env_variable *variable = &variables->items[i];
        if (strcmp(variable->name, wanted->key) != 0)
            continue;
        *out_set = true;
        if (!wanted->value || (variable->value && strcmp(variable->value, wanted->value) == 0))
            continue;
        wrong++;
        bool secret = rb_redact_key_is_secret(wanted->key);
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_value", "%s is %s in %s, expected %s", variable->name, set_to(variable, out->arena),
                         place_of(variable, where, out->arena),
                         secret             ? "another value"
                         : wanted->value[0] ? wanted->value
                                            : "\"\"");
    }
    return wrong;
}

size_t rb_env_judge(const struct rb_env_guard *guard, const struct rb_env_variables *variables, const char *where,
                    struct rb_env_tally *tally, struct rb_outcome *out)
{
    size_t wrong = 0, denied = judge_denied(guard, variables, where, out);
    if (!tally->unset && guard->require.count > 0) {
        tally->unset = rb_arena_array(out->arena, guard->require.count, sizeof *tally->unset);
        tally->unset_where = rb_arena_array(out->arena, guard->require.count, sizeof *tally->unset_where);
    }
    for (size_t i = 0; i < guard->require.count; i++) {
        bool set = false;
        wrong += judge_required(&guard->require.items[i], variables, where, &set, out);
        if (set || !tally->unset || !tally->unset_where)
            continue;
        if (tally->unset[i]++ == 0)
            tally->unset_where[i] = rb_arena_strdup(out->arena, where);
    }
    tally->denied += denied;
    tally->wrong += wrong;
    return denied + wrong;
}

size_t rb_env_tell_unset(const struct rb_env_guard *guard, const struct rb_env_tally *tally, struct rb_outcome *out)
{
    size_t count = 0;
    for (size_t i = 0; tally->unset && tally->unset_where && i < guard->require.count; i++) {
        const struct rb_pair *wanted = &guard->require.items[i];
        if (tally->unset[i] == 0)
            continue;
        count++;
        bool show = wanted->value && !rb_redact_key_is_secret(wanted->key);
        const char *more = tally->unset[i] > 1 ? rb_arena_printf(out->arena, " and %zu more", tally->unset[i] - 1) : "";
        rb_outcome_raise(out, RB_RESULT_WARN, "required_unset", "%s%s%s is wanted, but not set in %s%s", wanted->key, show ? "=" : "",
                         show ? wanted->value : "", tally->unset_where[i] ? tally->unset_where[i] : "an environment", more ? more : "");
    }
    return count;
}
