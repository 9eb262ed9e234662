/*
 * chat/session_turn: one turn of a session, POST /chat and POST /chat/stream.
 *
 * waiting (for the session's lock, session_gate) → asking (the model, with the whole history) →
 * saving (on a worker: both messages, the ledger and the release of the lock, one transaction) →
 * over. The client is told that the turn is done only when it has been saved. A provider is always
 * asked for a stream, also for POST /chat: when the client leaves, what came so far is kept as a
 * turn that was cut off.
 *
 * session_turn.c goes from state to state, session_turn_work.c is what workers do, and
 * session_turn_answer.c what the client is told.
 *
 * Whose memory: while work runs on a worker the pump thread touches neither `arena` nor what the
 * work reads; the exchange's arena belongs to the pump thread.
 */
#ifndef CHAT_SESSION_TURN_H
#define CHAT_SESSION_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "chat.h"
#include "completion_request.h"
#include "model_call.h"
#include "session_gate.h"
#include "stores/conversations.h"

enum turn_state { TURN_WAITING, TURN_ASKING, TURN_SAVING };

struct turn {
    struct request *request;
    struct chat *chat;
    struct stream *stream;
    bool is_streamed; /* to the client */
    const char *message;
    const char *model; /* as the client wrote it; NULL: it did not say */
    struct session_gate gate;
    enum turn_state state;

    /* Of the work on workers: */
    struct arena arena;
    bool is_working; /* other work than the gate's */
    bool is_renewing;
    enum status work_status;
    char token[CONVERSATION_TOKEN_MAXIMUM + 1];
    struct conversation_lock lock;
    struct conversation conversation;
    struct buffer body; /* for the provider */
    struct ledger_entry entry;
    struct budget_reservation reservation;

    struct model_call call;
    char logged_model[COMPLETION_MODEL_MAXIMUM + 1]; /* outlives the arena above */
    struct buffer said;                              /* the answer as the inside of a JSON string */
    const char *outcome_word;                        /* of the ledger, once the call is over */
    enum problem problem;                            /* PROBLEM_COUNT: none */
    int64_t retry_after;
    bool is_stopping; /* the client has gone, or the program stops */
    bool is_over;     /* stream_end has been called */

    bool is_head_sent;
    uint64_t head_at; /* monotonic nanoseconds; 0 = not any more; likewise below */
    uint64_t renew_at;
    int64_t last_event_id;
};

/* --- On workers (session_turn_work.c), for stream_offload --------------------------------------- */

/* Tries the lock; with it, reads the history and prepares the call. */
void turn_work_acquire(void *request);
void turn_work_renew(void *request);

/* Saves the turn, or gives the lock back, as turn->outcome_word says; sets work_status. */
void turn_work_end(void *request);

/* Takes what asks for the usage out of the body again. Pump thread. */
void turn_drop_usage(struct turn *turn);

/* session_gate.attempt */
enum status turn_acquire(void *turn) MUST_CHECK;

/* --- What the client is told (session_turn_answer.c), pump thread ------------------------------ */

/* The head of a stream, once. */
void turn_send_head(struct turn *turn);

/* `said` from there on. */
enum status turn_send_token(struct turn *turn, size_t from) MUST_CHECK;

/* The end of the turn and of the stream: the answer, or turn->problem. Lets the next one in. */
void turn_answer(struct turn *turn);

#endif
