/* Which checks stand for a command of the runbook. The table below is the definition; docs/runbooks.md says it in words.
 *
 * A command is covered when every object that it is about (an address, a port, a path, a project …) is an object of a check of the right kind, or when a `command` or `tool` check runs its
 * program (runbook_match.c). What cannot be told (another machine, a variable) covers nothing: the list is longer rather than wrong. */
#include <string.h>

#include "runbook_internal.h"

struct row {              /* NOLINT(clang-analyzer-optin.performance.Padding): in the order in which a row reads */
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
    {"nc ncat telnet openssl redis-cli pg_isready psql mysqladmin mysql mongosh", NULL, OF_ENDPOINT, "*", LOOKS},
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

bool rb_runbook_knows_program(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rb_word_listed(name, rows[i].programs))
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
    if (!rb_word_listed(rb_path_base(command->words[0]), row->programs))
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
        if (!rb_check_is_target(spec, row->targets))
            continue;
        if (object == NULL && strcmp(row->targets, "*") == 0 && strcmp(spec->kind->schema.name, "port") != 0)
            continue; /* "who listens?" without a port */
        if (object != NULL && !rb_check_has_object(spec, row->object, object, arena))
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
        if (rb_check_runs(&plan->checks[i], command, arena))
            add_check(&answer, i);
    const struct row *row = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && row == NULL; i++)
        row = row_fits(&rows[i], command) ? &rows[i] : NULL;
    bool runs = answer.count > 0;
    /* "curl --version" is no question about an address. */
    bool version = row != NULL && row->verbs == NULL && row->object != OF_ANY && rb_command_asks_version(command, arena);
    if (runs)
        out->cover = RB_COVER_CHECKED;
    else if (row != NULL && !version)
        out->cover = judge(&answer, row, command, &missing, arena);
    out->checks = answer.checks;
    out->count = answer.count;
    out->missing = out->cover == RB_COVER_OPEN && missing.len > 0 ? rb_arena_strdup(arena, rb_buf_str(&missing)) : NULL;
}
