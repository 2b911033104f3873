/* Fuzz target: any bytes as incident.json. They are tried as they stand, and once more as a document with a right header and checksum, so that what lies behind the checksum is reached too. What can
 * be read can be written, and reads back as the same. */
#include "fuzz.h"
#include "runbook/base/digest.h"
#include "runbook/incident/incident.h"

#define TRAILER "crc32c " /* as the file's format has it (docs/state-format.md) */

static void load(const char *text, size_t size)
{
    struct rb_incident *incident = NULL, *again = NULL;
    struct rb_error err = {0};
    struct rb_buf bytes;
    if (rb_incident_load(text, size, &incident, &err) < 0) {
        FUZZ_HOLDS(!incident && err.message[0] != '\0');
        return;
    }
    FUZZ_HOLDS(rb_incident_is_id(rb_incident_text(incident, "id")));
    FUZZ_HOLDS(rb_incident_text(incident, "title") && rb_incident_text(incident, "nothing of the kind"));
    (void)rb_incident_opened_ns(incident);
    (void)rb_incident_closed_ns(incident);
    (void)rb_incident_same_alerts(incident, "x");
    rb_buf_init(&bytes, RB_INCIDENT_MAX_BYTES * 2);
    const struct rb_incident_event note = {.kind = "note", .text = "a note", .who = "fuzz", .wall_ns = 1, .seq = 7};
    (void)!rb_incident_add(incident, &note, &err);
    if (rb_incident_save(incident, &bytes, &err) == 0 && bytes.len <= RB_INCIDENT_MAX_BYTES) {
        FUZZ_HOLDS(rb_incident_load(rb_buf_str(&bytes), bytes.len, &again, &err) == 0);
        FUZZ_HOLDS(strcmp(rb_incident_text(again, "id"), rb_incident_text(incident, "id")) == 0);
        FUZZ_HOLDS(rb_incident_is_open(again) == rb_incident_is_open(incident));
    }
    rb_buf_reset(&bytes);
    (void)!rb_incident_json(incident, &bytes, &err);
    rb_buf_fini(&bytes);
    rb_incident_free(again);
    rb_incident_free(incident);
}

/* Header, document, and the checksum of everything before it. */
static void load_as_document(const char *text, size_t size)
{
    struct rb_buf file;
    rb_buf_init(&file, FUZZ_IN_MAX + 256);
    rb_buf_adds(&file, "runbookd incident 1\n");
    rb_buf_add(&file, text, size);
    rb_buf_addc(&file, '\n');
    rb_buf_addf(&file, TRAILER "%08x\n", (unsigned)rb_crc32c(0, rb_buf_str(&file), file.len));
    load(rb_buf_str(&file), file.len);
    rb_buf_fini(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_IN_MAX)
        return 0;
    char *text = fuzz_string(data, size);
    load(text, size);
    load_as_document(text, size);
    free(text);
    return 0;
}
