/* make_certs FOLDER: writes the test certificates (certs.h), for tests that are not written in C. */
#include <stdio.h>

#include "certs.h"

int main(int argc, char **argv)
{
    if (argc != 2 || !rb_test_make_certs(argv[1])) {
        fputs("usage: make_certs FOLDER (an existing one that can be written)\n", stderr);
        return 1;
    }
    return 0;
}
