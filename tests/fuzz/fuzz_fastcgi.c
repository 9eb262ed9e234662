/*
 * The FastCGI reader: whatever a peer sends, and however it is split, the same thing happens, and
 * nothing grows beyond its bound. The first byte chooses how the rest is split.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "transport/fastcgi_request.h"

#define BODY_LIMIT 4096

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* What happened, as a running hash: events, and the content of requests. */
struct record {
    uint64_t hash;
    bool is_broken;
};

static void note(struct record *record, const void *bytes, size_t length)
{
    const struct siphash_key key = {{record->hash, length}};
    record->hash = siphash_compute(&key, bytes, length).words[0];
}

static void note_number(struct record *record, uint64_t number)
{
    note(record, &number, sizeof(number));
}

static void note_parameters(struct record *record, struct fastcgi_request *request)
{
    const struct exchange_parameter *parameters;
    size_t count;
    struct arena arena;
    arena_init(&arena, 16 << 20);
    fastcgi_request_parse(request, &arena, &parameters, &count);
    note_number(record, count);
    for (size_t i = 0; i < count; i++) {
        check(parameters[i].value.data[parameters[i].value.length] == '\0');
        note(record, parameters[i].name.data, parameters[i].name.length);
        note(record, parameters[i].value.data, parameters[i].value.length);
    }
    request->body_limit = BODY_LIMIT;
    request->body_room = request->id % 3 == 0 ? BODY_LIMIT : BODY_LIMIT / 8;
    request->body_declared = request->id % 5 == 0 ? BODY_LIMIT / 16 : EXCHANGE_LENGTH_UNKNOWN;
    arena_destroy(&arena);
}

/* Half of the requests are answered at once, the others only after the next input. */
static void feed(struct record *record, struct fastcgi_request *request, struct slice input)
{
    while (!record->is_broken) {
        size_t before = input.length;
        enum fastcgi_progress progress = fastcgi_request_feed(request, &input);
        check(input.length <= before);
        check(request->parameters.length <= EXCHANGE_PARAMETERS_MAXIMUM);
        check(request->body.length <= BODY_LIMIT);
        check(request->replies.length <= FASTCGI_REPLIES_MAXIMUM);
        check(request->management.length <= FASTCGI_MANAGEMENT_MAXIMUM);
        if (progress == FASTCGI_NEEDS_MORE) {
            check(input.length == 0);
            return;
        }
        note_number(record, progress);
        switch (progress) {
        case FASTCGI_HAS_PARAMETERS:
            note_parameters(record, request);
            break;
        case FASTCGI_NEEDS_ROOM:
            check(request->body.length == request->body_room);
            request->body_room = BODY_LIMIT;
            break;
        case FASTCGI_BEGUN:
            break;
        case FASTCGI_COMPLETE:
            note_number(record, request->id);
            note_number(record, (uint64_t)request->refusal);
            note(record, request->body.memory.data, request->body.memory.length);
            if (request->id % 2 == 0) {
                fastcgi_request_next(request);
            }
            break;
        case FASTCGI_ENDED:
            fastcgi_request_next(request);
            break;
        default:
            record->is_broken = true;
        }
    }
}

static struct record run(struct slice input, size_t piece)
{
    struct record record = {0};
    struct fastcgi_request request;
    fastcgi_request_init(&request, 100);
    for (size_t at = 0; at < input.length && !record.is_broken; at += piece) {
        size_t length = input.length - at < piece ? input.length - at : piece;
        feed(&record, &request, (struct slice){.data = input.data + at, .length = length});
    }
    note(&record, request.replies.data, request.replies.length);
    fastcgi_request_release(&request);
    buffer_release(&request.management);
    buffer_release(&request.replies);
    return record;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct slice input = {.data = (const char *)data + 1, .length = size - 1};
    struct record whole = run(input, input.length);
    struct record pieces = run(input, (size_t)data[0] + 1);
    check(whole.is_broken == pieces.is_broken);
    check(whole.hash == pieces.hash);
    return 0;
}
