/*
 * upstream: curl_multi on somebody else's event loop.
 *
 * libcurl must not be called from within its own callbacks, and owners do what they like in theirs:
 * cancel, pause, start. So what a handler asks for is noted and done once libcurl has returned
 * (`depth` is 0 again). Deadlines other than the one for connecting are kept here, one timer for
 * each call, because libcurl knows no first-byte deadline and counts idle time in whole seconds.
 *
 * When all HTTP/2 connections to a host are full, libcurl opens another one for each call that
 * starts before the first of these is established: a burst of a thousand calls would make hundreds
 * of connections for ten that are needed. So a few calls to an origin may be connecting at a time,
 * and the others wait here until one of these has sent its request.
 */
#include "upstream/upstream.h"

#include "base/clock.h"
#include "base/memory.h"
#include "upstream/upstream_easy.h"

#define MILLISECOND UINT64_C(1000000)

/* Idle connections that are kept open, over all hosts. */
#define CONNECTIONS_KEPT 64L

/* Calls to one origin that may be connecting at the same time. */
#define CONNECTING_MAXIMUM 4

/* Origins are told apart by a hash; two that share a bucket share their places. */
#define ORIGIN_BUCKETS 256

/* HTTP/2 streams on one connection, if the server allows as many. */
#define STREAMS_MAXIMUM 1000L

/* Handles that are kept for the next calls: they are cheaper to reset than to make. */
#define HANDLES_KEPT 32

struct upstream {
    struct upstream_loop loop;
    CURLM *multi;
    CURLSH *share; /* TLS sessions, so that a new connection can resume */
    char *ca_path;
    struct upstream_call *calls;
    struct upstream_call *first_waiting;
    struct upstream_call *last_waiting;
    uint8_t connecting[ORIGIN_BUCKETS];
    CURL *spare[HANDLES_KEPT];
    int spare_count;
    int depth;          /* inside libcurl */
    bool has_room;      /* a call has ceased to connect */
    bool has_marked;    /* calls, cancelled or broken, that wait for libcurl to return */
    bool timer_is_lost; /* the loop could not take libcurl's timer */
};

struct upstream_call {
    struct upstream *upstream;
    CURL *easy;
    struct curl_slist *headers;
    const struct upstream_handlers *handlers;
    void *context;
    struct upstream_head head;
    uint64_t started;
    uint64_t last_activity;
    uint64_t connect_timeout; /* nanoseconds, as the next three */
    uint64_t first_byte_timeout;
    uint64_t idle_timeout;
    uint64_t total_timeout;
    size_t received;
    size_t maximum; /* 0: none */
    bool is_paused;
    bool is_stopped; /* libcurl holds data back because of it */
    bool is_too_large;
    bool is_cancelled;
    bool is_broken; /* it cannot go on: its socket cannot be watched */
    bool is_waiting;
    bool is_connecting;
    bool has_sent;
    bool is_repeated; /* libcurl has tried to send it once more */
    uint8_t bucket;
    struct upstream_call *next_waiting;
    struct upstream_call *next;
    struct upstream_call *previous;
};

static void on_deadline(void *context);
static void on_resume(void *context);
static void on_timer(void *context);

/* --- Calls --------------------------------------------------------------------------------------- */

/* Only a handle whose transfer came to its regular end is used again: what others leave behind in
 * it is not worth finding out. */
