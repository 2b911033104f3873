/* The upper levels of a tree, for discovery: which files tell of which tools, and which ports the compose files publish.
 *
 * Bounded on purpose: three levels, 20,000 entries, no hidden or vendored folder, no symbolic link. What lies deeper tells little about how the tree is
 * worked with, and discovery runs at every start without a configuration. */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "discovery_internal.h"
#include "loader.h"
#include "plan_internal.h"
#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook/platform/platform.h"

#define MAX_ENTRIES       20000u
#define MAX_DEPTH         3u
#define MAX_COMPOSE_FILES 32u
#define MAX_COMPOSE_BYTES (256u << 10)
#define MAX_INDEX_BYTES   (64u << 20)

const struct rb_tool_marker rb_tool_markers[] = {{"pyproject.toml", "python3", "[python3, --version]"},
                                                 {"requirements*.txt", "python3", "[python3, --version]"},
                                                 {"setup.py", "python3", "[python3, --version]"},
                                                 {"uv.lock", "uv", "[uv, --version]"},
                                                 {"poetry.lock", "poetry", "[poetry, --version]"},
                                                 {"package.json", "node", "[node, --version]"},
                                                 {"yarn.lock", "yarn", "[yarn, --version]"},
                                                 {"pnpm-lock.yaml", "pnpm", "[pnpm, --version]"},
                                                 {"Cargo.toml", "cargo", "[cargo, --version]"},
                                                 {"go.mod", "go", "[go, version]"},
                                                 {"Gemfile", "ruby", "[ruby, --version]"},
                                                 {"pom.xml", "mvn", "[mvn, --version]"},
                                                 {"CMakeLists.txt", "cmake", "[cmake, --version]"},
                                                 {"meson.build", "meson", "[meson, --version]"},
                                                 {"Makefile", "make", "[make, --version]"},
                                                 {"Dockerfile*", "docker", "[docker, --version]"},
                                                 {".pre-commit-config.yaml", "pre-commit", "[pre-commit, --version]"},
                                                 {"*.tf", "terraform", "[terraform, -version]"},
                                                 {NULL, NULL, NULL}};

static void add_tool(struct rb_tree *tree, const char *tool, const char *argv, const char *because)
{
    for (size_t i = 0; i < tree->tool_count; i++)
        if (strcmp(tree->tools[i].tool, tool) == 0)
            return;
    if (tree->tool_count == RB_DISCOVERY_TOOLS)
        return;
    tree->tools[tree->tool_count].tool = tool;
    tree->tools[tree->tool_count].argv = argv;
    tree->tools[tree->tool_count++].because = because;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);
    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

bool rb_tree_is_compose_name(const char *name)
{
    return (has_suffix(name, ".yml") || has_suffix(name, ".yaml")) && rb_text_find_nocase(name, "compose") != NULL;
}

static void add_port(struct rb_tree *tree, const char *service, const char *file, unsigned long port)
{
    if (port == 0 || port > 65535 || tree->port_count == RB_DISCOVERY_MAX_PORTS)
        return;
    for (size_t i = 0; i < tree->port_count; i++)
        if (tree->ports[i].port == port)
            return;
    tree->ports[tree->port_count++] = (struct rb_published_port){.service = service, .file = file, .port = (uint16_t)port};
}

/* The host's port of "[ADDRESS:]HOST:CONTAINER[/tcp]"; 0 when it is chosen at run time, a range, or not TCP. Compose specification, "ports". */
static unsigned long short_port(const char *text)
{
    const char *slash = strchr(text, '/');
    const char *container = strrchr(text, ':');
    if (container == NULL || (slash != NULL && strcmp(slash, "/tcp") != 0))
        return 0;
    const char *start = container;
    while (start > text && isdigit((unsigned char)start[-1]))
        start--;
    bool bounded = start == text || start[-1] == ':';
    return start < container && container - start <= 5 && bounded ? strtoul(start, NULL, 10) : 0;
}

