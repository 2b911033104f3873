/* Which checks stand for a command of the runbook. The table below is the definition; docs/runbooks.md says it in words.
 *
 * A command is covered when every object that it is about (an address, a port, a path, a project …) is an object of a check of the right kind, or when a `command` or `tool` check runs its
 * program. Only option names of the file are looked at, not the kinds' structs: they are fixed, and a kind that this table does not know still covers through `url`, `address`, `port` and
 * `argv`. What cannot be told (another machine, a variable) covers nothing: the list is longer rather than wrong. */
#include <ctype.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook_internal.h"

enum object { OF_ANY, OF_ENDPOINT, OF_PATH, OF_PATTERN, OF_VARIABLE, OF_PROJECT, OF_INPUT };

struct row {
    const char *programs; /* separated by blanks */
    const char *verbs;    /* first operands, "status|stash list": any of them; NULL: every call */
    enum object object;
    const char *targets; /* "git drift.git": kinds, or kinds in which an option is set, that may stand for it; "" none may */
    enum rb_cover otherwise;
};

#define LOOKS RB_COVER_OPEN
#define ACTS  RB_COVER_ACTS
#define SHELL RB_COVER_NOTHING

/* The first row that fits decides. */
static const struct row rows[] = {
    {": true false echo printf set shift read wait sleep exit return break continue trap source . alias local declare typeset readonly "
     "clear eval date "
     "pwd dirs popd history type hash let open tee sort head tail less more wc tr cut sed awk uniq xargs basename dirname",
     NULL, OF_ANY, "", SHELL},
    {"export", NULL, OF_VARIABLE, "env", ACTS},
    {"printenv env", NULL, OF_VARIABLE, "env", LOOKS},

    {"git", "status|diff|stash list", OF_ANY, "git drift.git", LOOKS},
    {"git", "rev-parse|log|show|describe|branch|symbolic-ref|reflog|shortlog|blame|remote|rev-list|merge-base", OF_ANY, "git drift.git",
     LOOKS},
    {"git", "ls-files|ls-tree|hash-object|archive", OF_ANY, "drift.files syntax git", LOOKS},
    {"git", "check-ignore", OF_ANY, "git.ignored", LOOKS},
    {"git", "tag --list|tag -l", OF_ANY, "git.tags drift.git", LOOKS},
    {"git", "fetch|ls-remote", OF_ANY, "git.remote git.max_fetch_age git.max_behind drift.git", ACTS},
    {"git", "grep", OF_PATTERN, "text secrets", LOOKS},
    {"git",
     "add|commit|push|pull|merge|rebase|reset|restore|revert|checkout|switch|clean|clone|init|tag|stash|cherry-pick|apply|am|mv|rm|"
     "worktree|submodule|"
     "config|gc|bisect|notes",
     OF_ANY, "", ACTS},

    {"docker podman", "version|info", OF_ANY, "docker", LOOKS},
    {"docker podman", "system df", OF_ANY, "docker", LOOKS},
    {"docker podman", "compose version", OF_ANY, "docker compose", LOOKS},
    {"docker podman", "compose ps|compose ls|compose logs|compose top|compose events|compose images|compose config|compose port",
     OF_PROJECT, "compose", LOOKS},
    {"docker-compose", "ps|ls|logs|top|events|images|config|port", OF_PROJECT, "compose", LOOKS},
    {"docker podman", "ps|inspect|logs|stats|top|port|events|images|container ls|container inspect", OF_ANY, "compose docker", LOOKS},
    {"docker podman",
     "compose|run|start|stop|restart|kill|rm|rmi|pull|push|build|exec|cp|create|pause|unpause|rename|update|tag|load|save|import|export|"
     "commit|login|"
     "logout|system|volume|network|container|image|builder|context",
     OF_ANY, "", ACTS},
    {"docker-compose", "up|down|start|stop|restart|kill|rm|pull|push|build|exec|run|create|pause|unpause", OF_ANY, "", ACTS},

    {"curl wget http https xh lynx", NULL, OF_ENDPOINT, "*", LOOKS},
    {"lsof ss netstat fuser", NULL, OF_ENDPOINT, "*", LOOKS},
    {"nc ncat telnet openssl redis-cli pg_isready mysqladmin", NULL, OF_ENDPOINT, "*", LOOKS},
    {"ping ping6 traceroute mtr", NULL, OF_ANY, "icmp", LOOKS},
    {"dig nslookup host drill", NULL, OF_ANY, "dns", LOOKS},
    {"promtool amtool", NULL, OF_ANY, "prometheus", LOOKS},

    {"rg grep egrep fgrep ag ack", NULL, OF_PATTERN, "text secrets", LOOKS},
    {"test [ [[ ls stat file readlink realpath tree du", NULL, OF_PATH, "path drift.files keys", LOOKS},
    {"find fd", NULL, OF_PATH, "path drift.files syntax", LOOKS},
    {"cat nl bat", NULL, OF_PATH, "path drift.files keys text syntax env", LOOKS},
    {"jq yq taplo yamllint tomlq dasel", NULL, OF_PATH, "keys syntax drift", LOOKS},
    {"diff cmp comm", NULL, OF_ANY, "drift", LOOKS},
    {"shasum sha1sum sha256sum sha512sum md5sum md5 cksum b2sum", NULL, OF_ANY, "drift", LOOKS},
    {"tar", "--extract|-x|-xf|-xzf|-xvf|-xvzf|-xjf|-xJf|xf|xzf|xvf", OF_ANY, "", ACTS},
    {"tar zip", NULL, OF_ANY, "drift.files", LOOKS},
    {"unzip", "-l|-t|-v", OF_ANY, "", LOOKS},
    {"pip pip3 uv conda", "freeze|list|show|check|pip", OF_ANY, "drift.packages", LOOKS},
    {"npm yarn pnpm", "ls|list|outdated", OF_ANY, "drift.packages", LOOKS},
    {"dpkg rpm dpkg-query", NULL, OF_ANY, "drift.packages", LOOKS},
    {"brew", "list|info|outdated|doctor", OF_ANY, "drift.packages", LOOKS},
    {"python python3 node ruby perl", NULL, OF_INPUT, "syntax", LOOKS},

    {"uname sw_vers hostnamectl lsb_release arch", NULL, OF_ANY, "host", LOOKS},
    {"df", NULL, OF_ANY, "host.disk host.disks", LOOKS},
    {"free vm_stat vmstat", NULL, OF_ANY, "host.memory host.swap", LOOKS},
    {"sysctl", NULL, OF_ANY, "host.memory host.swap", LOOKS},
    {"uptime w nproc", NULL, OF_ANY, "host.load host.uptime", LOOKS},
    {"ulimit", NULL, OF_ANY, "host.open_files", LOOKS},
    {"timedatectl chronyc ntpq sntp", NULL, OF_ANY, "host.clock_step", LOOKS},

    {"systemctl", "start|stop|restart|reload|enable|disable|mask|unmask|daemon-reload|reset-failed|kill|isolate|set-property", OF_ANY, "",
     ACTS},
    {"service", NULL, OF_ANY, "", LOOKS},
    {"kubectl oc", "apply|delete|create|patch|scale|rollout|edit|exec|cp|drain|cordon|uncordon|label|annotate|replace|run", OF_ANY, "",
     ACTS},
    {"gh", "pr create|pr merge|pr close|pr edit|pr review|release create|issue create|issue close|workflow run|run rerun|repo", OF_ANY, "",
     ACTS},
    {"pip pip3 uv npm yarn pnpm brew apt apt-get dnf yum apk conda poetry cargo",
     "install|uninstall|remove|update|upgrade|sync|add|ci|lock|venv|init|build|publish", OF_ANY, "", ACTS},
    {"mkdir rmdir cp mv rm ln chmod chown touch install rsync scp dd truncate kill pkill killall launchctl unzip gzip gunzip bzip2 xz vi "
     "vim nano emacs "
     "code crontab mount umount useradd usermod passwd reboot shutdown unset mktemp",
     NULL, OF_ANY, "", ACTS}};

