/* The team's runbook: its outline, addresses, commands, the checks that stand for them, the checks that a section names, the text that reports quote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/fixture_main.h"
#include "../support/scratch.h"
#include "runbook/base/text.h"
#include "runbook/check/kind.h"
#include "runbook/config/runbook.h"

static struct rb_arena *arena;
static struct rb_error err;
static struct scratch scratch;
static struct rb_plan *plan;
static char root[512], state[512];

static void setup(void)
{
    unsetenv("STATE_DIRECTORY");
    arena = rb_arena_new(RB_RUNBOOK_ARENA * 4);
    scratch_make(&scratch);
    scratch_folder(&scratch, "tree");
    scratch_folder(&scratch, "tree/.git");
    scratch_path(&scratch, "tree", root);
    scratch_path(&scratch, "state", state);
    plan = NULL;
}

static void teardown(void)
{
    rb_plan_unref(plan);
    scratch_remove(&scratch);
    rb_arena_free(arena);
}

static struct rb_runbook *parse(const char *text)
{
    struct rb_runbook *book = rb_runbook_parse("book.md", text, strlen(text), arena);
    ck_assert_ptr_nonnull(book);
    return book;
}

static void load_plan(const char *text)
{
    struct rb_diags diags;
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1 << 16);
    rb_diags_init(&diags, arena);
    struct rb_plan_request request = {.text = text, .root = root, .cwd = root, .state_dir = state};
    rb_plan_unref(plan);
    plan = NULL;
    int rc = rb_plan_load(&request, rb_kind_registry(), &diags, &plan, &err);
    rb_diags_print(&diags, &out);
    ck_assert_msg(rc == 0, "%s%s", rb_buf_str(&out), err.message);
}

/* ---- addresses ---- */

static const char book_text[] = "# Book\n"                 /* 1 */
                                "## Phase 1: Start\n"      /* 2 */
                                "### Entry\n"              /* 3 */
                                "- a\n"                    /* 4 */
                                "### Steps (Commands)\n"   /* 5 */
                                "```bash\n"                /* 6 */
                                "# 1) Look\n"              /* 7 */
                                "true\n"                   /* 8 */
                                "# 2) Look again\n"        /* 9 */
                                "# not numbered\n"         /* 10 */
                                "```\n"                    /* 11 */
                                "after the code\n"         /* 12 */
                                "### Steps\n"              /* 13 */
                                "## Phase 13: Later\n"     /* 14 */
                                "### Entry\n"              /* 15 */
                                "**1) Detect**\n"          /* 16 */
                                "**2) Mitigate (now)**:\n" /* 17 */
                                "x\n";                     /* 18 */

START_TEST(addresses)
{
    static const struct {
        const char *address;
        int rc;
        unsigned line, end;
    } cases[] = {{"Phase 1", 0, 2, 13},
                 {"phase 13", 0, 14, 18},
                 {"Phase 1 > Entry", 0, 3, 4},
                 {"Phase 13 > entry", 0, 15, 18},
                 {"Phase 1 > Steps", 0, 13, 13}, /* exact before a beginning */
                 {"Phase 1 > Steps (Commands)", 0, 5, 12},
                 {"steps-commands", 0, 5, 12},
                 {"Phase 1 > 1)", 0, 7, 8},       /* ends with the next one */
                 {"Phase 1 > 2) Look", 0, 9, 10}, /* ends with its code, not with the heading's section */
                 {"Phase 13 > 2) Mitigate", 0, 17, 18},
                 {"Book > Phase 13 > 1) Detect", 0, 16, 16},
                 {"Entry", RB_EINVAL, 0, 0}, /* two of them */
                 {"Phase", RB_EINVAL, 0, 0},
                 {"1)", RB_EINVAL, 0, 0},
                 {"Pha", RB_ENOTFOUND, 0, 0}, /* not at the end of a word */
                 {"Phase 13 > Steps", RB_ENOTFOUND, 0, 0},
                 {"not numbered", RB_ENOTFOUND, 0, 0},
                 {"", RB_ENOTFOUND, 0, 0},
                 {" > ", RB_ENOTFOUND, 0, 0}};
    const struct rb_runbook *book = parse(book_text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rb_runbook_heading *found = NULL;
        int rc = rb_runbook_find(book, cases[i].address, arena, &found, &err);
        ck_assert_msg(rc == cases[i].rc, "%s: %d, %s", cases[i].address, rc, rc < 0 ? err.message : "");
        if (rc < 0)
            continue;
        ck_assert_msg(found->line == cases[i].line, "%s: line %u", cases[i].address, found->line);
        ck_assert_msg(rb_runbook_section_end(book, found) == cases[i].end, "%s: ends at %u", cases[i].address,
                      rb_runbook_section_end(book, found));
    }
    const struct rb_runbook_heading *found = NULL;
    ck_assert_int_eq(rb_runbook_find(book, "Entry", arena, &found, &err), RB_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "lines 3, 15"));
    ck_assert_int_eq(rb_runbook_find(book, "Phase 1 > Enty", arena, &found, &err), RB_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "did you mean 'Entry'?"));
}
END_TEST

