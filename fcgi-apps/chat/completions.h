/*
 * chat/completions: one request to POST /v1/chat/completions, from its body to its last frame.
 *
 * States, in order: asking (the provider is being asked), settling (the ledger is being written,
 * on a worker), over. The ledger is written before the client is told that the answer is complete.
 */
#ifndef CHAT_COMPLETIONS_H
#define CHAT_COMPLETIONS_H

#include <stdbool.h>

#include "budget.h"
#include "completion_request.h"
#include "http/request.h"
#include "model_call.h"
#include "stores/ledger.h"

struct chat;

struct completion {
    struct request *request;
    struct chat *chat;
    struct stream *stream;
    struct completion_request asked;
    struct model_call call;
    struct model_outcome outcome;
    struct ledger_entry entry;
    struct budget_reservation reservation;
    const char *outcome_word;
    bool is_settling;
    bool is_head_sent; /* of a stream */
};

/* Handlers of a streamed answer (completion_stream.c); `start` embraces the call's handlers. */
extern const struct stream_handlers completion_stream_handlers;
extern const struct model_call_handlers completion_stream_call_handlers;

/* --- Pump thread, for both kinds of answer ------------------------------------------------------ */

/* Writes what has been used to the ledger, then `offloaded` of the stream's handlers is called;
 * when nothing was used, false is returned and nothing happens. */
bool completion_settle(struct completion *completion, const char *outcome_word);

/* model_call_handlers.drop_usage */
enum status completion_drop_usage(struct model_call *call) MUST_CHECK;

/* The last call of each stream. */
void completion_release(struct completion *completion);

#endif
