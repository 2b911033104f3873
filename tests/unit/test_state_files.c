/* The state folder: private, locked, versioned, replaced atomically, never fooled by what somebody put there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "runbook/state/files.h"

static char base[64];

static void setup_base(void)
{
    (void)snprintf(base, sizeof base, "/tmp/rb-state-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
}

/* Removes a folder of files and folders, two levels deep as the tests make them. */
static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char child[1024];
        (void)snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (unlink(child) != 0)
            remove_tree(child);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

static void open_dir(char *out, size_t size)
{
    struct rb_error err = {0};
    int rc = rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, size, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

static void spill(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    (void)close(fd);
}

START_TEST(the_folder_is_private_and_named_after_root)
{
    setup_base();
    char nested[128], dir[512], again[512], other[512];
    (void)snprintf(nested, sizeof nested, "%s/a/b", base);
    struct rb_error err = {0};
    ck_assert_int_eq(rb_state_dir_open(nested, "/home/op/Peak_Trade", false, dir, sizeof dir, &err), RB_ENOTFOUND);
    ck_assert_int_eq(rb_state_dir_open(nested, "/home/op/Peak_Trade", true, dir, sizeof dir, &err), 0);
    ck_assert_ptr_nonnull(strstr(dir, "/a/b/Peak_Trade-"));
    struct stat st;
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(stat(nested, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(rb_state_dir_open(nested, "/home/op/Peak_Trade", false, again, sizeof again, &err), 0);
    ck_assert_str_eq(dir, again);
    ck_assert_int_eq(rb_state_dir_open(nested, "/home/other/Peak_Trade", true, other, sizeof other, &err), 0);
    ck_assert_str_ne(dir, other);
    ck_assert_int_eq(rb_state_dir_open(nested, "/", true, other, sizeof other, &err), 0);
    ck_assert_ptr_nonnull(strstr(other, "/root-"));
    ck_assert_int_eq(rb_state_dir_open(nested, "/x/a\nb c", true, other, sizeof other, &err), 0);
    ck_assert_ptr_nonnull(strstr(other, "/a_b_c-"));
    ck_assert_int_eq(rb_state_dir_open("relative", "/x", true, other, sizeof other, &err), RB_EINVAL);
    ck_assert_int_eq(rb_state_dir_open(nested, "/x", true, other, 10, &err), RB_ELIMIT);
    remove_tree(base);
}
END_TEST

START_TEST(what_others_could_have_made_is_refused)
{
    setup_base();
    char dir[512], out[512];
    struct rb_error err = {0};
    open_dir(dir, sizeof dir);
    ck_assert_int_eq(chmod(dir, 0770), 0);
    ck_assert_int_eq(rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, sizeof out, &err), RB_EPERM);
    ck_assert_ptr_nonnull(strstr(err.message, "chmod 700"));
    ck_assert_int_eq(chmod(dir, 0700), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(dir, 12345, (gid_t)-1), 0);
        ck_assert_int_eq(rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, sizeof out, &err), RB_EPERM);
        ck_assert_ptr_nonnull(strstr(err.message, "12345"));
        ck_assert_int_eq(chown(dir, 0, (gid_t)-1), 0);
    }
    ck_assert_int_eq(chmod(base, 0777), 0);
    ck_assert_int_eq(rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, sizeof out, &err), RB_EPERM);
    ck_assert_int_eq(chmod(base, 0700), 0);
    remove_tree(dir);
    ck_assert_int_eq(symlink("/tmp", dir), 0);
    ck_assert_int_eq(rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, sizeof out, &err), RB_EPERM);
    ck_assert_int_eq(unlink(dir), 0);
    remove_tree(base);
}
END_TEST

START_TEST(another_version_is_refused)
{
    setup_base();
    char dir[512], out[512];
    struct rb_error err = {0};
    open_dir(dir, sizeof dir);
    spill(dir, "VERSION", "runbookd state 2\n", 0600);
    ck_assert_int_eq(rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, sizeof out, &err), RB_EUNSUPPORTED);
    spill(dir, "VERSION", "hello\n", 0600);
    ck_assert_int_eq(rb_state_dir_open(base, "/home/op/Peak_Trade", true, out, sizeof out, &err), RB_ECORRUPT);
    remove_tree(base);
}
END_TEST

START_TEST(the_lock_names_its_holder_and_ends_with_it)
{
    setup_base();
    char dir[512];
    open_dir(dir, sizeof dir);
    int ready[2], done[2];
    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = -1;
        char byte = rb_state_lock(dir, &fd, NULL) == 0 ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        (void)!read(done[0], &byte, 1);
        _exit(0); /* without giving the lock back */
    }
    char byte = 0, expected[32];
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    struct rb_error err = {0};
    int fd = -1;
    ck_assert_int_eq(rb_state_lock(dir, &fd, &err), RB_EBUSY);
    (void)snprintf(expected, sizeof expected, "process %ld ", (long)child);
    ck_assert_ptr_nonnull(strstr(err.message, expected));
    ck_assert_int_eq(write(done[1], "x", 1), 1);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    spill(dir, ".checks.tmp-1-deadbeef", "half", 0600); /* what a crash left */
    ck_assert_int_eq(rb_state_lock(dir, &fd, &err), 0);
    char left[600];
    (void)snprintf(left, sizeof left, "%s/.checks.tmp-1-deadbeef", dir);
    ck_assert_int_ne(access(left, F_OK), 0);
    (void)close(fd);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(done[i]);
    }
    remove_tree(base);
}
END_TEST