/* ---- commands ---- */

/* "line:word word|line:word" of everything found. */
static const char *commands_of(const char *markdown, bool with_spans)
{
    const struct rb_runbook *book = parse(markdown);
    struct rb_runbook_commands commands;
    RB_BUF_AUTO out;
    rb_buf_init(&out, 1 << 16);
    rb_runbook_commands(book, 1, (unsigned)book->line_count, with_spans, arena, &commands);
    for (size_t i = 0; i < commands.count; i++) {
        rb_buf_addf(&out, "%s%u:", i > 0 ? "|" : "", commands.items[i].line);
        for (size_t k = 0; k < commands.items[i].word_count; k++)
            rb_buf_addf(&out, "%s%s", k > 0 ? " " : "", commands.items[i].words[k]);
    }
    return rb_arena_strdup(arena, rb_buf_str(&out));
}

START_TEST(words_of_commands)
{
    static const char *const cases[][2] = {
        {"```bash\nuname -a\n# a comment\n\ndf -h # trailing\n```\n", "2:uname -a|5:df -h"},
        {"```\nuname -a\n```\n```python\nimport os\n```\n~~~ {.sh .x}\nid\n~~~\n", "8:id"},
        {"```sh\ncp -v \\\n  a \\\n  b\nls x\n```\n", "2:cp -v a b|5:ls x"},
        {"```sh\na | b | c\nd |\n  e\nf\n```\n", "2:a|3:d|5:f"},
        {"```sh\ncurl -fsS 'http://h/a b' >/dev/null 2>&1 && x 'it''s' || true\n```\n", "2:curl -fsS http://h/a b|2:x its|2:true"},
        {"```sh\npython3 - <<'PY'\nimport x; y | z\nPY\nnext\n```\n", "2:python3 -|5:next"},
        {"```sh\ncat <<-EOF | grep a\n\tone\n\tEOF\nnext\n```\n", "2:cat|5:next"},
        {"```sh\nfor d in a b; do\n  [ -d \"$d\" ] && (cd \"$d\" && docker compose ps) || true\ndone | sort\n```\n",
         "3:docker compose ps|3:true"},
        {"```sh\nif curl -s u; then\n  echo up\nelse systemctl status x; fi\n```\n", "2:curl -s u|3:echo up|4:systemctl status x"},
        {"```sh\ncase $x in\n  a) one ;;\n  *) two ;;\nesac\nthree\n```\n", "3:one|4:two|6:three"},
        {"```sh\nPORT=9110\nA=1 sudo -u x env B=2 curl \"localhost:$PORT/${P:-q}\"\n```\n", "3:curl localhost:9110/q"},
        {"```sh\nH=\"$(shasum -a 256 f | awk '{print $1}')\"\n```\n", "2:shasum -a 256 f"},
        {"```sh\n[ -x s.sh ] && ./s.sh --fast\ntest -f a || exit 1\n[ -f b ] && echo yes\n```\n",
         "2:./s.sh --fast|3:test -f a|3:exit 1|4:[ -f b ]|4:echo yes"},
        {"```sh\nbash -c 'ss -ltn | grep :80'\ntimeout 5 nc -z h 80\necho ruok | nc h 2181\n```\n", "2:ss -ltn|3:nc -z h 80|4:nc h 2181"},
        {"```console\n$ git status\nOn branch main\n$ ls \\\n> x\nuser@host:~$ id\n```\n", "2:git status|4:ls x|6:id"},
        {"```sh\n$ git status\nclean\n```\n", "2:git status"},
        {"text `git status` and `main`, `scripts/a.sh --x`\n", ""},
        {"```sh\nf() { one; }\nuntil two; do :; done\n```\r\n", "2:one|3:two|3::"},
        {"```sh\r\nuname -a\r\ncp a \\\r\n b\r\n```\r\n", "2:uname -a|3:cp a b"},
        {"```sh\n[[ $a == b && -f c ]] && echo x\n```\n", "2:[[ $a == b -f c ]]|2:echo x"},
        {"- list\n  ```bash\n  df -h\n  ```\n", "3:df -h"},
        {"```sh\nopen 'quote\n```\n", "2:open quote\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(strcmp(commands_of(cases[i][0], false), cases[i][1]) == 0, "%s\n-> %s\nnot %s", cases[i][0],
                      commands_of(cases[i][0], false), cases[i][1]);
    ck_assert_str_eq(commands_of("text `git status` and `main`, `scripts/a.sh --x`\n", true), "1:git status|1:scripts/a.sh --x");
}
END_TEST

START_TEST(what_is_shown_of_a_command)
{
    struct rb_runbook_commands found;
    const struct rb_runbook *book = parse(
        "```sh\ncd docs && ls   x \\\n  y | sort 2>/dev/null || true\n(cd sub; cat z); cat w\n"
        "cd /etc\ncat hosts\ncurl -H 'Authorization: Bearer abcdefghijklmnop' h\npython3 <<X\nbody\nX\n```\n");
    rb_runbook_commands(book, 1, (unsigned)book->line_count, false, arena, &found);
    ck_assert_uint_eq(found.count, 7);
    ck_assert_str_eq(found.items[0].text, "ls x y | sort 2>/dev/null");
    ck_assert_str_eq(found.items[0].cwd, "docs");
    ck_assert_str_eq(found.items[2].cwd, "docs/sub");
    ck_assert_str_eq(found.items[3].cwd, "docs"); /* the subshell took its cd along */
    ck_assert_ptr_null(found.items[4].cwd);
    ck_assert_ptr_null(strstr(found.items[5].text, "abcdefghijklmnop"));
    ck_assert_str_eq(found.items[6].input, "body\n");
}
END_TEST

START_TEST(bounds)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 8u << 20);
    rb_buf_adds(&text, "```sh\n");
    for (unsigned i = 0; i < RB_RUNBOOK_MAX_COMMANDS + 5; i++)
        rb_buf_addf(&text, "cmd %u\n", i);
    struct rb_runbook_commands found;
    const struct rb_runbook *book = rb_runbook_parse("b", rb_buf_str(&text), text.len, arena);
    rb_runbook_commands(book, 1, (unsigned)book->line_count, false, arena, &found);
    ck_assert_uint_eq(found.count, RB_RUNBOOK_MAX_COMMANDS);
    ck_assert_uint_eq(found.dropped, 5);
    rb_buf_reset(&text);
    for (unsigned i = 0; i < RB_RUNBOOK_MAX_LINES + 10; i++)
        rb_buf_adds(&text, "# h\n");
    book = rb_runbook_parse("b", rb_buf_str(&text), text.len, arena);
    ck_assert_uint_eq(book->line_count, RB_RUNBOOK_MAX_LINES);
    ck_assert_uint_eq(book->heading_count, RB_RUNBOOK_MAX_HEADINGS);
    rb_buf_reset(&text);
    rb_buf_adds(&text, "```sh\n");
    for (unsigned i = 0; i < 2000; i++)
        rb_buf_adds(&text, "sh -c 'H=$( ((( ");
    book = rb_runbook_parse("b", rb_buf_str(&text), text.len, arena);
    rb_runbook_commands(book, 1, (unsigned)book->line_count, false, arena, &found);
    ck_assert_uint_le(found.count, RB_RUNBOOK_MAX_COMMANDS);
    for (size_t i = 0; i < found.count; i++)
        ck_assert_uint_le(rb_text_columns(found.items[i].text, strlen(found.items[i].text)), 400);
}
END_TEST

