/* Alertmanager's webhook, version 4 (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; payloads of a real 0.25 in tests/data).
 *
 * Required: version "4", groupKey, status, alerts, and of each alert status and labels. Everything else may be missing or unknown. Labels and annotations are hostile text. */
#ifndef RUNBOOK_INCIDENT_WEBHOOK_H
#define RUNBOOK_INCIDENT_WEBHOOK_H

#include "runbook/base/arena.h"
#include "runbook/base/digest.h"
#include "runbook/incident/incident.h"

#define RB_WEBHOOK_BODY_MAX ((size_t)1 << 20) /* bytes */

struct rb_webhook {
    const char *group_key;
    bool firing;                        /* of the group: it stays so while one alert of it fires */
    const char *name;                   /* an alertname, for the id */
    const char *title;                  /* one line: what the group is about */
    const char *text;                   /* one line: which alerts fire and which are resolved */
    enum rb_incident_severity severity; /* the highest among the alerts */
    size_t alerts;                      /* that count */
    size_t self;                        /* left out: about runbookd itself */
    uint64_t truncated;                 /* that Alertmanager left out */
    char signature[RB_SHA256_HEX];      /* equal for a repeated notification */
};

/* Any thread. `out` points into `arena`. RB_EPARSE: not JSON; RB_EINVAL: JSON, but not this format: the message lists everything that is missing or wrong. */
int rb_webhook_parse(const char *body, size_t len, struct rb_arena *arena, struct rb_webhook *out, struct rb_error *err) RB_MUST_CHECK;

#endif
