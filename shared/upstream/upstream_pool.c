/*
 * upstream_pool: finding, retiring and ending pools, and libcurl's sockets and timer on the loop.
 */
#include "upstream/upstream_pool.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/memory.h"

/* Idle connections that a pool keeps open. */
#define CONNECTIONS_KEPT 64L

/* HTTP/2 streams on one connection, if the server allows as many. */
#define STREAMS_MAXIMUM 1000L

/* --- libcurl's sockets and timer ----------------------------------------------------------------- */

static void run_libcurl(struct upstream_pool *pool, curl_socket_t descriptor, int events)
{
    int running;
    upstream_enter(pool->upstream);
    if (libcurl()->multi_socket_action(pool->multi, descriptor, events, &running) != CURLM_OK) {
        upstream_mark_calls_without_socket(pool);
    }
    upstream_leave(pool);
}

static void on_ready(int descriptor, bool readable, bool writable, void *context)
{
    run_libcurl(context, descriptor,
                (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t descriptor, int what, void *context, void *unused)
{
    struct upstream_pool *pool = context;
    const struct upstream_loop *loop = &pool->upstream->loop;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        loop->unwatch(loop->loop, descriptor);
        return 0;
    }
    bool reads = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
    bool writes = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
    if (loop->watch(loop->loop, descriptor, reads, writes, on_ready, pool) != STATUS_OK) {
        struct upstream_call *call = upstream_call_of(easy);
        if (call != NULL) {
            call->is_broken = true;
            pool->upstream->has_marked = true;
        }
    }
    return 0;
}

static void on_timer(void *context)
{
    run_libcurl(context, CURL_SOCKET_TIMEOUT, 0);
}

static int on_set_timer(CURLM *multi, long milliseconds, void *context)
{
    struct upstream_pool *pool = context;
    const struct upstream_loop *loop = &pool->upstream->loop;
    (void)multi;
    pool->timer_is_lost = loop->set_timer(loop->loop, milliseconds, on_timer, pool) != STATUS_OK;
    return 0;
}

enum status upstream_pool_restore_timer(struct upstream_pool *pool)
{
    enum status status = STATUS_OK;
    if (pool->timer_is_lost) {
        const struct upstream_loop *loop = &pool->upstream->loop;
        status = loop->set_timer(loop->loop, 0, on_timer, pool);
        pool->timer_is_lost = status != STATUS_OK;
    }
    return status;
}

/* --- Making and ending --------------------------------------------------------------------------- */

static void on_unused(void *context)
{
    struct upstream_pool *pool = context;
    if (pool->calls == 0) {
        upstream_pool_release(pool);
    }
}

/* Scheme, host and port of a URL. */
static struct slice origin_of(const char *url)
{
    const char *host = strstr(url, "://");
    host = host == NULL ? url : host + 3;
    return (struct slice){url, (size_t)(host - url) + strcspn(host, "/?#")};
}

/* The host of an origin is an address, RFC 3986 section 3.2.2. */
static bool is_address(struct slice origin)
{
    char host[INET_ADDRSTRLEN] = "";
    struct in_addr address;
    const char *end = origin.data + origin.length;
    const char *at = memchr(origin.data, ':', origin.length);
    at = at == NULL || end - at < 3 ? origin.data : at + 3;
    if (at < end && *at == '[') {
        return true;
    }
    const char *colon = memchr(at, ':', (size_t)(end - at));
    size_t length = (size_t)((colon == NULL ? end : colon) - at);
    if (length >= sizeof(host)) {
        return false;
    }
    memcpy(host, at, length);
    return inet_pton(AF_INET, host, &address) == 1;
}

static bool is_for(const struct upstream_pool *pool, struct slice origin, const char *path)
{
    return strncasecmp(pool->origin, origin.data, origin.length) == 0 &&
           pool->origin[origin.length] == ' ' &&
           strcmp(pool->origin + origin.length + 1, path) == 0;
}

static bool configure(struct upstream_pool *pool)
{
    CURLM *multi = pool->multi;
    bool failed = libcurl()->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK;
    failed |= libcurl()->multi_setopt(multi, CURLMOPT_SOCKETDATA, pool) != CURLM_OK;
    failed |= libcurl()->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_set_timer) != CURLM_OK;
    failed |= libcurl()->multi_setopt(multi, CURLMOPT_TIMERDATA, pool) != CURLM_OK;
    failed |= libcurl()->multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, STREAMS_MAXIMUM) !=
              CURLM_OK;
    failed |= libcurl()->multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) != CURLM_OK;
    return !failed;
}

