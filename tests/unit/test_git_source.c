/* Facts of real repositories made by git, and that reading them changes nothing and starts nothing. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "../support/check_main.h"
#include "../support/program.h"
#include "../support/scratch.h"
#include "runbook/base/buf.h"
#include "runbook/base/digest.h"
#include "runbook/platform/platform.h"
#include "runbook/source/files.h"
#include "runbook/source/git.h"

const char *__lsan_default_suppressions(void);

/* libgit2 1.5 leaks a match context of PCRE2 in each git_remote_lookup (only ls-remote still needs it): not ours to free. */
const char *__lsan_default_suppressions(void)
{
    return "leak:git_remote_lookup\nleak:libgit2";
}

static struct rb_git *open_git(const char *path)
{
    struct rb_git *git = NULL;
    struct rb_error err = {0};
    int code = rb_git_open(path, &git, &err);
    ck_assert_msg(code == 0, "%s", err.message);
    return git;
}

static struct rb_git_status status(const char *path, struct rb_arena *arena)
{
    struct rb_git *git = open_git(path);
    struct rb_git_status out;
    struct rb_error err = {0};
    int code = rb_git_status(git, true, NULL, arena, &out, &err);
    ck_assert_msg(code == 0, "%s", err.message);
    rb_git_close(git);
    return out;
}

static void make_repository(struct scratch *s)
{
    scratch_make(s);
    git_run(s->path, "init", "-q", "-b", "main");
    scratch_write(s, "a", "one\n");
    scratch_write(s, "b", "two\n");
    scratch_folder(s, "d");
    scratch_write(s, "d/c", "three\n");
    git_run(s->path, "add", "-A");
    git_run(s->path, "commit", "-q", "-m", "first \xE2\x80\xAE line\n\nbody");
}

