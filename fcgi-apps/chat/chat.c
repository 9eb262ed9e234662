/*
 * chat: start, stop and housekeeping of the program.
 */
#include "chat.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"

#define FRAME_MAXIMUM ((size_t)16 << 20)
#define FRAME_KEPT    ((size_t)64 << 10)
#define SWEEP_LEASE   "chat sweep"
#define SWEEP_BATCH   500

struct chat *chat_of(const struct request *request)
{
    return request->app->state;
}

void chat_trim(struct buffer *scratch)
{
    if (scratch->capacity > FRAME_KEPT) {
        buffer_release(scratch);
    }
}

enum status chat_start(struct app *app, struct buffer *problem)
{
    struct chat *chat = memory_allocate(sizeof *chat);
    if (chat == NULL) {
        return STATUS_NO_MEMORY;
    }
    chat->app = app;
    buffer_init(&chat->frame, FRAME_MAXIMUM);
    buffer_init(&chat->chunk, FRAME_MAXIMUM);
    enum status status = catalogue_create(&chat->catalogue, app->config, problem);
    if (status != STATUS_OK) {
        memory_release(chat);
        return status;
    }
    ledger_queue_init(&chat->ledger, app->storage);
    app->state = chat;
    return STATUS_OK;
}

/* Expired sessions go in small batches, so that nobody waits long for the database. */
static void sweep(struct app *app)
{
    bool has_more = true;
    int64_t total = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && has_more) {
        int64_t removed = 0;
        status = conversation_sweep(app->storage, clock_wall_milliseconds(), SWEEP_BATCH, &removed,
                                    &has_more);
        total += status == STATUS_OK ? removed : 0;
    }
    if (total > 0) {
        log_write(LOG_INFO, "sessions_swept", LOG_INTEGER("count", total));
    }
}

void chat_background(struct app *app)
{
    static struct app_schedule schedule = {.lease = SWEEP_LEASE};
    if (app_schedule_is_due(app, &schedule, (uint64_t)app->config->cleanup_interval_minutes * 60)) {
        sweep(app);
    }
}

void chat_stop(struct app *app)
{
    struct chat *chat = app->state;
    if (chat == NULL) {
        return;
    }
    ledger_queue_destroy(&chat->ledger);
    catalogue_release(chat->catalogue);
    buffer_release(&chat->frame);
    buffer_release(&chat->chunk);
    memory_release(chat);
    app->state = NULL;
}
