/*
 * upstream: curl_multi on somebody else's event loop.
 *
 * libcurl must not be called from within its own callbacks, and owners do what they like in theirs:
 * cancel, pause, start. So what a handler asks for is noted and done once libcurl has returned
 * (`depth` is 0 again). Deadlines other than the one for connecting are kept here, one timer for
 * each call, because libcurl knows no first-byte deadline and counts idle time in whole seconds.
 */
#include "upstream/upstream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "upstream/upstream_pool.h"

#define MILLISECOND UINT64_C(1000000)

/* A call that gives up after such a silence has reason to doubt its connection. */
#define SILENCE_MILLISECONDS 5000

/* Milliseconds that what was sent may stay without the peer's acknowledgement. */
#define UNACKNOWLEDGED_MAXIMUM 30000

/* How long a lookup may go on that nobody waits for: two name servers, asked twice for two kinds. */
#define LOOKUP_SECONDS UINT64_C(40)

static void on_deadline(void *context);
static void on_resume(void *context);

/* --- Calls --------------------------------------------------------------------------------------- */

/* Only a handle whose transfer came to its regular end is used again: what others leave behind in
 * it is not worth finding out. */
static void put_handle(struct upstream *upstream, CURL *easy, bool has_completed)
{
    if (has_completed && upstream->spare_count < HANDLES_KEPT) {
        libcurl()->easy_reset(easy);
        upstream->spare[upstream->spare_count++] = easy;
    } else {
        libcurl()->easy_cleanup(easy);
    }
}

static CURL *take_handle(struct upstream *upstream)
{
    return upstream->spare_count > 0 ? upstream->spare[--upstream->spare_count]
                                     : libcurl()->easy_init();
}

static void stop_connecting(struct upstream_call *call)
{
    if (call->is_connecting) {
        call->is_connecting = false;
        call->pool->connecting--;
        call->pool->has_room = true;
    }
}

static void stop_waiting(struct upstream_call *call)
{
    struct upstream_pool *pool = call->pool;
    struct upstream_call *before = NULL;
    struct upstream_call *other = call->is_waiting ? pool->first_waiting : call;
    while (other != call) {
        before = other;
        other = other->next_waiting;
    }
    if (call->is_waiting) {
        *(before == NULL ? &pool->first_waiting : &before->next_waiting) = call->next_waiting;
        pool->last_waiting = pool->last_waiting == call ? before : pool->last_waiting;
        call->next_waiting = NULL;
        call->is_waiting = false;
    }
}

/* A call that was sent ends without the rest of its answer: the connection may have died without
 * anybody noticing, because the other calls on it are just as patient. */
static bool has_doubts(const struct upstream_call *call, bool is_late)
{
    uint64_t silence = clock_monotonic_nanoseconds() - call->last_activity;
    if (!call->has_sent || call->is_paused || call->is_stopped) {
        return false;
    }
    if (is_late && (call->head.status_code == 0 || silence >= call->idle_timeout)) {
        return true;
    }
    return silence >= SILENCE_MILLISECONDS * MILLISECOND &&
           call->pool->last_heard <= call->last_activity;
}

/* The lookup that was left longest ago. Too many go on if even that was within LOOKUP_SECONDS. */
static uint64_t *oldest_lookup(struct upstream *upstream)
{
    uint64_t *oldest = upstream->lookups_left;
    for (size_t i = 1; i < LOOKUPS_LEFT_MAXIMUM; i++) {
        oldest = upstream->lookups_left[i] < *oldest ? &upstream->lookups_left[i] : oldest;
    }
    return oldest;
}

/* Out of libcurl. depth must be 0. */
static void detach(struct upstream_call *call, bool has_completed, bool is_late)
{
    struct upstream *upstream = call->upstream;
    if (!has_completed && has_doubts(call, is_late)) {
        upstream_pool_retire(call->pool);
    }
    if (call->is_looking_up) {
        *oldest_lookup(upstream) = clock_monotonic_nanoseconds();
    }
    stop_connecting(call);
    if (call->easy != NULL) {
        if (call->is_waiting) {
            stop_waiting(call);
        } else if (call->pool != NULL) {
            libcurl()->multi_remove_handle(call->pool->multi, call->easy);
        }
        put_handle(upstream, call->easy, has_completed);
        call->easy = NULL;
    }
    upstream_pool_assign(call, NULL);
    (void)upstream->loop.set_timer(upstream->loop.loop, -1, on_deadline, call);
    (void)upstream->loop.set_timer(upstream->loop.loop, -1, on_resume, call);
}

