/* Trust stores and handshake observation.
 *
 * Parsing the system's CA bundle costs about 20 ms of CPU: it is done once per bundle and again only when its file changed, then shared by every connection
 * (an X509_STORE is reference-counted and only read). A bundle of the configuration comes as bytes (check/ca.h): no file that a configuration names is opened here. The observer replaces OpenSSL's certificate callback by one that runs the ordinary
 * verification and then notes the chain and the first error; libcurl keeps only a number and a text of that. It runs for unverified connections too, where
 * OpenSSL ignores its verdict, so that `insecure` probes still report expiry. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "resolver.h"
#include "runbook/base/clock.h"
#include "runbook/check/ca.h"

enum { MAX_STORES = 16, MAX_CONTEXTS = 16, MAX_NAME_BYTES = 512, MAX_BUNDLE = RB_CA_MAX_BYTES };

struct store {
    char *key; /* path of the system's bundle, or digest of a configured one */
    time_t mtime;
    off_t size;
    ino_t inode;
    X509_STORE *store;
};

struct context {
    X509_STORE *store; /* identity: which trust store it was made with; NULL: insecure */
    int min_version;
    SSL_CTX *ctx;
};

struct rb_tls_cache {
    struct store stores[MAX_STORES];
    struct context contexts[MAX_CONTEXTS];
    size_t next_store, next_context; /* the oldest is replaced */
};

struct rb_tls_cache *rb_tls_cache_new(void)
{
    return calloc(1, sizeof(struct rb_tls_cache));
}

static void drop_context(struct context *context)
{
    SSL_CTX_free(context->ctx);
    X509_STORE_free(context->store);
    memset(context, 0, sizeof *context);
}

static void drop_store(struct store *store)
{
    X509_STORE_free(store->store);
    free(store->key);
    memset(store, 0, sizeof *store);
}

void rb_tls_cache_free(struct rb_tls_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < MAX_CONTEXTS; i++)
        drop_context(&cache->contexts[i]);
    for (size_t i = 0; i < MAX_STORES; i++)
        drop_store(&cache->stores[i]);
    free(cache);
}

void rb_tls_probe_init(struct rb_tls_probe *probe, struct rb_arena *arena)
{
    memset(probe, 0, sizeof *probe);
    probe->arena = arena;
    probe->alert = -1;
}

/* ---- trust stores ---- */

/* The bundle that programs of this system use, in the order in which OpenSSL and curl look. */
static const char *system_bundle(void)
{
    static const char *const known[] = {
        "/etc/ssl/certs/ca-certificates.crt",   "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem",
        "/opt/homebrew/etc/openssl@3/cert.pem", "/usr/local/etc/openssl@3/cert.pem"};
    const char *named = getenv(X509_get_default_cert_file_env());
    struct stat st;
    if (named && *named)
        return named;
    if (stat(X509_get_default_cert_file(), &st) == 0)
        return X509_get_default_cert_file();
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (stat(known[i], &st) == 0)
            return known[i];
    }
    return NULL;
}

/* Every certificate and revocation list of a PEM text; false when there is none or one is broken. */
static bool add_pem(X509_STORE *store, const struct rb_ca *ca)
{
    BIO *bio = BIO_new_mem_buf(ca->pem, (int)ca->len);
    STACK_OF(X509_INFO) *found = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
    size_t added = 0;
    bool good = found != NULL;
    for (int i = 0; good && i < sk_X509_INFO_num(found); i++) {
        const X509_INFO *info = sk_X509_INFO_value(found, i);
        good = (!info->x509 || X509_STORE_add_cert(store, info->x509) == 1) && (!info->crl || X509_STORE_add_crl(store, info->crl) == 1);
        added += info->x509 || info->crl;
    }
    sk_X509_INFO_pop_free(found, X509_INFO_free);
    BIO_free(bio);
    return good && added > 0;
}

