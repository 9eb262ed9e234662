/*
 * http/compress: one deflate over the whole body, which is in memory anyway.
 */
#include "http/compress.h"

#include <zlib.h>

#include "base/accept.h"

#define GZIP_WINDOW_BITS (15 + 16) /* zlib's way to ask for a gzip header */

bool compress_is_accepted(const struct request *request)
{
    return accept_quality(request_header(request, "Accept-Encoding"), "gzip") > 0;
}

void compress_response(struct request *request)
{
    struct buffer *body = &request->response.body;
    z_stream stream = {0};
    if (body->length == 0 || body->length > UINT32_MAX ||
        deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) !=
            Z_OK) {
        return;
    }
    struct buffer packed;
    buffer_init(&packed, body->maximum);
    uLong bound = deflateBound(&stream, (uLong)body->length);
    char *room = buffer_reserve(&packed, bound);
    if (room != NULL) {
        stream.next_in = (Bytef *)body->data;
        stream.avail_in = (uInt)body->length;
        stream.next_out = (Bytef *)room;
        stream.avail_out = (uInt)bound;
        if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
            buffer_commit(&packed, stream.total_out);
            buffer_release(body);
            *body = packed;
            response_add_header(request, "Content-Encoding", "gzip");
            response_add_header(request, "Vary", "Accept-Encoding");
            room = NULL;
        }
    }
    if (room != NULL) {
        buffer_release(&packed);
    }
    deflateEnd(&stream);
}
