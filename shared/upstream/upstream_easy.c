/*
 * upstream_easy: options, header lines and results, the same for both ways in.
 */
#include "upstream/upstream_easy.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

#define DEFAULT_CA_PATH "/etc/ssl/certs"

unsigned upstream_or(unsigned milliseconds, unsigned otherwise)
{
    return milliseconds == 0 ? otherwise : milliseconds;
}

enum upstream_authorities upstream_authorities(const char *ca_path)
{
    struct stat found;
    bool exists = stat(ca_path, &found) == 0 && access(ca_path, R_OK) == 0;
    if (exists && S_ISDIR(found.st_mode)) {
        return UPSTREAM_AUTHORITIES_DIRECTORY;
    }
    return exists && S_ISREG(found.st_mode) && found.st_size > 0 ? UPSTREAM_AUTHORITIES_FILE
                                                                 : UPSTREAM_AUTHORITIES_UNUSABLE;
}

/* --- The request --------------------------------------------------------------------------------- */

static bool has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

struct curl_slist *upstream_easy_headers(const struct upstream_request *request,
                                         enum status *status)
{
    /* Without a value libcurl leaves its own line out: "Expect: 100-continue" would cost a round
     * trip, and a Content-Type is the caller's to give. */
    static const char *const always[] = {"Expect:", NULL};
    static const char *const untyped[] = {"Expect:", "Content-Type:", NULL};
    static const char *const none[] = {NULL};
    const char *const *given = request->headers == NULL ? none : request->headers;
    bool is_typed = false;
    size_t count = 0;
    size_t size = 0;
    *status = STATUS_INVALID;
    for (size_t i = 0; given[i] != NULL; i++) {
        if (has_line_break(given[i])) {
            return NULL;
        }
        is_typed = is_typed || strncasecmp(given[i], "content-type:", 13) == 0;
        size += strlen(given[i]) + 1;
        count++;
    }
    const char *const *ours = is_typed ? always : untyped;
    for (size_t i = 0; ours[i] != NULL; i++) {
        size += strlen(ours[i]) + 1;
        count++;
    }
    *status = STATUS_NO_MEMORY;
    struct curl_slist *nodes = memory_allocate(count * sizeof(*nodes) + size);
    if (nodes == NULL) {
        return NULL;
    }
    char *text = (char *)(nodes + count);
    for (size_t i = 0; i < count; i++) {
        const char *line = *ours != NULL ? *ours++ : *given++;
        size_t length = strlen(line) + 1;
        memcpy(text, line, length);
        nodes[i].data = text;
        nodes[i].next = i + 1 < count ? &nodes[i + 1] : NULL;
        text += length;
    }
    *status = STATUS_OK;
    return nodes;
}

static bool set_method(CURL *easy, const struct upstream_request *request)
{
    bool failed = false;
    bool has_body = request->body.length > 0;
    if (strcmp(request->method, "HEAD") == 0) {
        return libcurl()->easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    }
    if (strcmp(request->method, "GET") == 0 && !has_body) {
        return libcurl()->easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    }
    if (has_body || strcmp(request->method, "POST") == 0) {
        failed |= libcurl()->easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK;
        failed |= libcurl()->easy_setopt(easy, CURLOPT_POSTFIELDS,
                                         has_body ? request->body.data : "") != CURLE_OK;
        failed |= libcurl()->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                         (curl_off_t)request->body.length) != CURLE_OK;
    }
    failed |= libcurl()->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) != CURLE_OK;
    return !failed;
}

enum status upstream_easy_prepare(CURL *easy, const struct upstream_request *request,
                                  const char *ca_path, struct curl_slist *headers)
{
    if (request->url == NULL || request->method == NULL || request->method[0] == '\0' ||
        has_line_break(request->url) || strpbrk(request->method, " \t\r\n") != NULL) {
        return STATUS_INVALID;
    }
    ca_path = ca_path == NULL || ca_path[0] == '\0' ? DEFAULT_CA_PATH : ca_path;
    bool is_file = upstream_authorities(ca_path) == UPSTREAM_AUTHORITIES_FILE;
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_NOPROGRESS, 1},
        /* Else libcurl waits for the thread that looks the name up when a call ends before it: as
         * long as the name server says nothing, and that in the loop. */
        {CURLOPT_QUICK_EXIT, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_TCP_NODELAY, 1},
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_TCP_KEEPIDLE, 30},
        {CURLOPT_TCP_KEEPINTVL, 10},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_CONNECTTIMEOUT_MS,
         (long)upstream_or(request->connect_timeout_milliseconds, UPSTREAM_CONNECT_TIMEOUT)},
    };
    const struct {
        CURLoption option;
        const char *value;
    } texts[] = {
        {CURLOPT_URL, request->url},
        {CURLOPT_PROTOCOLS_STR, "http,https"},
        /* Both, because the environment may be a client's (HTTP_PROXY under CGI). */
        {CURLOPT_PROXY, ""},
        {CURLOPT_NOPROXY, "*"},
        /* A file is parsed as a whole, some 10 ms; libcurl keeps the result for its pool. */
        {CURLOPT_CAINFO, is_file ? ca_path : NULL},
        {CURLOPT_CAPATH, is_file ? NULL : ca_path},
        /* Decoded even if it is not what was asked for. */
        {CURLOPT_ACCEPT_ENCODING, "identity"},
        {CURLOPT_UNIX_SOCKET_PATH, request->unix_socket},
    };
    bool failed = !set_method(easy, request);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        failed |= libcurl()->easy_setopt(easy, numbers[i].option, numbers[i].value) != CURLE_OK;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        failed |= libcurl()->easy_setopt(easy, texts[i].option, texts[i].value) != CURLE_OK;
    }
    failed |= libcurl()->easy_setopt(easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK;
    return failed ? STATUS_NO_MEMORY : STATUS_OK;
}