/* Options before a verb that take a value: git -C DIR status, docker compose -p NAME ps. */
static const char *const valued[] = {"-C",        "-c",          "-f",
                                     "-p",        "-H",          "-R",
                                     "-n",        "--file",      "--project-name",
                                     "--profile", "--env-file",  "--project-directory",
                                     "--context", "--host",      "--namespace",
                                     "--git-dir", "--work-tree", "--repo"};

static bool is_listed(const char *word, const char *list)
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

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool rb_runbook_knows_program(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (is_listed(name, rows[i].programs))
            return true;
    return false;
}

/* The operands and, for `tag --list`, the options, in order; at most `max`. */
static size_t verbs_of(const struct rb_runbook_command *command, bool options, const char **out, size_t max)
{
    size_t count = 0;
    for (size_t i = 1; i < command->word_count && count < max; i++) {
        const char *word = command->words[i];
        bool takes_value = false;
        for (size_t k = 0; k < sizeof valued / sizeof valued[0] && !(options && count > 0); k++)
            takes_value = takes_value || strcmp(word, valued[k]) == 0;
        if (takes_value)
            i++;
        else if (options || word[0] != '-')
            out[count++] = word;
    }
    return count;
}

/* One of "a b|c": are its words the first ones? */
static bool begins_with(const char *verb, size_t len, const char *const *words, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; at < len; i++) {
        size_t item = 0;
        while (at + item < len && verb[at + item] != ' ')
            item++;
        if (i == count || strlen(words[i]) != item || memcmp(words[i], verb + at, item) != 0)
            return false;
        at += item + 1;
    }
    return true;
}

