/* File events of this machine, made for real: each kind of change, what must be silent, and losing them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/scratch.h"
#include "runbook/platform/file_events.h"
#include "runbook/platform/platform.h"

struct heard {
    size_t count, by_type[4];
    char text[4096]; /* "type:name " of each, the same one after the other once */
    int watch;       /* of the last */
};

static struct scratch scratch;
static struct rb_file_events *events;
static struct rb_error err;

static void hear(void *ctx, const struct rb_file_event *event)
{
    struct heard *heard = ctx;
    static const char *const names[] = {"changed", "folders", "gone", "lost"};
    char one[300];
    (void)snprintf(one, sizeof one, "%s:%s ", names[event->type], event->name ? event->name : "");
    size_t len = strlen(heard->text), one_len = strlen(one);
    heard->count++;
    heard->by_type[event->type]++;
    heard->watch = event->watch;
    bool again = len >= one_len && strcmp(heard->text + len - one_len, one) == 0;
    if (!again && len + one_len < sizeof heard->text)
        memcpy(heard->text + len, one, one_len + 1);
}

static struct heard drain(void)
{
    struct heard heard = {.watch = -2};
    int count = rb_file_events_drain(events, 1000000, hear, &heard, &err);
    ck_assert_msg(count >= 0, "%s", err.message);
    return heard;
}

