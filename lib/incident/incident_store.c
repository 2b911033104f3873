/* All incidents of a state folder: reading them at the start, finding, opening, retiring; and the few calls that touch their folders.
 *
 * The list is short (RB_INCIDENTS_MAX) and ordered by opening, so every search is a walk. Files are written through rb_file_replace: old or new, never torn. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/digest.h"
#include "runbook/incident/incident.h"
#include "runbook/platform/platform.h"
#include "runbook/state/files.h"

#define PATH_SIZE 4352u

/* ---- folders ---- */

static int make_folder(const char *path, struct rb_error *err)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : rb_error_sys(err, errno, "cannot make the folder %s", path);
}

int rb_incident_write_file(const char *dir, const char *id, const char *name, const void *bytes, size_t len, struct rb_error *err)
{
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%s/" RB_INCIDENT_FOLDER, dir);
    int rc = make_folder(folder, err);
    snprintf(folder, sizeof folder, "%s/" RB_INCIDENT_FOLDER "/%s", dir, id);
    if (rc == 0)
        rc = make_folder(folder, err);
    return rc < 0 ? rc : rb_file_replace(folder, name, bytes, len, 0600, err);
}

void rb_incident_remove_folder(const char *dir, const char *id)
{
    static const char *const names[] = {"status.json", "triage.json", "triage.txt", RB_INCIDENT_FILE};
    char path[PATH_SIZE + 64];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/" RB_INCIDENT_FOLDER "/%s/%s", dir, id, names[i]);
        (void)unlink(path);
    }
    snprintf(path, sizeof path, "%s/" RB_INCIDENT_FOLDER "/%s", dir, id);
    (void)rmdir(path); /* stays when somebody put a file of their own there */
}

/* ---- loading ---- */

static int by_opening(const void *a, const void *b)
{
    const struct rb_incident *x = *(struct rb_incident *const *)a, *y = *(struct rb_incident *const *)b;
    int64_t x_ns = rb_incident_opened_ns(x), y_ns = rb_incident_opened_ns(y);
    return x_ns != y_ns ? (x_ns < y_ns ? -1 : 1) : strcmp(rb_incident_text(x, "id"), rb_incident_text(y, "id"));
}

static int read_one(const char *folder, const char *id, struct rb_incident **out, struct rb_error *err)
{
    char path[PATH_SIZE + 320];
    snprintf(path, sizeof path, "%s/%s/" RB_INCIDENT_FILE, folder, id);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_INCIDENT_MAX_BYTES);
    int rc = rb_file_read(path, RB_INCIDENT_MAX_BYTES, true, &text, err);
    if (rc == 0)
        rc = rb_incident_load(rb_buf_str(&text), text.len, out, err);
    if (rc == 0 && strcmp(rb_incident_text(*out, "id"), id) != 0) {
        rb_incident_free(*out);
        *out = NULL;
        return rb_error_set(err, RB_ECORRUPT, "the incident's file names another incident");
    }
    return rc;
}

static void tell_damaged(struct rb_incidents_report *report, const char *name)
{
    if (report->damaged++ == 0)
        snprintf(report->first_damaged, sizeof report->first_damaged, "%s", name);
}

/* A folder without a file is an opening that a crash cut off before anything was promised: it is only left out. */
static void take_one(struct rb_incidents *incidents, const char *folder, const char *id, int64_t wall_ns, bool writable,
                     struct rb_incidents_report *report)
{
    struct rb_incident *incident = NULL;
    struct rb_error err = {0};
    int rc = read_one(folder, id, &incident, &err);
    if (rc == 0 && incidents->count == RB_INCIDENTS_MAX) {
        report->left_out++;
        rb_incident_free(incident);
    } else if (rc == 0) {
        incidents->items[incidents->count++] = incident;
    } else if (rc == RB_ECORRUPT) {
        char aside[256];
        bool moved = writable && rb_file_set_aside(folder, id, wall_ns, aside, sizeof aside, NULL) == 0;
        tell_damaged(report, moved ? aside : id);
    }
}

int rb_incidents_load(struct rb_incidents *incidents, const char *dir, int64_t wall_ns, bool writable, struct rb_incidents_report *report,
                      struct rb_error *err)
{
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%s/" RB_INCIDENT_FOLDER, dir);
    DIR *entries = opendir(folder);
    if (!entries)
        return errno == ENOENT ? 0 : rb_error_sys(err, errno, "cannot read the folder %s", folder);
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (rb_incident_is_id(entry->d_name))
            take_one(incidents, folder, entry->d_name, wall_ns, writable, report);
    }
    (void)closedir(entries);
    qsort(incidents->items, incidents->count, sizeof incidents->items[0], by_opening);
    incidents->total = incidents->count;
    return 0;
}

static uint64_t last_seq(const struct rb_incident *incident)
{
    static const char *const fields[] = {"opened_seq", "closed_seq", "collected_seq"};
    json_int_t last = 0;
    size_t at;
    const json_t *event;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        json_int_t seq = json_integer_value(json_object_get(incident->doc, fields[i]));
        last = seq > last ? seq : last;
    }
    json_array_foreach(json_object_get(incident->doc, "events"), at, event)
    {
        json_int_t seq = json_integer_value(json_object_get(event, "seq"));
        last = seq > last ? seq : last;
    }
    return (uint64_t)last;
}

