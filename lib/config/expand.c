/* `${VAR}`, `${VAR:-default}`, `$$` and `!file`.
 *
 * Only "${" begins an expansion, because hints and regular expressions are full of dollars; "$$" is the way to write one in front of a brace. What a
 * variable holds is not looked at again: a value from outside never becomes a reference. */
#include "loader.h"

#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/platform/platform.h"

static bool is_name_char(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
        return true;
    return !first && c >= '0' && c <= '9';
}

static size_t name_length(const char *text)
{
    size_t len = 0;
    while (is_name_char(text[len], len == 0))
        len++;
    return len;
}

/* Expands the reference at *cursor, which stands behind "${"; moves it behind "}". */
static int expand_one(struct rb_loader *loader, struct rb_node *node, const char **cursor, struct rb_buf *out)
{
    size_t len = name_length(*cursor);
    const char *rest = *cursor + len;
    const char *end = strchr(rest, '}');
    bool has_default = strncmp(rest, ":-", 2) == 0;
    if (len == 0 || end == NULL || (!has_default && *rest != '}'))
        return rb_diag_add(loader->diags, node->mark,
                           "'${' begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the characters themselves");
    const char *name = rb_arena_strndup(loader->arena, *cursor, len);
    if (name == NULL)
        return RB_ENOMEM;
    const char *value = loader->options.getenv(loader->options.ctx, name);
    if (value != NULL && !rb_text_is_utf8(value, strlen(value)))
        return rb_diag_add(loader->diags, node->mark, "the value of variable %s is not valid UTF-8", name);
    if (has_default && (value == NULL || *value == '\0'))
        rb_buf_add(out, rest + 2, (size_t)(end - rest - 2));
    else if (value != NULL)
        rb_buf_adds(out, value);
    else
        return rb_diag_add(loader->diags, node->mark, "variable %s is not set; set it, or write ${%s:-default}", name, name);
    if (rb_redact_key_is_secret(name))
        node->secret = true;
    *cursor = end + 1;
    return 0;
}

static int expand_all(struct rb_loader *loader, struct rb_node *node, struct rb_buf *out)
{
    const char *cursor = node->scalar;
    while (*cursor != '\0') {
        size_t plain = strcspn(cursor, "$");
        rb_buf_add(out, cursor, plain);
        cursor += plain;
        if (cursor[0] == '$' && cursor[1] == '{') {
            cursor += 2;
            int rc = expand_one(loader, node, &cursor, out);
            if (rc < 0)
                return rc;
        } else if (cursor[0] == '$') {
            rb_buf_addc(out, '$');
            cursor += cursor[1] == '$' ? 2 : 1;
        }
    }
    return 0;
}

int rb_config_expand(struct rb_loader *loader, struct rb_node *node)
{
    if (strchr(node->scalar, '$') == NULL)
        return 0;
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_CONFIG_MAX_SCALAR);
    int rc = expand_all(loader, node, &out);
    if (rc < 0)
        return rc;
    if (out.failed)
        return rb_diag_add(loader->diags, node->mark, "the value is longer than %u KiB after its variables were put in",
                           RB_CONFIG_MAX_SCALAR >> 10);
    const char *text = rb_arena_strndup(loader->arena, rb_buf_str(&out), out.len);
    if (text == NULL)
        return RB_ENOMEM;
    node->scalar = text;
    return 0;
}

static int read_candidate(const char *path, struct rb_buf *out, struct rb_error *err)
{
    return path != NULL ? rb_file_read(path, RB_CONFIG_MAX_SECRET, false, out, err) : RB_ENOTFOUND;
}

/* systemd puts credentials into one flat folder: only a plain name can mean one of them. */
static const char *credential_path(const struct rb_loader *loader, const char *name)
{
    if (loader->options.credentials_dir == NULL || strchr(name, '/') != NULL || strcmp(name, "..") == 0)
        return NULL;
    return rb_config_join(loader->arena, loader->options.credentials_dir, name);
}

int rb_config_read_secret(struct rb_loader *loader, const char *dir, struct rb_node *node)
{
    RB_BUF_AUTO content;
    rb_buf_init(&content, RB_CONFIG_MAX_SECRET);
    struct rb_error err = {0};
    node->secret = true;
    node->quoted = true;
    if (node->scalar[0] == '\0')
        return rb_diag_add(loader->diags, node->mark, "!file wants the path of a file");
    if (read_candidate(credential_path(loader, node->scalar), &content, &err) < 0) {
        rb_buf_reset(&content);
        if (read_candidate(rb_config_join(loader->arena, dir, node->scalar), &content, &err) < 0)
            return rb_diag_add(loader->diags, node->mark, "!file: %s", err.message);
    }
    size_t len = content.len;
    const char *bytes = rb_buf_str(&content);
    if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (len > 0 && bytes[len - 1] == '\r')
        len--;
    if (memchr(bytes, '\0', len) != NULL || !rb_text_is_utf8(bytes, len))
        return rb_diag_add(loader->diags, node->mark, "!file: %s is not text (UTF-8 without NUL)", node->scalar);
    const char *text = rb_arena_strndup(loader->arena, bytes, len);
    if (text == NULL)
        return RB_ENOMEM;
    node->scalar = text;
    return 0;
}