/* ---- which checks stand for them ---- */

static const char checks_text[] = "checks:\n"
                                  "  - {name: web, kind: http, url: 'http://localhost:3000/api/health'}\n"
                                  "  - {name: exporter, kind: port, port: 9110}\n"
                                  "  - {name: smtp, kind: tcp, address: '127.0.0.1:25'}\n"
                                  "  - {name: other-host, kind: http, url: 'https://shop.example.org/'}\n"
                                  "  - {name: prom, kind: prometheus, url: 'http://localhost:9092'}\n"
                                  "  - {name: repo, kind: git, clean: true}\n"
                                  "  - {name: stack, kind: compose, project: shop}\n"
                                  "  - {name: engine, kind: docker}\n"
                                  "  - {name: python, kind: tool, argv: [python3, --version], min: '3.9'}\n"
                                  "  - {name: lint, kind: command, argv: [pre-commit, run, --all-files]}\n"
                                  "  - {name: doctor, kind: command, argv: [scripts/doctor.sh, --json]}\n"
                                  "  - {name: policy, kind: text, files: ['config/**'], forbid: ['LIVE_ARMED\\s*=']}\n"
                                  "  - {name: leaks, kind: secrets}\n"
                                  "  - {name: places, kind: path, exist: [data/state.json, 'scripts/*.sh']}\n"
                                  "  - {name: parse, kind: syntax, files: ['**/*.toml', '**/*.json']}\n"
                                  "  - {name: space, kind: host, disk: {path: ., warn_below: 10%}}\n"
                                  "  - {name: wanted, kind: env, require: {MODE: paper}, deny: ['PT_*']}\n";

