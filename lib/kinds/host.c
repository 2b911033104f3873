/* host: what the machine has left — disk and inode space, memory, load, uptime, clock steps, open files — and whether it is the right machine.
 *
 * Each limit that is configured becomes one part of the message; without any the check only reports facts and is ok. Facts that the platform
 * cannot give matter only where a limit needs them. A path on a dead network mount blocks in the kernel: that is why this is a worker, whose
 * deadline abandons it. A clock step is the change of (wall - elapsed) since the previous run: no step can hide from it, sleep is not one. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/text.h"
#include "runbook/base/version.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"

struct disk_options {
    const char *path;
    struct rb_amount warn_below, fail_below, inodes_warn_below, inodes_fail_below;
    bool writable;
};
struct amount_limits {
    struct rb_amount warn_below, fail_below;
};
struct number_limits {
    double warn_above, fail_above;
    int average;
};
struct duration_limits {
    int64_t warn_ms, fail_ms;
};
struct host_options {
    struct disk_options disk;
    bool has_disk; /* set by validate: `disk:` was written */
    struct rb_structs disks;
    struct amount_limits memory, swap, open_files;
    struct number_limits load;
    struct duration_limits uptime, clock_step;
    struct rb_strings os, arch;
    const char *kernel_min;
};
struct host_memory {
    bool seen;
    int64_t offset_ns; /* wall - elapsed at the previous run */
};

static const struct rb_choice average_choices[] = {
    {"1m", 0, "the last minute"}, {"5m", 1, "the last five minutes"}, {"15m", 2, "the last fifteen minutes"}, {NULL, 0, NULL}};

static const struct rb_option disk_table[] = {{.name = "path",
                                               .type = RB_OPT_PATH,
                                               .offset = offsetof(struct disk_options, path),
                                               .doc = "Any path on the file system; relative paths count from root.",
                                               .fallback = "/",
                                               .example = "/"},
                                              {.name = "warn_below",
                                               .type = RB_OPT_AMOUNT,
                                               .offset = offsetof(struct disk_options, warn_below),
                                               .doc = "Warn with less free space than this share or size.",
                                               .example = "10%"},
                                              {.name = "fail_below",
                                               .type = RB_OPT_AMOUNT,
                                               .offset = offsetof(struct disk_options, fail_below),
                                               .doc = "Fail with less free space than this share or size.",
                                               .example = "2GiB"},
                                              {.name = "inodes_warn_below",
                                               .type = RB_OPT_AMOUNT,
                                               .offset = offsetof(struct disk_options, inodes_warn_below),
                                               .doc = "Warn with fewer free inodes than this share or number.",
                                               .example = "10%"},
                                              {.name = "inodes_fail_below",
                                               .type = RB_OPT_AMOUNT,
                                               .offset = offsetof(struct disk_options, inodes_fail_below),
                                               .doc = "Fail with fewer free inodes than this share or number.",
                                               .example = "2%"},
                                              {.name = "writable",
                                               .type = RB_OPT_BOOL,
                                               .offset = offsetof(struct disk_options, writable),
                                               .doc = "Fail when the file system is mounted read-only.",
                                               .fallback = "false"},
                                              {NULL}};

static const struct rb_option amount_table[] = {{.name = "warn_below",
                                                 .type = RB_OPT_AMOUNT,
                                                 .offset = offsetof(struct amount_limits, warn_below),
                                                 .doc = "Warn with less than this share or amount left.",
                                                 .example = "10%"},
                                                {.name = "fail_below",
                                                 .type = RB_OPT_AMOUNT,
                                                 .offset = offsetof(struct amount_limits, fail_below),
                                                 .doc = "Fail with less than this share or amount left.",
                                                 .example = "5%"},
                                                {NULL}};