static unsigned long published_port(const struct rb_node *port)
{
    if (port->type == RB_NODE_SCALAR && !port->invalid)
        return short_port(port->scalar);
    const struct rb_node *published = rb_node_get(port, "published");
    const struct rb_node *protocol = rb_node_get(port, "protocol");
    if (published == NULL || published->type != RB_NODE_SCALAR || published->invalid)
        return 0;
    if (protocol != NULL && (protocol->type != RB_NODE_SCALAR || strcmp(protocol->scalar, "tcp") != 0))
        return 0;
    bool plain = published->scalar[strspn(published->scalar, "0123456789")] == '\0' && strlen(published->scalar) <= 5;
    return plain ? strtoul(published->scalar, NULL, 10) : 0;
}

static void read_services(struct rb_tree *tree, const struct rb_node *services, const char *file)
{
    if (services == NULL || services->type != RB_NODE_MAPPING)
        return;
    for (size_t i = 0; i < services->count; i++) {
        const struct rb_node *ports = rb_node_get(services->items[i], "ports");
        for (size_t j = 0; ports != NULL && ports->type == RB_NODE_SEQUENCE && j < ports->count; j++)
            add_port(tree, services->keys[i], file, published_port(ports->items[j]));
    }
}

/* The name of the project that a compose file makes: its own, else that of its folder as compose normalises it (compose-go, NormalizeProjectName). */
static const char *project_name(struct rb_tree *tree, const struct rb_node *root, const char *path)
{
    const struct rb_node *name = rb_node_get(root, "name");
    bool named = name != NULL && name->type == RB_NODE_SCALAR && !name->invalid;
    const char *slash = strrchr(path, '/'), *start = slash;
    while (start != NULL && start > path && start[-1] != '/')
        start--;
    const char *text = named ? name->scalar : start;
    size_t len = named ? strlen(text) : start != NULL ? (size_t)(slash - start) : 0;
    char *out = rb_arena_alloc(tree->arena, len + 1), *at = out;
    for (size_t i = 0; out != NULL && i < len && i < 64; i++) {
        int c = tolower((unsigned char)text[i]);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (at > out && (c == '_' || c == '-')))
            *at++ = (char)c;
    }
    return out;
}

/* A file without services (a collection of anchors, a playbook about compose) makes no project. */
static void add_project(struct rb_tree *tree, const struct rb_node *root, const char *path, const char *relative)
{
    const struct rb_node *services = rb_node_get(root, "services");
    if (services == NULL || services->type != RB_NODE_MAPPING || services->count == 0 || tree->project_count == RB_DISCOVERY_MAX_PROJECTS)
        return;
    const char *name = project_name(tree, root, path);
    if (name == NULL || name[0] == '\0')
        return;
    for (size_t i = 0; i < tree->project_count; i++)
        if (strcmp(tree->projects[i].name, name) == 0)
            return;
    tree->projects[tree->project_count++] = (struct rb_compose_project){.file = relative, .name = name};
}

