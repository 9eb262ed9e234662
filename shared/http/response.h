/*
 * http/response: the one place that writes HTTP headers. For the pipeline; handlers use the
 * response functions of http/request.h.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "base/buffer.h"
#include "http/request.h"

void response_init(struct response *response);
void response_release(struct response *response);

/* Puts head and body into the exchange's output; does not complete it. */
void response_send(struct request *request);

/* Replaces the output by a plain 503 that needs no request; takes no memory where this much was
 * reserved before. */
#define RESPONSE_WITHOUT_MEMORY_SIZE 768
void response_send_without_memory(struct exchange *exchange);

#endif
