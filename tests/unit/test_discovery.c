/* Discovery: loads cleanly, quiet, bounded, and unimpressed by hostile names. */
#include <stdlib.h>
#include <string.h>

#include "../support/fixture_main.h"
#include "../support/scratch.h"
#include "runbook/config/discovery.h"

static struct rb_arena *arena;
static struct rb_diags diags;
static struct rb_error err;
static struct rb_buf text;
static struct scratch scratch;
static struct rb_platform platform;
static struct rb_fake_clock fake_clock;
static struct rb_plan *plan;

/* Stand-ins with the option names that discovery writes (SPEC 5). */
struct options {
    const struct rb_node *node;
    struct rb_strings strings;
    const char *text;
};
static const struct rb_option host_table[] = {{.name = "disk", .type = RB_OPT_NODE}, {.name = NULL}};
static const struct rb_option tool_table[] = {{.name = "argv", .type = RB_OPT_ARGV, .offset = offsetof(struct options, strings)},
                                              {.name = NULL}};
static const struct rb_option syntax_table[] = {{.name = "files", .type = RB_OPT_GLOBS, .offset = offsetof(struct options, strings)},
                                                {.name = NULL}};
static const struct rb_option http_table[] = {
    {.name = "url", .type = RB_OPT_URL, .offset = offsetof(struct options, text)}, {.name = "expect", .type = RB_OPT_NODE}, {.name = NULL}};
static const struct rb_option tcp_table[] = {{.name = "address", .type = RB_OPT_STRING, .offset = offsetof(struct options, text)},
                                             {.name = NULL}};
static const struct rb_option no_table[] = {{.name = NULL}};
#define KIND(kind, table)                                                                                  \
    {                                                                                                      \
        .schema = {.name = kind, .options = table, .size = sizeof(struct options)}, .presence_aware = true \
    }
static const struct rb_kind_schema all[] = {KIND("host", host_table),     KIND("tool", tool_table), KIND("git", no_table),
                                            KIND("syntax", syntax_table), KIND("http", http_table), KIND("prometheus", http_table),
                                            KIND("tcp", tcp_table)};
static const struct rb_kind_schema *const items[] = {&all[0], &all[1], &all[2], &all[3], &all[4], &all[5], &all[6], NULL};
static const struct rb_kind_list kinds = {.items = items, .count = 7};
static const struct rb_kind_list one_kind = {.items = items, .count = 1};
static const struct rb_kind_list no_kind = {0};

static int no_listeners(struct rb_arena *a, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count, struct rb_error *e)
{
    (void)a, (void)port, (void)with_owner, (void)out, (void)out_count;
    return rb_error_set(e, RB_EUNSUPPORTED, "no list here");
}

static int dev_server(struct rb_arena *a, uint16_t port, bool with_owner, struct rb_listener **out, size_t *out_count, struct rb_error *e)
{
    (void)port, (void)with_owner, (void)e;
    struct rb_listener *list = rb_arena_array(a, 3, sizeof *list);
    list[0] = (struct rb_listener){.port = 3000, .owner = RB_OWNER_KNOWN, .name = "no\nde"};
    list[1] = (struct rb_listener){.port = 9090, .owner = RB_OWNER_KNOWN, .name = "docker-proxy"};
    list[2] = (struct rb_listener){.port = 9093, .owner = RB_OWNER_UNREADABLE};
    *out = list;
    *out_count = 3;
    return 0;
}

static void setup(void)
{
    arena = rb_arena_new((size_t)16 << 20);
    rb_diags_init(&diags, arena);
    rb_buf_init(&text, 1 << 20);
    scratch_make(&scratch);
    rb_fake_clock_init(&fake_clock, 0);
    rb_platform_null(&platform, &fake_clock.clock);
    platform.listeners = no_listeners;
    plan = NULL;
}

static void teardown(void)
{
    rb_plan_unref(plan);
    scratch_remove(&scratch);
    rb_buf_fini(&text);
    rb_arena_free(arena);
}

static void discover(const struct rb_kind_list *list)
{
    struct rb_discovery_request request = {.root = scratch.path, .platform = &platform, .kinds = list};
    ck_assert_int_eq(rb_discover(&request, &text, &err), 0);
    struct rb_plan_request load = {.text = rb_buf_str(&text), .cwd = scratch.path, .root = scratch.path, .state_dir = scratch.path};
    int rc = rb_plan_load(&load, list, &diags, &plan, &err);
    RB_BUF_AUTO errors;
    rb_buf_init(&errors, 1 << 16);
    rb_diags_print(&diags, &errors);
    ck_assert_msg(rc == 0, "%s\n%s", rb_buf_str(&errors), rb_buf_str(&text));
}