static void release_call(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        upstream->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    memory_release(call->headers);
    buffer_release(&call->head.lines);
    memory_release(call);
}

static void finish(struct upstream_call *call, enum upstream_result result)
{
    detach(call, result == UPSTREAM_COMPLETE, result == UPSTREAM_TIMEOUT);
    call->is_cancelled = true; /* upstream_cancel from `done` has nothing left to do */
    const struct context before = context_enter(&call->origin);
    call->handlers->done(call, result, call->context);
    context_leave(&before);
    release_call(call);
}

struct upstream_call *upstream_call_of(CURL *easy)
{
    char *call = NULL;
    libcurl()->easy_getinfo(easy, CURLINFO_PRIVATE, &call);
    return (struct upstream_call *)(void *)call;
}

/* Those that could not end while libcurl was running. */
static void end_marked_calls(struct upstream *upstream)
{
    struct upstream_call *call = upstream->has_marked ? upstream->calls : NULL;
    upstream->has_marked = false;
    while (call != NULL) {
        struct upstream_call *next = call->next;
        if (call->is_cancelled) {
            detach(call, false, false);
            release_call(call);
        } else if (call->is_broken) {
            finish(call, UPSTREAM_OVERLOADED);
            next = upstream->calls; /* its owner may have ended any other */
        }
        call = next;
    }
}

/* Into libcurl. depth must be 0. */
static enum status attach(struct upstream_call *call)
{
    struct upstream_pool *pool = call->pool;
    /* Better to wait for a connection that turns out to be HTTP/2 than to open another. */
    bool may_share = pool->is_shared || pool->connecting_maximum == CONNECTING_SHARED;
    if (libcurl()->easy_setopt(call->easy, CURLOPT_PIPEWAIT, may_share ? 1L : 0L) != CURLE_OK ||
        libcurl()->multi_add_handle(pool->multi, call->easy) != CURLM_OK) {
        return STATUS_NO_MEMORY;
    }
    call->is_connecting = true;
    pool->connecting++;
    return upstream_pool_restore_timer(pool);
}

static void wait_for_room(struct upstream_call *call)
{
    struct upstream_pool *pool = call->pool;
    call->is_waiting = true;
    if (pool->last_waiting == NULL) {
        pool->first_waiting = call;
    } else {
        pool->last_waiting->next_waiting = call;
    }
    pool->last_waiting = call;
    /* Called from a handler, which may be within libcurl: it goes on when that has returned. */
    pool->has_room = pool->has_room || call->upstream->depth > 0;
}

static bool has_room(const struct upstream_pool *pool)
{
    return pool->connecting < pool->connecting_maximum && pool->upstream->depth == 0;
}

/* From a pool that has been retired to the one that took its place. */
static enum status move_on(struct upstream_call *call)
{
    char *url = NULL;
    libcurl()->easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
    const struct upstream_request request = {.url = url, .unix_socket = call->unix_socket};
    struct upstream_pool *pool = url == NULL ? NULL : upstream_pool_find(call->upstream, &request);
    if (pool == NULL) {
        return STATUS_NO_MEMORY;
    }
    upstream_pool_assign(call, pool);
    if (has_room(pool)) {
        return attach(call);
    }
    wait_for_room(call);
    return STATUS_OK;
}

static void attach_waiting_calls(struct upstream_pool *pool)
{
    struct upstream_call *call = pool->has_room ? pool->first_waiting : NULL;
    pool->has_room = false;
    while (call != NULL && (pool->is_retired || has_room(pool))) {
        stop_waiting(call);
        if ((pool->is_retired ? move_on(call) : attach(call)) != STATUS_OK) {
            finish(call, UPSTREAM_OVERLOADED);
        }
        call = pool->first_waiting; /* the owner may have ended any other */
    }
}

/* libcurl has no memory to remember the socket of some call, and does not say of which: that call
 * would only end with its deadline. Those with an answer have their sockets. */
void upstream_mark_calls_without_socket(struct upstream_pool *pool)
{
    for (struct upstream_call *call = pool->upstream->calls; call != NULL; call = call->next) {
        if (call->pool == pool && !call->is_waiting && call->head.status_code == 0) {
            call->is_broken = true;
            pool->upstream->has_marked = true;
        }
    }
}