static const struct rb_option load_table[] = {{.name = "warn_above",
                                               .type = RB_OPT_NUMBER,
                                               .offset = offsetof(struct number_limits, warn_above),
                                               .doc = "Warn with a higher load per CPU.",
                                               .example = "2"},
                                              {.name = "fail_above",
                                               .type = RB_OPT_NUMBER,
                                               .offset = offsetof(struct number_limits, fail_above),
                                               .doc = "Fail with a higher load per CPU.",
                                               .example = "8"},
                                              {.name = "average",
                                               .type = RB_OPT_CHOICE,
                                               .offset = offsetof(struct number_limits, average),
                                               .doc = "Which of the three load averages counts.",
                                               .fallback = "5m",
                                               .choices = average_choices},
                                              {NULL}};

static const struct rb_option uptime_table[] = {{.name = "warn_below",
                                                 .type = RB_OPT_DURATION,
                                                 .offset = offsetof(struct duration_limits, warn_ms),
                                                 .doc = "Warn when the host started more recently than this.",
                                                 .example = "10m"},
                                                {.name = "fail_below",
                                                 .type = RB_OPT_DURATION,
                                                 .offset = offsetof(struct duration_limits, fail_ms),
                                                 .doc = "Fail when the host started more recently than this."},
                                                {NULL}};

static const struct rb_option clock_table[] = {{.name = "warn_above",
                                                .type = RB_OPT_DURATION,
                                                .offset = offsetof(struct duration_limits, warn_ms),
                                                .doc = "Warn when the wall clock jumped by more than this since the previous run.",
                                                .example = "1s"},
                                               {.name = "fail_above",
                                                .type = RB_OPT_DURATION,
                                                .offset = offsetof(struct duration_limits, fail_ms),
                                                .doc = "Fail when the wall clock jumped by more than this since the previous run."},
                                               {NULL}};

static const struct rb_option options[] = {{.name = "disk",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, disk),
                                            .doc = "Space and inodes of one file system.",
                                            .sub = disk_table,
                                            .sub_size = sizeof(struct disk_options),
                                            .example = "{path: /, warn_below: 10%, fail_below: 2GiB}"},
                                           {.name = "disks",
                                            .type = RB_OPT_STRUCTS,
                                            .offset = offsetof(struct host_options, disks),
                                            .doc = "The same for several file systems.",
                                            .sub = disk_table,
                                            .sub_size = sizeof(struct disk_options),
                                            .max = 32,
                                            .example = "[{path: /, warn_below: 10%}, {path: /home, warn_below: 10GiB}]"},
                                           {.name = "memory",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, memory),
                                            .doc = "Memory that programs can still get.",
                                            .sub = amount_table,
                                            .sub_size = sizeof(struct amount_limits),
                                            .example = "{warn_below: 10%, fail_below: 256MiB}"},
                                           {.name = "swap",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, swap),
                                            .doc = "Free swap; a host without swap passes.",
                                            .sub = amount_table,
                                            .sub_size = sizeof(struct amount_limits),
                                            .example = "{warn_below: 25%}"},
                                           {.name = "load",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, load),
                                            .doc = "Load average per CPU.",
                                            .sub = load_table,
                                            .sub_size = sizeof(struct number_limits),
                                            .example = "{warn_above: 2, fail_above: 8}"},
                                           {.name = "uptime",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, uptime),
                                            .doc = "Tells a recent restart of the host.",
                                            .sub = uptime_table,
                                            .sub_size = sizeof(struct duration_limits),
                                            .example = "{warn_below: 10m}"},
                                           {.name = "clock_step",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, clock_step),
                                            .doc = "Tells a jump of the wall clock.",
                                            .sub = clock_table,
                                            .sub_size = sizeof(struct duration_limits),
                                            .example = "{warn_above: 1s}"},
                                           {.name = "open_files",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct host_options, open_files),
                                            .doc = "File handles that the system can still open.",
                                            .sub = amount_table,
                                            .sub_size = sizeof(struct amount_limits),
                                            .example = "{warn_below: 10%}"},
                                           {.name = "os",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct host_options, os),
                                            .doc = "Operating systems that are right here: linux, darwin.",
                                            .example = "[linux, darwin]"},
                                           {.name = "arch",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct host_options, arch),
                                            .doc = "Processor architectures that are right here.",
                                            .example = "[x86_64, arm64]"},
                                           {.name = "kernel_min",
                                            .type = RB_OPT_STRING,
                                            .offset = offsetof(struct host_options, kernel_min),
                                            .doc = "Oldest kernel release that will do.",
                                            .example = "\"6.1\""},
                                           {NULL}};