START_TEST(a_file_is_replaced_whole_or_not_at_all)
{
    setup_base();
    char dir[512], path[600], text[16] = {0};
    open_dir(dir, sizeof dir);
    struct rb_error err = {0};
    ck_assert_int_eq(rb_file_replace(dir, "checks", "one", 3, 0, &err), 0);
    ck_assert_int_eq(rb_file_replace(dir, "checks", "second", 6, 0640, &err), 0);
    (void)snprintf(path, sizeof path, "%s/checks", dir);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(read(fd, text, sizeof text), 6);
    ck_assert_str_eq(text, "second");
    (void)close(fd);
    ck_assert_int_eq(rb_file_replace(dir, "../x", "a", 1, 0, &err), RB_EINVAL);
    ck_assert_int_eq(rb_file_replace(dir, "", "a", 1, 0, &err), RB_EINVAL);
    ck_assert_int_eq(rb_file_replace("/nonexistent/rb", "x", "a", 1, 0, &err), RB_ENOTFOUND);
    /* A symlink in the file's place is replaced, not followed. */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/nonexistent/elsewhere", path), 0);
    ck_assert_int_eq(rb_file_replace(dir, "checks", "third", 5, 0, &err), 0);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    /* What cannot be put into place leaves no temporary file behind. */
    char folder[600];
    (void)snprintf(folder, sizeof folder, "%s/taken", dir);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert_int_eq(rb_file_replace(dir, "taken", "a", 1, 0, &err), RB_ESYS);
    DIR *entries = opendir(dir);
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries))
        ck_assert_ptr_null(strstr(entry->d_name, ".tmp-"));
    (void)closedir(entries);
    remove_tree(base);
}
END_TEST

START_TEST(a_damaged_file_is_kept_under_a_new_name)
{
    setup_base();
    char dir[512], name[128], second[128];
    open_dir(dir, sizeof dir);
    struct rb_error err = {0};
    const int64_t stamp = INT64_C(1755832061) * 1000000000;
    spill(dir, "journal", "junk", 0600);
    ck_assert_int_eq(rb_file_set_aside(dir, "journal", stamp, name, sizeof name, &err), 0);
    ck_assert_str_eq(name, "journal.damaged-20250822T030741Z");
    spill(dir, "journal", "more junk", 0600);
    ck_assert_int_eq(rb_file_set_aside(dir, "journal", stamp, second, sizeof second, &err), 0);
    ck_assert_str_ne(name, second);
    ck_assert_int_eq(rb_file_set_aside(dir, "journal", stamp, second, sizeof second, &err), RB_ESYS);
    ck_assert_int_eq(rb_file_set_aside(dir, "a/b", stamp, second, sizeof second, &err), RB_EINVAL);
    remove_tree(base);
}
END_TEST

START_TEST(the_token_is_random_private_and_stays)
{
    setup_base();
    char dir[512], token[128], again[128];
    open_dir(dir, sizeof dir);
    struct rb_error err = {0};
    ck_assert_int_eq(rb_token_load(dir, false, token, sizeof token, &err), RB_ENOTFOUND);
    ck_assert_int_eq(rb_token_load(dir, true, token, sizeof token, &err), 0);
    ck_assert_uint_eq(strlen(token), 64);
    ck_assert_uint_eq(strspn(token, "0123456789abcdef"), 64);
    ck_assert_int_eq(rb_token_load(dir, true, again, sizeof again, &err), 0);
    ck_assert_str_eq(token, again);
    ck_assert_int_eq(rb_token_load(dir, true, again, 64, &err), RB_EINVAL);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/token", dir);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(rb_token_load(dir, true, again, sizeof again, &err), RB_EPERM);
    spill(dir, "token", "short", 0600);
    ck_assert_int_eq(rb_token_load(dir, true, again, sizeof again, &err), RB_ECORRUPT);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/etc/hostname", path), 0);
    ck_assert_int_eq(rb_token_load(dir, true, again, sizeof again, &err), RB_ESYS);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rb_token_load(dir, true, again, sizeof again, &err), 0);
    ck_assert_str_ne(token, again);
    remove_tree(base);
}
END_TEST

RB_TEST_MAIN("state_files", the_folder_is_private_and_named_after_root, what_others_could_have_made_is_refused, another_version_is_refused,
             the_lock_names_its_holder_and_ends_with_it, a_file_is_replaced_whole_or_not_at_all, a_damaged_file_is_kept_under_a_new_name,
             the_token_is_random_private_and_stays)
