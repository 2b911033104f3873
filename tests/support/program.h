/* Starts a program for a test, without a shell, and waits for it. git gets a clean configuration, so that the person's own never matters. */
#ifndef RB_TEST_PROGRAM_H
#define RB_TEST_PROGRAM_H

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs argv in `dir`; returns its exit code. Output goes nowhere. */
static inline int program_run(const char *dir, const char *const *argv)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        static const char *const env[][2] = {{"GIT_CONFIG_GLOBAL", "/dev/null"}, {"GIT_CONFIG_SYSTEM", "/dev/null"},
                                             {"GIT_AUTHOR_NAME", "t"},           {"GIT_AUTHOR_EMAIL", "t@example.org"},
                                             {"GIT_COMMITTER_NAME", "t"},        {"GIT_COMMITTER_EMAIL", "t@example.org"}};
        for (size_t i = 0; i < sizeof env / sizeof env[0]; i++)
            setenv(env[i][0], env[i][1], 1);
        if (chdir(dir) == 0)
            execvp(argv[0], (char *const *)(const void *)argv);
        _exit(127);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define git_run(dir, ...) ck_assert_int_eq(program_run(dir, (const char *const[]){"git", __VA_ARGS__, NULL}), 0)

#endif
