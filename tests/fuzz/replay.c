/* Runs every file of a corpus folder through a fuzz target once, so that ordinary test runs replay what fuzzing found.
 *
 * Usage: replay FOLDER. Fails when the folder cannot be read or holds no file: an empty corpus tests nothing. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

/* Returns 1 when the entry was a regular file and ran, 0 when it is something else, -1 when it cannot be read. */
static int run_entry(int folder, const char *name)
{
    struct stat st;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    int result = S_ISREG(st.st_mode) ? -1 : 0;
    size_t size = result ? (size_t)st.st_size : 0;
    uint8_t *data = malloc(size + 1);
    if (data && result && read(fd, data, size) == (ssize_t)size) {
        (void)LLVMFuzzerTestOneInput(data, size);
        result = 1;
    }
    free(data);
    (void)close(fd);
    return result;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        (void)fprintf(stderr, "usage: replay FOLDER\n");
        return 2;
    }
    int ran = 0, failed = 0;
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        int result = run_entry(dirfd(folder), entry->d_name);
        ran += result > 0;
        failed += result < 0;
    }
    (void)closedir(folder);
    (void)printf("%d inputs replayed, %d unreadable\n", ran, failed);
    return ran > 0 && failed == 0 ? 0 : 1;
}
