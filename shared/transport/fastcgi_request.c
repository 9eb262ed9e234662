/*
 * fastcgi_request: one function for each kind of record.
 */
#include "transport/fastcgi_request.h"

#include <string.h>

/* Where the content of a record goes. */
enum sink { SINK_NOWHERE, SINK_BEGIN, SINK_PARAMETERS, SINK_BODY, SINK_MANAGEMENT };

/* A connection that is used again keeps this much; what a large request took goes back. */
#define PARAMETERS_KEPT (8u << 10)
#define BODY_KEPT       (64u << 10)

void fastcgi_request_init(struct fastcgi_request *request, unsigned connections)
{
    *request = (struct fastcgi_request){.connections = connections};
    buffer_init(&request->parameters, EXCHANGE_PARAMETERS_MAXIMUM);
    body_init(&request->body);
    buffer_init(&request->replies, FASTCGI_REPLIES_MAXIMUM);
    buffer_init(&request->management, FASTCGI_MANAGEMENT_MAXIMUM);
}

static void empty(struct buffer *buffer, size_t kept)
{
    if (buffer->capacity > kept) {
        buffer_release(buffer);
    } else {
        buffer_reset(buffer);
    }
}

void fastcgi_request_next(struct fastcgi_request *request)
{
    request->id = 0;
    request->keep_connection = false;
    request->input_ended = false;
    request->was_aborted = false;
    request->body_too_large = false;
    request->body_differs = false;
    request->refusal = 0;
    request->phase = FASTCGI_IDLE;
    request->body_limit = 0;
    request->body_room = 0;
    request->body_declared = EXCHANGE_LENGTH_UNKNOWN;
    request->discarded = 0;
    empty(&request->parameters, PARAMETERS_KEPT);
    body_reset(&request->body, BODY_KEPT);
}

void fastcgi_request_reset(struct fastcgi_request *request)
{
    fastcgi_request_next(request);
    empty(&request->replies, 0);
    empty(&request->management, 0);
    request->header_length = 0;
    request->content_left = 0;
    request->padding_left = 0;
}

void fastcgi_request_release(struct fastcgi_request *request)
{
    fastcgi_request_reset(request);
    buffer_release(&request->parameters);
    body_reset(&request->body, 0);
}

/* A record that was read to its end leaves its header behind until the next byte comes. */
static bool is_between_records(const struct fastcgi_request *request)
{
    return request->header_length == FASTCGI_HEADER_SIZE && request->content_left == 0 &&
           request->padding_left == 0;
}

bool fastcgi_request_is_idle(const struct fastcgi_request *request)
{
    return request->phase == FASTCGI_IDLE &&
           (request->header_length == 0 || is_between_records(request));
}

/* --- Replies --------------------------------------------------------------------------------- */

static void reply_end(struct fastcgi_request *request, uint16_t id,
                      enum fastcgi_protocol_status status)
{
    unsigned char record[FASTCGI_END_REQUEST_SIZE];
    fastcgi_encode_end(record, id, status);
    buffer_append(&request->replies, record, sizeof(record));
}

static void reply_unknown_type(struct fastcgi_request *request, uint8_t type)
{
    unsigned char record[FASTCGI_HEADER_SIZE + 8] = {0};
    fastcgi_encode_header(record, FASTCGI_UNKNOWN_TYPE, 0, 8);
    record[FASTCGI_HEADER_SIZE] = type;
    buffer_append(&request->replies, record, sizeof(record));
}

static void append_value(struct buffer *values, const char *name, unsigned number)
{
    struct buffer digits;
    buffer_init(&digits, 32);
    buffer_append_integer(&digits, number);
    buffer_append_char(values, (char)strlen(name));
    buffer_append_char(values, (char)digits.length);
    buffer_append_text(values, name);
    buffer_append(values, digits.data, digits.length);
    buffer_release(&digits);
}

/* Each name is answered once, however often it is asked for. Names we do not know are left out, as
 * the specification (section 4.1) says. */
