/* Packages: every form, and what is hostile or broken in it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/scratch.h"
#include "runbook/source/packages.h"

enum { PATH_SIZE = 512 };

struct bed {
    struct scratch scratch;
    const char *root;
    struct rb_arena *arena;
    struct rb_packages found;
    struct rb_error err;
};

static void make_folders(const char *path)
{
    char folder[2 * PATH_SIZE];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = folder + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(folder, 0755);
        *slash = '/';
    }
}

static void put(struct bed *bed, const char *name, const char *text)
{
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", bed->root, name);
    make_folders(path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void bed_init(struct bed *bed)
{
    *bed = (struct bed){.arena = rb_arena_new(64 << 20)};
    scratch_make(&bed->scratch);
    bed->root = bed->scratch.path;
    ck_assert_ptr_nonnull(bed->arena);
}

static void bed_fini(struct bed *bed)
{
    scratch_remove(&bed->scratch);
    rb_arena_free(bed->arena);
}

static int look(struct bed *bed, const char *place)
{
    bed->found = (struct rb_packages){0};
    bed->err = (struct rb_error){0};
    return rb_packages_read(&(struct rb_packages_request){.root = bed->root, .place = place, .system_prefix = bed->root}, bed->arena,
                            &bed->found, &bed->err);
}

/* "origin:name=version" of the only package of that name. */
static const char *version_of(const struct bed *bed, const char *origin, const char *name)
{
    const char *version = NULL;
    for (size_t i = 0; i < bed->found.count; i++) {
        const struct rb_package *package = &bed->found.items[i];
        if (strcmp(package->name, name) != 0 || strcmp(package->origin, origin) != 0)
            continue;
        ck_assert_msg(version == NULL, "%s is there twice", name);
        version = package->version;
    }
    return version ? version : "(none)";
}

START_TEST(python_metadata)
{
    struct bed bed;
    bed_init(&bed);
    put(&bed, "env/lib/python3.11/site-packages/Ruamel.Yaml-0.18.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Ruamel__Yaml\nVersion: 0.18.6\n\nName: x\n");
    put(&bed, "env/lib/python3.11/site-packages/nometa-1.5.dist-info/RECORD", "");
    put(&bed, "env/lib/python3.11/site-packages/old-2.0-py3.11.egg-info", "Name: old\nVersion: 2.0\n");
    put(&bed, "env/lib/python3.11/site-packages/older-1.0.egg-info/PKG-INFO", "Name: older\r\nVersion: 1.0\r\n");
    put(&bed, "env/lib/python3.11/site-packages/~broken-1.0.dist-info/METADATA", "Name: broken\nVersion: 1\n");
    ck_assert_int_eq(look(&bed, "env"), 0);
    ck_assert_uint_eq(bed.found.count, 4);
    ck_assert_uint_eq(bed.found.unreadable, 1);
    ck_assert_str_eq(version_of(&bed, "env", "ruamel-yaml"), "0.18.6");
    ck_assert_str_eq(version_of(&bed, "env", "nometa"), "1.5");
    ck_assert_str_eq(version_of(&bed, "env", "old"), "2.0");
    ck_assert_str_eq(version_of(&bed, "env", "older"), "1.0");
    ck_assert_int_gt(bed.found.items[0].changed_wall_ns, 0);
    ck_assert_int_eq(look(&bed, "env/lib/*/site-packages"), 0);
    ck_assert_str_eq(version_of(&bed, "env", "old"), "2.0");
    ck_assert_int_eq(look(&bed, "env/lib/python3.11"), RB_EUNSUPPORTED);
    bed_fini(&bed);
}
END_TEST

