/*
 * Any bytes as a completion's request, a chunk of a stream, a whole answer, or an error; the first
 * byte chooses.
 *
 * Promises that must hold whatever the input: a request that is accepted is still accepted when it
 * has been written for a provider, with the provider's model and, streamed, with its usage asked
 * for. A mended chunk is one line of JSON that needs no more mending, and if it is complete, the fold of
 * it is accepted as a whole answer. A whole answer that is accepted becomes a chunk that is accepted.
 * An answer that is cut off counts for no more than its bytes can hold.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-apps/chat/completion_fold.h"
#include "fcgi-apps/chat/completion_reader.h"
#include "fcgi-apps/chat/completion_request.h"
#include "fcgi-apps/chat/provider_error.h"
#include "json/scan.h"

#define MEMORY ((size_t)64 << 20)
#define MODEL  "pro\"vider/model"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void try_request(struct slice text)
{
    struct arena arena;
    struct completion_request request;
    struct completion_request again;
    struct completion_fault fault = {0};
    struct slice written;
    arena_init(&arena, MEMORY);
    enum status status = completion_request_read(&arena, text, &request, &fault);
    if (status == STATUS_OK) {
        require(completion_request_write(&request, &arena, MODEL, true, &written) == STATUS_OK);
        require(completion_request_read(&arena, written, &again, &fault) == STATUS_OK);
        require(slice_equals(again.model, MODEL));
        require(again.is_streamed == request.is_streamed);
        require(again.input_weight == request.input_weight);
        require(again.wants_usage == (request.is_streamed || request.wants_usage));
    } else {
        require(status == STATUS_INVALID && fault.message != NULL);
    }
    arena_destroy(&arena);
}

static void require_one_line(struct slice text)
{
    struct json_scanner scanner;
    struct json_value value;
    require(memchr(text.data, '\n', text.length) == NULL);
    require(memchr(text.data, '\r', text.length) == NULL);
    json_scan_start(&scanner, text);
    require(json_scan_value(&scanner, &value) == STATUS_OK && json_scan_at_end(&scanner));
}

static void try_fold(struct slice line, bool is_complete)
{
    struct arena arena;
    struct completion_fold fold;
    struct completion_progress progress = {0};
    struct completion_chunk chunk;
    struct buffer whole;
    arena_init(&arena, MEMORY);
    completion_fold_init(&fold, MEMORY);
    buffer_init(&whole, MEMORY);
    require(completion_fold_add(&fold, line) == STATUS_OK);
    require(completion_fold_write(&fold, &whole) == STATUS_OK);
    struct slice text = {buffer_text(&whole), whole.length};
    enum status status = completion_read_whole(text, &arena, &progress, &chunk, NULL);
    require(!is_complete || status == STATUS_OK);
    buffer_release(&whole);
    completion_fold_release(&fold);
    arena_destroy(&arena);
}

static void try_cut_off(struct slice text)
{
    struct arena arena;
    struct completion_progress progress;
    arena_init(&arena, MEMORY);
    text.length /= 2;
    completion_read_cut_off(text, &arena, &progress);
    require(progress.output_weight <= 2 * (int64_t)text.length);
    arena_destroy(&arena);
}

static void try_chunk(struct slice text, bool hides_usage)
{
    struct arena arena;
    struct completion_progress progress = {0};
    struct completion_progress second = {0};
    struct completion_chunk chunk;
    struct completion_chunk once_more;
    struct buffer mended;
    struct buffer again;
    arena_init(&arena, MEMORY);
    buffer_init(&mended, MEMORY);
    buffer_init(&again, MEMORY);
    if (completion_read_chunk(text, hides_usage, &arena, &progress, &chunk, &mended) == STATUS_OK &&
        !chunk.is_nothing && !(hides_usage && chunk.is_usage_only)) {
        struct slice line =
            chunk.is_changed ? (struct slice){buffer_text(&mended), mended.length} : text;
        require_one_line(line);
        require(progress.output_weight >= 0 && progress.input_tokens >= COMPLETION_UNTOLD);
        require(completion_read_chunk(line, false, &arena, &second, &once_more, &again) ==
                STATUS_OK);
        require(!once_more.is_changed);
        require(completion_is_complete(&progress) == completion_is_complete(&second));
        require(!hides_usage || !second.has_usage);
        try_fold(line, completion_is_complete(&second));
    }
    buffer_release(&mended);
    buffer_release(&again);
    arena_destroy(&arena);
}

static void try_whole(struct slice text)
{
    struct arena arena;
    struct completion_progress progress = {0};
    struct completion_progress second = {0};
    struct completion_chunk chunk;
    struct buffer mended;
    struct buffer made;
    try_cut_off(text);
    arena_init(&arena, MEMORY);
    buffer_init(&mended, MEMORY);
    buffer_init(&made, MEMORY);
    if (completion_read_whole(text, &arena, &progress, &chunk, &mended) == STATUS_OK) {
        if (chunk.is_changed) {
            text = (struct slice){buffer_text(&mended), mended.length};
        }
        require(completion_write_as_chunk(text, false, false, &made) == STATUS_OK);
        struct slice line = {buffer_text(&made), made.length};
        require(completion_read_chunk(line, false, &arena, &second, &chunk, NULL) == STATUS_OK);
        require(completion_is_complete(&second));
        require(!second.has_usage);
        buffer_reset(&made);
        require(completion_write_as_chunk(text, true, false, &made) == STATUS_OK);
        line = (struct slice){buffer_text(&made), made.length};
        require(completion_read_chunk(line, false, &arena, &second, &chunk, NULL) == STATUS_OK);
        require(second.has_usage == progress.has_usage);
    }
    buffer_release(&mended);
    buffer_release(&made);
    arena_destroy(&arena);
}

static void try_error(struct slice text)
{
    struct arena arena;
    struct provider_error error;
    arena_init(&arena, MEMORY);
    require(provider_error_read(text, &arena, &error) == STATUS_OK);
    require(error.message == NULL || text_is_utf8(error.message, strlen(error.message)));
    arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice text = {(const char *)data + 1, size - 1};
    switch (data[0] % 4) {
    case 0:
        try_request(text);
        break;
    case 1:
        try_chunk(text, false);
        try_chunk(text, true);
        break;
    case 3:
        try_error(text);
        break;
    default:
        try_whole(text);
    }
    return 0;
}
