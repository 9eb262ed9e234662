/*
 * upstream/upstream_easy: one request as libcurl wants it. Private to upstream/.
 */
#ifndef UPSTREAM_UPSTREAM_EASY_H
#define UPSTREAM_UPSTREAM_EASY_H

#include <stdint.h>

#include "base/buffer.h"
#include "upstream/libcurl.h"
#include "upstream/upstream.h"

#define UPSTREAM_HEADERS_MAXIMUM (16u << 10) /* of an answer; later lines are not kept */

/* The request's header lines as libcurl's list, in one piece of memory (memory_release). NULL with
 * *status STATUS_NO_MEMORY, or STATUS_INVALID for a line with a line break in it. */
struct curl_slist *upstream_easy_headers(const struct upstream_request *request,
                                         enum status *status);

/* Sets everything but callbacks and deadlines other than the connect timeout. */
enum status upstream_easy_prepare(CURL *easy, const struct upstream_request *request,
                                  const char *ca_path, struct curl_slist *headers) MUST_CHECK;

/* What an answer has told so far. */
struct upstream_head {
    struct buffer lines; /* "Name: value", each followed by a NUL */
    int status_code;     /* of the last status line; 0 before it */
    bool is_complete;    /* the empty line after a final status */
};

void upstream_head_init(struct upstream_head *head);

/* One line as libcurl's header callback gets it. Returns true when this line completes the head. */
bool upstream_head_take(struct upstream_head *head, struct slice line);

/* "" when absent. */
const char *upstream_head_find(const struct upstream_head *head, const char *name);

/* As upstream_retry_after. */
int64_t upstream_head_retry_after(const struct upstream_head *head);

/* What `code` means for the transfer that `easy` has just ended. */
enum upstream_result upstream_easy_result(CURL *easy, CURLcode code);

/* `milliseconds`, or what upstream.h says for 0. */
unsigned upstream_or(unsigned milliseconds, unsigned otherwise);

#define UPSTREAM_CONNECT_TIMEOUT    5000
#define UPSTREAM_FIRST_BYTE_TIMEOUT 60000
#define UPSTREAM_IDLE_TIMEOUT       60000
#define UPSTREAM_TOTAL_TIMEOUT      600000

#endif
