/* Private to lib/config: what discovery found in a tree, before it becomes a configuration text. */
#ifndef RB_CONFIG_DISCOVERY_INTERNAL_H
#define RB_CONFIG_DISCOVERY_INTERNAL_H

#include "runbook/config/discovery.h"

#define RB_DISCOVERY_MAX_PORTS    20u
#define RB_DISCOVERY_MAX_PROJECTS 8u
#define RB_DISCOVERY_TOOLS        24u /* at least the rows of the table */

/* A file name that tells that a program is used here. */
struct rb_tool_marker {
    const char *pattern; /* of the file's name (rb_glob_match) */
    const char *tool;    /* name of the check and of the program */
    const char *argv;    /* how its version is asked for, YAML flow */
};
extern const struct rb_tool_marker rb_tool_markers[]; /* NULL-terminated */

struct rb_published_port {
    const char *service; /* as the compose file names it: hostile text */
    const char *file;    /* relative to the tree: hostile text */
    uint16_t port;
};

struct rb_compose_project {
    const char *file; /* relative to the tree: hostile text */
    const char *name; /* [a-z0-9_-] */
};

struct rb_tree {
    struct rb_arena *arena;
    const char *root;
    bool git;       /* the root lies in a git work tree */
    bool documents; /* git tracks TOML, YAML or JSON */
    struct {
        const char *tool, *argv;
        const char *because; /* the first file that told */
    } tools[RB_DISCOVERY_TOOLS];
    size_t tool_count;
    struct rb_published_port ports[RB_DISCOVERY_MAX_PORTS];
    size_t port_count;
    struct rb_compose_project projects[RB_DISCOVERY_MAX_PROJECTS];
    size_t project_count;
    size_t entries; /* looked at */
    size_t compose_files;
};

/* Looks at the upper levels of a tree: names of files, and the ports of compose files. Never fails: what cannot be read is left out. */
void rb_tree_look(struct rb_tree *tree);
/* True for a name that compose reads or that people give to files for it. */
bool rb_tree_is_compose_name(const char *name);

#endif
