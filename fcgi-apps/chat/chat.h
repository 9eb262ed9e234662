/*
 * chat: what the requests of this program share.
 *
 * The catalogue is constant, the ledger locks by itself. What stands under "pump thread" belongs to
 * that thread alone, which is why one set of scratch memory serves all streams.
 */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include "base/arena.h"
#include "base/buffer.h"
#include "http/app.h"
#include "http/request.h"
#include "session_gate.h"
#include "stores/ledger_queue.h"
#include "upstream/providers.h"

struct chat {
    struct app *app;
    struct catalogue *catalogue;
    struct ledger_queue ledger;
    /* --- Pump thread --- */
    struct session_queue sessions;
    struct buffer frame; /* the frame being made */
    struct buffer chunk; /* the chunk being made, by the demo or from a whole answer */
};

/* Of the running program. */
struct chat *chat_of(const struct request *request);

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
