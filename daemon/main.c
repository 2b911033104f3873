/* The program: the scan helper when it is started as one, else the command line. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "run.h"
#include "runbook/platform/platform.h"

int main(int argc, char **argv)
{
    rb_platform_host()->return_memory();
    json_set_alloc_funcs(malloc, rb_free_wiped); /* answers of the Docker engine hold environments */
    if (argc == 2 && strcmp(argv[1], "--scan-helper") == 0)
        return rb_scan_helper_main();
    return rb_cli_main(argc, argv);
}
