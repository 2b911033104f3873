/* Reading a bundle of trusted certificates. Parsing is the engine's: only it knows whether these bytes were parsed before. */
#include "runbook/check/ca.h"

#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/platform/platform.h"

int rb_ca_read(const struct rb_check_ctx *ctx, const char *ca_file, const struct rb_ca **out, struct rb_error *err)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_CA_MAX_BYTES + 1);
    struct rb_ca *ca = rb_arena_alloc(ctx->arena, sizeof *ca);
    const char *path = ca_file[0] == '/' ? ca_file : rb_arena_printf(ctx->arena, "%s/%s", ctx->root, ca_file);
    if (!ca || !path)
        return rb_error_set(err, RB_ENOMEM, "no memory left for this run");
    struct rb_error why = {0};
    int code = rb_file_read(path, RB_CA_MAX_BYTES, false, &text, &why);
    if (code == RB_ELIMIT)
        return rb_error_set(err, code, "the CA bundle %s is larger than 1 MiB; give ca_file only the authorities that are needed", path);
    if (code < 0)
        return rb_error_set(err, code, "cannot read the CA bundle: %s; correct ca_file", why.message);
    const char *pem = rb_arena_strndup(ctx->arena, rb_buf_str(&text), text.len);
    if (!pem)
        return rb_error_set(err, RB_ENOMEM, "no memory left for this run");
    *ca = (struct rb_ca){.path = path, .pem = pem, .len = text.len};
    rb_sha256_of(pem, text.len, ca->digest);
    *out = ca;
    return 0;
}