static const struct rb_value_def values[] = {
    {"disk_free", "bytes", RB_VALUE_GAUGE, "Space that this user can still write.", "path"},
    {"disk_size", "bytes", RB_VALUE_GAUGE, "Size of the file system.", "path"},
    {"disk_used", "ratio", RB_VALUE_GAUGE, "Used part of the file system, 0 to 1.", "path"},
    {"inodes_used", "ratio", RB_VALUE_GAUGE, "Used part of the inodes, 0 to 1; absent where their number is not fixed.", "path"},
    {"memory_available", "bytes", RB_VALUE_GAUGE, "Memory that programs can get without swapping.", NULL},
    {"memory_size", "bytes", RB_VALUE_GAUGE, "Memory of the host.", NULL},
    {"swap_free", "bytes", RB_VALUE_GAUGE, "Free swap.", NULL},
    {"swap_size", "bytes", RB_VALUE_GAUGE, "Swap of the host.", NULL},
    {"load1", "", RB_VALUE_GAUGE, "Load average of one minute.", NULL},
    {"load5", "", RB_VALUE_GAUGE, "Load average of five minutes.", NULL},
    {"load15", "", RB_VALUE_GAUGE, "Load average of fifteen minutes.", NULL},
    {"cpus", "", RB_VALUE_GAUGE, "Processors that are online.", NULL},
    {"uptime", "seconds", RB_VALUE_GAUGE, "Time since the host started.", NULL},
    {"clock_step", "seconds", RB_VALUE_GAUGE, "Jump of the wall clock since the previous run; negative: backwards.", NULL},
    {"open_files", "", RB_VALUE_GAUGE, "File handles in use in the whole system.", NULL},
    {"open_files_limit", "", RB_VALUE_GAUGE, "File handles that the system allows.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"disk_low", "A file system has less free space than its limit."},
    {"inodes_low", "A file system has fewer free inodes than its limit: too many small files."},
    {"path_missing", "The path whose file system should be measured does not exist."},
    {"read_only", "The file system is mounted read-only; the kernel log tells whether errors caused it."},
    {"memory_low", "Less memory is available than the limit."},
    {"swap_low", "Less swap is free than the limit."},
    {"load_high", "The load per CPU is above its limit."},
    {"restarted", "The host started more recently than the limit allows."},
    {"clock_step", "The wall clock jumped; look at the time service."},
    {"files_low", "The system is about to run out of file handles."},
    {"wrong_host", "Operating system, architecture or kernel is not what the configuration expects."},
    {"unreadable", "The system did not tell what the limit needs; the message has its error."},
    {NULL}};

/* ---- limits ---- */

static bool below(const struct rb_amount *limit, int64_t left, int64_t total)
{
    if (!limit->set)
        return false;
    if (limit->percent)
        return total > 0 && (double)left * 100.0 < limit->percent_value * (double)total;
    return left < limit->bytes;
}

/* FAIL, WARN or OK for what is left of `total`. */
static enum rb_result judge_amount(const struct amount_limits *limits, int64_t left, int64_t total)
{
    if (below(&limits->fail_below, left, total))
        return RB_RESULT_FAIL;
    return below(&limits->warn_below, left, total) ? RB_RESULT_WARN : RB_RESULT_OK;
}

static bool has_limit(const struct amount_limits *limits)
{
    return limits->warn_below.set || limits->fail_below.set;
}

/* One finding: raised when it is bad, otherwise a part of the message. */
static void report(struct rb_outcome *out, struct rb_buf *summary, enum rb_result result, const char *reason, const char *text)
{
    if (result > RB_RESULT_OK) {
        rb_outcome_raise(out, result, reason, "%s", text);
        return;
    }
    rb_buf_adds(summary, summary->len > 0 ? "; " : "");
    rb_buf_adds(summary, text);
}

static void report_error(struct rb_outcome *out, const char *what, const struct rb_error *err)
{
    const char *reason = err->code == RB_EUNSUPPORTED ? "unsupported" : err->code == RB_EPERM ? "not_permitted" : "unreadable";
    rb_outcome_raise(out, RB_RESULT_UNKNOWN, reason, "%s: %s", what, err->message);
}

static double used_part(int64_t free_amount, int64_t total)
{
    return total > 0 ? 1.0 - (double)free_amount / (double)total : 0.0;
}

/* ---- disks ---- */

static void check_inodes(const struct disk_options *disk, const struct rb_disk_info *info, struct rb_outcome *out, struct rb_buf *summary)
{
    const struct amount_limits limits = {disk->inodes_warn_below, disk->inodes_fail_below};
    if (info->total_inodes <= 0)
        return;
    double used = used_part(info->free_inodes, info->total_inodes);
    rb_outcome_value(out, "inodes_used", disk->path, used);
    if (!has_limit(&limits))
        return;
    const char *text = rb_arena_printf(out->arena, "%s has used %.0f %% of its inodes (%lld free)", disk->path, floor(used * 100),
                                       (long long)info->free_inodes);
    report(out, summary, judge_amount(&limits, info->free_inodes, info->total_inodes), "inodes_low", text ? text : "");
}

static void measured_disk(const struct disk_options *disk, const struct rb_disk_info *info, struct rb_outcome *out, struct rb_buf *summary)
{
    const struct amount_limits limits = {disk->warn_below, disk->fail_below};
    double used = used_part(info->free_bytes, info->total_bytes);
    rb_outcome_value(out, "disk_free", disk->path, (double)info->free_bytes);
    rb_outcome_value(out, "disk_size", disk->path, (double)info->total_bytes);
    rb_outcome_value(out, "disk_used", disk->path, used);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 8192);
    rb_buf_addf(&text, "%s is %.0f %% full (", disk->path, floor(used * 100));
    rb_size_print(&text, info->free_bytes);
    rb_buf_adds(&text, " free)");
    enum rb_result result = judge_amount(&limits, info->free_bytes, info->total_bytes);
    report(out, summary, result, "disk_low", rb_buf_str(&text));
    check_inodes(disk, info, out, summary);
    if (disk->writable && info->read_only)
        rb_outcome_raise(out, RB_RESULT_FAIL, "read_only", "%s is mounted read-only", disk->path);
    if (info->mount_point)
        rb_outcome_evidence(out, "%s: %s mounted on %s%s", disk->path, info->fs_type ? info->fs_type : "file system", info->mount_point,
                            info->read_only ? ", read-only" : "");
    RB_BUF_AUTO quoted;
    rb_buf_init(&quoted, 8192);
    if (result > RB_RESULT_OK && info->mount_point && rb_text_shell_quote(&quoted, info->mount_point))
        rb_outcome_hint(out, "du -xh -d 2 %s | sort -h | tail -20", rb_buf_str(&quoted));
}

