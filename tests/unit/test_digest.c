/* Digests against published vectors. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/digest.h"

/* FIPS 180-4 examples. */
static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

START_TEST(sha256_vectors)
{
    char hex[RB_SHA256_HEX];
    rb_sha256_of("abc", 3, hex);
    ck_assert_str_eq(hex, abc);
    rb_sha256_of(NULL, 0, hex);
    ck_assert_str_eq(hex, empty);
}
END_TEST

START_TEST(streaming_equals_one_shot)
{
    char hex[RB_SHA256_HEX];
    struct rb_sha256 *sha = rb_sha256_new();
    rb_sha256_add(sha, "a", 1);
    rb_sha256_add(sha, NULL, 0);
    rb_sha256_add(sha, "bc", 2);
    rb_sha256_hex(sha, hex);
    rb_sha256_free(sha);
    rb_sha256_free(NULL);
    ck_assert_str_eq(hex, abc);
}
END_TEST

START_TEST(crc32c_vectors)
{
    /* RFC 3720 B.4 and the usual check value. */
    unsigned char zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    ck_assert_uint_eq(rb_crc32c(0, "123456789", 9), 0xe3069283U);
    ck_assert_uint_eq(rb_crc32c(0, zeros, 32), 0x8a9136aaU);
    ck_assert_uint_eq(rb_crc32c(0, ones, 32), 0x62a8ab43U);
    ck_assert_uint_eq(rb_crc32c(rb_crc32c(0, "1234", 4), "56789", 5), 0xe3069283U);
    ck_assert_uint_eq(rb_crc32c(0, "", 0), 0);
}
END_TEST

START_TEST(constant_time_comparison)
{
    ck_assert(rb_equal_constant_time("token", 5, "token", 5));
    ck_assert(!rb_equal_constant_time("token", 5, "tokeN", 5));
    ck_assert(!rb_equal_constant_time("token", 5, "toke", 4));
    ck_assert(rb_equal_constant_time("", 0, "", 0));
}
END_TEST

RB_TEST_MAIN("digest", sha256_vectors, streaming_equals_one_shot, crc32c_vectors, constant_time_comparison)