START_TEST(head_and_state)
{
    struct scratch s;
    scratch_make(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_error err = {0};
    struct rb_git *git = NULL;
    ck_assert_int_eq(rb_git_open(s.path, &git, &err), RB_ENOTFOUND);
    ck_assert_ptr_null(git);
    git_run(s.path, "init", "-q", "-b", "trunk");
    git = open_git(s.path);
    struct rb_git_head head;
    ck_assert_int_eq(rb_git_head(git, arena, &head, &err), 0);
    ck_assert(head.unborn && !head.detached);
    ck_assert_str_eq(head.branch, "trunk");
    rb_git_close(git);
    scratch_remove(&s);

    make_repository(&s);
    git = open_git(s.path);
    ck_assert_int_eq(rb_git_head(git, arena, &head, &err), 0);
    ck_assert_str_eq(head.branch, "main");
    ck_assert_uint_eq(strlen(head.commit), 40);
    ck_assert_str_eq(head.subject, "first \xE2\x80\xAE line");
    ck_assert(rb_git_has_commit(git, head.commit));
    ck_assert(!rb_git_has_commit(git, "0123456789012345678901234567890123456789"));
    ck_assert(!rb_git_has_commit(git, "no hex"));
    bool has = true;
    ck_assert_int_eq(rb_git_has_tag(git, "v1", &has, &err), 0);
    ck_assert(!has);
    git_run(s.path, "tag", "v1");
    ck_assert_int_eq(rb_git_has_tag(git, "v1", &has, &err), 0);
    ck_assert(has);
    ck_assert_int_eq(rb_git_has_tag(git, "../../x", &has, &err), 0);
    ck_assert(!has);
    struct rb_git_state state;
    ck_assert_int_eq(rb_git_state(git, arena, &state, &err), 0);
    ck_assert_ptr_null(state.operation);
    ck_assert_ptr_null(state.lock_path);
    ck_assert_int_eq(state.fetch_head_mtime_wall_ns, 0);
    scratch_write(&s, ".git/index.lock", "");
    ck_assert_int_eq(rb_git_state(git, arena, &state, &err), 0);
    ck_assert_ptr_nonnull(strstr(state.lock_path, ".git/index.lock"));
    ck_assert_int_gt(state.lock_mtime_wall_ns, 0);
    rb_git_close(git);
    git_run(s.path, "-c", "core.hooksPath=/dev/null", "rev-parse", "HEAD");
    scratch_remove(&s);
}
END_TEST

START_TEST(operations)
{
    struct scratch s;
    make_repository(&s);
    git_run(s.path, "checkout", "-q", "-b", "other");
    scratch_write(&s, "a", "other\n");
    git_run(s.path, "commit", "-q", "-a", "-m", "o");
    git_run(s.path, "checkout", "-q", "main");
    scratch_write(&s, "a", "main\n");
    git_run(s.path, "commit", "-q", "-a", "-m", "m");
    ck_assert_int_ne(program_run(s.path, (const char *const[]){"git", "merge", "other", NULL}), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_git *git = open_git(s.path);
    struct rb_git_state state;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_git_state(git, arena, &state, &err), 0);
    ck_assert_str_eq(state.operation, "merge");
    ck_assert_uint_eq(status(s.path, arena).conflicted, 1);
    git_run(s.path, "merge", "--abort");
    ck_assert_int_ne(program_run(s.path, (const char *const[]){"git", "rebase", "other", NULL}), 0);
    ck_assert_int_eq(rb_git_state(git, arena, &state, &err), 0);
    ck_assert_str_eq(state.operation, "rebase");
    rb_git_close(git);
    scratch_remove(&s);
}
END_TEST

START_TEST(status_by_content)
{
    struct scratch s;
    char path[512];
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
    struct rb_git_status st = status(s.path, arena);
    ck_assert_uint_eq(st.staged + st.modified + st.deleted + st.untracked + st.conflicted, 0);
    /* A touch is no change. */
    struct utimbuf old = {1000000000, 1000000000};
    ck_assert_int_eq(utime(scratch_path(&s, "a", path), &old), 0);
    ck_assert_uint_eq(status(s.path, arena).modified, 0);
    /* Same size, other content, right after the index was written: racy, still seen. */
    scratch_write(&s, "b", "TWO\n");
    ck_assert_uint_eq(status(s.path, arena).modified, 1);
    scratch_write(&s, "b", "two\n");
    ck_assert_uint_eq(status(s.path, arena).modified, 0);
    ck_assert_int_eq(chmod(scratch_path(&s, "b", path), 0755), 0);
    ck_assert_uint_eq(status(s.path, arena).modified, 1);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(unlink(scratch_path(&s, "d/c", path)), 0);
    scratch_write(&s, "new", "n");
    scratch_folder(&s, "many");
    scratch_write(&s, "many/1", "");
    scratch_write(&s, "many/2", "");
    scratch_folder(&s, "empty");
    scratch_write(&s, "staged", "s");
    git_run(s.path, "add", "staged");
    st = status(s.path, arena);
    ck_assert_uint_eq(st.deleted, 1);
    ck_assert_uint_eq(st.untracked, 2); /* "new" and "many/": as git status counts */
    ck_assert_uint_eq(st.staged, 1);
    ck_assert_uint_eq(st.samples.count, 4);
    /* A file replaced by a FIFO is modified, and never opened. */
    ck_assert_int_eq(unlink(scratch_path(&s, "a", path)), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_uint_eq(status(s.path, arena).modified, 1);
    scratch_remove(&s);
}
END_TEST

/* As git sees it: only files and links can be untracked. */
START_TEST(special_files_are_clean)
{
    struct scratch s;
    make_repository(&s);
    char path[512];
    ck_assert_int_eq(mkfifo(scratch_path(&s, "fifo", path), 0600), 0);
    scratch_folder(&s, "only");
    ck_assert_int_eq(mkfifo(scratch_path(&s, "only/fifo", path), 0600), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    ck_assert_uint_eq(status(s.path, arena).untracked, 0);
    ck_assert_int_eq(symlink("/dev/zero", scratch_path(&s, "only/link", path)), 0);
    ck_assert_uint_eq(status(s.path, arena).untracked, 1);
    scratch_remove(&s);
}
END_TEST

START_TEST(line_ends_and_cancel)
{
    struct scratch s;
    make_repository(&s);
    scratch_write(&s, ".gitattributes", "*.txt text eol=crlf\n");
    scratch_write(&s, "x.txt", "one\r\ntwo\r\n");
    git_run(s.path, "add", "-A");
    git_run(s.path, "commit", "-q", "-m", "crlf");
    char path[512];
    struct utimbuf old = {1000000000, 1000000000};
    ck_assert_int_eq(utime(scratch_path(&s, "x.txt", path), &old), 0);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    ck_assert_uint_eq(status(s.path, arena).modified, 0);
    atomic_bool cancelled = true;
    struct rb_git *git = open_git(s.path);
    struct rb_git_status out;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_git_status(git, true, &cancelled, arena, &out, &err), RB_ETIMEOUT);
    rb_git_close(git);
    scratch_remove(&s);
}
END_TEST

START_TEST(upstream_and_remote)
{
    struct scratch s;
    char clone[512], commit[41];
    make_repository(&s);
    git_run(s.path, "clone", "-q", "--no-local", ".", "inner");
    snprintf(clone, sizeof clone, "%s/inner", s.path);
    scratch_write(&s, "a", "newer\n");
    git_run(s.path, "commit", "-q", "-a", "-m", "newer");
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_git *git = open_git(clone);
    struct rb_git_tracking t;
    struct rb_git_state state;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_git_tracking(git, arena, &t, &err), 0);
    ck_assert(t.has_upstream && t.counted);
    ck_assert_str_eq(t.upstream, "origin/main");
    ck_assert_uint_eq(t.behind, 0);
    ck_assert_int_eq(rb_git_state(git, arena, &state, &err), 0);
    ck_assert_int_gt(state.clone_mtime_wall_ns, 0);
    ck_assert_int_eq(rb_git_remote_head(git, "origin", "main", commit, &err), 0);
    ck_assert(!rb_git_has_commit(git, commit));
    ck_assert_int_eq(rb_git_remote_head(git, "origin", "nope", commit, &err), RB_ENOTFOUND);
    ck_assert_int_eq(rb_git_remote_head(git, "nope", "main", commit, &err), RB_ENOTFOUND);
    git_run(clone, "remote", "set-url", "origin", "/nonexistent/repo");
    ck_assert_int_eq(rb_git_remote_head(git, "origin", "main", commit, &err), RB_ESYS);
    git_run(clone, "remote", "set-url", "origin", s.path);
    git_run(clone, "fetch", "-q");
    ck_assert_int_eq(rb_git_tracking(git, arena, &t, &err), 0);
    ck_assert_uint_eq(t.behind, 1);
    ck_assert_int_eq(rb_git_state(git, arena, &state, &err), 0);
    ck_assert_int_gt(state.fetch_head_mtime_wall_ns, 0);
    rb_git_close(git);
    scratch_remove(&s);
}
END_TEST

static void digest_of(const struct scratch *s, const char *name, char out[RB_SHA256_HEX], struct stat *st)
{
    char path[512];
    RB_BUF_AUTO bytes;
    rb_buf_init(&bytes, 1 << 20);
    struct rb_error err;
    ck_assert_int_eq(rb_file_read(scratch_path(s, name, path), 1 << 20, true, &bytes, &err), 0);
    rb_sha256_of(bytes.data, bytes.len, out);
    ck_assert_int_eq(lstat(path, st), 0);
}

/* A repository whose configuration would run programs: a marker file shows when one did. */
START_TEST(hostile_repository_runs_nothing)
{
    struct scratch s;
    char command[600], marker[512], path[512], before[RB_SHA256_HEX], after[RB_SHA256_HEX];
    struct stat st_before, st_after;
    make_repository(&s);
    scratch_path(&s, ".git/marker", marker);
    snprintf(command, sizeof command, "#!/bin/sh\ntouch '%s'\ncat\n", marker);
    scratch_write(&s, ".git/evil", command);
    ck_assert_int_eq(chmod(scratch_path(&s, ".git/evil", path), 0755), 0);
    scratch_write(&s, ".gitattributes", "* filter=x diff=x\n");
    git_run(s.path, "add", ".gitattributes");
    git_run(s.path, "commit", "-q", "-m", "attributes");
    static const char *const keys[] = {"core.fsmonitor",
                                       "filter.x.clean",
                                       "filter.x.smudge",
                                       "filter.x.process",
                                       "diff.external",
                                       "diff.x.textconv",
                                       "core.pager",
                                       "core.editor",
                                       "core.sshCommand",
                                       "credential.helper",
                                       NULL};
    for (size_t i = 0; keys[i]; i++)
        git_run(s.path, "config", keys[i], path);
    for (int i = 0; i < 2; i++) {
        char hook[512];
        scratch_write(&s, i ? ".git/hooks/post-index-change" : ".git/hooks/pre-auto-gc", command);
        ck_assert_int_eq(chmod(scratch_path(&s, i ? ".git/hooks/post-index-change" : ".git/hooks/pre-auto-gc", hook), 0755), 0);
    }
    scratch_write(&s, "a", "changed\n");
    (void)unlink(marker);
    digest_of(&s, ".git/index", before, &st_before);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    ck_assert_uint_eq(status(s.path, arena).modified, 1);
    struct rb_file_entry *entries;
    size_t count;
    struct rb_error err = {0};
    ck_assert_int_eq(
        rb_files_list(&(struct rb_file_request){.root = s.path, .tracked = true, .untracked = true}, arena, &entries, &count, &err), 0);
    digest_of(&s, ".git/index", after, &st_after);
    ck_assert_int_ne(access(marker, F_OK), 0);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(rb_stat_mtime_ns(&st_before), rb_stat_mtime_ns(&st_after));
    ck_assert_uint_eq(st_before.st_ino, st_after.st_ino);
    scratch_remove(&s);
}
END_TEST

START_TEST(foreign_owner)
{
    if (geteuid() != 0)
        return; /* only root can give a folder away; the message is covered where tests run as root */
    struct scratch s;
    make_repository(&s);
    char path[512];
    ck_assert_int_eq(chown(s.path, 12345, 12345), 0);
    ck_assert_int_eq(chown(scratch_path(&s, ".git", path), 12345, 12345), 0);
    struct rb_git *git = NULL;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_git_open(s.path, &git, &err), RB_EPERM);
    ck_assert_ptr_nonnull(strstr(err.message, "safe.directory"));
    scratch_remove(&s);
}
END_TEST