static void check_disk(const struct rb_check_ctx *ctx, const struct disk_options *disk, struct rb_outcome *out, struct rb_buf *summary)
{
    const char *path = disk->path[0] == '/' ? disk->path : rb_arena_printf(ctx->arena, "%s/%s", ctx->root, disk->path);
    if (!path || atomic_load(ctx->cancelled))
        return;
    rb_outcome_fact(out, RB_FACT_PATH, "%s", path);
    struct rb_disk_info info = {0};
    struct rb_error err = {0};
    if (ctx->platform->disk_info(ctx->arena, path, &info, &err) == 0)
        measured_disk(disk, &info, out, summary);
    else if (err.code == RB_ENOTFOUND && err.saved_errno != 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "path_missing", "%s does not exist", disk->path);
    else
        report_error(out, disk->path, &err);
}

/* ---- the rest of the machine ---- */

static void add_size_text(struct rb_buf *text, const char *before, int64_t left, int64_t total)
{
    rb_buf_adds(text, before);
    rb_size_print(text, left);
    rb_buf_adds(text, " of ");
    rb_size_print(text, total);
}

static void check_memory(const struct rb_check_ctx *ctx, const struct host_options *o, struct rb_outcome *out, struct rb_buf *summary)
{
    struct rb_memory_info info = {0};
    struct rb_error err = {0};
    if (ctx->platform->memory_info(&info, &err) < 0) {
        if (has_limit(&o->memory) || has_limit(&o->swap))
            report_error(out, "memory", &err);
        return;
    }
    rb_outcome_value(out, "memory_available", NULL, (double)info.available_bytes);
    rb_outcome_value(out, "memory_size", NULL, (double)info.total_bytes);
    rb_outcome_value(out, "swap_free", NULL, (double)info.swap_free_bytes);
    rb_outcome_value(out, "swap_size", NULL, (double)info.swap_total_bytes);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 256);
    if (has_limit(&o->memory)) {
        add_size_text(&text, "memory: ", info.available_bytes, info.total_bytes);
        rb_buf_adds(&text, " available");
        report(out, summary, judge_amount(&o->memory, info.available_bytes, info.total_bytes), "memory_low", rb_buf_str(&text));
    }
    if (has_limit(&o->swap) && info.swap_total_bytes > 0) {
        rb_buf_reset(&text);
        add_size_text(&text, "swap: ", info.swap_free_bytes, info.swap_total_bytes);
        rb_buf_adds(&text, " free");
        report(out, summary, judge_amount(&o->swap, info.swap_free_bytes, info.swap_total_bytes), "swap_low", rb_buf_str(&text));
    }
}

