/* A request head cut from the input at newlines: target, Host, Origin, Sec-Fetch-Site, Authorization, Content-Length, Content-Type.
 * Holds: a target that passes decodes to an absolute path without dot segments or controls; what changes state never passes without the token. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "runbook/base/http_guard.h"

static const char *const hosts[] = {"localhost", "127.0.0.1", "::1", NULL};

static void check_path(const struct rb_request_head *head)
{
    char path[FUZZ_IN_MAX + 1];
    FUZZ_HOLDS(rb_guard_path(head, path, sizeof path) == 0);
    FUZZ_HOLDS(path[0] == '/');
    FUZZ_HOLDS(!strstr(path, "/../") && !strstr(path, "/./"));
    size_t len = strlen(path);
    FUZZ_HOLDS(len < 3 || strcmp(path + len - 3, "/..") != 0);
    for (size_t i = 0; i < len; i++)
        FUZZ_HOLDS((unsigned char)path[i] >= 0x20 && path[i] != 0x7f && path[i] != '\\');
}

static struct rb_request_head head_of(char *rest)
{
    char *fields[7] = {NULL};
    for (size_t i = 0; i < 7 && rest; i++) {
        fields[i] = rest;
        rest = strchr(rest, '\n');
        if (rest)
            *rest++ = '\0';
    }
    return (struct rb_request_head){
        .raw_target = fields[0],
        .raw_target_len = fields[0] ? strlen(fields[0]) : 0,
        .method = "POST",
        .version = "HTTP/1.1",
        .host_count = fields[1] != NULL,
        .host = fields[1],
        .origin = fields[2],
        .sec_fetch_site = fields[3] && *fields[3] ? fields[3] : NULL,
        .authorization = fields[4],
        .authorization_count = fields[4] != NULL,
        .content_length_count = fields[5] != NULL,
        .content_length = fields[5],
        .content_type = fields[6],
        .has_body = true,
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    const struct rb_guard_policy policy = {
        .allowed_hosts = hosts, .local_listener = true, .token = "token", .max_target = 2048, .max_body = 65536};
    const struct rb_guard_route route = {.changes_state = true, .wants_json = true};
    char *text = fuzz_string(data, size);
    struct rb_request_head head = head_of(text);
    if (rb_guard_head(&policy, &head).status == 0)
        check_path(&head);
    if (rb_guard_route_check(&policy, &head, &route).status == 0)
        FUZZ_HOLDS(head.authorization && strstr(head.authorization, "token") && (!head.origin || strncmp(head.origin, "http", 4) == 0));
    free(text);
    return 0;
}
