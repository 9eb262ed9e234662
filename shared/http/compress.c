/*
 * http/compress: one deflate over the whole body, which is in memory anyway.
 */
#include "http/compress.h"

#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* zlib's way to ask for a gzip header */

bool compress_is_accepted(const struct request *request)
{
    struct slice rest = request_header(request, "Accept-Encoding");
    struct slice item;
    while (rest.length > 0 && slice_split(&rest, ',', &item)) {
        struct slice parameters = item;
        struct slice coding;
        if (!slice_split(&parameters, ';', &coding) ||
            !slice_equals_ignoring_case(slice_trim(coding), "gzip")) {
            continue;
        }
        struct slice weight = slice_trim(parameters);
        double q = 1.0;
        if (coding.length < item.length && slice_starts_with(weight, "q=")) {
            weight.data += 2;
            weight.length -= 2;
            return text_parse_double(weight, &q) == STATUS_OK && q > 0.0;
        }
        return true;
    }
    return false;
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
