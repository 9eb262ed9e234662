/*
 * chat/session_gate: one request of a session at a time, over all processes and hosts.
 *
 * The lock is a row of the database (stores/conversations). Within this process requests of the
 * same session stand in a queue, so that only the first of them tries the lock; when it leaves,
 * the next is called at once. The first one that finds the lock taken by another process rests 5
 * to 50 ms between two tries. Nobody waits longer than SESSION_LOCK_WAIT, and waiting costs a
 * timer of the pump, no thread.
 *
 * Pump thread only, but for session_gate_try and what it calls.
 */
#ifndef CHAT_SESSION_GATE_H
#define CHAT_SESSION_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "stores/conversations.h"
#include "transport/pump.h"

struct chat;
struct session_gate;

#define SESSION_LEASE_MILLISECONDS 30000 /* renewed at a third of it */

struct session_queue {
    struct session_gate *first, *last;
};

enum session_gate_state {
    GATE_OUTSIDE, /* not in the queue (any more) */
    GATE_QUEUED,  /* behind another request of this process */
    GATE_TRYING,  /* on a worker */
    GATE_RESTING, /* until the next try */
    GATE_OPEN
};

struct session_gate {
    /* Given: */
    struct chat *chat;
    struct stream *stream;
    struct conversation_key key;
    void (*work)(void *context);           /* for stream_offload; calls session_gate_try */
    enum status (*attempt)(void *context); /* on a worker; STATUS_BUSY: try again later */
    /* The gate is open (STATUS_OK), or will not be: STATUS_BUSY after waiting in vain, or what
     * the attempt said. */
    void (*opened)(void *context, enum status status);
    void *context;
    /* Private: */
    enum session_gate_state state;
    enum status status;
    uint64_t give_up_at; /* monotonic nanoseconds */
    uint64_t try_at;
    struct session_gate *previous, *next;
};

void session_gate_enter(struct session_gate *gate);

/* On the worker, from `work`. */
void session_gate_try(struct session_gate *gate);

/* The offload of `work` has finished. May call `opened`. */
void session_gate_tried(struct session_gate *gate);

/* When session_gate_wake wants to be called, in monotonic nanoseconds; 0 = not at all. */
uint64_t session_gate_deadline(const struct session_gate *gate);
void session_gate_wake(struct session_gate *gate);

/* Lets the next one in. Not while GATE_TRYING. Idempotent. */
void session_gate_leave(struct session_gate *gate);

/* A claim on the session as of now, with a token that tells the others of this host when this
 * process has died. `token` has room for CONVERSATION_TOKEN_MAXIMUM + 1. */
void session_claim_make(const struct chat *chat, char *token, struct conversation_claim *claim);

#endif