/* What has been put off while libcurl or a handler was running. depth must be 0. */
static void settle(struct upstream *upstream, struct upstream_pool *pool)
{
    CURLMsg *message;
    int left;
    end_marked_calls(upstream);
    while (pool != NULL && (message = libcurl()->multi_info_read(pool->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        struct upstream_call *call = upstream_call_of(message->easy_handle);
        enum upstream_result result = upstream_easy_result(call->easy, message->data.result);
        result = call->is_repeated ? UPSTREAM_BROKEN : result;
        call->is_looking_up = call->is_looking_up && result == UPSTREAM_TIMEOUT;
        finish(call, call->is_too_large ? UPSTREAM_TOO_LARGE : result);
    }
    /* Pools end from a timer only. */
    for (pool = upstream->pools; pool != NULL; pool = pool->next) {
        attach_waiting_calls(pool);
        (void)upstream_pool_restore_timer(pool); /* else the calls' deadlines bring us back here */
    }
}

void upstream_enter(struct upstream *upstream)
{
    upstream->depth++;
}

void upstream_leave(struct upstream_pool *pool)
{
    if (--pool->upstream->depth == 0) {
        settle(pool->upstream, pool);
    }
}

/* --- Deadlines ----------------------------------------------------------------------------------- */

/* The earliest of those that count at present. */
static uint64_t deadline_of(const struct upstream_call *call)
{
    uint64_t deadline = call->started + call->total_timeout;
    uint64_t other = deadline;
    if (call->head.status_code == 0) {
        uint64_t timeout = call->first_byte_timeout;
        bool connects = !call->has_sent && call->connect_timeout < timeout;
        other = call->started + (connects ? call->connect_timeout : timeout);
    } else if (!call->is_paused) {
        other = call->last_activity + call->idle_timeout;
    }
    return other < deadline ? other : deadline;
}

static enum status schedule(struct upstream_call *call, uint64_t now)
{
    struct upstream *upstream = call->upstream;
    uint64_t deadline = deadline_of(call);
    int64_t milliseconds =
        deadline <= now ? 0 : (int64_t)((deadline - now + MILLISECOND - 1) / MILLISECOND);
    return upstream->loop.set_timer(upstream->loop.loop, milliseconds, on_deadline, call);
}

static void on_deadline(void *context)
{
    struct upstream_call *call = context;
    uint64_t now = clock_monotonic_nanoseconds();
    /* Activity does not move the timer, it only moves the deadline. */
    struct upstream *upstream = call->upstream;
    if (deadline_of(call) <= now || schedule(call, now) != STATUS_OK) {
        finish(call, UPSTREAM_TIMEOUT);
    }
    settle(upstream, NULL);
}

/* --- From libcurl -------------------------------------------------------------------------------- */

static void hear(struct upstream_call *call)
{
    call->last_activity = clock_monotonic_nanoseconds();
    call->pool->last_heard = call->last_activity;
}

static void learn_protocol(struct upstream_call *call, struct slice status_line)
{
    struct upstream_pool *pool = call->pool;
    pool->is_shared = slice_starts_with(status_line, "HTTP/2");
    pool->connecting_maximum = pool->is_shared ? CONNECTING_SHARED : CONNECTING_MAXIMUM;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct upstream_call *call = context;
    size_t length = size * count;
    if (call->is_cancelled) {
        return 0;
    }
    hear(call);
    bool is_first = call->head.status_code == 0;
    bool is_last = upstream_head_take(&call->head, (struct slice){bytes, length});
    if (is_first) {
        learn_protocol(call, (struct slice){bytes, length});
    }
    /* From now on idle time counts, and that may be due before the timer that is set. */
    if (is_first && schedule(call, call->last_activity) != STATUS_OK) {
        return 0;
    }
    if (is_last && call->handlers->answered != NULL) {
        const struct context before = context_enter(&call->origin);
        call->handlers->answered(call, call->head.status_code, call->context);
        context_leave(&before);
    }
    return call->is_cancelled ? 0 : length;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *context)
{
    struct upstream_call *call = context;
    struct upstream *upstream = call->upstream;
    size_t length = size * count;
    if (call->is_cancelled) {
        return 0;
    }
    /* In a long turn more data has to wait for the next one, so that a flood of tiny events on one
     * call holds no other up. */
    bool is_too_much = upstream->loop.turn_is_long(upstream->loop.loop) && !call->is_resumed;
    if (call->is_paused || is_too_much) {
        call->is_stopped = true;
        if (!call->is_paused &&
            upstream->loop.set_timer(upstream->loop.loop, 0, on_resume, call) != STATUS_OK) {
            return 0;
        }
        return CURL_WRITEFUNC_PAUSE;
    }
    call->is_resumed = false;
    hear(call);
    if (call->maximum > 0 && length > call->maximum - call->received) {
        call->is_too_large = true;
        return 0;
    }
    call->received += length;
    if (call->handlers->data != NULL) {
        const struct context before = context_enter(&call->origin);
        call->handlers->data(call, (struct slice){.data = bytes, .length = length}, call->context);
        context_leave(&before);
    }
    return call->is_cancelled ? 0 : length;
}

/* Connected, or a connection was found; the request goes out now. libcurl would send it up to six
 * times: each time when a kept connection ends without an answer, although the request may have been
 * read and charged. Whether a request is repeated is our owner's decision. */
static int on_connected(void *context, char *address, char *local_address, int port, int local_port)
{
    struct upstream_call *call = context;
    (void)address;
    (void)local_address;
    (void)port;
    (void)local_port;
    struct upstream_pool *pool = call->pool;
    stop_connecting(call);
    call->is_looking_up = false;
    call->is_repeated = call->has_sent;
    call->has_sent = true;
    call->last_activity = clock_monotonic_nanoseconds();
    if (call->has_opened && !pool->is_shared && pool->connecting_maximum < CONNECTING_MAXIMUM) {
        pool->connecting_maximum *= 2;
    }
    return call->is_repeated ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Each lookup is a thread that cannot be stopped: as long as the name server says nothing, clients
 * that come and leave must not make ever more of them. */
static int on_lookup(void *resolver, void *unused, void *context)
{
    struct upstream_call *call = context;
    (void)resolver;
    (void)unused;
    if (call->pool->has_address) {
        return 0;
    }
    uint64_t oldest = *oldest_lookup(call->upstream);
    call->is_looking_up =
        oldest == 0 || clock_monotonic_nanoseconds() - oldest > LOOKUP_SECONDS * 1000 * MILLISECOND;
    return call->is_looking_up ? 0 : 1;
}

/* A new connection is being made. */
static int on_new_socket(void *context, curl_socket_t descriptor, curlsocktype purpose)
{
    struct upstream_call *call = context;
    const unsigned limit = UNACKNOWLEDGED_MAXIMUM;
    (void)purpose;
    /* A socket that does not know this is local. */
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
    call->is_looking_up = false;
    call->has_opened = true;
    call->is_repeated = call->has_sent;
    return call->is_repeated ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

/* --- What the owner calls -------------------------------------------------------------------- */

static enum status set_callbacks(struct upstream_call *call)
{
    CURL *easy = call->easy;
    bool failed = libcurl()->easy_setopt(easy, CURLOPT_PRIVATE, call) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_HEADERDATA, call) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_WRITEDATA, call) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_PREREQDATA, call) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, call) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_SOCKOPTDATA, call) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_SHARE, call->upstream->share) != CURLE_OK;
    return failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static uint64_t timeout(unsigned milliseconds, unsigned otherwise)
{
    return upstream_or(milliseconds, otherwise) * MILLISECOND;
}

