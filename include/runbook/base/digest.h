/* SHA-256 (FIPS 180-4, by OpenSSL) as lower-case hex, a streaming form, and CRC-32C for line checksums. */
#ifndef RUNBOOK_BASE_DIGEST_H
#define RUNBOOK_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "runbook/base/error.h"

#define RB_SHA256_HEX 65 /* with the terminator */

struct rb_sha256;
struct rb_sha256 *rb_sha256_new(void); /* NULL when memory is out */
void rb_sha256_add(struct rb_sha256 *sha, const void *bytes, size_t len);
void rb_sha256_hex(struct rb_sha256 *sha, char out[RB_SHA256_HEX]); /* ends it; only free afterwards */
void rb_sha256_free(struct rb_sha256 *sha);

void rb_sha256_of(const void *bytes, size_t len, char out[RB_SHA256_HEX]);
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). Start with crc 0; may be chained. */
uint32_t rb_crc32c(uint32_t crc, const void *bytes, size_t len);
/* Compares without early exit; true when equal. Lengths are not secret. */
int rb_equal_constant_time(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