static enum fastcgi_progress reply_values(struct fastcgi_request *request)
{
    const struct {
        const char *name;
        unsigned value;
    } known[] = {
        {"FCGI_MAX_CONNS", request->connections},
        {"FCGI_MAX_REQS", request->connections},
        {"FCGI_MPXS_CONNS", 0},
    };
    bool asked[sizeof(known) / sizeof(known[0])] = {false};
    struct slice pairs = {.data = request->management.data, .length = request->management.length};
    struct slice name;
    struct slice value;
    while (pairs.length > 0) {
        if (fastcgi_take_pair(&pairs, &name, &value) != STATUS_OK) {
            return FASTCGI_BROKEN;
        }
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            asked[i] = asked[i] || slice_equals(name, known[i].name);
        }
    }
    buffer_reset(&request->management);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (asked[i]) {
            append_value(&request->management, known[i].name, known[i].value);
        }
    }
    unsigned char header[FASTCGI_HEADER_SIZE];
    fastcgi_encode_header(header, FASTCGI_GET_VALUES_RESULT, 0, request->management.length);
    buffer_append(&request->replies, header, sizeof(header));
    buffer_append(&request->replies, request->management.data, request->management.length);
    enum status status = buffer_status(&request->management);
    buffer_release(&request->management);
    return status == STATUS_OK ? FASTCGI_NEEDS_MORE : FASTCGI_BROKEN;
}

/* --- Records ----------------------------------------------------------------------------------- */

static enum fastcgi_progress begin_management(struct fastcgi_request *request)
{
    uint8_t type = request->header.type;
    if (type == FASTCGI_GET_VALUES) {
        request->sink = SINK_MANAGEMENT;
        buffer_reset(&request->management);
        return request->header.length > FASTCGI_MANAGEMENT_MAXIMUM ? FASTCGI_BROKEN
                                                                   : FASTCGI_NEEDS_MORE;
    }
    if (type >= FASTCGI_BEGIN_REQUEST && type <= FASTCGI_UNKNOWN_TYPE) {
        return FASTCGI_BROKEN;
    }
    reply_unknown_type(request, type);
    return FASTCGI_NEEDS_MORE;
}

static enum fastcgi_progress begin_parameters(struct fastcgi_request *request)
{
    if (request->phase == FASTCGI_ANSWERING) {
        return FASTCGI_NEEDS_MORE;
    }
    if (request->phase != FASTCGI_READING_PARAMETERS) {
        return FASTCGI_BROKEN;
    }
    if (request->header.length == 0) {
        request->phase = FASTCGI_READING_BODY;
        return FASTCGI_HAS_PARAMETERS;
    }
    request->sink = SINK_PARAMETERS;
    return FASTCGI_NEEDS_MORE;
}

static enum fastcgi_progress begin_body(struct fastcgi_request *request)
{
    if (request->phase == FASTCGI_READING_PARAMETERS) {
        return FASTCGI_BROKEN;
    }
    if (request->header.length == 0) {
        request->input_ended = true;
        if (request->phase == FASTCGI_READING_BODY) {
            request->phase = FASTCGI_ANSWERING;
            return FASTCGI_COMPLETE;
        }
        return FASTCGI_NEEDS_MORE;
    }
    if (request->phase == FASTCGI_READING_BODY) {
        request->sink = SINK_BODY;
    }
    return FASTCGI_NEEDS_MORE;
}

static enum fastcgi_progress begin_abort(struct fastcgi_request *request)
{
    if (request->phase != FASTCGI_ANSWERING) {
        reply_end(request, request->id, FASTCGI_REQUEST_COMPLETE);
        request->phase = FASTCGI_IDLE;
    }
    request->was_aborted = true;
    return FASTCGI_ENDED;
}

/* The header is there, the content is not. */
static enum fastcgi_progress begin_record(struct fastcgi_request *request)
{
    const struct fastcgi_header *header = &request->header;
    request->sink = SINK_NOWHERE;
    if (header->id == 0) {
        return begin_management(request);
    }
    bool is_current = request->phase != FASTCGI_IDLE && header->id == request->id;
    switch (header->type) {
    case FASTCGI_BEGIN_REQUEST:
        request->sink = SINK_BEGIN;
        return header->length != sizeof(request->begin) ||
                       (is_current && request->phase != FASTCGI_ANSWERING)
                   ? FASTCGI_BROKEN
                   : FASTCGI_NEEDS_MORE;
    case FASTCGI_ABORT_REQUEST:
        return is_current ? begin_abort(request) : FASTCGI_NEEDS_MORE;
    case FASTCGI_PARAMS:
        return is_current ? begin_parameters(request) : FASTCGI_NEEDS_MORE;
    case FASTCGI_STDIN:
        return is_current ? begin_body(request) : FASTCGI_NEEDS_MORE;
    case FASTCGI_DATA:
        return FASTCGI_NEEDS_MORE;
    default:
        return FASTCGI_BROKEN;
    }
}