enum status upstream_start(struct upstream *upstream, const struct upstream_request *request,
                           const struct upstream_handlers *handlers, void *context,
                           struct upstream_call **out)
{
    *out = NULL;
    struct upstream_call *call = memory_allocate(sizeof(*call));
    if (call == NULL) {
        return STATUS_NO_MEMORY;
    }
    upstream_head_init(&call->head);
    call->upstream = upstream;
    call->handlers = handlers;
    call->context = context;
    call->origin = *context_current();
    call->unix_socket = request->unix_socket;
    call->maximum = request->response_maximum;
    call->started = clock_monotonic_nanoseconds();
    call->last_activity = call->started;
    call->connect_timeout =
        timeout(request->connect_timeout_milliseconds, UPSTREAM_CONNECT_TIMEOUT);
    call->first_byte_timeout =
        timeout(request->first_byte_timeout_milliseconds, UPSTREAM_FIRST_BYTE_TIMEOUT);
    call->idle_timeout = timeout(request->idle_timeout_milliseconds, UPSTREAM_IDLE_TIMEOUT);
    call->total_timeout = timeout(request->total_timeout_milliseconds, UPSTREAM_TOTAL_TIMEOUT);
    call->next = upstream->calls;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    upstream->calls = call;

    enum status status;
    call->headers = upstream_easy_headers(request, &status);
    if (status != STATUS_OK) {
        goto out;
    }
    status = STATUS_NO_MEMORY;
    CURL *easy = take_handle(upstream);
    if (easy == NULL) {
        goto out;
    }
    call->easy = easy;
    status = upstream_easy_prepare(easy, request, upstream->ca_path, call->headers);
    if (status == STATUS_OK) {
        status = set_callbacks(call);
    }
    if (status == STATUS_OK) {
        status = schedule(call, call->started);
    }
    if (status == STATUS_OK) {
        struct upstream_pool *pool = upstream_pool_find(upstream, request);
        status = pool == NULL ? STATUS_NO_MEMORY : STATUS_OK;
        upstream_pool_assign(call, pool);
    }
    if (status == STATUS_OK) {
        if (has_room(call->pool)) {
            status = attach(call);
        } else {
            wait_for_room(call);
        }
    }

out:
    if (status != STATUS_OK) {
        detach(call, false, false);
        release_call(call);
        return status;
    }
    *out = call;
    return STATUS_OK;
}