START_TEST(requirements)
{
    struct bed bed;
    bed_init(&bed);
    put(&bed, "requirements-dev.txt",
        "# c\n\n--index-url https://x\n-e .\nA_b==1.0\nc[x,y] === 2 ; python_version<'3'\nd==3 --hash=sha256:1 \\\n  --hash=sha256:2\n"
        "e >=1,<2 # loose\nf @ https://u@h/f.whl#egg=f\ng\nh==1,!=2\nlast==9 \\");
    ck_assert_int_eq(look(&bed, "requirements-dev.txt"), 0);
    static const char *const wanted[][2] = {
        {"a-b", "1.0"}, {"c", "2"},       {"d", "3"},   {"e", ">=1,<2"}, {"f", "@ https://u@h/f.whl#egg=f"},
        {"g", ""},      {"h", "==1,!=2"}, {"last", "9"}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        ck_assert_str_eq(version_of(&bed, "requirements-dev.txt", wanted[i][0]), wanted[i][1]);
    ck_assert_uint_eq(bed.found.count, sizeof wanted / sizeof wanted[0]);
    bed_fini(&bed);
}
END_TEST

START_TEST(locks)
{
    struct bed bed;
    bed_init(&bed);
    put(&bed, "poetry.lock",
        "[[package]]\nname = \"a\"\nversion = \"1\"\n[[package]]\nversion = \"2\"\n[metadata]\nlock-version = \"2.0\"\n");
    ck_assert_int_eq(look(&bed, "poetry.lock"), 0);
    ck_assert_uint_eq(bed.found.count, 1);
    ck_assert_str_eq(version_of(&bed, "poetry.lock", "a"), "1");
    put(&bed, "poetry.lock", "[tool]\nx = 1\n");
    ck_assert_int_eq(look(&bed, "poetry.lock"), RB_EPARSE);
    put(&bed, "web/package-lock.json",
        "{\"lockfileVersion\": 2, \"packages\": {\"\": {}, \"node_modules/a\": {\"name\": \"alias\", \"version\": \"1\"}, "
        "\"packages/own\": {\"version\": \"0\"}}, \"dependencies\": {\"a\": {\"version\": \"9\"}}}");
    ck_assert_int_eq(look(&bed, "web/package-lock.json"), 0);
    ck_assert_str_eq(version_of(&bed, "web/package-lock.json", "alias"), "1");
    ck_assert_str_eq(version_of(&bed, "web/package-lock.json", "packages/own"), "0");
    ck_assert_uint_eq(bed.found.count, 2);
    put(&bed, "web/package-lock.json", "{\"a\": 1}");
    ck_assert_int_eq(look(&bed, "web/package-lock.json"), RB_EPARSE);
    put(&bed, "web/package-lock.json", "{\"a\": ");
    ck_assert_int_eq(look(&bed, "web/package-lock.json"), RB_EPARSE);
    ck_assert_ptr_nonnull(strstr(bed.err.message, "web/package-lock.json:1:"));
    bed_fini(&bed);
}
END_TEST

/* Version 1 nests: deeper than any real tree is refused, not followed. */
START_TEST(npm_nesting_is_bounded)
{
    struct bed bed;
    bed_init(&bed);
    char text[16384] = "{\"lockfileVersion\": 1";
    size_t len = strlen(text), depth = 60;
    for (size_t i = 0; i < depth; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ", \"dependencies\": {\"p%zu\": {\"version\": \"1\"", i);
    for (size_t i = 0; i < depth; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "}}");
    snprintf(text + len, sizeof text - len, "}");
    put(&bed, "package-lock.json", text);
    ck_assert_int_eq(look(&bed, "package-lock.json"), 0);
    ck_assert_uint_eq(bed.found.count, depth);
    bed_fini(&bed);
}
END_TEST

START_TEST(system_packages)
{
    struct bed bed;
    bed_init(&bed);
    put(&bed, "var/lib/dpkg/status",
        "Package: a\nStatus: install ok installed\nVersion: 1:2-3\n\n\nPackage: b\nStatus: hold ok unpacked\nVersion: 4\n\nPackage: "
        "c\nStatus: deinstall ok config-files\nVersion: 5");
    ck_assert_int_eq(look(&bed, "dpkg"), 0);
    ck_assert_uint_eq(bed.found.count, 2);
    ck_assert_str_eq(version_of(&bed, "dpkg", "a"), "1:2-3");
    ck_assert_str_eq(version_of(&bed, "dpkg", "b"), "4 (unpacked)");
    ck_assert_int_eq(look(&bed, "brew"), RB_ENOTFOUND);
    put(&bed, "opt/homebrew/Cellar/jq/1.7/INSTALL_RECEIPT.json", "{}");
    put(&bed, "opt/homebrew/Cellar/jq/1.6/INSTALL_RECEIPT.json", "{}");
    put(&bed, "opt/homebrew/Cellar/wget/1.24/INSTALL_RECEIPT.json", "{}");
    char link[2 * PATH_SIZE];
    snprintf(link, sizeof link, "%s/opt/homebrew/opt/", bed.root);
    make_folders(link);
    snprintf(link, sizeof link, "%s/opt/homebrew/opt/jq", bed.root);
    ck_assert_int_eq(symlink("../Cellar/jq/1.7", link), 0);
    ck_assert_int_eq(look(&bed, "brew"), 0);
    ck_assert_uint_eq(bed.found.count, 2);
    ck_assert_str_eq(version_of(&bed, "brew", "jq"), "1.7");
    ck_assert_str_eq(version_of(&bed, "brew", "wget"), "1.24");
    bed_fini(&bed);
}
END_TEST

START_TEST(what_is_not_there_or_leads_out)
{
    struct bed bed;
    bed_init(&bed);
    ck_assert_int_eq(look(&bed, "uv.lock"), RB_ENOTFOUND);
    ck_assert_int_eq(look(&bed, "*.lock"), RB_ENOTFOUND);
    put(&bed, "notes.md", "x");
    ck_assert_int_eq(look(&bed, "notes.md"), RB_EUNSUPPORTED);
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/requirements.txt", bed.root);
    ck_assert_int_eq(symlink("/etc/hosts", path), 0);
    ck_assert_int_lt(look(&bed, "requirements.txt"), 0);
    ck_assert_uint_eq(bed.found.count, 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_lt(look(&bed, "requirements.txt"), 0); /* and does not hang */
    bed_fini(&bed);
}
END_TEST

RB_TEST_MAIN("packages", python_metadata, requirements, locks, npm_nesting_is_bounded, system_packages, what_is_not_there_or_leads_out)
