/*
 * chat/completion_reader: what a provider's answer says, read from its JSON text without a tree.
 *
 * An answer is either whole (object "chat.completion") or a stream of chunks. The text is passed
 * on as it is; a stream for OpenAI's clients is mended where they would fail without a word: the
 * first delta of a choice gets a role, a tool call without an index gets one. Usage that only we
 * asked for is taken out.
 */
#ifndef CHAT_COMPLETION_READER_H
#define CHAT_COMPLETION_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

#define COMPLETION_CHOICES_MAXIMUM 128 /* as many as OpenAI allows for `n` */

/* What has been read of one answer so far. Starts as {0}. */
struct completion_progress {
    uint64_t seen[COMPLETION_CHOICES_MAXIMUM / 64]; /* a bit for each choice; likewise below */
    uint64_t has_role[COMPLETION_CHOICES_MAXIMUM / 64];
    uint64_t finished[COMPLETION_CHOICES_MAXIMUM / 64];
    int64_t output_characters;
    bool has_usage; /* the provider told it; the last one counts */
    int64_t input_tokens;
    int64_t output_tokens;
    bool was_filtered; /* a choice ended with content_filter */
};

struct completion_chunk {
    struct slice content; /* of choice 0, a JSON string with its quotes; empty when none */
    bool has_error;
    bool is_usage_only; /* no choices, but a usage */
};

/* Every choice seen has finished, and there was one. */
bool completion_is_complete(const struct completion_progress *progress);

/* Reads one chunk of a stream. `mended` (NULL: not wanted) gets the text for the client appended,
 * as one line; without its `usage` if that is to be hidden (a chunk of nothing else must not be
 * sent at all). STATUS_INVALID: not a chunk; `mended` may hold a part then. */
enum status completion_read_chunk(struct slice text, bool hides_usage,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk, struct buffer *mended) MUST_CHECK;

/* Reads a whole answer. `scratch` is used meanwhile. STATUS_INVALID: not a completion;
 * STATUS_UNAVAILABLE: an error object in its place. */
enum status completion_read_whole(struct slice text, struct arena *scratch,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk) MUST_CHECK;

/* Writes a whole answer, read before, as a chunk of a stream: the one with everything it says, or
 * the one with its usage that follows. */
enum status completion_write_as_chunk(struct slice whole, bool of_usage,
                                      struct buffer *out) MUST_CHECK;

/* What an error body of a provider says, for deciding what it means: the `code` and `type` of its
 * `error` object as plain text in the arena ("" when absent). False: not in OpenAI's shape. */
struct completion_error {
    const char *code;
    const char *type;
};
bool completion_read_error(struct slice text, struct arena *arena, struct completion_error *out);

#endif
