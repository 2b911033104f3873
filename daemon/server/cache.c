/* Bodies, rendered once per (snapshot, format, language, encoding) and shared by every answer that is being sent.
 *
 * The loop replaces the whole cache when it publishes (a pointer swap under the server's lock); what is still being sent keeps its body alive by a
 * reference. The entries of a cache are touched by the HTTP thread only. A body is rendered again after one second, also when the loop publishes nothing
 * new: then the ages in it grow, and the states turn stale once the loop counts as stuck. */
#include <stdlib.h>

#include "internal.h"
#include "runbook/base/units.h"

#define BODY_FRESH RB_NS_PER_S

struct rb_body *rb_body_new(void)
{
    struct rb_body *body = calloc(1, sizeof *body);
    if (body) {
        body->refs = 1;
        rb_buf_init(&body->bytes, RB_RENDER_MAX);
    }
    return body;
}

struct rb_body *rb_body_ref(struct rb_body *body)
{
    __atomic_add_fetch(&body->refs, 1, __ATOMIC_RELAXED);
    return body;
}

void rb_body_unref(struct rb_body *body)
{
    if (!body || __atomic_sub_fetch(&body->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rb_buf_fini(&body->bytes);
    free(body);
}

struct rb_cache *rb_cache_new(struct rb_snapshot *snapshot)
{
    struct rb_cache *cache = calloc(1, sizeof *cache);
    if (cache) {
        cache->refs = 1;
        cache->snapshot = rb_snapshot_ref(snapshot);
    }
    return cache;
}

void rb_cache_unref(struct rb_cache *cache)
{
    if (!cache || __atomic_sub_fetch(&cache->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (int id = 0; id < RB_BODY_COUNT; id++) {
        rb_body_unref(cache->bodies[id][0]);
        rb_body_unref(cache->bodies[id][1]);
    }
    rb_snapshot_unref(cache->snapshot);
    free(cache);
}

struct rb_cache *rb_cache_current(struct rb_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct rb_cache *cache = server->cache;
    if (cache)
        __atomic_add_fetch(&cache->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&server->lock);
    return cache;
}

static int render(struct rb_server *server, const struct rb_view *view, enum rb_body_id id, struct rb_buf *out, struct rb_error *err)
{
    struct rb_text_style style = {.columns = 160, .language = (enum rb_language)view->snapshot->plan->daemon.language, .evidence = 3};
    struct rb_server_stats stats;
    switch (id) {
    case RB_BODY_METRICS_TEXT:
    case RB_BODY_METRICS_OPENMETRICS:
        stats = rb_server_stats(server);
        return rb_render_metrics_body(view, &stats, id == RB_BODY_METRICS_TEXT ? RB_METRICS_TEXT : RB_METRICS_OPENMETRICS, out, err);
    case RB_BODY_STATUS_JSON:
        return rb_render_status_json(view, out, err);
    case RB_BODY_CHECKS:
        return rb_render_check_report(view, NULL, RB_CHECK_JSON, &style, out, err);
    case RB_BODY_OPENAPI:
        return rb_openapi_render(out, err);
    default:
        break;
    }
    if (id >= RB_BODY_PAGE)
        return rb_render_page_html(view, (enum rb_language)(id - RB_BODY_PAGE), out, err);
    style.language = (enum rb_language)(id - RB_BODY_STATUS_TEXT);
    return rb_render_status_text(view, &style, out, err);
}

static struct rb_body *make(struct rb_server *server, struct rb_cache *cache, const struct rb_view *view, enum rb_body_id id, bool gzip,
                            struct rb_error *err)
{
    struct rb_body *body = rb_body_new();
    int rc = body ? 0 : rb_error_set(err, RB_ENOMEM, "out of memory");
    if (rc == 0 && gzip) {
        struct rb_body *plain = rb_cache_body(server, cache, view, id, false, err);
        rc = plain ? rb_render_gzip_open(plain->bytes.data, plain->bytes.len, &body->bytes, &body->crc, err) : err->code;
        body->plain_len = plain ? plain->bytes.len : 0;
        rb_body_unref(plain);
    } else if (rc == 0) {
        rc = render(server, view, id, &body->bytes, err);
    }
    if (rc == 0)
        return body;
    rb_body_unref(body);
    return NULL;
}

struct rb_body *rb_cache_body(struct rb_server *server, struct rb_cache *cache, const struct rb_view *view, enum rb_body_id id, bool gzip,
                              struct rb_error *err)
{
    struct rb_body **kept = &cache->bodies[id][gzip];
    bool fresh = *kept && view->elapsed_ns - cache->made_ns[id][gzip] < BODY_FRESH && cache->stuck == view->stuck;
    if (cache->stuck != view->stuck) {
        for (int i = 0; i < RB_BODY_COUNT; i++) {
            cache->made_ns[i][0] = INT64_MIN / 2;
            cache->made_ns[i][1] = INT64_MIN / 2;
        }
        cache->stuck = view->stuck;
    }
    if (!fresh) {
        struct rb_body *made = make(server, cache, view, id, gzip, err);
        if (!made)
            return NULL;
        rb_body_unref(*kept);
        *kept = made;
        cache->made_ns[id][gzip] = view->elapsed_ns;
    }
    return rb_body_ref(*kept);
}

void rb_cache_etag(const struct rb_view *view, enum rb_body_id id, bool gzip, char out[RB_ETAG_SIZE])
{
    /* FNV-1a over the states as seen: staleness may come without a new generation. */
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < view->snapshot->count; i++)
        hash = (hash ^ (uint64_t)rb_view_state(view, i)) * UINT64_C(1099511628211);
    hash = (hash ^ (uint64_t)view->snapshot->start_wall_ns) * UINT64_C(1099511628211);
    hash = (hash ^ ((uint64_t)id * 4 + (view->stuck ? 2u : 0u) + gzip)) * UINT64_C(1099511628211);
    struct rb_buf text;
    rb_buf_init(&text, RB_ETAG_SIZE - 1);
    rb_buf_addf(&text, "W/\"%llx-%016llx\"", (unsigned long long)view->snapshot->generation, (unsigned long long)hash);
    size_t i = 0;
    for (; i < text.len; i++)
        out[i] = text.data[i];
    out[i] = '\0';
    rb_buf_fini(&text);
}
