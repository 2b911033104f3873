/* First and last half of a stream.
 *
 * Invariants: the first `head` bytes of `bytes` are the first ones of the stream; the rest is a ring in which byte number n (counted after
 * the head) stands at
 * n modulo the ring's size. Memory grows with the stream up to the cap. So the text is contiguous exactly when nothing was left out. The
 * mark stands outside the cap: it is ours, not the program's. */
#include "capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPTURE_FIRST ((size_t)4096)

void capture_init(struct capture *capture, size_t cap)
{
    if (cap < 2)
        cap = 2;
    *capture = (struct capture){.cap = cap, .head = cap / 2};
}

void capture_fini(struct capture *capture)
{
    free(capture->bytes);
    capture->bytes = NULL;
}

/* Room for `len` more bytes, or the whole cap. As long as nothing is left out the bytes are contiguous, so they may move. */
static bool reserve(struct capture *capture, size_t len)
{
    size_t room = capture->allocated - (size_t)(capture->total < capture->allocated ? capture->total : capture->allocated);
    if (len <= room || capture->allocated == capture->cap)
        return true;
    size_t wanted = capture->allocated ? capture->allocated : CAPTURE_FIRST;
    while (wanted < capture->cap && wanted - capture->total < len)
        wanted *= 2;
    if (wanted > capture->cap)
        wanted = capture->cap;
    char *grown = realloc(capture->bytes, wanted);
    if (!grown)
        return false;
    capture->bytes = grown;
    capture->allocated = wanted;
    return true;
}

static size_t add_head(struct capture *capture, const char *bytes, size_t len)
{
    if (capture->total >= capture->head)
        return 0;
    size_t room = capture->head - (size_t)capture->total;
    size_t take = len < room ? len : room;
    memcpy(capture->bytes + capture->total, bytes, take);
    capture->total += take;
    return take;
}

static void add_tail(struct capture *capture, const char *bytes, size_t len)
{
    size_t ring = capture->cap - capture->head;
    char *base = capture->bytes + capture->head;
    while (len > 0) {
        size_t at = (size_t)((capture->total - capture->head) % ring);
        size_t take = len < ring - at ? len : ring - at;
        memcpy(base + at, bytes, take);
        capture->total += take;
        bytes += take;
        len -= take;
    }
}

void capture_add(struct capture *capture, const char *bytes, size_t len)
{
    if (capture->failed || len == 0)
        return;
    if (!reserve(capture, len)) {
        capture->failed = true;
        return;
    }
    size_t taken = add_head(capture, bytes, len);
    add_tail(capture, bytes + taken, len - taken);
}

char *capture_text(const struct capture *capture, size_t *out_len)
{
    char mark[64] = "";
    size_t kept = capture->bytes ? (size_t)(capture->total < capture->cap ? capture->total : capture->cap) : 0;
    bool truncated = capture->bytes && capture_truncated(capture);
    if (truncated)
        (void)snprintf(mark, sizeof mark, "\n[... %llu bytes left out ...]\n", (unsigned long long)(capture->total - capture->cap));
    size_t mark_len = strlen(mark);
    char *text = malloc(kept + mark_len + 1);
    if (!text || capture->failed) {
        free(text);
        return NULL;
    }
    if (!truncated) {
        if (kept)
            memcpy(text, capture->bytes, kept);
    } else {
        size_t head = capture->head, ring = capture->cap - head;
        size_t start = (size_t)((capture->total - head) % ring);
        memcpy(text, capture->bytes, head);
        memcpy(text + head, mark, mark_len);
        memcpy(text + head + mark_len, capture->bytes + head + start, ring - start);
        memcpy(text + head + mark_len + ring - start, capture->bytes + head, start);
    }
    *out_len = kept + mark_len;
    text[*out_len] = '\0';
    return text;
}
