/*
 * chat/demo: the provider that is there when no other is configured.
 *
 * It says that it is the demo, repeats what it was told, and proves that it was given the whole
 * conversation by telling how many messages came before and what the previous one said. Asked to
 * `call NAME` (or `call NAME {"arguments":…}`) where NAME is one of the request's tools, it calls
 * that tool; given a tool's result it repeats it. The same request always gets the same words.
 *
 * Pure: reads the same request bodies as any provider, makes the same answers, knows nothing of
 * connections. `echo` answers quickly, `slow` takes its time between two words, which is for
 * trying out what a slow model does to a client.
 */
#ifndef CHAT_DEMO_H
#define CHAT_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

#define DEMO_ECHO_MILLISECONDS 5 /* between two words of a stream */
#define DEMO_SLOW_MILLISECONDS 100

struct demo_answer {
    const char *id;
    const char *model;
    int64_t created;
    const char *text;      /* NULL when a tool is called */
    const char *tool_name; /* NULL when none is called */
    const char *call_id;
    const char *tool_arguments;
    int64_t input_tokens;
    int64_t output_tokens;
    bool tells_usage; /* stream_options.include_usage */
    unsigned word_milliseconds;
    /* Where a stream stands: */
    size_t at;
    int step;
};

/* Reads a request body that completion_request_read accepts. Everything lives in the arena. */
enum status demo_prepare(struct arena *arena, struct slice body, const char *model,
                         struct demo_answer *out) MUST_CHECK;

/* Appends the whole answer. */
void demo_write_whole(const struct demo_answer *answer, struct buffer *out);

/* Appends the next chunk of the stream; false when the last one has been given. */
bool demo_write_chunk(struct demo_answer *answer, struct buffer *out);

#endif