static void check_load(const struct host_options *o, const struct rb_load_info *info, struct rb_outcome *out, struct rb_buf *summary)
{
    if (isnan(o->load.warn_above) && isnan(o->load.fail_above))
        return;
    const double averages[] = {info->load1, info->load5, info->load15};
    const char *name = average_choices[o->load.average].name;
    double load = averages[o->load.average];
    double per_cpu = load / (double)(info->cpus > 0 ? info->cpus : 1);
    enum rb_result result = per_cpu > o->load.fail_above ? RB_RESULT_FAIL : per_cpu > o->load.warn_above ? RB_RESULT_WARN : RB_RESULT_OK;
    const char *text = rb_arena_printf(out->arena, "load %.2f per CPU (%s average %.2f on %d CPUs)", per_cpu, name, load, info->cpus);
    report(out, summary, result, "load_high", text ? text : "");
    if (result > RB_RESULT_OK)
        rb_outcome_hint(out, "ps -Ao pcpu,pid,user,comm | sort -rn | head -15");
}

static void check_uptime(const struct host_options *o, int64_t uptime_s, struct rb_outcome *out, struct rb_buf *summary)
{
    if (o->uptime.warn_ms < 0 && o->uptime.fail_ms < 0)
        return;
    enum rb_result result = RB_RESULT_OK;
    if (uptime_s < o->uptime.fail_ms / 1000)
        result = RB_RESULT_FAIL;
    else if (uptime_s < o->uptime.warn_ms / 1000)
        result = RB_RESULT_WARN;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 128);
    rb_buf_adds(&text, "up ");
    rb_duration_print(&text, uptime_s * 1000);
    report(out, summary, result, "restarted", rb_buf_str(&text));
}

static void check_open_files(const struct host_options *o, const struct rb_load_info *info, struct rb_outcome *out, struct rb_buf *summary)
{
    if (info->open_files >= 0)
        rb_outcome_value(out, "open_files", NULL, (double)info->open_files);
    if (info->max_open_files >= 0)
        rb_outcome_value(out, "open_files_limit", NULL, (double)info->max_open_files);
    if (!has_limit(&o->open_files))
        return;
    if (info->open_files < 0 || info->max_open_files < 0) {
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "unsupported", "this system does not count open files");
        return;
    }
    int64_t left = info->max_open_files - info->open_files;
    const char *text = rb_arena_printf(out->arena, "%lld of %lld file handles in use", (long long)info->open_files,
                                       (long long)info->max_open_files);
    report(out, summary, judge_amount(&o->open_files, left, info->max_open_files), "files_low", text ? text : "");
}