static void put_handle(struct upstream *upstream, CURL *easy, bool has_completed)
{
    if (has_completed && upstream->spare_count < HANDLES_KEPT) {
        curl_easy_reset(easy);
        upstream->spare[upstream->spare_count++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

static CURL *take_handle(struct upstream *upstream)
{
    return upstream->spare_count > 0 ? upstream->spare[--upstream->spare_count] : curl_easy_init();
}

static void stop_connecting(struct upstream_call *call)
{
    if (call->is_connecting) {
        call->is_connecting = false;
        call->upstream->connecting[call->bucket]--;
        call->upstream->has_room = true;
    }
}

static void stop_waiting(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    struct upstream_call *before = NULL;
    struct upstream_call *other = call->is_waiting ? upstream->first_waiting : call;
    while (other != call) {
        before = other;
        other = other->next_waiting;
    }
    if (call->is_waiting) {
        *(before == NULL ? &upstream->first_waiting : &before->next_waiting) = call->next_waiting;
        upstream->last_waiting = upstream->last_waiting == call ? before : upstream->last_waiting;
        call->is_waiting = false;
    }
}

/* Out of libcurl. depth must be 0. */
static void detach(struct upstream_call *call, bool has_completed)
{
    struct upstream *upstream = call->upstream;
    stop_connecting(call);
    if (call->easy != NULL) {
        if (call->is_waiting) {
            stop_waiting(call);
        } else {
            curl_multi_remove_handle(upstream->multi, call->easy);
        }
        put_handle(upstream, call->easy, has_completed);
        call->easy = NULL;
    }
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
    detach(call, result == UPSTREAM_COMPLETE);
    call->is_cancelled = true; /* upstream_cancel from `done` has nothing left to do */
    call->handlers->done(call, result, call->context);
    release_call(call);
}

static struct upstream_call *call_of(CURL *easy)
{
    char *call = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
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
            detach(call, false);
            release_call(call);
        } else if (call->is_broken) {
            finish(call, UPSTREAM_OVERLOADED);
            next = upstream->calls; /* its owner may have ended any other */
        }
        call = next;
    }
}

/* libcurl must never be told that its timer cannot be set: 7.88 then leaves a handle half added,
 * and removing it crashes. So that is made good as soon as there is memory again. */
static enum status restore_timer(struct upstream *upstream)
{
    enum status status = STATUS_OK;
    if (upstream->timer_is_lost) {
        status = upstream->loop.set_timer(upstream->loop.loop, 0, on_timer, upstream);
        upstream->timer_is_lost = status != STATUS_OK;
    }
    return status;
}

/* Into libcurl. depth must be 0. */
static enum status attach(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    if (curl_multi_add_handle(upstream->multi, call->easy) != CURLM_OK) {
        return STATUS_NO_MEMORY;
    }
    call->is_connecting = true;
    upstream->connecting[call->bucket]++;
    return restore_timer(upstream);
}

static void attach_waiting_calls(struct upstream *upstream)
{
    struct upstream_call *call = upstream->has_room ? upstream->first_waiting : NULL;
    upstream->has_room = false;
    while (call != NULL) {
        struct upstream_call *next = call->next_waiting;
        if (upstream->connecting[call->bucket] < CONNECTING_MAXIMUM) {
            stop_waiting(call);
            if (attach(call) != STATUS_OK) {
                finish(call, UPSTREAM_UNREACHABLE);
                next = upstream->first_waiting; /* its owner may have ended any other */
            }
        }
        call = next;
    }
}

static void enter(struct upstream *upstream)
{
    upstream->depth++;
}

/* libcurl has no memory to remember the socket of some call, and does not say of which: that call
 * would only end with its deadline. Those with an answer have their sockets. */
static void mark_calls_without_socket(struct upstream *upstream)
{
    for (struct upstream_call *call = upstream->calls; call != NULL; call = call->next) {
        if (!call->is_waiting && call->head.status_code == 0) {
            call->is_broken = true;
            upstream->has_marked = true;
        }
    }
}

/* What has been put off while libcurl or a handler was running. depth must be 0. */
static void settle(struct upstream *upstream)
{
    CURLMsg *message;
    int left;
    end_marked_calls(upstream);
    while ((message = curl_multi_info_read(upstream->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        struct upstream_call *call = call_of(message->easy_handle);
        enum upstream_result result = upstream_easy_result(call->easy, message->data.result);
        result = call->is_repeated ? UPSTREAM_BROKEN : result;
        finish(call, call->is_too_large ? UPSTREAM_TOO_LARGE : result);
    }
    attach_waiting_calls(upstream);
    (void)restore_timer(upstream); /* else the calls' own deadlines bring us back here */
}

/* libcurl has returned. */
static void leave(struct upstream *upstream)
{
    if (--upstream->depth == 0) {
        settle(upstream);
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
    settle(upstream);
}

/* --- From libcurl -------------------------------------------------------------------------------- */

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct upstream_call *call = context;
    size_t length = size * count;
    if (call->is_cancelled) {
        return 0;
    }
    call->last_activity = clock_monotonic_nanoseconds();
    bool is_first = call->head.status_code == 0;
    bool is_last = upstream_head_take(&call->head, (struct slice){bytes, length});
    /* From now on idle time counts, and that may be due before the timer that is set. */
    if (is_first && schedule(call, call->last_activity) != STATUS_OK) {
        return 0;
    }
    if (is_last && call->handlers->answered != NULL) {
        call->handlers->answered(call, call->head.status_code, call->context);
    }
    return call->is_cancelled ? 0 : length;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *context)
{
    struct upstream_call *call = context;
    size_t length = size * count;
    if (call->is_cancelled) {
        return 0;
    }
    if (call->is_paused) {
        call->is_stopped = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    call->last_activity = clock_monotonic_nanoseconds();
    if (call->maximum > 0 && length > call->maximum - call->received) {
        call->is_too_large = true;
        return 0;
    }
    call->received += length;
    if (call->handlers->data != NULL) {
        call->handlers->data(call, (struct slice){.data = bytes, .length = length}, call->context);
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
    stop_connecting(call);
    call->is_repeated = call->has_sent;
    call->has_sent = true;
    return call->is_repeated ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* A new connection is being made. */
static int on_new_socket(void *context, curl_socket_t descriptor, curlsocktype purpose)
{
    struct upstream_call *call = context;
    (void)descriptor;
    (void)purpose;
    call->is_repeated = call->has_sent;
    return call->is_repeated ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

static void run_libcurl(struct upstream *upstream, curl_socket_t descriptor, int events)
{
    int running;
    enter(upstream);
    if (curl_multi_socket_action(upstream->multi, descriptor, events, &running) != CURLM_OK) {
        mark_calls_without_socket(upstream);
    }
    leave(upstream);
}

static void on_ready(int descriptor, bool readable, bool writable, void *context)
{
    run_libcurl(context, descriptor,
                (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t descriptor, int what, void *context, void *unused)
{
    struct upstream *upstream = context;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        upstream->loop.unwatch(upstream->loop.loop, descriptor);
        return 0;
    }
    bool reads = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
    bool writes = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
    enum status status =
        upstream->loop.watch(upstream->loop.loop, descriptor, reads, writes, on_ready, upstream);
    struct upstream_call *call = status == STATUS_OK ? NULL : call_of(easy);
    if (call != NULL) {
        call->is_broken = true;
        upstream->has_marked = true;
    }
    return 0;
}

static void on_timer(void *context)
{
    run_libcurl(context, CURL_SOCKET_TIMEOUT, 0);
}

static int on_set_timer(CURLM *multi, long milliseconds, void *context)
{
    struct upstream *upstream = context;
    (void)multi;
    upstream->timer_is_lost = upstream->loop.set_timer(upstream->loop.loop, milliseconds, on_timer,
                                                       upstream) != STATUS_OK;
    return 0;
}

/* --- What the owner calls -------------------------------------------------------------------- */

static enum status set_callbacks(struct upstream_call *call)
{
    CURL *easy = call->easy;
    bool failed = curl_easy_setopt(easy, CURLOPT_PRIVATE, call) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, call) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, call) != CURLE_OK;
    failed |= curl_easy_setopt(easy, CURLOPT_SHARE, call->upstream->share) != CURLE_OK;
    return failed ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Scheme, host and port, and the socket if there is one (FNV-1a). */
static uint8_t bucket_of(const struct upstream_request *request)
{
    uint32_t hash = 2166136261u;
    int slashes = 0;
    for (const char *at = request->url; *at != '\0' && slashes < 3; at++) {
        slashes += *at == '/';
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    }
    for (const char *at = request->unix_socket; at != NULL && *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    }
    return (uint8_t)(hash >> 24 ^ hash >> 8);
}

static enum status wait_for_room(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;
    call->is_waiting = true;
    if (upstream->last_waiting == NULL) {
        upstream->first_waiting = call;
    } else {
        upstream->last_waiting->next_waiting = call;
    }
    upstream->last_waiting = call;
    /* Called from a handler, which may be within libcurl: it goes on when that has returned. */
    upstream->has_room = upstream->has_room || upstream->depth > 0;
    return STATUS_OK;
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
        call->bucket = bucket_of(request);
        if (upstream->connecting[call->bucket] < CONNECTING_MAXIMUM && upstream->depth == 0) {
            status = attach(call);
        } else {
            status = wait_for_room(call);
        }
    }

out:
    if (status != STATUS_OK) {
        detach(call, false);
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
    detach(call, false);
    release_call(call);
    if (upstream->has_room && upstream->first_waiting != NULL) {
        /* Going on may end calls, and that is not told from within this one. */
        upstream->timer_is_lost = true;
        (void)restore_timer(upstream);
    }
}

static void on_resume(void *context)
{
    struct upstream_call *call = context;
    struct upstream *upstream = call->upstream;
    if (call->is_paused || !call->is_stopped) {
        return;
    }
    call->is_stopped = false;
    enter(upstream);
    curl_easy_pause(call->easy, CURLPAUSE_CONT);
    leave(upstream);
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

int upstream_status_code(const struct upstream_call *call)
{
    return call->head.status_code;
}

bool upstream_has_sent(const struct upstream_call *call)
{
    return call->has_sent;
}

const char *upstream_header(struct upstream_call *call, const char *name)
{
    return upstream_head_find(&call->head, name);
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
    if (upstream_easy_initialise() != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    struct upstream *upstream = memory_allocate(sizeof(*upstream));
    if (upstream == NULL) {
        return STATUS_NO_MEMORY;
    }
    upstream->loop = *loop;
    upstream->multi = curl_multi_init();
    upstream->share = curl_share_init();
    struct slice path = slice_of(ca_path);
    upstream->ca_path = memory_copy_text(path.length > 0 ? path.data : "", path.length);
    bool failed = upstream->multi == NULL || upstream->share == NULL || upstream->ca_path == NULL;
    if (!failed) {
        CURLM *multi = upstream->multi;
        failed |= curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK;
        failed |= curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, upstream) != CURLM_OK;
        failed |= curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_set_timer) != CURLM_OK;
        failed |= curl_multi_setopt(multi, CURLMOPT_TIMERDATA, upstream) != CURLM_OK;
        failed |=
            curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, STREAMS_MAXIMUM) != CURLM_OK;
        failed |= curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) != CURLM_OK;
        failed |= curl_share_setopt(upstream->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
                  CURLSHE_OK;
    }
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
        detach(upstream->calls, false);
        release_call(upstream->calls);
    }
    while (upstream->spare_count > 0) {
        curl_easy_cleanup(upstream->spare[--upstream->spare_count]);
    }
    if (upstream->multi != NULL) {
        curl_multi_cleanup(upstream->multi);
    }
    if (upstream->share != NULL) {
        curl_share_cleanup(upstream->share);
    }
    (void)upstream->loop.set_timer(upstream->loop.loop, -1, on_timer, upstream);
    memory_release(upstream->ca_path);
    memory_release(upstream);
}