static bool is_readable(void)
{
    struct pollfd wait = {.fd = rb_file_events_fd(events), .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

static int add(const char *name, bool folder)
{
    char path[512];
    int fd = open(scratch_path(&scratch, name, path), rb_file_events_open_flags(folder) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    int watch = rb_file_events_add(events, fd, folder, &err);
    ck_assert_msg(watch >= 0, "%s", err.message);
    ck_assert_int_eq(fcntl(fd, F_GETFD) >= 0, rb_file_events_need_files()); /* taken over: closed where it is not needed */
    return watch;
}

static void begin(void)
{
    scratch_make(&scratch);
    ck_assert_int_eq(rb_platform_host()->file_events(&events, &err), 0);
}

static void finish(void)
{
    rb_file_events_free(events);
    scratch_remove(&scratch);
}

/* What was heard has this one; where folders cannot tell names, that there was something is enough. */
static void assert_heard(const struct heard *heard, const char *one)
{
    if (rb_file_events_need_files())
        ck_assert_uint_gt(heard->count, 0);
    else
        ck_assert_msg(strstr(heard->text, one) != NULL, "no %s in: %s", one, heard->text);
}

START_TEST(changes_of_files)
{
    char path[512], other[512];
    begin();
    int watch = add("", true);
    ck_assert(!is_readable());
    scratch_write(&scratch, "a", "1");
    ck_assert(is_readable());
    struct heard heard = drain();
    assert_heard(&heard, "changed:a ");
    ck_assert_int_eq(heard.watch, watch);
    ck_assert(!is_readable());
    if (!rb_file_events_need_files()) {
        scratch_write(&scratch, "a", "2");
        heard = drain();
        assert_heard(&heard, "changed:a ");
        ck_assert_int_eq(chmod(scratch_path(&scratch, "a", path), 0640), 0);
        heard = drain();
        assert_heard(&heard, "changed:a ");
    }
    scratch_write(&scratch, "new", "3");
    (void)drain();
    ck_assert_int_eq(rename(scratch_path(&scratch, "new", path), scratch_path(&scratch, "a", other)), 0);
    heard = drain();
    assert_heard(&heard, "changed:new ");
    assert_heard(&heard, "changed:a ");
    ck_assert_int_eq(unlink(other), 0);
    heard = drain();
    assert_heard(&heard, "changed:a ");
    finish();
}
END_TEST

START_TEST(reading_is_no_change)
{
    char path[512], text[8];
    begin();
    scratch_write(&scratch, "a", "1");
    (void)add("", true);
    int fd = open(scratch_path(&scratch, "a", path), O_RDONLY);
    ck_assert_int_eq(read(fd, text, sizeof text), 1);
    close(fd);
    fd = open(scratch.path, O_RDONLY | O_DIRECTORY);
    close(fd);
    ck_assert(!is_readable());
    ck_assert_uint_eq(drain().count, 0);
    finish();
}
END_TEST

START_TEST(folders_come_and_go)
{
    char path[512], other[512];
    begin();
    int root = add("", true);
    scratch_folder(&scratch, "sub");
    struct heard heard = drain();
    assert_heard(&heard, "folders:sub ");
    int sub = add("sub", true);
    ck_assert_int_ne(root, sub);
    scratch_write(&scratch, "sub/x", "1");
    heard = drain();
    assert_heard(&heard, "changed:x ");
    ck_assert_int_eq(heard.watch, sub);
    ck_assert_int_eq(rename(scratch_path(&scratch, "sub", path), scratch_path(&scratch, "moved", other)), 0);
    heard = drain();
    assert_heard(&heard, "folders:sub ");
    ck_assert_uint_gt(heard.by_type[RB_FILE_GONE], 0);
    ck_assert_int_eq(unlink(scratch_path(&scratch, "moved/x", path)), 0);
    (void)drain();
    ck_assert_int_eq(rmdir(other), 0);
    heard = drain();
    assert_heard(&heard, "folders:moved ");
    ck_assert_uint_gt(heard.by_type[RB_FILE_GONE], 0);
    finish();
}
END_TEST

START_TEST(a_file_of_its_own)
{
    char path[512], other[512];
    begin();
    scratch_write(&scratch, "a", "1");
    int watch = add("a", false);
    scratch_write(&scratch, "a", "22");
    struct heard heard = drain();
    ck_assert_uint_gt(heard.by_type[RB_FILE_CHANGED], 0);
    ck_assert_int_eq(heard.watch, watch);
    scratch_write(&scratch, "b", "3");
    ck_assert_int_eq(rename(scratch_path(&scratch, "b", path), scratch_path(&scratch, "a", other)), 0);
    heard = drain();
    ck_assert_uint_gt(heard.count, 0);
    finish();
}
END_TEST

START_TEST(too_much_is_told)
{
    begin();
    (void)add("", true);
    if (rb_file_events_need_files()) { /* kqueue merges: it cannot overflow */
        finish();
        return;
    }
    long most = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld", &most), 1);
    (void)fclose(file);
    char one[512], two[512];
    scratch_write(&scratch, "one", "");
    for (long i = 0; i < most / 2 + 10; i++) {
        ck_assert_int_eq(rename(scratch_path(&scratch, "one", one), scratch_path(&scratch, "two", two)), 0);
        ck_assert_int_eq(rename(two, one), 0);
    }
    struct heard heard = drain();
    ck_assert_uint_eq(heard.by_type[RB_FILE_LOST], 1);
    ck_assert_int_eq(heard.watch, -1);
    scratch_write(&scratch, "after", "1"); /* and it goes on */
    heard = drain();
    assert_heard(&heard, "changed:after ");
    finish();
}
END_TEST

START_TEST(drains_in_parts)
{
    char name[32];
    begin();
    (void)add("", true);
    for (int i = 0; i < 9000; i++) {
        (void)snprintf(name, sizeof name, "f%d", i);
        scratch_write(&scratch, name, "");
    }
    struct heard heard = {0};
    int first = rb_file_events_drain(events, 10, hear, &heard, &err);
    ck_assert_int_ge(first, 1);
    if (!rb_file_events_need_files()) {
        ck_assert_int_lt(first, 9000);
        ck_assert(is_readable());
    }
    (void)drain();
    ck_assert(!is_readable());
    finish();
}
END_TEST

START_TEST(room_ends)
{
    char name[32];
    begin();
    int code = 0;
    for (int i = 0; i <= RB_FILE_EVENTS_MAX_WATCHES && code >= 0; i++) {
        char path[512];
        (void)snprintf(name, sizeof name, "d%d", i);
        scratch_folder(&scratch, name);
        int fd = open(scratch_path(&scratch, name, path), rb_file_events_open_flags(true) | O_NOFOLLOW | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        code = rb_file_events_add(events, fd, true, &err);
    }
    ck_assert_int_eq(code, RB_ELIMIT);
    ck_assert(err.message[0] != '\0');
    finish();
}
END_TEST

START_TEST(null_has_none)
{
    struct rb_platform null;
    rb_platform_null(&null, rb_platform_host()->clock);
    ck_assert_int_eq(null.file_events(&events, &err), RB_EUNSUPPORTED);
    ck_assert_str_eq(rb_file_loss_name(RB_FILE_LOSS_OVERFLOW), "overflow");
    ck_assert_str_eq(rb_file_loss_name(RB_FILE_LOSS_ERROR), "error");
    rb_file_events_free(NULL);
}
END_TEST

RB_TEST_MAIN("file_events", changes_of_files, reading_is_no_change, folders_come_and_go, a_file_of_its_own, too_much_is_told,
             drains_in_parts, room_ends, null_has_none)
