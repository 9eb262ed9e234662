/*
 * upstream_fetch: one request that blocks, for a bounded time.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "upstream/upstream_easy.h"

#define DEFAULT_MAXIMUM (1u << 20)

#define MILLISECOND UINT64_C(1000000)

struct fetch {
    struct upstream_head head;
    struct buffer body;
    bool is_too_large;
    uint64_t started;
    uint64_t last_activity;
    uint64_t first_byte_timeout; /* nanoseconds */
    uint64_t idle_timeout;
};

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    fetch->last_activity = clock_monotonic_nanoseconds();
    upstream_head_take(&fetch->head, (struct slice){.data = bytes, .length = size * count});
    return size * count;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    size_t room = fetch->body.maximum - fetch->body.length;
    size_t length = size * count;
    fetch->last_activity = clock_monotonic_nanoseconds();
    fetch->is_too_large = length > room;
    if (buffer_append(&fetch->body, bytes, length > room ? room : length) != STATUS_OK) {
        return 0;
    }
    return fetch->is_too_large ? 0 : length;
}

static bool is_late(const struct fetch *fetch)
{
    uint64_t now = clock_monotonic_nanoseconds();
    return fetch->head.status_code == 0 ? now - fetch->started > fetch->first_byte_timeout
                                        : now - fetch->last_activity > fetch->idle_timeout;
}

/* libcurl calls this about once a second when nothing happens. */
static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return is_late(context) ? 1 : 0;
}

static enum status set_callbacks(CURL *easy, struct fetch *fetch, unsigned total)
{
    bool failed = libcurl()->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_HEADERDATA, fetch) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_WRITEDATA, fetch) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_XFERINFODATA, fetch) != CURLE_OK;
    failed |= libcurl()->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)total) != CURLE_OK;
    return failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static void perform(CURL *easy, struct fetch *fetch, struct upstream_answer *answer)
{
    fetch->started = clock_monotonic_nanoseconds();
    fetch->last_activity = fetch->started;
    CURLcode code = libcurl()->easy_perform(easy);
    answer->nanoseconds = clock_monotonic_nanoseconds() - fetch->started;
    answer->status_code = fetch->head.status_code;
    answer->result = upstream_easy_result(easy, code);
    if (answer->result == UPSTREAM_COMPLETE && !fetch->head.is_complete) {
        /* libcurl is content with a head that breaks off. */
        answer->result = UPSTREAM_BROKEN;
    }
    if (fetch->is_too_large) {
        answer->result = UPSTREAM_TOO_LARGE;
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        answer->result = UPSTREAM_TIMEOUT;
    }
}

enum status upstream_fetch(const struct upstream_request *request, const char *ca_path,
                           struct arena *arena, struct upstream_answer *answer)
{
    struct fetch fetch = {
        .first_byte_timeout =
            upstream_or(request->first_byte_timeout_milliseconds, UPSTREAM_FIRST_BYTE_TIMEOUT) *
            MILLISECOND,
        .idle_timeout =
            upstream_or(request->idle_timeout_milliseconds, UPSTREAM_IDLE_TIMEOUT) * MILLISECOND,
    };
    *answer = (struct upstream_answer){.result = UPSTREAM_UNREACHABLE, .body.data = ""};
    upstream_head_init(&fetch.head);
    buffer_init(&fetch.body,
                request->response_maximum > 0 ? request->response_maximum : DEFAULT_MAXIMUM);
    enum status status = libcurl_load();
    struct curl_slist *headers = NULL;
    CURL *easy = NULL;
    if (status != STATUS_OK) {
        goto out;
    }
    headers = upstream_easy_headers(request, &status);
    if (headers == NULL) {
        goto out;
    }
    easy = libcurl()->easy_init();
    status =
        easy == NULL ? STATUS_NO_MEMORY : upstream_easy_prepare(easy, request, ca_path, headers);
    if (status == STATUS_OK) {
        status = set_callbacks(
            easy, &fetch, upstream_or(request->total_timeout_milliseconds, UPSTREAM_TOTAL_TIMEOUT));
    }
    if (status != STATUS_OK) {
        goto out;
    }
    perform(easy, &fetch, answer);
    if (buffer_status(&fetch.body) == STATUS_NO_MEMORY) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    if (fetch.body.length > 0) {
        answer->body.data = arena_copy(arena, buffer_text(&fetch.body), fetch.body.length);
        answer->body.length = fetch.body.length;
        status = answer->body.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }

out:
    if (easy != NULL) {
        libcurl()->easy_cleanup(easy);
    }
    memory_release(headers);
    buffer_release(&fetch.body);
    buffer_release(&fetch.head.lines);
    return status;
}
