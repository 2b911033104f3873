/* Which processes belong to a folder: by where they stand, or by a path of their command line.
 *
 * The command line is compared as text, so that `--config=/srv/tree/x` and `python3 /srv/tree/bot.py` both count; a path that only begins like the folder (/srv/tree2) or
 * ends like it (/backup/srv/tree) does not. */
#include "runbook/source/process.h"

#include <string.h>

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

void rb_process_command(const struct rb_process *process, struct rb_buf *out)
{
    for (size_t i = 0; process->argv && process->argv[i]; i++) {
        if (i > 0)
            rb_buf_addc(out, ' ');
        rb_buf_adds(out, process->argv[i]);
    }
}

static bool stands_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return path && strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool mentions(const char *text, const char *folder)
{
    size_t len = strlen(folder);
    for (const char *at = len > 0 ? strstr(text, folder) : NULL; at; at = strstr(at + 1, folder)) {
        bool starts = at == text || (!strchr(name_bytes, at[-1]) && at[-1] != '/');
        if (starts && (at[len] == '\0' || !strchr(name_bytes, at[len])))
            return true;
    }
    return false;
}

bool rb_process_lies_in(const struct rb_process *process, const char *command, const char *folder)
{
    return stands_in(process->cwd, folder) || mentions(command, folder);
}