static struct upstream_pool *make(struct upstream *upstream, struct slice origin, const char *path)
{
    struct upstream_pool *pool = memory_allocate(sizeof(*pool));
    size_t length = strlen(path) + 1;
    if (pool == NULL) {
        return NULL;
    }
    pool->upstream = upstream;
    pool->next = upstream->pools;
    upstream->pools = pool;
    pool->made = clock_monotonic_nanoseconds();
    pool->origin = memory_allocate(origin.length + 1 + length);
    pool->multi = libcurl()->multi_init();
    if (pool->origin == NULL || pool->multi == NULL || !configure(pool)) {
        upstream_pool_release(pool);
        return NULL;
    }
    memcpy(pool->origin, origin.data, origin.length);
    pool->origin[origin.length] = ' ';
    memcpy(pool->origin + origin.length + 1, path, length);
    pool->has_address = path[0] != '\0' || is_address(origin);
    bool is_plain = strncasecmp(origin.data, "http:", 5) == 0;
    pool->connecting_maximum = is_plain ? CONNECTING_MAXIMUM : CONNECTING_SHARED;
    return pool;
}

void upstream_pool_release(struct upstream_pool *pool)
{
    struct upstream *upstream = pool->upstream;
    const struct upstream_loop *loop = &upstream->loop;
    struct upstream_pool **at = &upstream->pools;
    while (*at != pool) {
        at = &(*at)->next;
    }
    *at = pool->next;
    if (pool->multi != NULL) {
        libcurl()->multi_cleanup(pool->multi);
    }
    (void)loop->set_timer(loop->loop, -1, on_timer, pool);
    (void)loop->set_timer(loop->loop, -1, on_unused, pool);
    memory_release(pool->origin);
    memory_release(pool);
}

/* --- For calls ------------------------------------------------------------------------------------- */

struct upstream_pool *upstream_pool_find(struct upstream *upstream,
                                         const struct upstream_request *request)
{
    struct slice origin = origin_of(request->url);
    const char *path = request->unix_socket == NULL ? "" : request->unix_socket;
    struct upstream_pool *pool = upstream->pools;
    while (pool != NULL && (pool->is_retired || !is_for(pool, origin, path))) {
        pool = pool->next;
    }
    if (pool != NULL) {
        uint64_t age = clock_monotonic_nanoseconds() - pool->made;
        if (age / 1000000 < (uint64_t)upstream->pool_lifetime_milliseconds) {
            return pool;
        }
        upstream_pool_retire(pool);
    }
    return make(upstream, origin, path);
}

/* Also lets one end that stands unused since its making. */
static void watch_use(struct upstream_pool *pool)
{
    struct upstream *upstream = pool->upstream;
    int64_t milliseconds = pool->calls > 0    ? -1
                           : pool->is_retired ? 0
                                              : upstream->pool_idle_milliseconds;
    /* Without a timer it stays until its next call ends. */
    (void)upstream->loop.set_timer(upstream->loop.loop, milliseconds, on_unused, pool);
}

void upstream_pool_assign(struct upstream_call *call, struct upstream_pool *pool)
{
    struct upstream_pool *before = call->pool;
    call->pool = pool;
    if (pool != NULL && pool->calls++ == 0) {
        watch_use(pool);
    }
    if (before != NULL && --before->calls == 0) {
        watch_use(before);
    }
}

void upstream_pool_retire(struct upstream_pool *pool)
{
    if (!pool->is_retired) {
        pool->is_retired = true;
        /* Those that wait move on when they are looked at. */
        pool->has_room = true;
        if (pool->calls == 0) {
            watch_use(pool);
        }
    }
}
