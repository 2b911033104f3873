/* The post-mortem: a Markdown skeleton filled from an incident. What a machine cannot know is left as a line for people to replace.
 *
 * Headings by default: Summary, Impact Scope, Evidence Chain, Timeline (UTC), Root Cause, Remediation, Verification, Resolution Status, Follow-up; a team's own template may order them
 * as it likes and take parts by {{name}} (rb_postmortem_fields). The timeline is ordered by the journal's sequence, so a clock that was stepped back does not disorder it. Text from
 * outside is redacted and written so that it is text in any Markdown reader: no link, no HTML, no path ('/' becomes "&#47;"), no "key = value" that could be pasted. */
#ifndef RUNBOOK_INCIDENT_POSTMORTEM_H
#define RUNBOOK_INCIDENT_POSTMORTEM_H

#include "runbook/base/digest.h"
#include "runbook/incident/incident.h"

#define RB_POSTMORTEM_MAX          ((size_t)8 << 20)
#define RB_POSTMORTEM_TEMPLATE_MAX ((size_t)256 << 10)
#define RB_POSTMORTEM_FILES        8u

struct rb_postmortem_file {
    const char *name; /* basename */
    char digest[RB_SHA256_HEX];
    size_t size;
};
struct rb_postmortem_options {
    bool german;
    const char *template_text;              /* NULL: the built-in headings */
    const struct rb_postmortem_file *files; /* what was kept at the opening */
    size_t file_count;
    const char *triage; /* triage.txt as it was kept, or NULL */
};

/* Any thread, when nobody changes the incident. */
int rb_postmortem_render(const struct rb_incident *incident, const struct rb_postmortem_options *options, struct rb_buf *out,
                         struct rb_error *err) RB_MUST_CHECK;
/* "2026-08-22_prometheus-local-exits.md": day of the opening and the title in [a-z0-9-]. */
void rb_postmortem_name(const struct rb_incident *incident, char out[128]);
/* The names that a template may use, NULL-terminated. */
extern const char *const rb_postmortem_fields[];

#endif
