/* Trust: a configuration that merely lies in the working folder starts no program until its digest was recorded.
 *
 * The digest covers the bytes of every file that was read, in order, with their lengths, so that moving text from one file to the next changes it. The record is one
 * small text file, replaced atomically. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"
#include "plan_internal.h"
#include "runbook/platform/platform.h"

#define TRUST_MAX_BYTES (1u << 20)

int rb_trust_digest(const struct rb_strings *files, char out[RB_SHA256_HEX], struct rb_error *err)
{
    struct rb_sha256 *sha = rb_sha256_new();
    int rc = sha != NULL ? 0 : rb_error_set(err, RB_ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < files->count; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, RB_CONFIG_MAX_BYTES);
        rc = rb_file_read(files->items[i], RB_CONFIG_MAX_BYTES, false, &text, err);
        uint64_t len = text.len;
        if (rc == 0) {
            rb_sha256_add(sha, &len, sizeof len);
            rb_sha256_add(sha, rb_buf_str(&text), text.len);
        }
    }
    if (rc == 0)
        rb_sha256_hex(sha, out);
    rb_sha256_free(sha);
    return rc;
}

static int trust_path(const char *state_dir, const char *suffix, char *out, size_t out_size, struct rb_error *err)
{
    int len = snprintf(out, out_size, "%s/trust%s", state_dir, suffix);
    return len > 0 && (size_t)len < out_size ? 0 : rb_error_set(err, RB_ELIMIT, "the path of the state folder is too long");
}

/* mkdir -p with mode 0700 for what is made. */
static int make_folders(const char *path, struct rb_error *err)
{
    char part[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return rb_error_set(err, RB_ELIMIT, "the path of the state folder is too long");
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return rb_error_sys(err, errno, "cannot make folder %s", part);
        part[i] = kept;
    }
    return 0;
}

/* The old lines without the one for `path`. */
static void copy_other_lines(const char *text, const char *path, struct rb_buf *out)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        size_t path_len = strlen(path);
        bool same = len == 64 + 2 + path_len && strncmp(text + 66, path, path_len) == 0;
        if (!same && len > 66) {
            rb_buf_add(out, text, len);
            rb_buf_addc(out, '\n');
        }
        text += len + (text[len] == '\n');
    }
}

static int write_file(const char *path, const struct rb_buf *text, struct rb_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return rb_error_sys(err, errno, "cannot write %s", path);
    size_t done = 0;
    while (done < text->len) {
        ssize_t n = write(fd, text->data + done, text->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    int saved = errno;
    bool ok = done == text->len && fchmod(fd, 0600) == 0 && fsync(fd) == 0;
    if (!ok && done == text->len)
        saved = errno;
    if (close(fd) != 0 && ok)
        return rb_error_sys(err, errno, "cannot write %s", path);
    return ok ? 0 : rb_error_sys(err, saved, "cannot write %s", path);
}

int rb_trust_record(const char *state_dir, const char *path, const char *digest, struct rb_error *err)
{
    char target[4096], temporary[4096];
    RB_BUF_AUTO old, text;
    rb_buf_init(&old, TRUST_MAX_BYTES);
    rb_buf_init(&text, TRUST_MAX_BYTES);
    struct rb_error ignored;
    if (strpbrk(path, "\n\r") != NULL || strlen(digest) != 64)
        return rb_error_set(err, RB_EINVAL, "a path with a line break cannot be trusted; rename the folder");
    if (trust_path(state_dir, "", target, sizeof target, err) < 0 || trust_path(state_dir, ".new", temporary, sizeof temporary, err) < 0 ||
        make_folders(state_dir, err) < 0)
        return err != NULL ? err->code : RB_ESYS;
    if (rb_file_read(target, TRUST_MAX_BYTES, true, &old, &ignored) == 0)
        copy_other_lines(rb_buf_str(&old), path, &text);
    rb_buf_addf(&text, "%s  %s\n", digest, path);
    int rc = rb_buf_check(&text, "the trust record", err);
    if (rc == 0)
        rc = write_file(temporary, &text, err);
    if (rc == 0 && rename(temporary, target) != 0)
        rc = rb_error_sys(err, errno, "cannot replace %s", target);
    return rc;
}

bool rb_trust_check(const char *state_dir, const char *path, const char *digest)
{
    char file[4096], wanted[4096 + 128];
    struct rb_error ignored;
    RB_BUF_AUTO text;
    rb_buf_init(&text, TRUST_MAX_BYTES);
    int len = snprintf(wanted, sizeof wanted, "%s  %s", digest, path);
    if (len <= 0 || (size_t)len >= sizeof wanted || trust_path(state_dir, "", file, sizeof file, &ignored) < 0 ||
        rb_file_read(file, TRUST_MAX_BYTES, true, &text, &ignored) < 0)
        return false;
    for (const char *line = rb_buf_str(&text); *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
        if (strcspn(line, "\n") == (size_t)len && strncmp(line, wanted, (size_t)len) == 0)
            return true;
    return false;
}

static bool has_secret(const struct rb_node *node)
{
    if (node == NULL || node->secret)
        return node != NULL;
    for (size_t i = 0; i < node->count; i++)
        if (has_secret(node->items[i]))
            return true;
    return false;
}

static bool starts_programs(const struct rb_check_spec *spec)
{
    const char *const *option = spec->kind->program_options;
    while (option != NULL && *option != NULL && rb_node_get(spec->node, *option) == NULL)
        option++;
    return spec->kind->starts_programs || (option != NULL && *option != NULL);
}

/* Besides programs, what carries a secret waits too: an untrusted file could send it anywhere. */
int rb_plan_apply_trust(struct rb_plan_builder *builder)
{
    struct rb_plan *plan = builder->plan;
    struct rb_error err;
    size_t held = 0;
    if (plan->discovered)
        return 0;
    struct rb_mark whole = {.file = plan->source};
    if (rb_trust_digest(&plan->files, plan->digest, &err) < 0)
        return builder->incomplete ? RB_ECONFIG : rb_diag_add(builder->diags, whole, "%s", err.message);
    if (plan->trusted || rb_trust_check(plan->trust_dir, plan->source, plan->digest)) {
        plan->trusted = true;
        return 0;
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct rb_check_spec *spec = &plan->checks[i];
        spec->untrusted = spec->kind == NULL || starts_programs(spec) || has_secret(spec->node);
        held += spec->untrusted;
    }
    if (held > 0)
        rb_plan_warn(plan,
                     "%s is not trusted: %zu check%s that start programs or use secrets do not run; read the file, then: runbookd trust",
                     plan->source, held, held == 1 ? "" : "s");
    return 0;
}