/* `ca` NULL: the file `key`. */
static X509_STORE *load_store(struct rb_tls_cache *cache, const char *key, const struct stat *st, const struct rb_ca *ca,
                              struct rb_error *err)
{
    struct store fresh = {.key = strdup(key), .mtime = st->st_mtime, .size = st->st_size, .inode = st->st_ino, .store = X509_STORE_new()};
    if (!fresh.key || !fresh.store) {
        drop_store(&fresh);
        rb_error_set(err, RB_ENOMEM, "no memory for the certificates of %s", ca ? ca->path : key);
        return NULL;
    }
    if (ca ? !add_pem(fresh.store, ca) : X509_STORE_load_file(fresh.store, key) != 1) {
        ERR_clear_error();
        drop_store(&fresh);
        rb_error_set(err, RB_EPARSE, "%s holds no readable PEM certificates; correct %s", ca ? ca->path : key,
                     ca ? "ca_file" : "SSL_CERT_FILE or set ca_file");
        return NULL;
    }
    ERR_clear_error(); /* the end of a PEM text is one */
    /* As curl does: a trusted intermediate ends the chain, and trusted certificates are preferred to sent ones. */
    X509_STORE_set_flags(fresh.store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    struct store *slot = &cache->stores[cache->next_store];
    cache->next_store = (cache->next_store + 1) % MAX_STORES;
    drop_store(slot);
    *slot = fresh;
    return fresh.store;
}

static X509_STORE *known_store(struct rb_tls_cache *cache, const char *key, const struct stat *st)
{
    for (size_t i = 0; i < MAX_STORES; i++) {
        struct store *store = &cache->stores[i];
        if (!store->key || strcmp(store->key, key) != 0)
            continue;
        if (store->mtime == st->st_mtime && store->size == st->st_size && store->inode == st->st_ino)
            return store->store;
        drop_store(store);
    }
    return NULL;
}

/* The system's store, borrowed; read again when its file changed. */
static X509_STORE *system_store(struct rb_tls_cache *cache, struct rb_error *err)
{
    const char *path = system_bundle();
    struct stat st;
    if (!path) {
        rb_error_set(err, RB_ENOTFOUND, "no CA bundle found on this system; set ca_file or SSL_CERT_FILE");
        return NULL;
    }
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        rb_error_set(err, RB_ENOTFOUND, "cannot read the CA bundle %s; correct SSL_CERT_FILE or set ca_file", path);
        return NULL;
    }
    if (st.st_size > MAX_BUNDLE) { /* it is parsed on the loop thread, about 100 ms a megabyte */
        rb_error_set(err, RB_ELIMIT, "the CA bundle %s is larger than 1 MiB; set ca_file to one with only the authorities that are needed",
                     path);
        return NULL;
    }
    X509_STORE *store = known_store(cache, path, &st);
    return store ? store : load_store(cache, path, &st, NULL, err);
}

/* The store of what a check trusts, borrowed. */
static X509_STORE *find_store(struct rb_tls_cache *cache, const struct rb_ca *ca, struct rb_error *err)
{
    static const struct stat none;
    if (!ca)
        return system_store(cache, err);
    X509_STORE *store = known_store(cache, ca->digest, &none);
    return store ? store : load_store(cache, ca->digest, &none, ca, err);
}

/* ---- observation ---- */

static const char *name_text(struct rb_arena *arena, const X509_NAME *name)
{
    char text[MAX_NAME_BYTES] = "";
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio)
        return NULL;
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
        int got = BIO_read(bio, text, (int)sizeof text - 1);
        text[got > 0 ? got : 0] = '\0';
    }
    BIO_free(bio);
    return rb_arena_strdup(arena, text);
}

static int64_t wall_of(const ASN1_TIME *time)
{
    struct tm tm = {0};
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * RB_NS_PER_S;
}

static void note_chain(struct rb_tls_probe *probe, X509_STORE_CTX *store_ctx)
{
    struct rb_tls_info *info = &probe->info;
    X509 *leaf = X509_STORE_CTX_get0_cert(store_ctx);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store_ctx);
    if (!leaf)
        return;
    info->subject = name_text(probe->arena, X509_get_subject_name(leaf));
    info->issuer = name_text(probe->arena, X509_get_issuer_name(leaf));
    info->leaf_not_after_wall_ns = info->not_after_wall_ns = wall_of(X509_get0_notAfter(leaf));
    info->chain_length = sent ? (unsigned)sk_X509_num(sent) : 1;
    for (int i = 0; sent && i < sk_X509_num(sent); i++) {
        int64_t end = wall_of(X509_get0_notAfter(sk_X509_value(sent, i)));
        if (end != 0 && end < info->not_after_wall_ns)
            info->not_after_wall_ns = end;
    }
}

static struct rb_tls_probe *probe_of(const SSL *ssl)
{
    struct rb_tls_probe *probe = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return probe ? probe : SSL_get_app_data(ssl);
}

static int on_certificate(X509_STORE_CTX *store_ctx, void *arg RB_UNUSED)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct rb_tls_probe *probe = ssl ? probe_of(ssl) : NULL;
    bool wrong_store = probe && probe->store && X509_STORE_CTX_get0_store(store_ctx) != probe->store;
    int good = wrong_store ? 0 : X509_verify_cert(store_ctx);
    /* libcurl may put a store of its own into our context; a chain is never judged by that. */
    if (wrong_store)
        X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_STORE_LOOKUP);
    if (probe) {
        probe->verify_error = good == 1 ? X509_V_OK : X509_STORE_CTX_get_error(store_ctx);
        note_chain(probe, store_ctx);
    }
    return good;
}

static void on_info(const SSL *ssl, int where, int value)
{
    struct rb_tls_probe *probe = probe_of(ssl);
    if (!probe)
        return;
    probe->info.used = true;
    if (where & SSL_CB_ALERT && value >> 8 == SSL3_AL_FATAL)
        probe->alert = value & 0xff;
    if (where & SSL_CB_HANDSHAKE_DONE) {
        probe->info.version = SSL_get_version(ssl);
        probe->info.verified = probe->verify_error == X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
    }
}

/* ---- contexts and connections ---- */

static int version_code(int min_version)
{
    switch (min_version) {
    case 10:
        return TLS1_VERSION;
    case 11:
        return TLS1_1_VERSION;
    case 13:
        return TLS1_3_VERSION;
    default:
        return TLS1_2_VERSION;
    }
}