/* What libgit2 cannot read is said in words that help; the sanitizer sees that saying so costs no memory. */
START_TEST(unsupported_forms)
{
    struct scratch s;
    make_repository(&s);
    struct rb_error err = {0};
    struct rb_git *git = NULL;
    git_run(s.path, "update-index", "--split-index");
    git = open_git(s.path);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_git_status out;
    ck_assert_int_lt(rb_git_status(git, true, NULL, arena, &out, &err), 0);
    ck_assert_msg(strstr(err.message, "--no-split-index"), "%s", err.message);
    rb_git_close(git);
    git = NULL;
    git_run(s.path, "update-index", "--no-split-index");
    git_run(s.path, "config", "core.repositoryFormatVersion", "1");
    git_run(s.path, "config", "extensions.partialClone", "origin");
    ck_assert_int_eq(rb_git_open(s.path, &git, &err), RB_EUNSUPPORTED);
    ck_assert_msg(strstr(err.message, "extensions.partialclone = origin"), "%s", err.message);
    ck_assert_ptr_null(git);
    git_run(s.path, "config", "core.repositoryFormatVersion", "0");
    rb_git_close(open_git(s.path)); /* version 0 ignores extensions */
    scratch_remove(&s);
}
END_TEST

/* ---- servers that do not answer ---- */