static enum fastcgi_progress discard(struct fastcgi_request *request, size_t length)
{
    request->discarded += length;
    if (request->discarded <= FASTCGI_DISCARD_MAXIMUM) {
        return FASTCGI_NEEDS_MORE;
    }
    request->sink = SINK_NOWHERE;
    request->phase = FASTCGI_ANSWERING;
    return FASTCGI_COMPLETE;
}

static enum fastcgi_progress take_parameters(struct fastcgi_request *request, struct slice bytes)
{
    if (request->refusal == 0) {
        size_t room = EXCHANGE_PARAMETERS_MAXIMUM - request->parameters.length;
        struct slice fitting = {.data = bytes.data,
                                .length = bytes.length < room ? bytes.length : room};
        enum status status = buffer_append(&request->parameters, fitting.data, fitting.length);
        if (status == STATUS_OK && bytes.length <= room) {
            return FASTCGI_NEEDS_MORE;
        }
        request->refusal = status == STATUS_OK ? 431 : 503;
    }
    return discard(request, bytes.length);
}

static bool wants_body(const struct fastcgi_request *request)
{
    return request->refusal == 0 && !request->body_too_large && !request->body_differs;
}

static enum fastcgi_progress take_body(struct fastcgi_request *request, struct slice bytes)
{
    if (wants_body(request)) {
        size_t length = request->body.length;
        int64_t declared = request->body_declared;
        if (bytes.length > request->body_limit - length) {
            request->body_too_large = true;
        } else if (declared >= 0 && bytes.length > (uint64_t)declared - length) {
            request->body_differs = true;
        } else if (body_append(&request->body, bytes) != STATUS_OK) {
            request->refusal = 503;
        } else {
            return FASTCGI_NEEDS_MORE;
        }
        body_reset(&request->body, 0);
    }
    return discard(request, bytes.length);
}

/* How much of this record may be taken now; 0: ask for room first. */
static size_t takeable(const struct fastcgi_request *request)
{
    if (request->sink != SINK_BODY || !wants_body(request) ||
        request->body_room >= request->body_limit) {
        return request->content_left;
    }
    size_t room = request->body_room - request->body.length;
    return request->content_left < room ? request->content_left : room;
}

static enum fastcgi_progress take_content(struct fastcgi_request *request, struct slice bytes)
{
    switch (request->sink) {
    case SINK_BEGIN:
        memcpy(request->begin + sizeof(request->begin) - request->content_left, bytes.data,
               bytes.length);
        return FASTCGI_NEEDS_MORE;
    case SINK_PARAMETERS:
        return take_parameters(request, bytes);
    case SINK_BODY:
        return take_body(request, bytes);
    case SINK_MANAGEMENT:
        return buffer_append(&request->management, bytes.data, bytes.length) == STATUS_OK
                   ? FASTCGI_NEEDS_MORE
                   : FASTCGI_BROKEN;
    default:
        return FASTCGI_NEEDS_MORE;
    }
}

static enum fastcgi_progress end_begin(struct fastcgi_request *request)
{
    int role = request->begin[0] << 8 | request->begin[1];
    if (request->phase != FASTCGI_IDLE) {
        reply_end(request, request->header.id, FASTCGI_CANNOT_MULTIPLEX);
        return FASTCGI_NEEDS_MORE;
    }
    fastcgi_request_next(request);
    request->id = request->header.id;
    request->keep_connection = (request->begin[2] & FASTCGI_KEEP_CONNECTION) != 0;
    if (role != FASTCGI_RESPONDER) {
        reply_end(request, request->id, FASTCGI_UNKNOWN_ROLE);
        return FASTCGI_ENDED;
    }
    request->phase = FASTCGI_READING_PARAMETERS;
    return FASTCGI_BEGUN;
}

static enum fastcgi_progress end_record(struct fastcgi_request *request)
{
    int sink = request->sink;
    request->sink = SINK_NOWHERE;
    if (sink == SINK_BEGIN) {
        return end_begin(request);
    }
    if (sink == SINK_MANAGEMENT) {
        return reply_values(request);
    }
    return FASTCGI_NEEDS_MORE;
}

/* --- Bytes ------------------------------------------------------------------------------------- */

