/*
 * chat/session_gate: the queue, and the text of a lock's token.
 *
 * A token is the hex text of struct holder. `host` marks the shared segment of this host, `process`
 * is the holder in it (segment/segment.h).
 */
#include "session_gate.h"

#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/siphash.h"
#include "chat.h"

#define MILLISECOND  UINT64_C(1000000)
#define REST_MINIMUM (5 * MILLISECOND)
#define REST_RANDOM  (45 * MILLISECOND)

/* --- The queue ------------------------------------------------------------------------------- */

static bool is_same_session(const struct session_gate *a, const struct session_gate *b)
{
    return strcmp(a->key.id, b->key.id) == 0 && strcmp(a->key.owner, b->key.owner) == 0;
}

static struct session_gate *find_same(struct session_gate *from, const struct session_gate *gate)
{
    while (from != NULL && !is_same_session(from, gate)) {
        from = from->next;
    }
    return from;
}

static void try_now(struct session_gate *gate)
{
    gate->state = GATE_TRYING;
    stream_offload(gate->stream, gate->work);
}

void session_gate_enter(struct session_gate *gate)
{
    struct session_queue *queue = &gate->chat->sessions;
    bool is_first = find_same(queue->first, gate) == NULL;
    gate->give_up_at = clock_monotonic_nanoseconds() +
                       (uint64_t)gate->chat->app->config->session_lock_wait * 1000 * MILLISECOND;
    gate->previous = queue->last;
    gate->next = NULL;
    if (queue->last != NULL) {
        queue->last->next = gate;
    } else {
        queue->first = gate;
    }
    queue->last = gate;
    gate->state = GATE_QUEUED;
    if (is_first) {
        try_now(gate);
    }
}

void session_gate_leave(struct session_gate *gate)
{
    struct session_queue *queue = &gate->chat->sessions;
    if (gate->state == GATE_OUTSIDE) {
        return;
    }
    bool was_first = gate->state != GATE_QUEUED;
    struct session_gate *next = was_first ? find_same(gate->next, gate) : NULL;
    if (gate->previous != NULL) {
        gate->previous->next = gate->next;
    } else {
        queue->first = gate->next;
    }
    if (gate->next != NULL) {
        gate->next->previous = gate->previous;
    } else {
        queue->last = gate->previous;
    }
    gate->state = GATE_OUTSIDE;
    if (next != NULL) {
        try_now(next);
    }
}

/* --- Trying ---------------------------------------------------------------------------------- */

void session_gate_try(struct session_gate *gate)
{
    gate->status = gate->attempt(gate->context);
}

static void give_up(struct session_gate *gate, enum status status)
{
    session_gate_leave(gate);
    gate->opened(gate->context, status);
}

void session_gate_tried(struct session_gate *gate)
{
    uint64_t now = clock_monotonic_nanoseconds();
    if (gate->status == STATUS_OK) {
        gate->state = GATE_OPEN;
        gate->opened(gate->context, STATUS_OK);
    } else if (gate->status != STATUS_BUSY || now >= gate->give_up_at) {
        gate->state = GATE_RESTING;
        give_up(gate, gate->status);
    } else {
        gate->state = GATE_RESTING;
        gate->try_at = now + REST_MINIMUM + random_below(REST_RANDOM);
    }
}

uint64_t session_gate_deadline(const struct session_gate *gate)
{
    switch (gate->state) {
    case GATE_QUEUED:
        return gate->give_up_at;
    case GATE_RESTING:
        return gate->try_at < gate->give_up_at ? gate->try_at : gate->give_up_at;
    default:
        return 0;
    }
}

void session_gate_wake(struct session_gate *gate)
{
    uint64_t now = clock_monotonic_nanoseconds();
    if (gate->state != GATE_QUEUED && gate->state != GATE_RESTING) {
        return;
    }
    if (now >= gate->give_up_at) {
        give_up(gate, STATUS_BUSY);
    } else if (gate->state == GATE_RESTING && now >= gate->try_at) {
        try_now(gate);
    }
}

/* --- Tokens ---------------------------------------------------------------------------------- */

/* Without padding, so that its bytes are the token. */
struct holder {
    uint64_t host;
    struct segment_process process;
    uint64_t random;
};

_Static_assert(sizeof(struct holder) == 24, "no padding");
_Static_assert(2 * sizeof(struct holder) <= CONVERSATION_TOKEN_MAXIMUM, "the token has room");

static uint64_t mark_of_host(struct segment *segment)
{
    int64_t created = segment_created_wall_milliseconds(segment);
    return siphash_compute(segment_secret(segment), &created, sizeof created).words[0];
}

static bool is_dead(const char *token, void *context)
{
    const struct chat *chat = context;
    struct segment *segment = chat->app->segment;
    struct holder holder;
    if (text_decode_hex(slice_of(token), &holder, sizeof holder) != STATUS_OK ||
        holder.host != mark_of_host(segment) || holder.process.slot >= SEGMENT_PROCESS_MAXIMUM) {
        return false;
    }
    return !segment_process_alive(segment, holder.process);
}

void session_claim_make(const struct chat *chat, char *token, struct conversation_claim *claim)
{
    struct segment *segment = chat->app->segment;
    struct holder holder = {.host = mark_of_host(segment), .process = segment_self(segment)};
    random_bytes(&holder.random, sizeof holder.random);
    text_encode_hex(&holder, sizeof holder, token);
    int64_t now = clock_wall_milliseconds();
    *claim = (struct conversation_claim){
        .now = now,
        .expires_at = now + chat->app->config->session_ttl * 1000,
        .count_maximum = chat->app->config->sessions_per_owner,
        .token = token,
        .lease_expires_at = now + SESSION_LEASE_MILLISECONDS,
        .holder_is_dead = is_dead,
        .context = (void *)(uintptr_t)chat,
    };
}
