/* Processes of a folder: by working folder, by command line, and by arguments that lead there under another name. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/scratch.h"
#include "runbook/source/process.h"

static const char *const no_mounts[] = {NULL};

static bool lies(const char *cwd, const char *command, const char *folder)
{
    struct rb_process process = {.cwd = cwd};
    return rb_process_lies_in(&process, command, folder);
}

START_TEST(by_text)
{
    ck_assert(lies("/srv/tree", "", "/srv/tree"));
    ck_assert(lies("/srv/tree/a", "", "/srv/tree"));
    ck_assert(!lies("/srv/tree2", "", "/srv/tree"));
    ck_assert(!lies(NULL, "python3 x.py", "/srv/tree"));
    ck_assert(lies("/", "python3 --config=/srv/tree/x", "/srv/tree"));
    ck_assert(!lies("/", "python3 /srv/tree2/x /backup/srv/tree/x", "/srv/tree"));
}
END_TEST

static char top[PATH_MAX - 16], folder[PATH_MAX];

static void build_place(struct scratch *scratch)
{
    char *real = realpath(scratch->path, NULL);
    ck_assert_ptr_nonnull(real);
    snprintf(top, sizeof top, "%s", real);
    free(real);
    snprintf(folder, sizeof folder, "%s/repo", top);
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    ck_assert_int_eq(chdir(top), 0);
    ck_assert_int_eq(mkdir("bin", 0755), 0);
    ck_assert_int_eq(symlink(folder, "link"), 0);
    ck_assert_int_eq(symlink("link", "chain"), 0);
    ck_assert_int_eq(symlink("../link/x.py", "bin/bot"), 0);
    ck_assert_int_eq(symlink("loop", "loop"), 0);
    ck_assert_int_eq(symlink(top, "up"), 0);
    ck_assert_int_eq(chdir("/"), 0);
}

/* An '@' in `argument` stands for the folder above the one that is guarded. */
static bool leads(const char *cwd, const char *argument, const char *const *mounts)
{
    char text[3 * PATH_MAX];
    size_t before = strcspn(argument, "@");
    const char *after = argument[before] ? argument + before + 1 : "";
    snprintf(text, sizeof text, "%.*s%s%s", (int)before, argument, argument[before] ? top : "", after);
    const char *const argv[] = {"python3", text, NULL};
    struct rb_process process = {.argv = argv, .cwd = cwd};
    return rb_process_leads_to(&process, folder, mounts);
}

START_TEST(under_another_name)
{
    static const char *const yes[] = {"@/link/x.py", "@/chain/not/there/yet", "@/bin/bot",     "@/bin/../repo/x",
                                      "@//repo",     "--config=@/link/x",     "-I@/up/up/repo"};
    static const char *const no[] = {"@/repo2", "@", "@/link/..", "@/loop/x", "@/bin/x", "-v", "--config=", ""};
    struct scratch scratch;
    scratch_make(&scratch);
    build_place(&scratch);
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        ck_assert_msg(leads("/", yes[i], no_mounts), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        ck_assert_msg(!leads("/", no[i], no_mounts), "%s", no[i]);
    ck_assert(leads(top, "repo/x.py", no_mounts));
    ck_assert(leads(top, "./bin/../link", no_mounts));
    ck_assert(!leads(top, "x.py", no_mounts));
    ck_assert(!leads(NULL, "repo/x.py", no_mounts));
    scratch_remove(&scratch);
}
END_TEST

START_TEST(mounts_are_left_alone)
{
    struct scratch scratch;
    scratch_make(&scratch);
    build_place(&scratch);
    char mount[PATH_MAX];
    snprintf(mount, sizeof mount, "%s/bin", top);
    const char *const dead[] = {"/nowhere", mount, NULL};
    const char *const own[] = {top, NULL};
    ck_assert(!leads("/", "@/bin/bot", dead)); /* a link that is not even read */
    ck_assert(leads("/", "@/link/x", dead));
    ck_assert(leads("/", "@/bin/bot", own)); /* the folder is on that mount itself */
    scratch_remove(&scratch);
}
END_TEST

START_TEST(hostile_arguments)
{
    char *text = malloc(20000);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', 19999);
    text[0] = '/';
    text[19999] = '\0';
    const char *const argv[] = {text, "/", "..", "/..", "////", "=", "-", "-/", NULL};
    struct rb_process process = {.argv = argv, .cwd = "/"};
    ck_assert(!rb_process_leads_to(&process, "/srv/tree", no_mounts));
    for (size_t i = 1; i < 19999; i += 2)
        text[i] = '/';
    ck_assert(!rb_process_leads_to(&process, "/srv/tree", no_mounts));
    process.argv = NULL;
    ck_assert(!rb_process_leads_to(&process, "/srv/tree", NULL));
    free(text);
}
END_TEST

RB_TEST_MAIN("process", by_text, under_another_name, mounts_are_left_alone, hostile_arguments)
