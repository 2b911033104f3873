/* Redaction: values that look like secrets never leave the process.
 *
 * Masks, by shape: user:password in URLs, Authorization/Cookie headers, key=value and "key": "value" whose key names a secret
 * (password, passwd, secret, token, api_key, apikey, private_key, credential, auth, ...), well-known token prefixes
 * (ghp_, github_pat_, glpat-, xox?-, sk-, sk_live_, AKIA/ASIA, AIza, eyJ…JWT, npm_, pypi-, …), PEM private key blocks.
 * The mask is "[redacted]". Deterministic, linear time, no allocation besides the output. */
#ifndef RUNBOOK_BASE_REDACT_H
#define RUNBOOK_BASE_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/buf.h"

#define RB_REDACTED "[redacted]"

/* Appends `text` with secrets masked; returns how many were masked. Input may be any bytes. Any thread. */
size_t rb_redact(struct rb_buf *out, const char *text, size_t len);
/* True when a key of this name holds a secret by its name alone (case-insensitive). */
bool rb_redact_key_is_secret(const char *key);

#endif
