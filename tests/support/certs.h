/* Certificates for tests, made on the spot: dates in files age. */
#ifndef RUNBOOK_TESTS_CERTS_H
#define RUNBOOK_TESTS_CERTS_H

#include <stdbool.h>

/* Writes ca.pem and good.pem, expired.pem, future.pem, otherhost.pem (key, certificate; issued by the CA) and selfsigned.pem for "localhost" and 127.0.0.1
 * (otherhost: other.example) into `folder`. `good` ends in 30 days. False when anything fails. */
bool rb_test_make_certs(const char *folder);

#endif