static const char *names_of(const struct rb_covered *covered)
{
    RB_BUF_AUTO out;
    rb_buf_init(&out, 4096);
    for (size_t i = 0; i < covered->count; i++)
        rb_buf_addf(&out, "%s%s", i > 0 ? " " : "", plan->checks[covered->checks[i]].name);
    return rb_arena_strdup(arena, rb_buf_str(&out));
}

START_TEST(coverage)
{
    static const struct {
        const char *command;
        enum rb_cover cover;
        const char *names, *missing;
    } cases[] = {{"curl -fsS http://localhost:3000/login >/dev/null", RB_COVER_CHECKED, "web", NULL},
                 {"curl 127.0.0.1:9110/metrics", RB_COVER_CHECKED, "exporter", NULL},
                 {"curl -s https://shop.example.org/cart", RB_COVER_CHECKED, "other-host", NULL},
                 {"curl http://shop.example.org/", RB_COVER_OPEN, "", "shop.example.org:80"},
                 {"curl http://localhost:9090/-/ready", RB_COVER_OPEN, "", "localhost:9090"},
                 {"curl http://$HOST/", RB_COVER_OPEN, "", NULL},
                 {"curl --version", RB_COVER_OPEN, "", NULL},
                 {"wget -qO- localhost:9092/-/ready", RB_COVER_CHECKED, "prom", NULL},
                 {"nc -z localhost 25", RB_COVER_CHECKED, "smtp", NULL},
                 {"lsof -i :9110", RB_COVER_CHECKED, "exporter", NULL},
                 {"lsof -nP -iTCP -sTCP:LISTEN | egrep ':(3000|9110|9111)\\b' || true", RB_COVER_OPEN, "web exporter", "port 9111"},
                 {"ss -ltn", RB_COVER_CHECKED, "exporter", NULL},
                 {"git status --porcelain", RB_COVER_CHECKED, "repo", NULL},
                 {"git -C . rev-parse HEAD", RB_COVER_CHECKED, "repo", NULL},
                 {"git push origin main", RB_COVER_ACTS, "", NULL},
                 {"git tag --list", RB_COVER_OPEN, "", NULL},
                 {"pg_isready -h 127.0.0.1 -p 25", RB_COVER_CHECKED, "smtp", NULL},
                 {"redis-cli ping", RB_COVER_OPEN, "", "localhost:6379"},
                 {"[ \"$A\" = data/state.json ]", RB_COVER_NOTHING, "", NULL},
                 {"docker compose ps", RB_COVER_CHECKED, "stack", NULL},
                 {"docker compose -p shop logs web", RB_COVER_CHECKED, "stack", NULL},
                 {"docker compose -p bakery ps", RB_COVER_OPEN, "", "bakery"},
                 {"docker ps -a", RB_COVER_CHECKED, "stack engine", NULL},
                 {"docker compose down", RB_COVER_ACTS, "", NULL},
                 {"docker restart web", RB_COVER_ACTS, "", NULL},
                 {"python3 -VV", RB_COVER_CHECKED, "python", NULL},
                 {"python --version", RB_COVER_OPEN, "", NULL},
                 {"command -v python3", RB_COVER_CHECKED, "python", NULL},
                 {"python3 -c 'import tomllib'", RB_COVER_CHECKED, "parse", NULL},
                 {"python3 -c 'print(1)'", RB_COVER_OPEN, "", NULL},
                 {"pre-commit run -a || true", RB_COVER_CHECKED, "lint", NULL},
                 {"pre-commit install", RB_COVER_OPEN, "", NULL},
                 {"bash ./scripts/doctor.sh", RB_COVER_CHECKED, "doctor", NULL},
                 {"cd scripts && ./doctor.sh --json", RB_COVER_CHECKED, "doctor", NULL},
                 {"cd /opt && scripts/doctor.sh", RB_COVER_OPEN, "", NULL},
                 {"scripts/other.sh", RB_COVER_OPEN, "", NULL},
                 {"rg -n 'armed|live_armed' .", RB_COVER_CHECKED, "policy", NULL},
                 {"grep -rn 'API_KEY' .", RB_COVER_CHECKED, "leaks", NULL},
                 {"grep -rn 'nothing like it' .", RB_COVER_OPEN, "", NULL},
                 {"test -f data/state.json", RB_COVER_CHECKED, "places", NULL},
                 {"ls -la data/other.json", RB_COVER_OPEN, "", "data/other.json"},
                 {"ls -la scripts", RB_COVER_CHECKED, "places", NULL},
                 {"cd scripts && ls a.sh", RB_COVER_CHECKED, "places", NULL},
                 {"ls -la", RB_COVER_NOTHING, "", NULL},
                 {"find . -name '*.toml' -o -name '*.ini'", RB_COVER_OPEN, "parse", "**/*.ini"},
                 {"df -h", RB_COVER_CHECKED, "space", NULL},
                 {"free -m", RB_COVER_OPEN, "", NULL},
                 {"uname -a", RB_COVER_CHECKED, "space", NULL},
                 {"export MODE=paper", RB_COVER_CHECKED, "wanted", NULL},
                 {"export PT_ARMED=0", RB_COVER_CHECKED, "wanted", NULL},
                 {"export OTHER=1", RB_COVER_ACTS, "", NULL},
                 {"shasum -a 256 a.tgz", RB_COVER_OPEN, "", NULL},
                 {"tar -xzf a.tgz", RB_COVER_ACTS, "", NULL},
                 {"frobnicate --check", RB_COVER_OPEN, "", NULL},
                 {"echo done", RB_COVER_NOTHING, "", NULL},
                 {"mkdir -p /tmp/x", RB_COVER_ACTS, "", NULL}};
    load_plan(checks_text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rb_runbook_commands commands;
        struct rb_covered covered;
        const struct rb_runbook *book = parse(rb_arena_printf(arena, "```sh\n%s\n```\n", cases[i].command));
        rb_runbook_commands(book, 1, 3, false, arena, &commands);
        ck_assert_msg(commands.count >= 1, "%s", cases[i].command);
        rb_runbook_cover(plan, &commands.items[0], arena, &covered);
        ck_assert_msg(covered.cover == cases[i].cover, "%s: %d", cases[i].command, (int)covered.cover);
        ck_assert_msg(strcmp(names_of(&covered), cases[i].names) == 0, "%s: %s", cases[i].command, names_of(&covered));
        ck_assert_msg((covered.missing == NULL) == (cases[i].missing == NULL) &&
                          (covered.missing == NULL || strcmp(covered.missing, cases[i].missing) == 0),
                      "%s: missing %s", cases[i].command, covered.missing != NULL ? covered.missing : "nothing");
    }
}
END_TEST

