/* The journal's file: reading it back after any kind of end, and appending so that it can be read back.
 *
 * Invariants: a line counts only when it ends in a newline and its CRC fits; the file is grown only by whole lines. A write that ends half-way is cut back to the last whole line,
 * and when even that fails the next write begins with a newline, so that the half becomes one damaged line and takes no other with it. Events keep their `seq` when they are
 * written again, and a reader skips a `seq` it has seen. Rotation renames journal to journal.1 and begins a new file; both are read at start.
 *
 * Refuses what is not a regular file, and follows no symlink. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_private.h"
#include "runbook/base/digest.h"

#define HEADER        "runbookd journal 1\n"
#define HEADER_FAMILY "runbookd journal "
#define HEADER_LENGTH (sizeof HEADER - 1)
#define CURRENT_NAME  "journal"
#define OLD_NAME      "journal.1"

void rb_journal_file_init(struct journal_file *file)
{
    *file = (struct journal_file){.dir_fd = -1, .fd = -1};
}

void rb_journal_file_close(struct journal_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->dir_fd >= 0)
        (void)close(file->dir_fd);
    rb_journal_file_init(file);
}

/* Bytes up to and including the last newline. (memrchr is not portable.) */
static size_t whole_part(const char *bytes, size_t len)
{
    while (len > 0 && bytes[len - 1] != '\n')
        len--;
    return len;
}

/* ---- lines ---- */

