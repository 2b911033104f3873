/* A tiny certificate authority for tests, on libcrypto. */
#include "certs.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { DAY = 86400 };

struct wish {
    const char *file, *common_name, *names;
    long from_s, until_s; /* counted from now */
    bool authority, self_signed;
};

static bool extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool fine = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return fine;
}

static X509 *make(const struct wish *wish, long serial, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();
    if (!certificate)
        return NULL;
    X509_NAME *name = X509_get_subject_name(certificate);
    X509 *signer = issuer ? issuer : certificate;
    bool fine = X509_set_version(certificate, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), wish->from_s) &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), wish->until_s) &&
                X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wish->common_name, -1, -1, 0) == 1 &&
                X509_set_issuer_name(certificate, X509_get_subject_name(signer)) == 1 && X509_set_pubkey(certificate, key) == 1;
    if (wish->authority)
        fine = fine && extend(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
    if (wish->names)
        fine = fine && extend(certificate, signer, NID_subject_alt_name, wish->names);
    if (fine && X509_sign(certificate, issuer_key ? issuer_key : key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static bool write_files(const char *folder, const char *file, X509 *certificate, EVP_PKEY *key)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    bool fine = (!key || PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1) && PEM_write_X509(out, certificate) == 1;
    return fclose(out) == 0 && fine;
}

bool rb_test_make_certs(const char *folder)
{
    static const char names[] = "DNS:localhost,IP:127.0.0.1";
    static const struct wish authority = {"ca.pem", "Test CA", NULL, -DAY, 400L * DAY, true, false};
    static const struct wish wishes[] = {{"good.pem", "localhost", names, -DAY, 30L * DAY, false, false},
                                         {"expired.pem", "localhost", names, -10L * DAY, -DAY, false, false},
                                         {"future.pem", "localhost", names, 10L * DAY, 30L * DAY, false, false},
                                         {"otherhost.pem", "other.example", "DNS:other.example", -DAY, 30L * DAY, false, false},
                                         {"selfsigned.pem", "localhost", names, -DAY, 30L * DAY, false, true}};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *leaf_key = EVP_EC_gen("P-256");
    X509 *ca = key ? make(&authority, 1, key, NULL, NULL) : NULL;
    bool fine = leaf_key && ca && write_files(folder, authority.file, ca, NULL);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0] && fine; i++) {
        bool self = wishes[i].self_signed;
        X509 *leaf = make(&wishes[i], (long)i + 2, leaf_key, self ? NULL : ca, self ? NULL : key);
        fine = leaf && write_files(folder, wishes[i].file, leaf, leaf_key);
        X509_free(leaf);
    }
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(leaf_key);
    return fine;
}