START_TEST(drift_stands_for_baselines)
{
    load_plan("checks:\n  - {name: config, kind: drift, files: ['config/**']}\n  - {name: wheels, kind: drift, packages: [dpkg]}\n");
    static const char *const cases[][2] = {
        {"shasum -a 256 /tmp/a.tgz", "config wheels"}, {"tar -czf a.tgz config", "config"}, {"diff -u old new", "config wheels"},
        {"pip freeze | sort > x", "wheels"},           {"ls config/a.toml", "config"},      {"git log -n 3", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rb_runbook_commands commands;
        struct rb_covered covered;
        const struct rb_runbook *book = parse(rb_arena_printf(arena, "```sh\n%s\n```\n", cases[i][0]));
        rb_runbook_commands(book, 1, 3, false, arena, &commands);
        rb_runbook_cover(plan, &commands.items[0], arena, &covered);
        ck_assert_msg(strcmp(names_of(&covered), cases[i][1]) == 0, "%s: %s", cases[i][0], names_of(&covered));
    }
}
END_TEST

/* ---- what a section names ---- */

static const char entries[] = "# Book\n"
                              "## Phase 2: Preflight\n"
                              "### Entry\n"
                              "- `git status` clean, Web is up; see web-admin and docs/exporter.\n"
                              "## Phase 3\n"
                              "text\n"
                              "## Phase 8: Later\n"
                              "### Entry\n"
                              "- Phasen 2–3 stabil, Observability grün, Phase 8 nicht\n"
                              "### Rest\n"
                              "- Phase-3-Baseline\n"
                              "## Phase 9\n"
                              "- nothing here\n"
                              "```sh\ncurl localhost:9110\n```\n"
                              "## Phase 10\n"
                              "empty\n";

START_TEST(selection)
{
    static const char *const cases[][2] = {{"Phase 2 > Entry", "web repo"},
                                           {"Phase 8 > Entry", "addressed-2 addressed-3 stack-observability"},
                                           {"Phase 8 > Rest", "addressed-3"},
                                           {"Phase 9", "exporter"},
                                           {"Phase 10", ""},
                                           {"Phase 2", "web repo addressed-2"}};
    scratch_write(&scratch, "tree/book.md", entries);
    load_plan("daemon: {runbook: book.md}\n"
              "checks:\n"
              "  - {name: web, kind: port, port: 80}\n"
              "  - {name: exporter, kind: port, port: 9110}\n"
              "  - {name: repo, kind: git}\n"
              "  - {name: addressed-2, kind: port, port: 81, runbook: 'Phase 2'}\n"
              "  - {name: addressed-3, kind: port, port: 82, runbook: 'Phase 3'}\n"
              "  - {name: stack-observability, kind: port, port: 83}\n");
    struct rb_runbook *book = NULL;
    ck_assert_int_eq(rb_runbook_read(root, "book.md", arena, &book, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rb_runbook_heading *heading = NULL;
        bool chosen[8] = {false};
        ck_assert_int_eq(rb_runbook_find(book, cases[i][0], arena, &heading, &err), 0);
        size_t count = rb_runbook_select(plan, book, heading, arena, chosen), all[8];
        struct rb_covered as_list = {.checks = all};
        for (size_t k = 0; k < plan->count; k++)
            if (chosen[k])
                all[as_list.count++] = k;
        ck_assert_uint_eq(count, as_list.count);
        ck_assert_msg(strcmp(names_of(&as_list), cases[i][1]) == 0, "%s: %s", cases[i][0], names_of(&as_list));
    }
}
END_TEST

/* ---- what a report quotes ---- */

static struct rb_runbook_texts *texts_of(const char *markdown)
{
    if (markdown != NULL)
        scratch_write(&scratch, "tree/book.md", markdown);
    struct rb_runbook_texts *texts = rb_runbook_texts_read(plan);
    ck_assert_ptr_nonnull(texts);
    return texts;
}

START_TEST(quoted_texts)
{
    scratch_write(&scratch, "tree/book.md", "# A\n## B\none\n\n```sh\ncurl -H 'Authorization: Bearer abcdefghijklmnop'\n```\n---\n## C\n");
    load_plan("daemon: {runbook: book.md}\nchecks:\n  - {name: a, kind: port, port: 1, runbook: B}\n  - {name: b, kind: port, port: 2}\n"
              "  - {name: c, kind: port, port: 3, runbook: B}\n");
    struct rb_runbook_texts *texts = texts_of(NULL);
    ck_assert_int_eq(texts->items[0].state, RB_RUNBOOK_FOUND);
    ck_assert_int_eq(texts->items[1].state, RB_RUNBOOK_NONE);
    ck_assert_uint_eq(texts->items[0].line, 2);
    ck_assert_uint_eq(texts->items[0].line_count, 2);
    ck_assert_str_eq(texts->items[0].lines[0], "one");
    ck_assert_ptr_null(strstr(texts->items[0].lines[1], "abcdefghijklmnop"));
    ck_assert_ptr_eq(texts->items[2].lines, texts->items[0].lines);
    rb_runbook_texts_unref(texts);

    texts = texts_of("new\n# A\n\n## B\ntwo\n"); /* moved */
    ck_assert_uint_eq(texts->items[0].line, 4);
    ck_assert_str_eq(texts->items[0].lines[0], "two");
    rb_runbook_texts_unref(texts);
    texts = texts_of("# A\n## Z\n");
    ck_assert_int_eq(texts->items[0].state, RB_RUNBOOK_GONE);
    rb_runbook_texts_unref(texts);
    texts = texts_of("# A\n## B\n## B\n"); /* which one is not known any more */
    ck_assert_int_eq(texts->items[2].state, RB_RUNBOOK_GONE);
    rb_runbook_texts_unref(texts);
    char path[600];
    scratch_path(&scratch, "tree/book.md", path);
    ck_assert_int_eq(unlink(path), 0);
    texts = texts_of(NULL);
    ck_assert_int_eq(texts->items[0].state, RB_RUNBOOK_UNREADABLE);
    rb_runbook_texts_unref(texts);
}
END_TEST

START_TEST(a_secret_of_several_lines_is_not_quoted)
{
    static const char *const sections[] = {"-----BEGIN PRIVATE KEY-----\nHUNTER2HUNTER2\nHUNTER2\n-----END PRIVATE KEY-----\nafter\n",
                                           "before\n-----BEGIN RSA PRIVATE KEY-----\nHUNTER2HUNTER2\n",
                                           "```yaml\npassword: |\n  HUNTER2\n  HUNTER2b\nuser: x\n```\n"};
    scratch_write(&scratch, "tree/book.md", "# B\n");
    load_plan("daemon: {runbook: book.md}\nchecks:\n  - {name: a, kind: port, port: 1, runbook: B}\n");
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 4096);
        rb_buf_addf(&text, "# B\n%s", sections[i]);
        struct rb_runbook_texts *texts = texts_of(rb_buf_str(&text));
        ck_assert_uint_gt(texts->items[0].line_count, 0);
        for (size_t k = 0; k < texts->items[0].line_count; k++)
            ck_assert_msg(!strstr(texts->items[0].lines[k], "HUNTER"), "row %zu: %s", i, texts->items[0].lines[k]);
        rb_runbook_texts_unref(texts);
    }
}
END_TEST