static bool parse_kind(const char *name, enum rb_event_kind *out)
{
    for (unsigned i = 0; i < RB_EVENT_KIND_COUNT; i++) {
        if (strcmp(rb_event_kind_name((enum rb_event_kind)i), name) == 0) {
            *out = (enum rb_event_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse_json(const char *text, size_t len, struct journal_line *out)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, 0, &error);
    if (!json_is_object(json)) {
        json_decref(json);
        return false;
    }
    out->check = json_string_value(json_object_get(json, "check"));
    out->from = json_string_value(json_object_get(json, "from"));
    out->to = json_string_value(json_object_get(json, "to"));
    out->text = json_string_value(json_object_get(json, "text"));
    out->json = json;
    return true;
}

/* Parses one line without its newline; `line` is terminated. False: damaged. */
static bool parse_line(char *line, size_t len, struct journal_line *out)
{
    const size_t sum_length = 2 + 8; /* two blanks, eight digits */
    if (len > JOURNAL_LINE_MAX || len < sum_length || memchr(line, '\0', len))
        return false;
    size_t body = len - sum_length;
    char sum[16];
    (void)snprintf(sum, sizeof sum, "  %08" PRIx32, rb_crc32c(0, line, body));
    if (memcmp(sum, line + body, sum_length) != 0)
        return false;
    char kind[24];
    int json_at = 0;
    *out = (struct journal_line){0};
    if (sscanf(line, "%" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNu64 " %23s %n", &out->seq, &out->wall_ns, &out->elapsed_ns, &out->session,
               kind, &json_at) < 5)
        return false;
    return json_at > 0 && (size_t)json_at < body && parse_kind(kind, &out->kind) && parse_json(line + json_at, body - (size_t)json_at, out);
}

struct reader {
    journal_visit *visit;
    void *ctx;
    struct rb_journal_report *report;
    uint64_t last_seq;
    bool current; /* the current file's line numbers are reported, not the old one's */
};

static bool read_line(struct reader *reader, char *line, size_t len, unsigned number)
{
    struct journal_line parsed;
    if (!parse_line(line, len, &parsed)) {
        if (reader->current && !reader->report->first_damaged_line)
            reader->report->first_damaged_line = number;
        reader->report->damaged++;
        return true;
    }
    bool visited = true;
    if (parsed.seq > reader->last_seq) {
        reader->last_seq = parsed.seq;
        reader->report->events++;
        visited = reader->visit(reader->ctx, &parsed);
    }
    json_decref(parsed.json);
    return visited;
}

/* All lines after the header in `text` (terminated, `len` bytes of whole lines). */
static bool read_lines(struct reader *reader, char *text, size_t len)
{
    unsigned number = 2;
    for (size_t at = HEADER_LENGTH; at < len; number++) {
        char *end = memchr(text + at, '\n', len - at);
        if (!end)
            break;
        *end = '\0';
        size_t line_len = (size_t)(end - (text + at));
        if (line_len > 0 && !read_line(reader, text + at, line_len, number))
            return false;
        at += line_len + 1;
    }
    return true;
}

/* ---- reading ---- */

static int slurp(int fd, const char *name, char **out, size_t *out_len, struct rb_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return rb_error_sys(err, errno, "cannot look at the %s in the state folder", name);
    if (!S_ISREG(st.st_mode))
        return rb_error_set(err, RB_EPERM, "the %s in the state folder is not a regular file; move it away", name);
    if ((uintmax_t)st.st_size > JOURNAL_READ_MAX)
        return rb_error_set(err, RB_ECORRUPT, "the %s in the state folder has %jd bytes, more than runbookd ever writes", name,
                            (intmax_t)st.st_size);
    size_t size = (size_t)st.st_size, len = 0;
    char *text = malloc(size + 1);
    if (!text)
        return rb_error_set(err, RB_ENOMEM, "not enough memory to read the %s", name);
    while (len < size) {
        ssize_t got = pread(fd, text + len, size - len, (off_t)len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int saved = errno;
            free(text);
            return rb_error_sys(err, saved, "cannot read the %s in the state folder", name);
        }
        if (got == 0)
            break;
        len += (size_t)got;
    }
    text[len] = '\0';
    *out = text;
    *out_len = len;
    return 0;
}

/* Length of the whole lines, 0 for an empty file or a torn header. Negative: another version, or not a journal. */
static int whole_lines(const char *text, size_t len, size_t *out_len, struct rb_error *err)
{
    *out_len = 0;
    if (len < HEADER_LENGTH && memcmp(text, HEADER, len) == 0)
        return 0;
    size_t family = sizeof HEADER_FAMILY - 1;
    if (len < HEADER_LENGTH || memcmp(text, HEADER_FAMILY, family) != 0)
        return rb_error_set(err, RB_ECORRUPT, "the journal in the state folder does not begin with \"%.*s\"", (int)(HEADER_LENGTH - 1),
                            HEADER);
    if (memcmp(text, HEADER, HEADER_LENGTH) != 0)
        return rb_error_set(err, RB_EUNSUPPORTED,
                            "the journal in the state folder is of another version of runbookd; run that one, or move the file away");
    *out_len = whole_part(text, len);
    return 0;
}

/* The old file only adds what it can: whatever is wrong with it is no reason not to start. */
static void read_old(const struct journal_file *file, struct reader *reader)
{
    int fd = openat(file->dir_fd, OLD_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    char *text = NULL;
    size_t len = 0, lines = 0;
    if (slurp(fd, OLD_NAME, &text, &len, NULL) == 0 && text && whole_lines(text, len, &lines, NULL) == 0)
        (void)read_lines(reader, text, lines);
    free(text);
    (void)close(fd);
}

static int write_all(int fd, const char *bytes, size_t len, size_t *out_written)
{
    *out_written = 0;
    while (*out_written < len) {
        ssize_t put = write(fd, bytes + *out_written, len - *out_written);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        *out_written += (size_t)put;
    }
    return 0;
}

/* Brings the file to `lines` whole bytes, or to a fresh header. */
static int cut_to_lines(struct journal_file *file, size_t len, size_t lines, struct rb_error *err)
{
    if (lines != len && ftruncate(file->fd, (off_t)lines) != 0)
        return rb_error_sys(err, errno, "cannot cut the half line off the end of the journal in the state folder");
    file->size = lines;
    if (lines > 0)
        return 0;
    size_t written;
    int failed = write_all(file->fd, HEADER, HEADER_LENGTH, &written);
    if (failed) {
        file->torn = ftruncate(file->fd, 0) != 0; /* half a header is recognised at the next start */
        return rb_error_sys(err, failed, "cannot begin the journal in the state folder");
    }
    file->size = HEADER_LENGTH;
    return 0;
}

static int read_current(struct journal_file *file, bool read_only, struct reader *reader, struct rb_error *err)
{
    char *text = NULL;
    size_t len = 0, lines = 0;
    int rc = slurp(file->fd, CURRENT_NAME, &text, &len, err);
    if (rc < 0 || !text)
        return rc;
    rc = whole_lines(text, len, &lines, err);
    if (rc == 0) {
        reader->report->torn += lines != len;
        reader->current = true;
        if (!read_only)
            rc = cut_to_lines(file, len, lines, err);
        if (rc == 0 && !read_lines(reader, text, lines))
            rc = rb_error_set(err, RB_ENOMEM, "not enough memory to read the journal");
    }
    free(text);
    return rc;
}

static int open_current(struct journal_file *file, bool read_only, struct rb_error *err)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR | O_APPEND | O_CREAT);
    file->fd = openat(file->dir_fd, CURRENT_NAME, flags, 0600);
    if (file->fd < 0 && !(read_only && errno == ENOENT))
        return rb_error_sys(err, errno, "cannot open the journal in the state folder");
    return 0;
}

int rb_journal_file_open(struct journal_file *file, const char *dir, bool read_only, journal_visit *visit, void *ctx,
                         struct rb_journal_report *report, struct rb_error *err)
{
    file->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->dir_fd < 0)
        return rb_error_sys(err, errno, "cannot open the state folder %s", dir);
    struct reader reader = {.visit = visit, .ctx = ctx, .report = report};
    read_old(file, &reader);
    int rc = open_current(file, read_only, err);
    if (rc == 0 && file->fd >= 0)
        rc = read_current(file, read_only, &reader, err);
    if (rc < 0 || read_only)
        rb_journal_file_close(file);
    return rc;
}