static struct slice take_front(struct slice *input, size_t length)
{
    struct slice front = {.data = input->data, .length = length};
    if (front.length > input->length) {
        front.length = input->length;
    }
    input->data += front.length;
    input->length -= front.length;
    return front;
}

/* FASTCGI_NEEDS_MORE with header_length still short: no more input. */
static enum fastcgi_progress read_header(struct fastcgi_request *request, struct slice *input)
{
    struct slice bytes = take_front(input, FASTCGI_HEADER_SIZE - request->header_length);
    memcpy(request->header_bytes + request->header_length, bytes.data, bytes.length);
    request->header_length += bytes.length;
    /* One wrong byte is enough: a peer that speaks something else must not wait for eight. */
    if (request->header_bytes[0] != 1) {
        return FASTCGI_BROKEN;
    }
    if (request->header_length < FASTCGI_HEADER_SIZE) {
        return FASTCGI_NEEDS_MORE;
    }
    if (!fastcgi_decode_header(request->header_bytes, &request->header)) {
        return FASTCGI_BROKEN;
    }
    request->content_left = request->header.length;
    request->padding_left = request->header.padding;
    enum fastcgi_progress progress = begin_record(request);
    if (progress == FASTCGI_NEEDS_MORE && request->content_left == 0) {
        progress = end_record(request);
    }
    return progress;
}

static enum fastcgi_progress read_some(struct fastcgi_request *request, struct slice *input)
{
    if (request->header_length < FASTCGI_HEADER_SIZE) {
        return read_header(request, input);
    }
    if (request->content_left > 0) {
        size_t length = takeable(request);
        if (length == 0) {
            return FASTCGI_NEEDS_ROOM;
        }
        struct slice bytes = take_front(input, length);
        enum fastcgi_progress progress = take_content(request, bytes);
        request->content_left -= bytes.length;
        if (progress == FASTCGI_NEEDS_MORE && request->content_left == 0) {
            progress = end_record(request);
        }
        return progress;
    }
    request->padding_left -= take_front(input, request->padding_left).length;
    return FASTCGI_NEEDS_MORE;
}

enum fastcgi_progress fastcgi_request_feed(struct fastcgi_request *request, struct slice *input)
{
    for (;;) {
        if (is_between_records(request)) {
            request->header_length = 0;
        }
        if (input->length == 0) {
            return FASTCGI_NEEDS_MORE;
        }
        enum fastcgi_progress progress = read_some(request, input);
        if (buffer_status(&request->replies) != STATUS_OK) {
            return FASTCGI_BROKEN;
        }
        if (progress != FASTCGI_NEEDS_MORE) {
            return progress;
        }
    }
}

/* --- Parameters -------------------------------------------------------------------------------- */

/* Counts those that are whole; STATUS_INVALID when more stands behind them. */
static enum status count_pairs(struct slice pairs, size_t *count)
{
    struct slice name;
    struct slice value;
    *count = 0;
    while (pairs.length > 0) {
        if (fastcgi_take_pair(&pairs, &name, &value) != STATUS_OK) {
            return STATUS_INVALID;
        }
        (*count)++;
    }
    return STATUS_OK;
}

void fastcgi_request_parse(struct fastcgi_request *request, struct arena *arena,
                           const struct exchange_parameter **parameters, size_t *count)
{
    struct slice pairs = {.data = request->parameters.data, .length = request->parameters.length};
    char *start = request->parameters.data;
    *parameters = NULL;
    *count = 0;
    size_t found;
    enum status status = count_pairs(pairs, &found);
    if (request->refusal == 0 && status != STATUS_OK) {
        request->refusal = 400;
    }
    if (found == 0) {
        return;
    }
    struct exchange_parameter *array = arena_allocate(arena, found * sizeof(*array));
    if (array == NULL) {
        request->refusal = request->refusal == 0 ? 503 : request->refusal;
        return;
    }
    char *terminator = NULL;
    for (size_t i = 0; i < found; i++) {
        if (fastcgi_take_pair(&pairs, &array[i].name, &array[i].value) != STATUS_OK) {
            break;
        }
        /* The byte behind a value is the first length of the next pair, which has just been read;
         * behind the last one stands the buffer's own NUL. */
        if (terminator != NULL) {
            *terminator = '\0';
        }
        terminator = start + (pairs.data - start);
    }
    if (terminator != NULL) {
        *terminator = '\0';
    }
    *parameters = array;
    *count = found;
}
