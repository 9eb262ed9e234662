/*
 * chat: what the requests of this program share.
 *
 * The catalogue is constant; the ledger, the budget and the releases lock by themselves. The members
 * under "pump thread" belong to that thread alone, which is why one set of scratch memory serves all
 * streams.
 */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "budget.h"
#include "http/app.h"
#include "http/request.h"
#include "models/catalogue.h"
#include "session_gate.h"
#include "session_release.h"
#include "stores/ledger_queue.h"

struct chat {
    struct app *app;
    struct catalogue *catalogue;
    struct ledger_queue ledger;
    struct budget budget;
    struct session_releases releases;
    bool has_restored; /* what an earlier program left for the ledger; background only */
    /* Of each provider of the catalogue: it has refused `stream_options`. */
    _Atomic bool refuses_stream_options[PROVIDER_MAXIMUM];
    /* --- Pump thread --- */
    struct session_queue sessions;
    struct buffer frame; /* the frame being made */
    struct buffer chunk; /* the chunk being made, by the demo or from a whole answer */
};

/* Of the running program. */
struct chat *chat_of(const struct request *request);

/* Whether a provider can be asked to tell the usage of a stream, as far as is known. */
bool chat_takes_stream_options(const struct chat *chat, const struct provider *provider);
void chat_note_stream_options_refused(struct chat *chat, const struct provider *provider);

/* When the head of a stream must be sent although there is nothing to tell, in milliseconds; 0 =
 * never. Until the head is sent a failure has its own status, so it waits for the first chunk. Only
 * where a provider may be silent for longer than servers in between wait for a head (60 seconds at
 * least) a comment goes ahead. */
uint64_t chat_head_after(const struct chat *chat);

/* Room that one large frame made is not kept for good. */
void chat_trim(struct buffer *scratch);

enum status chat_start(struct app *app, struct buffer *problem) MUST_CHECK;
void chat_background(struct app *app);
void chat_stop(struct app *app);

/* completions.c */
void completions_create(struct request *request);

/* models.c */
void models_list(struct request *request);
void models_show(struct request *request);
void models_describe(struct request *request); /* GET /chat/models */

/* session_turn.c */
void session_chat(struct request *request);
void session_chat_stream(struct request *request);

/* session_routes.c */
void sessions_list(struct request *request);
void sessions_show(struct request *request);
void sessions_delete(struct request *request);
void sessions_clear(struct request *request);
void sessions_messages(struct request *request);

#endif
