/* Writing the tar.gz: libarchive makes the tar, our own gzip the rest.
 *
 * Deterministic: ustar as long as every name fits, else pax with nothing in it but long names; owner 0 without a name; one time. Names go through libarchive as bytes: this
 * program never calls setlocale, so no locale has a say. An archive that level 9 shrinks below a hundredth would look like a bomb to `verify`: it is packed plainly. */
#include "tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#include "gzip.h"

#define PACKED_MAX ((size_t)512 << 20)
#define RATIO      100u

static int to_buf(void *ctx, const unsigned char *bytes, size_t len)
{
    struct rb_buf *out = ctx;
    rb_buf_add(out, bytes, len);
    return out->failed;
}

static la_ssize_t to_gzip(struct archive *tar, void *ctx, const void *bytes, size_t len)
{
    struct gzip_writer *gzip = ctx;
    gzip_add(gzip, bytes, len);
    if (!gzip->failed)
        return (la_ssize_t)len;
    archive_set_error(tar, ENOMEM, "out of memory");
    return -1;
}

static int write_member(struct archive *tar, const struct tar_request *request, const struct member *member)
{
    char path[RB_ARCHIVE_MAX_NAME + 64];
    (void)snprintf(path, sizeof path, "%s/%s", request->folder, member->name);
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return ARCHIVE_FATAL;
    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, member->executable ? 0755 : 0644);
    archive_entry_set_size(entry, (la_int64_t)member->len);
    archive_entry_set_mtime(entry, (time_t)request->mtime_s, 0);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    int rc = archive_write_header(tar, entry);
    archive_entry_free(entry);
    if (rc != ARCHIVE_OK || member->len == 0)
        return rc;
    return archive_write_data(tar, member->bytes, member->len) == (la_ssize_t)member->len ? ARCHIVE_OK : ARCHIVE_FATAL;
}

static int write_all(struct archive *tar, const struct tar_request *request, struct gzip_writer *gzip)
{
    int rc = request->ustar ? archive_write_set_format_ustar(tar) : archive_write_set_format_pax_restricted(tar);
    if (rc == ARCHIVE_OK)
        rc = archive_write_add_filter_none(tar);
    if (rc == ARCHIVE_OK)
        rc = archive_write_open(tar, gzip, NULL, to_gzip, NULL);
    for (size_t i = 0; i < request->count && rc == ARCHIVE_OK; i++)
        rc = write_member(tar, request, &request->members[i]);
    return rc == ARCHIVE_OK ? archive_write_close(tar) : rc;
}

static int pack(const struct tar_request *request, enum gzip_form form, struct rb_buf *out, uint64_t *out_unpacked, struct rb_error *err)
{
    struct archive *tar = archive_write_new();
    if (!tar)
        return rb_error_set(err, RB_ENOMEM, "out of memory while packing");
    struct gzip_writer gzip;
    gzip_begin(&gzip, form, to_buf, out);
    int rc = write_all(tar, request, &gzip);
    *out_unpacked = gzip.stream.total_in;
    bool whole = gzip_end(&gzip);
    int code = 0;
    if (rc != ARCHIVE_OK && whole)
        code = rb_error_set(err, RB_ESYS, "cannot pack: %s", archive_error_string(tar));
    else if (!whole)
        code = out->failed ? rb_buf_check(out, "the archive", err) : rb_error_set(err, RB_ENOMEM, "out of memory while packing");
    (void)archive_write_free(tar);
    return code;
}

int tar_write(const struct tar_request *request, struct rb_buf *out, struct rb_error *err)
{
    RB_BUF_AUTO packed;
    rb_buf_init(&packed, PACKED_MAX);
    uint64_t unpacked = 0;
    int rc = pack(request, GZIP_BEST, &packed, &unpacked, err);
    if (rc == 0 && unpacked / RATIO > packed.len) {
        rb_buf_reset(&packed);
        rc = pack(request, GZIP_PLAIN, &packed, &unpacked, err);
    }
    if (rc < 0)
        return rc;
    rb_buf_add(out, rb_buf_str(&packed), packed.len);
    return rb_buf_check(out, "the archive", err);
}
