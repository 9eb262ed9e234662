/*
 * http/compress: gzip for answers that ask for it. The only place that includes zlib.h.
 */
#ifndef HTTP_COMPRESS_H
#define HTTP_COMPRESS_H

#include "base/buffer.h"
#include "http/request.h"

/* True when Accept-Encoding allows gzip (RFC 9110 section 12.5.3; gzip;q=0 refuses it). */
bool compress_is_accepted(const struct request *request);

/* Replaces the response body by its gzip form and adds the headers; leaves it as it is when that
 * fails. */
void compress_response(struct request *request);

#endif
