/*
 * chat: start, stop and housekeeping of the program.
 */
#include "chat.h"

#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"

#define FRAME_MAXIMUM           ((size_t)16 << 20)
#define FRAME_KEPT              ((size_t)64 << 10)
#define SILENCE_ALLOWED_SECONDS 60
#define HEAD_AFTER_MILLISECONDS 50000
#define SWEEP_LEASE             "chat sweep"
#define SWEEP_BATCH             500

struct chat *chat_of(const struct request *request)
{
    return request->app->state;
}

static size_t place_of(const struct chat *chat, const struct provider *provider)
{
    return (size_t)(provider - chat->catalogue->providers);
}

bool chat_takes_stream_options(const struct chat *chat, const struct provider *provider)
{
    return provider->takes_stream_options &&
           !atomic_load(&chat->refuses_stream_options[place_of(chat, provider)]);
}

void chat_note_stream_options_refused(struct chat *chat, const struct provider *provider)
{
    if (!atomic_exchange(&chat->refuses_stream_options[place_of(chat, provider)], true)) {
        log_write(LOG_WARNING, "provider_refuses_stream_options",
                  LOG_TEXT("provider", provider->name));
    }
}

uint64_t chat_head_after(const struct chat *chat)
{
    return chat->app->config->upstream_first_byte_timeout > SILENCE_ALLOWED_SECONDS
               ? HEAD_AFTER_MILLISECONDS
               : 0;
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
    if (status == STATUS_OK) {
        status = budget_init(&chat->budget, app->config->budget_new_user);
    }
    if (status != STATUS_OK) {
        catalogue_release(chat->catalogue);
        memory_release(chat);
        return status;
    }
    catalogue_report(chat->catalogue);
    ledger_queue_init(&chat->ledger, app->storage, app->metrics);
    session_releases_init(&chat->releases);
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

/* Where entries wait that no database took before the program had to stop. */
static const char *spill_path(const struct app *app, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/ledger-unwritten.jsonl", app->config->state_dir);
    return length > 0 && length < PATH_MAX ? path : NULL;
}

static void keep_ledger(struct app *app)
{
    struct chat *chat = app->state;
    char room[PATH_MAX];
    const char *path = spill_path(app, room);
    if (!chat->has_restored && path != NULL) {
        chat->has_restored = ledger_queue_restore(&chat->ledger, path);
    }
    ledger_queue_flush(&chat->ledger);
}

void chat_background(struct app *app)
{
    struct chat *chat = app->state;
    session_releases_flush(&chat->releases, app->storage);
    keep_ledger(app);
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
    char room[PATH_MAX];
    ledger_queue_close(&chat->ledger, spill_path(app, room));
    session_releases_destroy(&chat->releases);
    budget_destroy(&chat->budget);
    catalogue_release(chat->catalogue);
    buffer_release(&chat->frame);
    buffer_release(&chat->chunk);
    memory_release(chat);
    app->state = NULL;
}