enum patience { SILENT, DRIPPING, CLOSING, FULL };
struct asked {
    enum patience server;
    const char *scheme, *root;
    int code;
    double took_s;
    struct rb_error err;
    pthread_t thread;
};

static int listen_somewhere(uint16_t *out_port, int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

/* Until its socket is shut down (a cancelled thread trips GCC's AddressSanitizer, PR 101476): accepts, and then drips for as long as somebody listens. */
static void *serve_badly(void *arg)
{
    const int *listener = arg;
    for (;;) {
        struct pollfd ready = {.fd = *listener, .events = POLLIN};
        (void)poll(&ready, 1, -1);
        int fd = accept(*listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        static const char head[] = "HTTP/1.1 200 OK\r\nX: ";
        (void)send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
        while (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
            (void)poll(NULL, 0, 200);
        close(fd);
    }
}

static void *ask(void *arg)
{
    struct asked *asked = arg;
    char url[128], dir[64], commit[41];
    uint16_t port = 0;
    (void)snprintf(dir, sizeof dir, "%s-%d", asked->scheme, (int)asked->server);
    int fd = listen_somewhere(&port, asked->server == FULL ? 0 : 8);
    pthread_t server;
    bool drips = asked->server == DRIPPING;
    if (drips)
        ck_assert_int_eq(pthread_create(&server, NULL, serve_badly, &fd), 0);
    if (asked->server == CLOSING)
        close(fd);
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u/x/y.git", asked->scheme, (unsigned)port);
    git_run(asked->root, "remote", "add", dir, url);
    struct rb_git *git = open_git(asked->root);
    struct timespec before, after;
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    asked->code = rb_git_remote_head(git, dir, "main", commit, &asked->err);
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    asked->took_s = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    rb_git_close(git);
    if (drips) {
        (void)shutdown(fd, SHUT_RDWR);
        (void)pthread_join(server, NULL);
    }
    if (asked->server != CLOSING)
        close(fd);
    return NULL;
}

START_TEST(a_silent_remote_is_given_up)
{
    struct asked asked[] = {{.server = SILENT, .scheme = "http"},    {.server = SILENT, .scheme = "https"},
                            {.server = SILENT, .scheme = "git"},     {.server = DRIPPING, .scheme = "http"},
                            {.server = DRIPPING, .scheme = "https"}, {.server = CLOSING, .scheme = "http"}};
    const size_t count = sizeof asked / sizeof asked[0];
    struct scratch s[sizeof asked / sizeof asked[0]];
    for (size_t i = 0; i < count; i++) {
        make_repository(&s[i]);
        asked[i].root = s[i].path;
    }
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&asked[i].thread, NULL, ask, &asked[i]), 0);
    for (size_t i = 0; i < count; i++)
        (void)pthread_join(asked[i].thread, NULL);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(asked[i].code == RB_ESYS, "%s: %d %s", asked[i].scheme, asked[i].code, asked[i].err.message);
        ck_assert_msg(asked[i].took_s < 12, "%s took %g s: %s", asked[i].scheme, asked[i].took_s, asked[i].err.message);
        if (asked[i].server == SILENT) {
            ck_assert_double_gt(asked[i].took_s, 7);
            ck_assert_msg(strstr(asked[i].err.message, "did not answer within 8 s") != NULL || strcmp(asked[i].scheme, "https") == 0,
                          "%s: %s", asked[i].scheme, asked[i].err.message);
        }
        if (asked[i].server == CLOSING)
            ck_assert_double_lt(asked[i].took_s, 2);
        scratch_remove(&s[i]);
    }
}
END_TEST