/* Returns the uptime in seconds, or -1. */
static int64_t check_load_info(const struct rb_check_ctx *ctx, const struct host_options *o, struct rb_outcome *out, struct rb_buf *summary)
{
    struct rb_load_info info = {0};
    struct rb_error err = {0};
    if (ctx->platform->load_info(&info, &err) < 0) {
        bool load_limit = !isnan(o->load.warn_above) || !isnan(o->load.fail_above);
        if (load_limit || o->uptime.warn_ms >= 0 || o->uptime.fail_ms >= 0 || has_limit(&o->open_files))
            report_error(out, "load", &err);
        return -1;
    }
    rb_outcome_value(out, "load1", NULL, info.load1);
    rb_outcome_value(out, "load5", NULL, info.load5);
    rb_outcome_value(out, "load15", NULL, info.load15);
    rb_outcome_value(out, "cpus", NULL, info.cpus);
    rb_outcome_value(out, "uptime", NULL, (double)info.uptime_s);
    check_load(o, &info, out, summary);
    check_uptime(o, info.uptime_s, out, summary);
    check_open_files(o, &info, out, summary);
    return info.uptime_s;
}

static void check_clock(const struct rb_check_ctx *ctx, const struct host_options *o, struct rb_outcome *out, struct rb_buf *summary)
{
    struct host_memory *memory = ctx->memory;
    int64_t offset = rb_wall_ns(ctx->clock) - rb_elapsed_ns(ctx->clock);
    int64_t step = memory->seen ? offset - memory->offset_ns : 0;
    *memory = (struct host_memory){.seen = true, .offset_ns = offset};
    rb_outcome_value(out, "clock_step", NULL, (double)step / (double)RB_NS_PER_S);
    if (o->clock_step.warn_ms < 0 && o->clock_step.fail_ms < 0)
        return;
    int64_t size_ms = (step < 0 ? -step : step) / RB_NS_PER_MS;
    enum rb_result result = RB_RESULT_OK;
    if (o->clock_step.fail_ms >= 0 && size_ms > o->clock_step.fail_ms)
        result = RB_RESULT_FAIL;
    else if (o->clock_step.warn_ms >= 0 && size_ms > o->clock_step.warn_ms)
        result = RB_RESULT_WARN;
    const char *text = "the clock is steady";
    if (result > RB_RESULT_OK)
        text = rb_arena_printf(out->arena, "the clock jumped by %+.3f s since the previous run", (double)step / (double)RB_NS_PER_S);
    report(out, summary, result, "clock_step", text ? text : "");
}

static bool listed(const struct rb_strings *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strlen(list->items[i]) == strlen(word) && rb_text_find_nocase(word, list->items[i]))
            return true;
    }
    return list->count == 0;
}

static void check_identity(const struct host_options *o, const struct rb_os_info *os, struct rb_outcome *out)
{
    if (!listed(&o->os, os->os))
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_host", "the operating system is %s, not one of those expected", os->os);
    if (!listed(&o->arch, os->arch))
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_host", "the architecture is %s, not one of those expected", os->arch);
    struct rb_version have, want;
    if (!o->kernel_min || !rb_version_parse_all(o->kernel_min, &want))
        return;
    if (rb_version_parse(os->kernel, strlen(os->kernel), &have) == 0)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "unreadable", "the kernel calls itself %s, which has no version number", os->kernel);
    else if (rb_version_compare_to_bound(&have, &want) < 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_host", "the kernel is %s, older than %s", os->kernel, o->kernel_min);
}