static bool has(const char *name)
{
    return rb_plan_find(plan, name) != SIZE_MAX;
}

/* Enough of an index: a path between other bytes, with its NUL. */
static void write_index(const char *tracked)
{
    char path[512];
    FILE *file = fopen(scratch_path(&scratch, ".git/index", path), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite("DIRC\0\0\0\2", 1, 8, file), 8);
    ck_assert_uint_eq(fwrite(tracked, 1, strlen(tracked) + 1, file), strlen(tracked) + 1);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(an_empty_folder)
{
    discover(&kinds);
    ck_assert(has("host") && has("prometheus") && has("grafana") && has("alertmanager") && has("node-exporter"));
    ck_assert(!has("repo") && !has("configs") && !has("tool-git"));
    for (size_t i = 0; i < plan->count; i++)
        ck_assert(plan->checks[i].presence == RB_PRESENCE_OPTIONAL || strcmp(plan->checks[i].kind->schema.name, "host") == 0);
}
END_TEST

START_TEST(a_repository)
{
    scratch_folder(&scratch, ".git");
    scratch_folder(&scratch, "node_modules");
    scratch_folder(&scratch, "app");
    scratch_write(&scratch, "pyproject.toml", "");
    scratch_write(&scratch, "requirements-dev.txt", "");
    scratch_write(&scratch, "app/Cargo.toml", "");
    scratch_write(&scratch, "node_modules/go.mod", "");
    write_index("src/deep/below/x.toml");
    discover(&kinds);
    ck_assert(has("repo") && has("configs") && has("tool-git") && has("tool-python3") && has("tool-cargo") && !has("tool-go"));
    const struct options *tool = plan->checks[rb_plan_find(plan, "tool-python3")].options;
    ck_assert_str_eq(tool->strings.items[1], "--version");
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "# pyproject.toml tells"));
}
END_TEST

START_TEST(nothing_tracked_to_parse)
{
    scratch_folder(&scratch, ".git");
    scratch_write(&scratch, "untracked.json", "{");
    discover(&kinds);
    ck_assert(has("repo") && !has("configs"));
    write_index("x.toml.txt");
    rb_buf_reset(&text);
    rb_plan_unref(plan);
    plan = NULL;
    discover(&kinds);
    ck_assert(!has("configs"));
}
END_TEST

START_TEST(a_linked_work_tree)
{
    scratch_folder(&scratch, "main");
    scratch_folder(&scratch, "main/.git");
    char path[512];
    FILE *file = fopen(scratch_path(&scratch, "main/.git/index", path), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite("a.yml", 1, 6, file), 6);
    ck_assert_int_eq(fclose(file), 0);
    scratch_write(&scratch, ".git", "gitdir: main/.git\n");
    discover(&kinds);
    ck_assert(has("repo") && has("configs"));
}
END_TEST

START_TEST(compose_ports)
{
    scratch_write(&scratch, "DOCKER_COMPOSE_X.yml",
                  "x-common: &c {a: 1}\nservices:\n  web:\n    <<: *c\n    ports: ['8080:80', '127.0.0.1:8081:80/tcp', '53:53/udp', "
                  "'90-92:90-92', 70000, '70000:1', 8443]\n"
                  "  db:\n    ports:\n      - {target: 5432, published: 15432}\n      - {target: 1, published: '16', protocol: udp}\n      "
                  "- '${NO_SUCH_VARIABLE}:1'\n"
                  "      - '${NO_SUCH_VARIABLE:-7777}:1'\n      - '3000:3000'\n      - '8080:1'\n");
    scratch_write(&scratch, "broken-compose.yaml", "services: [\n");
    discover(&kinds);
    ck_assert(has("tool-docker") && has("port-web-8080") && has("port-web-8081") && has("port-db-15432") && has("port-db-7777"));
    ck_assert(!has("port-db-3000") && !has("port-web-53") && !has("port-db-16") && !has("port-db-8080") && !has("port-web-92"));
}
END_TEST