START_TEST(ssh_is_refused_with_words)
{
    static const char *const urls[] = {"ssh://git@forge.example/x.git", "git@forge.example:x/y.git", "forge:x",
                                       "git+ssh://forge.example/x"};
    struct scratch s;
    struct rb_error err = {0};
    char commit[41];
    make_repository(&s);
    git_run(s.path, "remote", "add", "far", "/nonexistent/with:colon");
    struct rb_git *git = open_git(s.path);
    ck_assert_int_eq(rb_git_remote_head(git, "far", "main", commit, &err), RB_ESYS);
    ck_assert_ptr_null(strstr(err.message, "ssh"));
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        git_run(s.path, "remote", "set-url", "far", urls[i]);
        ck_assert_int_eq(rb_git_remote_head(git, "far", "main", commit, &err), RB_ESYS);
        ck_assert_ptr_nonnull(strstr(err.message, "over ssh"));
    }
    rb_git_close(git);
    scratch_remove(&s);
}
END_TEST

/* Bytes of the index; at most `size`. */
static size_t read_index_file(const struct scratch *s, unsigned char *out, size_t size)
{
    char path[512];
    FILE *file = fopen(scratch_path(s, ".git/index", path), "r");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(out, 1, size, file);
    fclose(file);
    ck_assert_uint_lt(len, size);
    return len;
}