uint64_t rb_incidents_last_seq(const struct rb_incidents *incidents)
{
    uint64_t last = 0;
    for (size_t i = 0; i < incidents->count; i++) {
        uint64_t seq = last_seq(incidents->items[i]);
        last = seq > last ? seq : last;
    }
    return last;
}

void rb_incidents_fini(struct rb_incidents *incidents)
{
    for (size_t i = 0; i < incidents->count; i++)
        rb_incident_free(incidents->items[i]);
    incidents->count = 0;
}

/* ---- finding ---- */

struct rb_incident *rb_incidents_find(const struct rb_incidents *incidents, const char *id)
{
    for (size_t i = 0; i < incidents->count; i++) {
        if (strcmp(rb_incident_text(incidents->items[i], "id"), id) == 0)
            return incidents->items[i];
    }
    return NULL;
}

struct rb_incident *rb_incidents_of_group(const struct rb_incidents *incidents, const char *group_key, int64_t wall_ns)
{
    char digest[RB_SHA256_HEX];
    rb_sha256_of(group_key, strlen(group_key), digest);
    for (size_t i = incidents->count; i-- > 0;) {
        struct rb_incident *incident = incidents->items[i];
        bool recent = rb_incident_is_open(incident) || wall_ns - rb_incident_closed_ns(incident) < RB_INCIDENTS_REOPEN_NS;
        if (recent && strcmp(rb_incident_text(incident, "group_key_digest"), digest) == 0)
            return incident;
    }
    return NULL;
}

size_t rb_incidents_open_count(const struct rb_incidents *incidents)
{
    size_t open = 0;
    for (size_t i = 0; i < incidents->count; i++)
        open += rb_incident_is_open(incidents->items[i]);
    return open;
}

/* ---- opening and retiring ---- */

static bool is_taken(void *ctx, const char *id)
{
    return rb_incidents_find(ctx, id) != NULL;
}

int rb_incidents_open(struct rb_incidents *incidents, const struct rb_incident_opening *opening, struct rb_incident **out,
                      struct rb_error *err)
{
    if (rb_incidents_open_count(incidents) >= RB_INCIDENTS_OPEN_MAX || incidents->count >= RB_INCIDENTS_MAX)
        return rb_error_set(err, RB_ELIMIT, "%u incidents are open, which is the most; close some: runbookd incident close ID",
                            RB_INCIDENTS_OPEN_MAX);
    char id[RB_INCIDENT_ID_SIZE];
    rb_incident_make_id(opening, is_taken, incidents, id);
    struct rb_incident *incident = rb_incident_new(opening, id);
    if (!incident)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    incidents->items[incidents->count++] = incident;
    incidents->total++;
    *out = incident;
    return 0;
}

struct rb_incident *rb_incidents_retire(struct rb_incidents *incidents, int64_t wall_ns, size_t spare)
{
    size_t oldest = SIZE_MAX;
    for (size_t i = 0; i < incidents->count; i++) {
        if (rb_incident_is_open(incidents->items[i]))
            continue;
        if (oldest == SIZE_MAX || rb_incident_closed_ns(incidents->items[i]) < rb_incident_closed_ns(incidents->items[oldest]))
            oldest = i;
    }
    if (oldest == SIZE_MAX)
        return NULL;
    struct rb_incident *incident = incidents->items[oldest];
    bool old = wall_ns - rb_incident_closed_ns(incident) > RB_INCIDENTS_AGE_NS;
    if (!old && incidents->count + spare <= RB_INCIDENTS_MAX)
        return NULL;
    memmove(&incidents->items[oldest], &incidents->items[oldest + 1], (incidents->count - oldest - 1) * sizeof incidents->items[0]);
    incidents->count--;
    return incident;
}

/* ---- JSON ---- */

static int dump(json_t *take_value, struct rb_buf *out, struct rb_error *err)
{
    char *text = take_value ? json_dumps(take_value, JSON_COMPACT) : NULL;
    json_decref(take_value);
    if (!text)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    rb_buf_adds(out, text);
    rb_buf_addc(out, '\n');
    free(text);
    return rb_buf_check(out, "incidents", err);
}

int rb_incidents_list_json(const struct rb_incidents *incidents, struct rb_buf *out, struct rb_error *err)
{
    json_t *list = json_array();
    for (size_t i = incidents->count; i-- > 0;) {
        json_t *doc = incidents->items[i]->doc;
        (void)json_array_append_new(list, json_pack("{s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:I}", "id", json_object_get(doc, "id"),
                                                    "state", json_object_get(doc, "state"), "severity", json_object_get(doc, "severity"),
                                                    "title", json_object_get(doc, "title"), "source", json_object_get(doc, "source"),
                                                    "opened", json_object_get(doc, "opened"), "closed", json_object_get(doc, "closed"),
                                                    "events", (json_int_t)json_array_size(json_object_get(doc, "events"))));
    }
    return dump(json_pack("{s:o}", "incidents", list), out, err);
}

int rb_incident_json(const struct rb_incident *incident, struct rb_buf *out, struct rb_error *err)
{
    return dump(json_incref(incident->doc), out, err);
}
