/* Reads the template and what was kept at the opening, then lets the library write. */
#include "postmortem.h"

#include <stdio.h>
#include <string.h>

#include "runbook/incident/postmortem.h"
#include "runbook/platform/platform.h"

#define PATH_SIZE 4608u
#define KEPT_MAX  ((size_t)64 << 20)

void rb_postmortem_template_path(const struct rb_plan *plan, char *out, size_t out_size)
{
    const char *path = plan->daemon.postmortem_template;
    if (path == NULL)
        out[0] = '\0';
    else
        snprintf(out, out_size, "%s%s%s", path[0] == '/' ? "" : plan->daemon.root, path[0] == '/' ? "" : "/", path);
}

static void read_kept(const char *dir, const char *id, struct rb_postmortem_file *file, struct rb_buf *out)
{
    char path[PATH_SIZE];
    struct rb_error ignored;
    snprintf(path, sizeof path, "%s/" RB_INCIDENT_FOLDER "/%s/%s", dir, id, file->name);
    file->digest[0] = '\0';
    file->size = 0;
    if (dir[0] == '\0' || rb_file_read(path, KEPT_MAX, true, out, &ignored) < 0) {
        rb_buf_reset(out);
        return;
    }
    rb_sha256_of(rb_buf_str(out), out->len, file->digest);
    file->size = out->len;
}

int rb_postmortem_make(const struct rb_incident *incident, const char *state_dir, const char *template_path, bool german,
                       struct rb_buf *out, struct rb_error *err)
{
    struct rb_postmortem_file files[] = {{.name = "status.json"}, {.name = "triage.json"}, {.name = "triage.txt"}};
    size_t count = sizeof files / sizeof files[0];
    RB_BUF_AUTO template_text;
    RB_BUF_AUTO kept;
    rb_buf_init(&template_text, RB_POSTMORTEM_TEMPLATE_MAX);
    rb_buf_init(&kept, KEPT_MAX);
    if (template_path[0] != '\0' && rb_file_read(template_path, RB_POSTMORTEM_TEMPLATE_MAX, false, &template_text, err) < 0)
        return rb_error_prefix(err, "daemon.postmortem_template");
    for (size_t i = 0; i < count; i++) {
        rb_buf_reset(&kept);
        read_kept(state_dir, rb_incident_text(incident, "id"), &files[i], &kept);
    }
    const struct rb_postmortem_options options = {.german = german,
                                                  .template_text = template_path[0] != '\0' ? rb_buf_str(&template_text) : NULL,
                                                  .files = files,
                                                  .file_count = count,
                                                  .triage = kept.len > 0 ? rb_buf_str(&kept) : NULL};
    return rb_postmortem_render(incident, &options, out, err);
}
