/*
 * transport/pump: the one thread that holds long answers (SSE, proxied completions).
 *
 * A handler that cannot answer at once gives its exchange to the pump (pump_adopt) and returns; its
 * worker is free again. From then on the stream's callbacks run on the pump thread, one at a time,
 * and must not block: blocking work (database) is sent to the workers with stream_offload. Output
 * is bounded: while a client lags behind STREAM_LAG_BYTES the stream is told to pause its source; a
 * client that is STREAM_BACKLOG_MAXIMUM behind (not counting the largest write, for one event may
 * be larger), or makes no progress for 30 s, is dropped; so is one that has not taken everything 20 s
 * after the program was told to stop. Under CGI and mod_fcgid the same code runs
 * in the foreground.
 *
 * The pump also offers descriptors and timers to upstream/, which brings libcurl's sockets here;
 * the pump itself knows nothing of libcurl.
 */
#ifndef TRANSPORT_PUMP_H
#define TRANSPORT_PUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "transport/exchange.h"

#define STREAM_LAG_BYTES        (64u << 10)
#define STREAM_BACKLOG_MAXIMUM  (256u << 10)
#define STREAM_STALL_SECONDS    30
#define STREAM_SHUTDOWN_SECONDS 20 /* for clients to take the rest when the program stops */

struct pump;
struct stream;

/* Each may be NULL except `ended`; without `client_gone` or `shutdown` the stream is ended instead.
 * `context` is what pump_adopt was given. Each runs in the context (base/context.h) of the caller of
 * pump_adopt, and never within another call of the same stream's handlers. */
struct stream_handlers {
    void (*start)(struct stream *stream, void *context); /* first call, on the pump thread */
    /* The client lags (true) or has caught up (false). */
    void (*lagging)(struct stream *stream, bool is_lagging, void *context);
    /* The client has gone; nothing written from now on is sent. Called once; then clean up and
     * call stream_end when done (an offload may still be used, to save what there is). */
    void (*client_gone)(struct stream *stream, void *context);
    void (*timer)(struct stream *stream, void *context);     /* stream_set_timer has run out */
    void (*offloaded)(struct stream *stream, void *context); /* stream_offload has finished */
    /* The program stops: end soon, with the last event of the protocol. */
    void (*shutdown)(struct stream *stream, void *context);
    /* The last call, after stream_end or a lost program: the stream and the exchange's arena
     * die when it returns. Free what does not live in the arena. */
    void (*ended)(struct stream *stream, void *context);
};

/* Takes the exchange over, from a worker thread. `context` usually lives in the exchange's arena,
 * and may be gone when this returns. On failure (STATUS_BUSY: the pump is at its maximum;
 * STATUS_CLOSED: stopping; STATUS_NO_MEMORY) the exchange still belongs to the caller. */
enum status pump_adopt(struct pump *pump, struct exchange *exchange,
                       const struct stream_handlers *handlers, void *context) MUST_CHECK;

/* --- On the pump thread, for the stream's owner ------------------------------------------------ */

/* Queues bytes of the answer (the header lines too); they are sent when the handler returns, so
 * that several small writes cost one system call. Ignored once the client has gone. */
void stream_write(struct stream *stream, struct slice bytes);

/* There can be no answer: `text` is the last the client is given. To the owner it is as if the client
 * had gone, `client_gone` included. */
void stream_refuse(struct stream *stream, struct slice text);

/* The answer is complete. Sends what waits, then `ended`. No other call after this. */
void stream_end(struct stream *stream);

/* A comment line (": ping\n\n") whenever nothing was written for so long; 0 = never (default). */
void stream_set_heartbeat(struct stream *stream, unsigned seconds);

/* One timer per stream; 0 cancels. */
void stream_set_timer(struct stream *stream, uint64_t milliseconds);

/* Runs `work(context)` on a worker (ahead of new requests, never refused), then `offloaded` on
 * the pump thread. At most one at a time per stream; the stream outlives it. */
void stream_offload(struct stream *stream, void (*work)(void *context));

struct exchange *stream_exchange(struct stream *stream);
struct pump *stream_pump(struct stream *stream);
bool stream_client_has_gone(const struct stream *stream);
bool stream_is_lagging(const struct stream *stream);

/* --- Event sources for upstream/ ---------------------------------------------------------------- */

/* Both run in the context (base/context.h) that asked for them. */
typedef void pump_ready(int descriptor, bool readable, bool writable, void *context);
typedef void pump_expired(void *context);

/* Pump thread only. Watching the same descriptor again changes what is watched. */
enum status pump_watch(struct pump *pump, int descriptor, bool read, bool write, pump_ready *ready,
                       void *context) MUST_CHECK;
void pump_unwatch(struct pump *pump, int descriptor);

/* One timer for each (function, context); milliseconds < 0 cancels. Pump thread only. */
enum status pump_set_timer(struct pump *pump, int64_t milliseconds, pump_expired *expired,
                           void *context) MUST_CHECK;

/* The turn has lasted so long that what can wait for the next one should. Pump thread only. */
bool pump_turn_is_long(const struct pump *pump);

/* From any thread: runs `work` on the pump thread soon, in the context of the caller. */
enum status pump_post(struct pump *pump, void (*work)(void *context), void *context) MUST_CHECK;

/* A place for upstream/ to keep its per-pump object (libcurl multi); freed with `release`, on the
 * pump thread, after the last stream. Pump thread only. */
void *pump_attachment(struct pump *pump);
void pump_attach(struct pump *pump, void *object, void (*release)(void *object));

#endif
