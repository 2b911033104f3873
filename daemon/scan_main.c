/* runbookd-scan: the scan helper as a program of its own, linked with what a scan needs and nothing else.
 *
 * Why: a pass over a tree takes some 50 ms, and of a start of `runbookd --scan-helper` 9 ms went into loading 55 libraries (HTTP, TLS, archives) and 6 more into reading
 * certificate authorities. The code is the daemon's own, so the daemon can always be the helper itself where this program is missing. */
#include "runbook/platform/platform.h"

#include "run.h"

/* Takes the place of mbedTLS's function, which libgit2 calls at its start where it was built with mbedTLS (Debian): every certificate authority of the system would be
 * parsed, for remotes that this program never talks to. libgit2 goes on without them. Elsewhere nobody calls this. */
#define MBEDTLS_ERR_X509_FILE_IO_ERROR (-0x2900)
__attribute__((visibility("default"))) int mbedtls_x509_crt_parse_file(void *chain, const char *path);

int mbedtls_x509_crt_parse_file(void *chain RB_UNUSED, const char *path RB_UNUSED)
{
    return MBEDTLS_ERR_X509_FILE_IO_ERROR;
}

int main(void)
{
    rb_platform_host()->return_memory();
    return rb_scan_helper_main();
}