static void write_index_file(const struct scratch *s, const unsigned char *bytes, size_t len)
{
    char path[512];
    FILE *file = fopen(scratch_path(s, ".git/index", path), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

/* How many files the index holds, or a negative code. */
static int tracked_count(const struct scratch *s)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_file_entry *entries = NULL;
    size_t count = 0;
    struct rb_error err = {0};
    int code = rb_files_list(&(struct rb_file_request){.root = s->path, .tracked = true}, arena, &entries, &count, &err);
    for (size_t i = 1; code == 0 && i < count; i++)
        ck_assert_int_lt(strcmp(entries[i - 1].path, entries[i].path), 0);
    return code < 0 ? code : (int)count;
}

/* Every version of the index, with flags and long paths, reads as git means it. */
START_TEST(versions_of_the_index)
{
    static const char *const versions[] = {"2", "3", "4"};
    struct scratch s;
    make_repository(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    scratch_folder(&s, "d/a-longer-name-of-a-folder");
    for (int i = 0; i < 40; i++) {
        char name[128];
        snprintf(name, sizeof name, "d/a-longer-name-of-a-folder/%.*s%d", i, "0123456789012345678901234567890123456789", i);
        scratch_write(&s, name, "x\n");
    }
    git_run(s.path, "add", "-A");
    git_run(s.path, "commit", "-q", "-m", "more");
    for (size_t i = 0; i < 3; i++) {
        git_run(s.path, "update-index", "--index-version", versions[i]);
        ck_assert_int_eq(tracked_count(&s), 43);
        struct rb_git_status clean = status(s.path, arena);
        ck_assert_uint_eq(clean.staged + clean.modified + clean.untracked + clean.deleted, 0);
    }
    git_run(s.path, "update-index", "--skip-worktree", "a"); /* needs the flags of version 3 */
    scratch_write(&s, "a", "hidden\n");
    scratch_write(&s, "b", "seen\n");
    scratch_write(&s, "new", "n\n");
    git_run(s.path, "add", "-N", "new");
    for (size_t i = 1; i < 3; i++) {
        git_run(s.path, "update-index", "--index-version", versions[i]);
        struct rb_git_status st = status(s.path, arena);
        ck_assert_uint_eq(st.modified, 2); /* b, and what is only intended to be added */
        ck_assert_int_eq(tracked_count(&s), 44);
    }
    git_run(s.path, "reset", "-q", "--hard");
    ck_assert_uint_eq(status(s.path, arena).staged, 0); /* the tree that git noted is HEAD's */
    scratch_write(&s, "d/c", "staged\n");
    git_run(s.path, "add", "d/c");
    ck_assert_uint_eq(status(s.path, arena).staged, 1);
    git_run(s.path, "write-tree"); /* notes the tree of the index, which is not HEAD's */
    ck_assert_uint_eq(status(s.path, arena).staged, 1);
    scratch_remove(&s);
}
END_TEST

/* A damaged index is an error that says so, wherever the damage is; one without a checksum is never read beyond its end. */
START_TEST(damaged_index)
{
    struct scratch s;
    unsigned char whole[4096], bytes[4096];
    make_repository(&s);
    size_t len = read_index_file(&s, whole, sizeof whole);
    for (int without = 0; without < 2; without++) {
        for (size_t i = 0; i < len; i++) {
            memcpy(bytes, whole, len);
            if (without)
                memset(bytes + len - 20, 0, 20);
            bytes[i] ^= (unsigned char)(1U << (i % 8));
            write_index_file(&s, bytes, len);
            int count = tracked_count(&s);
            if (!without)
                ck_assert_msg(count < 0, "byte %zu", i);
        }
        for (size_t cut = 0; cut < len; cut++) {
            memcpy(bytes, whole, cut);
            if (without && cut >= 20)
                memset(bytes + cut - 20, 0, 20);
            write_index_file(&s, bytes, cut);
            int count = tracked_count(&s);
            if (!without)
                ck_assert_msg(count < 0 || cut == 0, "cut at %zu", cut);
        }
    }
    memcpy(bytes, whole, len);
    memset(bytes + len - 20, 0, 20); /* index.skipHash */
    write_index_file(&s, bytes, len);
    ck_assert_int_eq(tracked_count(&s), 3);
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("git_source", versions_of_the_index, damaged_index, special_files_are_clean, unsupported_forms, head_and_state, operations,
             status_by_content, line_ends_and_cancel, upstream_and_remote, a_silent_remote_is_given_up, ssh_is_refused_with_words,
             hostile_repository_runs_nothing, foreign_owner)