/* ---- writing ---- */

static int begin_file(struct journal_file *file)
{
    file->fd = openat(file->dir_fd, CURRENT_NAME, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0)
        return errno;
    size_t written;
    int failed = write_all(file->fd, HEADER, HEADER_LENGTH, &written);
    if (!failed) {
        file->size = HEADER_LENGTH;
        file->torn = false;
        return 0;
    }
    (void)close(file->fd);
    file->fd = -1;
    (void)unlinkat(file->dir_fd, CURRENT_NAME, 0);
    return failed;
}

static int rotate(struct journal_file *file)
{
    if (file->fd >= 0) {
        if (renameat(file->dir_fd, CURRENT_NAME, file->dir_fd, OLD_NAME) != 0 && errno != ENOENT)
            return errno;
        (void)close(file->fd);
        file->fd = -1;
    }
    int failed = begin_file(file);
    return failed ? failed : fsync(file->dir_fd) == 0 ? 0 : errno;
}

/* Length of the line at `at`, with its newline. */
static size_t line_length(const struct rb_journal_batch *batch, size_t at)
{
    const char *newline = memchr(batch->lines + at, '\n', batch->len - at);
    return newline ? (size_t)(newline - (batch->lines + at)) + 1 : batch->len - at;
}

/* Bytes of whole lines from `at` on that fit into `room`. */
static size_t chunk_length(const struct rb_journal_batch *batch, size_t at, size_t room)
{
    size_t end = at;
    while (end < batch->len) {
        size_t line = line_length(batch, end);
        if (end + line - at > room)
            break;
        end += line;
    }
    return end - at;
}

static void cut_back(struct journal_file *file, size_t size)
{
    file->torn = ftruncate(file->fd, (off_t)size) != 0;
    file->size = size;
}

/* Appends and syncs one chunk; `*out_safe` is how much of it stays in the file. Returns 0 or an errno. */
static int append_chunk(struct journal_file *file, const char *bytes, size_t len, size_t *out_safe)
{
    *out_safe = 0;
    size_t written;
    if (file->torn) {
        int failed = write_all(file->fd, "\n", 1, &written);
        if (failed)
            return failed;
        file->torn = false;
        file->size++;
    }
    int failed = write_all(file->fd, bytes, len, &written);
    size_t whole = failed ? whole_part(bytes, written) : len;
    /* After a failed sync nobody knows what reached the disk: all of it is taken back and written again. */
    if (fsync(file->fd) != 0) {
        failed = failed ? failed : errno;
        whole = 0;
    }
    if (failed)
        cut_back(file, file->size + whole);
    else
        file->size += len;
    *out_safe = whole;
    return failed;
}

static size_t count_lines(const char *bytes, size_t len)
{
    size_t lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += bytes[i] == '\n';
    return lines;
}

void rb_journal_write(struct rb_journal_batch *batch)
{
    struct journal_file *file = batch->file;
    int failed = 0;
    while (batch->written < batch->len && !failed) {
        if (file->fd < 0 || file->size + line_length(batch, batch->written) > JOURNAL_ROTATE_BYTES)
            failed = rotate(file);
        if (failed)
            break;
        const char *at = batch->lines + batch->written;
        size_t safe, chunk = chunk_length(batch, batch->written, JOURNAL_ROTATE_BYTES - file->size);
        failed = append_chunk(file, at, chunk, &safe);
        batch->written += safe;
        batch->written_count += count_lines(at, safe);
    }
    if (failed)
        (void)rb_error_sys(&batch->err, failed, "cannot write the journal in the state folder (events are kept in memory and tried again)");
}