/* --- The answer's head --------------------------------------------------------------------------- */

void upstream_head_init(struct upstream_head *head)
{
    *head = (struct upstream_head){.status_code = 0};
    buffer_init(&head->lines, UPSTREAM_HEADERS_MAXIMUM);
}

/* "HTTP/1.1 200 OK", "HTTP/2 200" */
static int parse_status_code(struct slice line)
{
    const char *blank = memchr(line.data, ' ', line.length);
    if (blank == NULL) {
        return 0;
    }
    struct slice rest = {.data = blank + 1,
                         .length = line.length - (size_t)(blank + 1 - line.data)};
    int code = 0;
    for (size_t i = 0; i < 3 && i < rest.length; i++) {
        if (rest.data[i] < '0' || rest.data[i] > '9') {
            return 0;
        }
        code = code * 10 + (rest.data[i] - '0');
    }
    return code;
}

bool upstream_head_take(struct upstream_head *head, struct slice line)
{
    line = slice_trim(line);
    if (head->is_complete) {
        return false; /* a trailer */
    }
    if (slice_starts_with(line, "HTTP/")) {
        head->status_code = parse_status_code(line);
        buffer_reset(&head->lines);
        return false;
    }
    if (line.length > 0) {
        /* The first line that does not fit ends the list: the buffer's status sticks. A NUL would
         * end a line early. */
        if (memchr(line.data, '\0', line.length) == NULL) {
            buffer_append(&head->lines, line.data, line.length);
            buffer_append_char(&head->lines, '\0');
        }
        return false;
    }
    head->is_complete = head->status_code >= 200;
    return head->is_complete;
}

const char *upstream_head_find(const struct upstream_head *head, const char *name)
{
    size_t length = strlen(name);
    const char *at = buffer_text(&head->lines);
    const char *end = at + head->lines.length;
    while (at < end) {
        size_t size = strlen(at);
        if (size > length && at[length] == ':' && strncasecmp(at, name, length) == 0) {
            return at + length + 1 + strspn(at + length + 1, " \t");
        }
        at += size + 1;
    }
    return "";
}

/* Milliseconds; negative: not a number. */
static double read_wait(const struct upstream_head *head, const char *name, double unit)
{
    double number;
    struct slice text = slice_trim(slice_of(upstream_head_find(head, name)));
    return text_parse_double(text, &number) == STATUS_OK ? number * unit : -1;
}

/* Against the clock of who wrote the date, if it tells: ours may be another. */
static double read_wait_until(const struct upstream_head *head)
{
    time_t until = libcurl()->getdate(upstream_head_find(head, "retry-after"), NULL);
    time_t now = libcurl()->getdate(upstream_head_find(head, "date"), NULL);
    if (now == -1) {
        now = (time_t)clock_wall_seconds();
    }
    return until == -1 ? -1 : difftime(until, now) * 1000;
}

int64_t upstream_head_retry_after(const struct upstream_head *head)
{
    double wait = read_wait(head, "retry-after-ms", 1);
    if (wait < 0) {
        wait = read_wait(head, "retry-after", 1000);
    }
    if (wait < 0) {
        wait = read_wait_until(head);
    }
    if (!(wait > 0)) {
        return 0;
    }
    return wait < UPSTREAM_RETRY_AFTER_MAXIMUM ? (int64_t)wait : UPSTREAM_RETRY_AFTER_MAXIMUM;
}

/* --- The result ---------------------------------------------------------------------------------- */

enum upstream_result upstream_easy_result(CURL *easy, CURLcode code)
{
    long sent = 0;
    switch (code) {
    case CURLE_OK:
        return UPSTREAM_COMPLETE;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_FAILED_INIT:
        /* Also what libcurl says of an answer that is not HTTP. */
        libcurl()->easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
        return sent > 0 ? UPSTREAM_BROKEN : UPSTREAM_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT:
        return UPSTREAM_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return UPSTREAM_TOO_LARGE;
    case CURLE_OUT_OF_MEMORY:
        return UPSTREAM_OVERLOADED;
    case CURLE_ABORTED_BY_CALLBACK:
        return UPSTREAM_CANCELLED;
    default:
        return UPSTREAM_BROKEN;
    }
}

const char *upstream_result_text(enum upstream_result result)
{
    switch (result) {
    case UPSTREAM_COMPLETE:
        return "complete";
    case UPSTREAM_UNREACHABLE:
        return "unreachable";
    case UPSTREAM_TIMEOUT:
        return "timeout";
    case UPSTREAM_BROKEN:
        return "broken";
    case UPSTREAM_TOO_LARGE:
        return "too_large";
    case UPSTREAM_CANCELLED:
        return "cancelled";
    case UPSTREAM_OVERLOADED:
        return "overloaded";
    }
    return "unknown";
}
