/*
 * stores/probes: the table probe_results.
 */
#include "stores/probes.h"

#include "stores/rows.h"

#define PRUNE_BATCH 1000

struct save {
    const struct probe_record *records;
    size_t count;
};

static enum status insert_all(struct storage_connection *connection, void *context)
{
    const struct save *save = context;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < save->count && status == STATUS_OK; i++) {
        const struct probe_record *record = &save->records[i];
        status = rows_execute(connection, "probe_insert", NULL, ROW_TEXT(record->service),
                              ROW_INTEGER(record->probed_at), ROW_INTEGER(record->is_healthy),
                              ROW_INTEGER(record->latency_microseconds), ROW_TEXT(record->message));
    }
    return status;
}

enum status probe_save(struct storage *storage, const struct probe_record *records, size_t count)
{
    struct save save = {records, count};
    return rows_transaction(storage, insert_all, &save);
}

static enum status read_latency(struct storage_statement *row, struct arena *arena, void *item)
{
    struct probe_record *record = item;
    (void)arena;
    record->probed_at = storage_integer(row, 0);
    record->latency_microseconds = storage_integer(row, 1);
    record->is_healthy = true;
    record->message = "";
    return STATUS_OK;
}

enum status probe_history(struct storage *storage, struct arena *arena, const char *service,
                          int64_t since, size_t maximum, struct probe_record **out, size_t *count)
{
    void *items = NULL;
    enum status status = rows_list(storage, "probe_list_thinned", arena, read_latency,
                                   sizeof(struct probe_record), &items, count, ROW_TEXT(service),
                                   ROW_INTEGER(since), ROW_INTEGER((int64_t)maximum));
    *out = items;
    for (size_t i = 0; i < *count; i++) {
        (*out)[i].service = service;
    }
    return status;
}

static enum status read_error(struct storage_statement *row, struct arena *arena, void *item)
{
    struct probe_record *record = item;
    struct slice message = storage_text(row, 1);
    record->probed_at = storage_integer(row, 0);
    record->message = arena_copy(arena, message.data, message.length);
    return record->message ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status probe_errors(struct storage *storage, struct arena *arena, const char *service,
                         size_t maximum, struct probe_record **out, size_t *count)
{
    void *items = NULL;
    enum status status =
        rows_list(storage, "probe_list_errors", arena, read_error, sizeof(struct probe_record),
                  &items, count, ROW_TEXT(service), ROW_INTEGER((int64_t)maximum));
    *out = items;
    return status;
}

enum status probe_prune(struct storage *storage, int64_t before)
{
    int64_t removed = PRUNE_BATCH;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && removed == PRUNE_BATCH) {
        status = rows_change(storage, "probe_delete_before", &removed, ROW_INTEGER(before),
                             ROW_INTEGER(PRUNE_BATCH));
    }
    return status;
}