/* With every kind: the engine always, a project once for each name that a compose file gives, none for files without services. */
START_TEST(compose_projects)
{
    scratch_folder(&scratch, "My Stack");
    scratch_write(&scratch, "My Stack/DOCKER_COMPOSE_obs.yml", "services: {web: {image: x}}\n");
    scratch_write(&scratch, "docker-compose.obs.yml", "name: shadow\nservices: {a: {image: y}}\n");
    scratch_write(&scratch, "docker-compose.override.yml", "name: shadow\nservices: {b: {image: y}}\n");
    scratch_write(&scratch, "compose-anchors.yml", "name: nothing\nx-common: {a: 1}\n");
    scratch_write(&scratch, "compose-hostile.yml", "name: \"$(rm -rf ~)\\n- kind: x\"\nservices: {a: {image: y}}\n");
    struct rb_discovery_request request = {.root = scratch.path, .platform = &platform};
    ck_assert_int_eq(rb_discover(&request, &text, &err), 0);
    const char *found = rb_buf_str(&text);
    ck_assert_ptr_nonnull(strstr(found, "  - name: docker\n    kind: docker\n    presence: optional\n"));
    ck_assert_ptr_nonnull(strstr(found, "    kind: compose\n    project: \"mystack\"\n    presence: optional\n"));
    const char *shadow = strstr(found, "project: \"shadow\"");
    ck_assert_ptr_nonnull(shadow);
    ck_assert_ptr_null(strstr(shadow + 1, "project: \"shadow\""));
    ck_assert_ptr_null(strstr(found, "\"nothing\""));
    ck_assert_ptr_null(strstr(found, "rm -rf ~"));
}
END_TEST

START_TEST(ports_are_bounded)
{
    RB_BUF_AUTO compose;
    rb_buf_init(&compose, 1 << 16);
    rb_buf_adds(&compose, "services:\n");
    for (unsigned i = 0; i < 100; i++)
        rb_buf_addf(&compose, "  s%u: {ports: ['%u:1']}\n", i, 20000 + i);
    scratch_write(&scratch, "compose.yml", rb_buf_str(&compose));
    discover(&kinds);
    ck_assert(has("port-s19-20019") && !has("port-s20-20020"));
}
END_TEST

START_TEST(hostile_names)
{
    scratch_folder(&scratch, ".git");
    scratch_write(&scratch, "requirements\n  - name: evil\x1b[2J.txt", "");
    scratch_write(&scratch, "compose\n# x\xe2\x80\xae.yml",
                  "services:\n  \"a\\n  - name: evil\\n    kind: tool ${X} ' \\\"\":\n    ports: ['1234:1']\n");
    discover(&kinds);
    ck_assert(!has("evil"));
    ck_assert(has("tool-python3"));
    ck_assert_ptr_null(strchr(rb_buf_str(&text), '\x1b'));
    ck_assert_ptr_null(strstr(rb_buf_str(&text), "\xe2\x80\xae"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "1234"));
}
END_TEST

START_TEST(a_held_port_gets_no_check)
{
    platform.listeners = dev_server;
    discover(&kinds);
    ck_assert(!has("grafana") && has("prometheus") && has("alertmanager"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "# No check for grafana: port 3000 is held by no\\nde."));
}
END_TEST

START_TEST(missing_kinds_are_left_out)
{
    scratch_folder(&scratch, ".git");
    scratch_write(&scratch, "package.json", "{}");
    discover(&one_kind);
    ck_assert(has("host"));
    ck_assert_uint_le(plan->count, 2);
    rb_plan_unref(plan);
    plan = NULL;
    rb_buf_reset(&text);
    discover(&no_kind);
    ck_assert_uint_eq(plan->count, 0);
}
END_TEST

START_TEST(the_same_tree_gives_the_same_text)
{
    scratch_write(&scratch, "go.mod", "");
    scratch_write(&scratch, "Makefile", "");
    struct rb_discovery_request request = {.root = scratch.path, .platform = &platform};
    struct rb_buf again;
    rb_buf_init(&again, 1 << 20);
    ck_assert_int_eq(rb_discover(&request, &text, &err), 0);
    ck_assert_int_eq(rb_discover(&request, &again, &err), 0);
    ck_assert_str_eq(rb_buf_str(&text), rb_buf_str(&again));
    rb_buf_fini(&again);
    rb_buf_init(&again, 64);
    ck_assert_int_eq(rb_discover(&request, &again, &err), RB_ELIMIT);
    rb_buf_fini(&again);
}
END_TEST

START_TEST(the_explanation_lists_programs)
{
    rb_discovery_explain(&text);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "[cargo, --version]"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "starts no program"));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "$DOCKER_HOST")); /* where an engine is looked for */
}
END_TEST

RB_FIXTURE_MAIN("discovery", an_empty_folder, a_repository, nothing_tracked_to_parse, a_linked_work_tree, compose_ports, compose_projects,
                ports_are_bounded, hostile_names, a_held_port_gets_no_check, missing_kinds_are_left_out, the_same_tree_gives_the_same_text,
                the_explanation_lists_programs)