static bool row_fits(const struct row *row, const struct rb_runbook_command *command)
{
    const char *plain[2], *with_options[2];
    if (!is_listed(base_name(command->words[0]), row->programs))
        return false;
    if (row->verbs == NULL)
        return true;
    size_t plain_count = verbs_of(command, false, plain, 2), option_count = verbs_of(command, true, with_options, 2);
    for (const char *at = row->verbs; *at != '\0';) {
        size_t len = strcspn(at, "|");
        if (begins_with(at, len, plain, plain_count) || begins_with(at, len, with_options, option_count))
            return true;
        at += len + (at[len] == '|');
    }
    return false;
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
        if (!is_listed(spec->node->keys[i], common) && any_text(spec->node->items[i], holds, with))
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

static bool has_object(const struct rb_check_spec *spec, enum object kind, const char *object, struct rb_arena *arena)
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
static bool is_target(const struct rb_check_spec *spec, const char *targets)
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
    if (count > 1 && is_listed(base_name(words[0]), interpreters) && is_script(words[1]))
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
    bool asks = count == 2 && is_listed(words[1], "--version -version -V -VV -v version");
    call.version = asks || (count == 3 && strcmp(words[1], "version") == 0 && words[2][0] == '-');
    return call;
}

static bool same_program(const char *a, const char *b)
{
    return strcmp(strchr(b, '/') != NULL ? a : base_name(a), strchr(a, '/') != NULL ? b : base_name(b)) == 0;
}

static bool runs_program(const struct rb_check_spec *spec, const struct rb_runbook_command *command, struct rb_arena *arena)
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
    bool lookup = command->word_count > 1 && is_listed(command->words[0], "which command type hash");
    if (tool && lookup)
        return same_program(words[0], command->words[command->word_count - 1]);
    struct call own = call_of(words, count, "", arena), asked = call_of(command->words, command->word_count, command->cwd, arena);
    if (!same_program(own.program, asked.program))
        return false;
    if (tool || asked.version)
        return asked.version && (tool || own.version);
    return (own.verb == NULL) == (asked.verb == NULL) && (own.verb == NULL || strcmp(own.verb, asked.verb) == 0);
}

/* ---- the answer ---- */

struct answer {
    const struct rb_plan *plan;
    size_t *checks;
    size_t count;
};

static void add_check(struct answer *answer, size_t index)
{
    for (size_t i = 0; i < answer->count; i++)
        if (answer->checks[i] == index)
            return;
    answer->checks[answer->count++] = index;
}

/* Adds the checks of the row's targets that have the object (NULL: whatever they are about); false: there are none. */
static bool add_covering(struct answer *answer, const struct row *row, const char *object, struct rb_arena *arena)
{
    bool found = false;
    for (size_t i = 0; i < answer->plan->count; i++) {
        const struct rb_check_spec *spec = &answer->plan->checks[i];
        if (!is_target(spec, row->targets))
            continue;
        if (object == NULL && strcmp(row->targets, "*") == 0 && strcmp(spec->kind->schema.name, "port") != 0)
            continue; /* "who listens?" without a port */
        if (object != NULL && !has_object(spec, row->object, object, arena))
            continue;
        add_check(answer, i);
        found = true;
    }
    return found;
}