static void set_context(SSL_CTX *ctx, const struct rb_tls_options *options, X509_STORE *store)
{
    SSL_CTX_set_min_proto_version(ctx, version_code(options->min_version));
    /* OpenSSL 3 refuses TLS 1.0 and 1.1 above security level 0, whatever the lowest version says. */
    if (options->min_version == 10 || options->min_version == 11)
        SSL_CTX_set_cipher_list(ctx, "DEFAULT:@SECLEVEL=0");
    if (store)
        SSL_CTX_set1_cert_store(ctx, store);
    SSL_CTX_set_cert_verify_callback(ctx, on_certificate, NULL);
    SSL_CTX_set_info_callback(ctx, on_info);
}

int rb_tls_prepare(struct rb_tls_cache *cache, SSL_CTX *ctx, const struct rb_tls_options *options, struct rb_tls_probe *probe,
                   struct rb_error *err)
{
    X509_STORE *store = options->insecure ? NULL : find_store(cache, options->ca, err);
    if (!store && !options->insecure)
        return RB_ENOTFOUND;
    set_context(ctx, options, store);
    probe->store = store;
    SSL_CTX_set_app_data(ctx, probe);
    return 0;
}

/* A context for our own connections, borrowed; making one takes longer than a handshake on loopback. */
static SSL_CTX *find_context(struct rb_tls_cache *cache, const struct rb_tls_options *options, X509_STORE *store, struct rb_error *err)
{
    for (size_t i = 0; i < MAX_CONTEXTS; i++) {
        struct context *context = &cache->contexts[i];
        if (context->ctx && context->store == store && context->min_version == options->min_version)
            return context->ctx;
    }
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) {
        rb_error_set(err, RB_ENOMEM, "no memory for a TLS context");
        return NULL;
    }
    set_context(ctx, options, store);
    SSL_CTX_set_verify(ctx, store ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    struct context *slot = &cache->contexts[cache->next_context];
    cache->next_context = (cache->next_context + 1) % MAX_CONTEXTS;
    drop_context(slot);
    if (store)
        X509_STORE_up_ref(store);
    *slot = (struct context){.store = store, .min_version = options->min_version, .ctx = ctx};
    return ctx;
}

static bool set_peer_name(SSL *ssl, const char *name, bool verify)
{
    struct rb_address address;
    if (rb_address_parse(name, &address)) {
        char text[RB_ADDRESS_TEXT];
        return !verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), rb_address_print(&address, text)) == 1;
    }
    char copy[MAX_NAME_BYTES]; /* OpenSSL's macro wants a writable one */
    size_t len = strlen(name);
    if (len >= sizeof copy)
        return false;
    memcpy(copy, name, len + 1);
    return SSL_set_tlsext_host_name(ssl, copy) == 1 && (!verify || SSL_set1_host(ssl, name) == 1);
}

SSL *rb_tls_connection(struct rb_tls_cache *cache, const struct rb_tls_options *options, const char *host, struct rb_tls_probe *probe,
                       struct rb_error *err)
{
    X509_STORE *store = options->insecure ? NULL : find_store(cache, options->ca, err);
    if (!store && !options->insecure)
        return NULL;
    SSL_CTX *ctx = find_context(cache, options, store, err);
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    const char *name = options->server_name ? options->server_name : host;
    if (!ssl || (name && !set_peer_name(ssl, name, !options->insecure))) {
        SSL_free(ssl);
        rb_error_set(err, RB_EINVAL, "cannot set up TLS for %s", name ? name : "a unix socket");
        return NULL;
    }
    probe->store = store;
    SSL_set_app_data(ssl, probe);
    return ssl;
}

/* ---- verdicts ---- */

enum rb_net_failure rb_tls_failure(const struct rb_tls_probe *probe)
{
    switch (probe->verify_error) {
    case X509_V_OK:
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return RB_NET_TLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return RB_NET_TLS_NOT_YET_VALID;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: /* further up in the chain it is an authority that nobody trusts */
        return RB_NET_TLS_SELF_SIGNED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return RB_NET_TLS_HOST_MISMATCH;
    case X509_V_ERR_CERT_REVOKED:
        return RB_NET_TLS_REVOKED;
    default:
        return RB_NET_TLS_UNTRUSTED;
    }
    if (probe->alert == SSL_AD_PROTOCOL_VERSION)
        return RB_NET_TLS_VERSION;
    return RB_NET_TLS_HANDSHAKE;
}

const char *rb_tls_detail(const struct rb_tls_probe *probe)
{
    if (probe->verify_error != X509_V_OK)
        return rb_arena_printf(probe->arena, "%s (certificate of %s)", X509_verify_cert_error_string(probe->verify_error),
                               probe->info.subject ? probe->info.subject : "unknown subject");
    if (probe->alert == SSL_AD_PROTOCOL_VERSION)
        return "no TLS version in common";
    if (probe->alert >= 0)
        return rb_arena_printf(probe->arena, "TLS alert: %s", SSL_alert_desc_string_long(probe->alert));
    return "the other side does not speak TLS";
}