static void say_facts(const struct rb_os_info *os, int64_t uptime_s, struct rb_outcome *out, const struct rb_buf *summary)
{
    RB_BUF_AUTO facts;
    rb_buf_init(&facts, 1024);
    rb_buf_addf(&facts, "%s, kernel %s, %s", os->name, os->kernel, os->arch);
    if (uptime_s >= 0) {
        rb_buf_adds(&facts, ", up ");
        rb_duration_print(&facts, uptime_s * 1000);
    }
    if (summary->len > 0) {
        rb_outcome_say(out, "%s", rb_buf_str(summary));
        rb_outcome_evidence(out, "%s", rb_buf_str(&facts));
    } else {
        rb_outcome_say(out, "%s", rb_buf_str(&facts));
    }
}

static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct host_options *o = ctx->options;
    RB_BUF_AUTO summary;
    rb_buf_init(&summary, RB_OUTCOME_MAX_TEXT);
    struct rb_os_info os = {0};
    struct rb_error err = {0};
    bool has_os = ctx->platform->os_info(ctx->arena, &os, &err) == 0;
    if (!has_os && (o->os.count > 0 || o->arch.count > 0 || o->kernel_min))
        report_error(out, "operating system", &err);
    if (has_os)
        check_identity(o, &os, out);
    check_clock(ctx, o, out, &summary);
    check_memory(ctx, o, out, &summary);
    int64_t uptime_s = check_load_info(ctx, o, out, &summary);
    /* Last, because a dead mount may hang: the values above are then at least in an abandoned run, not in its way. */
    if (o->has_disk)
        check_disk(ctx, &o->disk, out, &summary);
    const struct disk_options *disks = o->disks.items;
    for (size_t i = 0; i < o->disks.count; i++)
        check_disk(ctx, &disks[i], out, &summary);
    if (has_os)
        say_facts(&os, uptime_s, out, &summary);
    else if (summary.len > 0)
        rb_outcome_say(out, "%s", rb_buf_str(&summary));
}

/* ---- the table's cross rules ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = rb_node_get(node, key);
    return item ? item->mark : node->mark;
}

static void check_order(const struct amount_limits *limits, struct rb_mark mark, const char *what, struct rb_diags *diags)
{
    const struct rb_amount *warn = &limits->warn_below, *fail = &limits->fail_below;
    if (!warn->set || !fail->set || warn->percent != fail->percent)
        return;
    if (warn->percent ? fail->percent_value > warn->percent_value : fail->bytes > warn->bytes)
        (void)rb_diag_add(diags, mark, "%s: fail_below is above warn_below, so the warning could never come; swap the two", what);
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    struct host_options *o = opts;
    o->has_disk = rb_node_get(node, "disk") != NULL;
    check_order(&(struct amount_limits){o->disk.warn_below, o->disk.fail_below}, mark_of(node, "disk"), "disk", diags);
    const struct disk_options *disks = o->disks.items;
    for (size_t i = 0; i < o->disks.count; i++)
        check_order(&(struct amount_limits){disks[i].warn_below, disks[i].fail_below}, mark_of(node, "disks"), "disks", diags);
    check_order(&o->memory, mark_of(node, "memory"), "memory", diags);
    check_order(&o->swap, mark_of(node, "swap"), "swap", diags);
    check_order(&o->open_files, mark_of(node, "open_files"), "open_files", diags);
    struct rb_version version;
    if (o->kernel_min && !rb_version_parse_all(o->kernel_min, &version))
        (void)rb_diag_add(diags, mark_of(node, "kernel_min"), "kernel_min: \"%s\" is no version; write for example \"6.1\"", o->kernel_min);
}

const struct rb_kind rb_kind_host = {
    .schema = {.schema = {.name = "host",
                          .doc = "Disk, inodes, memory, load, uptime, clock and identity of this machine.",
                          .options = options,
                          .size = sizeof(struct host_options),
                          .validate = validate},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = true,
               .example = "{name: disk, kind: host, disk: {path: /, warn_below: 10%, fail_below: 2GiB}}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_WORKER,
    .memory_size = sizeof(struct host_memory),
    .run = run,
};