static const char *environment(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

/* A compose file is not ours: what we would refuse (anchors, foreign tags, unset variables) only leaves the values out that it touches. */
static void read_compose(struct rb_tree *tree, const char *path, const char *relative)
{
    RB_BUF_AUTO text;
    struct rb_error err;
    rb_buf_init(&text, MAX_COMPOSE_BYTES);
    struct rb_diags *ignored = rb_arena_alloc(tree->arena, sizeof *ignored);
    if (ignored == NULL || ++tree->compose_files > MAX_COMPOSE_FILES || rb_file_read(path, MAX_COMPOSE_BYTES, true, &text, &err) < 0)
        return;
    rb_diags_init(ignored, tree->arena);
    struct rb_loader loader = {.options = {.getenv = environment}, .arena = tree->arena, .diags = ignored};
    struct rb_yaml_source source = {.file = relative, .dir = tree->root, .text = rb_buf_str(&text), .len = text.len};
    struct rb_node *root = NULL;
    (void)!rb_yaml_read(&loader, &source, &root);
    if (root == NULL)
        return;
    read_services(tree, rb_node_get(root, "services"), relative);
    add_project(tree, root, path, relative);
}

static void look_at_file(struct rb_tree *tree, const char *name, const char *path, const char *relative)
{
    for (const struct rb_tool_marker *marker = rb_tool_markers; marker->pattern != NULL; marker++)
        if (rb_glob_match(marker->pattern, name))
            add_tool(tree, marker->tool, marker->argv, relative);
    if (rb_tree_is_compose_name(name)) {
        add_tool(tree, "docker", "[docker, --version]", relative);
        read_compose(tree, path, relative);
    }
}

static bool is_vendored(const char *name)
{
    static const char *const names[] = {"node_modules", "vendor", "venv", "target", "build", "dist", "third_party", "__pycache__", NULL};
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return name[0] == '.';
}

static int is_wanted(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void look_at_folder(struct rb_tree *tree, const char *relative, unsigned depth);

static void look_at_entry(struct rb_tree *tree, const char *parent, const char *name, unsigned depth)
{
    struct stat st;
    const char *relative = rb_config_join(tree->arena, parent, name);
    const char *path = relative != NULL ? rb_config_join(tree->arena, tree->root, relative) : NULL;
    if (path == NULL || ++tree->entries > MAX_ENTRIES || lstat(path, &st) != 0)
        return;
    if (S_ISREG(st.st_mode))
        look_at_file(tree, name, path, relative);
    else if (S_ISDIR(st.st_mode) && depth + 1 < MAX_DEPTH && !is_vendored(name))
        look_at_folder(tree, relative, depth + 1);
}

/* In the order of names, so that the same tree always gives the same plan. */
static void look_at_folder(struct rb_tree *tree, const char *relative, unsigned depth)
{
    const char *path = relative[0] == '\0' ? tree->root : rb_config_join(tree->arena, tree->root, relative);
    struct dirent **entries = NULL;
    int count = path != NULL ? scandir(path, &entries, is_wanted, alphasort) : 0;
    for (int i = 0; i < count; i++) {
        look_at_entry(tree, relative, entries[i]->d_name, depth);
        free(entries[i]);
    }
    free(entries);
}

/* The folder that holds the index: <top>/.git, or where that file points in a linked work tree or a submodule (gitrepository-layout(5)). */
static const char *git_folder(const struct rb_tree *tree, const char *top)
{
    RB_BUF_AUTO link;
    struct rb_error err;
    struct stat st;
    rb_buf_init(&link, 4096);
    const char *path = rb_config_join(tree->arena, top, ".git");
    if (path == NULL || stat(path, &st) != 0 || S_ISDIR(st.st_mode))
        return path;
    if (rb_file_read(path, 4096, false, &link, &err) < 0 || strncmp(rb_buf_str(&link), "gitdir: ", 8) != 0)
        return NULL;
    const char *target = rb_arena_strndup(tree->arena, link.data + 8, strcspn(link.data + 8, "\r\n"));
    return target != NULL ? rb_config_join(tree->arena, top, target) : NULL;
}

/* In every version of git's index a path ends with a NUL, and only version 4 shortens it, at its beginning: searching for the end of a name with its NUL
 * finds tracked documents without parsing the format (which is the git source's business). An index beyond the limit is that of a tree with documents. */
static bool tracks_documents(const struct rb_tree *tree, const char *top)
{
    static const struct {
        const char *end;
        size_t len; /* with the NUL */
    } documents[] = {{".toml", 6}, {".yml", 5}, {".yaml", 6}, {".json", 6}};
    RB_BUF_AUTO index;
    struct rb_error err = {0};
    rb_buf_init(&index, MAX_INDEX_BYTES);
    const char *folder = git_folder(tree, top);
    const char *path = folder != NULL ? rb_config_join(tree->arena, folder, "index") : NULL;
    if (path == NULL || rb_file_read(path, MAX_INDEX_BYTES, false, &index, &err) < 0)
        return err.code == RB_ELIMIT;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        if (memmem(rb_buf_str(&index), index.len, documents[i].end, documents[i].len) != NULL)
            return true;
    return false;
}

void rb_tree_look(struct rb_tree *tree)
{
    char top[4096];
    tree->git = rb_git_top(tree->root, top, sizeof top);
    if (tree->git) {
        add_tool(tree, "git", "[git, --version]", ".git");
        tree->documents = tracks_documents(tree, top);
    }
    look_at_folder(tree, "", 0);
}