START_TEST(quoted_texts_are_bounded)
{
    scratch_write(&scratch, "tree/book.md", "# B\n");
    load_plan("daemon: {runbook: book.md}\nchecks:\n  - {name: a, kind: port, port: 1, runbook: B}\n");
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    rb_buf_adds(&text, "# B\n");
    for (unsigned i = 0; i < 1000; i++)
        rb_buf_adds(&text, "\xc3\xa4");
    rb_buf_adds(&text, "\n");
    for (unsigned i = 0; i < RB_RUNBOOK_TEXT_LINES + 6; i++)
        rb_buf_adds(&text, "line\n");
    struct rb_runbook_texts *texts = texts_of(rb_buf_str(&text));
    const struct rb_runbook_text *section = &texts->items[0];
    ck_assert_uint_eq(section->line_count, RB_RUNBOOK_TEXT_LINES);
    ck_assert_uint_eq(section->more, 7);
    ck_assert_uint_le(strlen(section->lines[0]), RB_RUNBOOK_TEXT_BYTES + 3);
    ck_assert(rb_text_is_utf8(section->lines[0], strlen(section->lines[0])));
    rb_runbook_texts_unref(texts);
}
END_TEST

RB_FIXTURE_MAIN("runbook", addresses, words_of_commands, what_is_shown_of_a_command, bounds, coverage, drift_stands_for_baselines,
                selection, quoted_texts, a_secret_of_several_lines_is_not_quoted, quoted_texts_are_bounded)
