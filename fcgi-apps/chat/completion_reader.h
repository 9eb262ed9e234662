/*
 * chat/completion_reader: what a provider's answer says, read from its JSON text without a tree.
 *
 * One reader serves whole answers (object "chat.completion") and the chunks of streams. The text is
 * passed on as it is, but for what is odd and harmless, which is mended so that OpenAI's clients
 * read what is meant: choices, tool calls and roles without an index or a name, or with that of
 * another, content as a list of parts, names and words in other case, halves of surrogate pairs, a
 * byte order mark. Of a member that stands twice the last one counts, as it does for every client.
 * Usage that only we asked for is taken out. A text that cannot be an answer is STATUS_INVALID.
 */
#ifndef CHAT_COMPLETION_READER_H
#define CHAT_COMPLETION_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "json/scan.h"

#define COMPLETION_UNTOLD          INT64_C(-1)
#define COMPLETION_CHOICES_MAXIMUM 128 /* as many as OpenAI allows for `n` */

/* The call of a tool that was read last. */
struct completion_tool_call {
    int64_t choice;
    int64_t index;  /* as the provider counts */
    int64_t number; /* as it is told to the client */
    size_t id_length;
    char id[64]; /* as it is spelled, with quotes; the beginning of longer ones */
};

/* What has been read of one answer so far. Starts as {0}. */
struct completion_progress {
    uint64_t seen[COMPLETION_CHOICES_MAXIMUM / 64]; /* a bit for each choice; likewise below */
    uint64_t has_role[COMPLETION_CHOICES_MAXIMUM / 64];
    uint64_t finished[COMPLETION_CHOICES_MAXIMUM / 64];
    uint16_t tool_calls[COMPLETION_CHOICES_MAXIMUM]; /* of each choice, so far */
    struct completion_tool_call last_call;
    int64_t output_weight; /* of all that was said (usage.h) */
    bool has_usage;        /* the provider told it; the last one counts */
    int64_t input_tokens;  /* or COMPLETION_UNTOLD; likewise below, never both */
    int64_t output_tokens;
    int64_t told_weight; /* output_weight when the provider last told the output */
    bool was_filtered;   /* a choice ended with content_filter */
    unsigned pending;    /* half of a surrogate pair */
};

struct completion_chunk {
    struct slice content; /* of choice 0, a JSON string with its quotes; empty when none */
    struct slice error;   /* the value of an error in the answer's place; empty when none */
    bool is_usage_only;   /* no choices, but a usage */
    bool is_nothing;      /* neither choices nor usage nor error: not to be passed on */
    bool is_changed;      /* mended */
};

/* Every choice seen has finished, and there was one. */
bool completion_is_complete(const struct completion_progress *progress);

/* Reads one chunk of a stream. `mended` (NULL: not wanted) gets the text for the client appended,
 * as one line, only if the text as it stands is not fit for it (chunk->is_changed): without its
 * `usage` if that is to be hidden (a chunk of nothing else must not be sent at all). What `chunk`
 * points to lives in the text or in `scratch`. STATUS_INVALID: not a chunk; `mended` may hold a part
 * then. */
enum status completion_read_chunk(struct slice text, bool hides_usage, struct arena *scratch,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk, struct buffer *mended) MUST_CHECK;

/* Reads a whole answer. `mended` (NULL: not wanted) gets its text only if it had to be changed: a
 * choice without a reason for its end gets one. STATUS_INVALID: not a completion;
 * STATUS_UNAVAILABLE: an error (chunk->error) in its place. */
enum status completion_read_whole(struct slice text, struct arena *scratch,
                                  struct completion_progress *progress,
                                  struct completion_chunk *chunk, struct buffer *mended) MUST_CHECK;

/* Also reads 10.0 and "10" as 10: not every language has integers. False when the value is no number
 * of things. */
bool completion_get_count(const struct json_value *value, int64_t *out);

/* Reads the part that has come of a whole answer that was cut off, only to count it into `progress`,
 * which is reset first. Out of memory, nothing is counted. */
void completion_read_cut_off(struct slice text, struct arena *scratch,
                             struct completion_progress *progress);

/* Writes a whole answer, read and mended before, as a chunk of a stream: the one with everything it
 * says, with `usage` null or without it, or the one with its usage that follows. */
enum status completion_write_as_chunk(struct slice whole, bool of_usage, bool hides_usage,
                                      struct buffer *out) MUST_CHECK;

#endif
