/* The log: one line per event, escaped, redacted, bounded, never torn between threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "runbook/base/log.h"

/* Everything that was written into the file behind `fd`. */
static size_t read_back(int fd, char *out, size_t size)
{
    ssize_t len = pread(fd, out, size - 1, 0);
    ck_assert_int_ge(len, 0);
    out[len] = '\0';
    return (size_t)len;
}

static int open_log(struct rb_log_options options)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    int fd = dup(fileno(file));
    (void)fclose(file);
    options.fd = fd;
    rb_log_init(&options);
    return fd;
}

START_TEST(levels_and_prefixes)
{
    char text[4096];
    struct rb_fake_clock fake;
    rb_fake_clock_init(&fake, INT64_C(1787368061) * RB_NS_PER_S);
    int fd = open_log((struct rb_log_options){.level = RB_LOG_NOTICE, .journal_prefix = true});
    rb_log(RB_LOG_INFO, "loop", "dropped");
    rb_log(RB_LOG_ERROR, "loop", "kept %d", 1);
    (void)read_back(fd, text, sizeof text);
    ck_assert_str_eq(text, "<3>loop: kept 1\n");
    (void)close(fd);
    fd = open_log((struct rb_log_options){.level = RB_LOG_DEBUG, .timestamps = true, .clock = &fake.clock});
    rb_log(RB_LOG_DEBUG, "git", "head moved");
    (void)read_back(fd, text, sizeof text);
    ck_assert_str_eq(text, "2026-08-22T03:07:41.000Z git: head moved\n");
    (void)close(fd);
    fd = open_log((struct rb_log_options){.level = RB_LOG_DEBUG, .timestamps = true});
    rb_log(RB_LOG_DEBUG, "git", "no clock");
    (void)read_back(fd, text, sizeof text);
    ck_assert_str_eq(text, "git: no clock\n");
    (void)close(fd);
}
END_TEST

START_TEST(hostile_messages)
{
    char text[4096];
    int fd = open_log((struct rb_log_options){.level = RB_LOG_INFO});
    rb_log(RB_LOG_INFO, "http", "%s", "a\nfake: line \x1b[31m \xff");
    rb_log(RB_LOG_INFO, "http", "url %s", "http://u:geheim@h/?token=abc");
    (void)read_back(fd, text, sizeof text);
    ck_assert_str_eq(text, "http: a\\nfake: line \\x1b[31m \\xff\nhttp: url http://u:[redacted]@h/?token=[redacted]\n");
    (void)close(fd);
}
END_TEST

START_TEST(long_messages_are_cut)
{
    static char text[20000], message[10000];
    int fd = open_log((struct rb_log_options){.level = RB_LOG_INFO});
    memset(message, 'm', sizeof message - 1);
    rb_log(RB_LOG_INFO, "a", "%s", message);
    for (size_t i = 0; i + 2 < sizeof message; i += 2)
        memcpy(message + i, "ä", 2);
    rb_log(RB_LOG_INFO, "a", "%s", message);
    for (size_t i = 0; i < sizeof message - 1; i++)
        message[i] = '\x01';
    rb_log(RB_LOG_INFO, "a", "%s", message);
    size_t len = read_back(fd, text, sizeof text);
    size_t lines = 0, line = 0;
    for (size_t i = 0; i < len; i++) {
        ck_assert_uint_le(++line, 4096);
        if (text[i] == '\n') {
            lines++;
            line = 0;
        }
    }
    ck_assert_uint_eq(lines, 3);
    ck_assert_int_eq(strncmp(text + len - 4, "…\n", 4), 0);
    (void)close(fd);
}
END_TEST

START_TEST(a_closed_sink_is_survived)
{
    rb_log_init(&(struct rb_log_options){.level = RB_LOG_INFO, .fd = -1});
    errno = EDOM;
    rb_log(RB_LOG_ERROR, "a", "nobody hears this");
    ck_assert_int_eq(errno, EDOM);
}
END_TEST

#define LINES_PER_THREAD 500

static void *chatter(void *arg)
{
    const char *name = arg;
    for (int i = 0; i < LINES_PER_THREAD; i++)
        rb_log(RB_LOG_INFO, name, "line of %s", name);
    return NULL;
}

START_TEST(threads_never_mix)
{
    static char text[200000];
    static char names[4][8] = {"aaaa", "bbbb", "cccc", "dddd"};
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    rb_log_init(&(struct rb_log_options){.level = RB_LOG_INFO, .fd = fileno(file)});
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, chatter, names[i]), 0);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    size_t len = read_back(fileno(file), text, sizeof text);
    static const char shape[] = "aaaa: line of aaaa\n";
    const size_t line = sizeof shape - 1;
    ck_assert_uint_eq(len, line * 4 * LINES_PER_THREAD);
    for (size_t at = 0; at < len; at += line) {
        ck_assert_mem_eq(text + at + 4, ": line of ", 10);
        ck_assert_mem_eq(text + at, text + at + 14, 4);
        ck_assert_int_eq(text[at + line - 1], '\n');
    }
    (void)fclose(file);
}
END_TEST

START_TEST(level_names)
{
    enum rb_log_level level = RB_LOG_ERROR;
    ck_assert_int_eq(rb_log_level_parse("debug", &level), RB_OK);
    ck_assert_int_eq(level, RB_LOG_DEBUG);
    ck_assert_int_eq(rb_log_level_parse("warning", &level), RB_OK);
    ck_assert_int_eq(level, RB_LOG_WARNING);
    ck_assert_int_lt(rb_log_level_parse("loud", &level), 0);
    ck_assert_int_lt(rb_log_level_parse("", &level), 0);
    ck_assert_int_eq(level, RB_LOG_WARNING);
}
END_TEST

RB_TEST_MAIN("log", levels_and_prefixes, hostile_messages, long_messages_are_cut, a_closed_sink_is_survived, threads_never_mix, level_names)