void upstream_cancel(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    if (call->is_cancelled) {
        return;
    }
    call->is_cancelled = true;
    if (upstream->depth > 0) {
        upstream->has_marked = true;
        return;
    }
    struct upstream_pool *pool = call->pool;
    detach(call, false, false);
    release_call(call);
    if (pool != NULL && pool->has_room && pool->first_waiting != NULL) {
        /* Going on may end calls, and that is not told from within this one. */
        pool->timer_is_lost = true;
        (void)upstream_pool_restore_timer(pool);
    }
}

static void on_resume(void *context)
{
    struct upstream_call *call = context;
    struct upstream *upstream = call->upstream;
    if (call->is_paused || !call->is_stopped) {
        return;
    }
    struct upstream_pool *pool = call->pool;
    call->is_stopped = false;
    call->is_resumed = true;
    upstream_enter(upstream);
    libcurl()->easy_pause(call->easy, CURLPAUSE_CONT);
    upstream_leave(pool);
}

void upstream_pause(struct upstream_call *call, bool paused)
{
    struct upstream *upstream = call->upstream;
    if (call->is_paused == paused || call->is_cancelled) {
        return;
    }
    call->is_paused = paused;
    if (paused) {
        return; /* the next data is refused, and that stops libcurl */
    }
    call->last_activity = clock_monotonic_nanoseconds();
    /* Going on hands out data at once: not within this call of the owner's. */
    if (upstream->loop.set_timer(upstream->loop.loop, 0, on_resume, call) != STATUS_OK ||
        schedule(call, call->last_activity) != STATUS_OK) {
        /* A call that can neither go on nor end would stay for ever. */
        call->total_timeout = 0;
    }
}

bool upstream_has_sent(const struct upstream_call *call)
{
    return call->has_sent;
}

int64_t upstream_retry_after(const struct upstream_call *call)
{
    return upstream_head_retry_after(&call->head);
}

/* --- Making and ending --------------------------------------------------------------------------- */

enum status upstream_create(struct upstream **out, const struct upstream_loop *loop,
                            const char *ca_path)
{
    *out = NULL;
    enum status status = libcurl_load();
    if (status != STATUS_OK) {
        return status;
    }
    struct upstream *upstream = memory_allocate(sizeof(*upstream));
    if (upstream == NULL) {
        return STATUS_NO_MEMORY;
    }
    upstream->loop = *loop;
    upstream->pool_idle_milliseconds = POOL_IDLE_MILLISECONDS;
    upstream->pool_lifetime_milliseconds = POOL_LIFETIME_MILLISECONDS;
    upstream->share = libcurl()->share_init();
    struct slice path = slice_of(ca_path);
    upstream->ca_path = memory_copy_text(path.length > 0 ? path.data : "", path.length);
    bool failed = upstream->share == NULL || upstream->ca_path == NULL ||
                  libcurl()->share_setopt(upstream->share, CURLSHOPT_SHARE,
                                          CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK;
    if (failed) {
        upstream_release(upstream);
        return STATUS_NO_MEMORY;
    }
    *out = upstream;
    return STATUS_OK;
}

void upstream_release(struct upstream *upstream)
{
    if (upstream == NULL) {
        return;
    }
    while (upstream->calls != NULL) {
        detach(upstream->calls, false, false);
        release_call(upstream->calls);
    }
    while (upstream->spare_count > 0) {
        libcurl()->easy_cleanup(upstream->spare[--upstream->spare_count]);
    }
    while (upstream->pools != NULL) {
        upstream_pool_release(upstream->pools);
    }
    if (upstream->share != NULL) {
        libcurl()->share_cleanup(upstream->share);
    }
    memory_release(upstream->ca_path);
    memory_release(upstream);
}