/* Code that is given to an interpreter and parses files is what kind syntax does. */
static bool parses_files(const struct rb_runbook_command *command)
{
    static const char *const words[] = {"tomllib",        "toml.load", "tomli",     "json.load",
                                        "yaml.safe_load", "yaml.load", "json.tool", "JSON.parse"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (command->input != NULL && strstr(command->input, words[i]) != NULL)
            return true;
        for (size_t k = 1; k < command->word_count; k++)
            if (strstr(command->words[k], words[i]) != NULL)
                return true;
    }
    return false;
}

static void objects_of(const struct row *row, const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_objects *out)
{
    static void (*const readers[])(const struct rb_runbook_command *, struct rb_arena *, struct rb_objects *) = {
        [OF_ENDPOINT] = rb_objects_endpoints, [OF_PATH] = rb_objects_paths,      [OF_PATTERN] = rb_objects_pattern,
        [OF_VARIABLE] = rb_objects_variables, [OF_PROJECT] = rb_objects_project, [OF_INPUT] = NULL};
    *out = (struct rb_objects){0};
    if (readers[row->object] != NULL)
        readers[row->object](command, arena, out);
}

/* Every object must have a check; for a pattern one word in common is enough. */
static bool cover_objects(struct answer *answer, const struct row *row, const struct rb_objects *objects, struct rb_buf *missing,
                          struct rb_arena *arena)
{
    bool any = false, all = true;
    for (size_t i = 0; i < objects->count; i++) {
        bool found = add_covering(answer, row, objects->items[i], arena);
        any = any || found;
        all = all && found;
        if (!found)
            rb_buf_addf(missing, "%s%s%s", missing->len > 0 ? ", " : "", objects->items[i][0] == ':' ? "port " : "",
                        objects->items[i] + (objects->items[i][0] == ':'));
    }
    return row->object == OF_PATTERN ? any : all;
}

static enum rb_cover judge(struct answer *answer, const struct row *row, const struct rb_runbook_command *command, struct rb_buf *missing,
                           struct rb_arena *arena)
{
    struct rb_objects objects;
    if (row->targets[0] == '\0')
        return row->otherwise;
    if (row->object == OF_INPUT)
        return parses_files(command) && add_covering(answer, row, NULL, arena) ? RB_COVER_CHECKED : row->otherwise;
    objects_of(row, command, arena, &objects);
    if (row->object == OF_PATH && objects.count == 0)
        return RB_COVER_NOTHING; /* looks around, or at something that only the shell knows */
    if (objects.count == 0)
        return !objects.unclear && row->object != OF_PATTERN && add_covering(answer, row, NULL, arena) ? RB_COVER_CHECKED : row->otherwise;
    bool covered = cover_objects(answer, row, &objects, missing, arena) && !objects.unclear;
    if (row->object == OF_PATTERN)
        rb_buf_reset(missing);
    return covered ? RB_COVER_CHECKED : row->otherwise;
}

void rb_runbook_cover(const struct rb_plan *plan, const struct rb_runbook_command *command, struct rb_arena *arena, struct rb_covered *out)
{
    struct answer answer = {.plan = plan, .checks = rb_arena_array(arena, plan->count + 1, sizeof *answer.checks)};
    RB_BUF_AUTO missing;
    rb_buf_init(&missing, 4096);
    *out = (struct rb_covered){.cover = RB_COVER_OPEN};
    if (answer.checks == NULL || command->word_count == 0)
        return;
    for (size_t i = 0; i < plan->count; i++)
        if (runs_program(&plan->checks[i], command, arena))
            add_check(&answer, i);
    const struct row *row = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && row == NULL; i++)
        row = row_fits(&rows[i], command) ? &rows[i] : NULL;
    bool runs = answer.count > 0;
    /* "curl --version" is no question about an address. */
    bool version = row != NULL && row->verbs == NULL && row->object != OF_ANY &&
                   call_of(command->words, command->word_count, command->cwd, arena).version;
    if (runs)
        out->cover = RB_COVER_CHECKED;
    else if (row != NULL && !version)
        out->cover = judge(&answer, row, command, &missing, arena);
    out->checks = answer.checks;
    out->count = answer.count;
    out->missing = out->cover == RB_COVER_OPEN && missing.len > 0 ? rb_arena_strdup(arena, rb_buf_str(&missing)) : NULL;
}
