/*
 * chat/provider_error: what a provider says when it refuses, in whatever shape it says it.
 *
 *   {"error":{"message","type","param","code"}}      OpenAI and most others; also in a list (Gemini)
 *   {"type":"error","error":{"type","message"}}      Anthropic
 *   {"error":"text"}                                 Ollama, text-generation-inference
 *   {"object":"error","message","type","code"}       vLLM, Mistral
 *   {"detail":"text"}, {"detail":[{"msg","loc"}]}    FastAPI
 *   {"message":"text"}, {"errors":["text" or {"message"}]}
 *   plain text
 *
 * HTML is a page of some server in between and has no words for a client.
 */
#ifndef CHAT_PROVIDER_ERROR_H
#define CHAT_PROVIDER_ERROR_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

#define PROVIDER_WORDS_MAXIMUM 2000 /* bytes passed on of a message */

struct provider_error {
    /* Texts in the arena; NULL when not told. The message is fit for a client: of bounded length,
     * without addresses and without what looks like a key. The others are short plain words. */
    const char *message;
    const char *type;
    const char *code;
    const char *param;
    int status_code; /* a code that is a number of HTTP's; 0 = none */
    /* What the words mean, whatever the status: */
    bool is_too_long;            /* longer than the model's context */
    bool is_filtered;            /* for its content */
    bool refuses_stream_options; /* the member stream_options */
};

/* STATUS_NO_MEMORY, else STATUS_OK: a body that says nothing leaves the texts NULL. */
enum status provider_error_read(struct slice body, struct arena *arena,
                                struct provider_error *out) MUST_CHECK;

#endif
