/*
 * stores/api_keys: the table api_keys, read together with the owner's state.
 */
#include "stores/api_keys.h"

#include <string.h>

#include "stores/rows.h"

static enum status read_key(struct storage_statement *row, struct arena *arena, void *item)
{
    struct api_key *out = item;
    *out = (struct api_key){
        .id = storage_copy_text(row, 0, arena),
        .user_id = storage_copy_text(row, 1, arena),
        .name = storage_copy_text(row, 2, arena),
        .scopes = storage_copy_text(row, 3, arena),
        .tier = storage_copy_text(row, 4, arena),
        .created_at = storage_integer(row, 6),
        .expires_at = storage_integer(row, 7),
        .revoked_at = storage_integer(row, 8),
        .owner_is_active = storage_integer(row, 9) != 0,
        .owner_is_superuser = storage_integer(row, 10) != 0,
        .company_id = storage_copy_text(row, 11, arena),
        .chart_ids = storage_copy_text(row, 12, arena),
        .owner_locked_until = storage_integer(row, 13),
    };
    struct slice hash = storage_blob(row, 5);
    if (hash.length != sizeof(out->hash)) {
        return STATUS_INTERNAL;
    }
    memcpy(out->hash, hash.data, hash.length);
    return storage_status(row);
}

static enum status read_counts(struct storage_connection *connection, const char *user_id,
                               int64_t now, int64_t *all, int64_t *live)
{
    struct storage_statement *row;
    enum status status =
        rows_prepare(connection, "api_key_count", &row, ROW_TEXT(user_id), ROW_INTEGER(now));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    *all = status == STATUS_OK ? storage_integer(row, 0) : 0;
    *live = status == STATUS_OK ? storage_integer(row, 1) : 0;
    storage_finish(row);
    return status;
}

struct creation {
    const struct api_key *key;
    int64_t maximum;
};

static enum status create(struct storage_connection *connection, void *context)
{
    const struct creation *creation = context;
    const struct api_key *key = creation->key;
    int64_t all;
    int64_t live;
    enum status status = read_counts(connection, key->user_id, key->created_at, &all, &live);
    if (status != STATUS_OK) {
        return status;
    }
    if (live >= creation->maximum) {
        return STATUS_TOO_LARGE;
    }
    if (all - live > API_KEY_DEAD_MAXIMUM) {
        status = rows_execute(connection, "api_key_prune", NULL, ROW_TEXT(key->user_id),
                              ROW_INTEGER(key->created_at), ROW_INTEGER(API_KEY_DEAD_MAXIMUM));
    }
    return status != STATUS_OK
               ? status
               : rows_execute(connection, "api_key_insert", NULL, ROW_TEXT(key->id),
                              ROW_TEXT(key->user_id), ROW_TEXT(key->name), ROW_TEXT(key->scopes),
                              ROW_TEXT(key->tier), ROW_BLOB(key->hash, sizeof(key->hash)),
                              ROW_INTEGER(key->created_at), ROW_INTEGER(key->expires_at),
                              ROW_TEXT(key->chart_ids));
}

enum status api_key_create(struct storage *storage, const struct api_key *key, int64_t maximum)
{
    struct creation creation = {.key = key, .maximum = maximum};
    return rows_transaction(storage, create, &creation);
}

enum status api_key_find(struct storage *storage, struct arena *arena, const char *id,
                         struct api_key *out)
{
    struct storage_statement *row;
    enum status status = rows_find(storage, "api_key_by_id", &row, ROW_TEXT(id));
    if (status == STATUS_OK) {
        status = read_key(row, arena, out);
    }
    storage_finish(row);
    return status;
}

enum status api_key_list(struct storage *storage, struct arena *arena, const char *user_id,
                         int64_t now, int64_t limit, int64_t offset, struct api_key **out,
                         size_t *count, int64_t *total)
{
    void *items = NULL;
    int64_t live;
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    if (status == STATUS_OK) {
        status = read_counts(connection, user_id, now, total, &live);
    }
    if (status == STATUS_OK) {
        status =
            rows_list(storage, "api_key_list", arena, read_key, sizeof(**out), &items, count,
                      ROW_TEXT(user_id), ROW_INTEGER(now), ROW_INTEGER(limit), ROW_INTEGER(offset));
    }
    *out = items;
    return status;
}

enum status api_key_revoke(struct storage *storage, const char *user_id, const char *id,
                           int64_t now)
{
    int64_t changes;
    enum status status = rows_change(storage, "api_key_revoke", &changes, ROW_TEXT(id),
                                     ROW_TEXT(user_id), ROW_INTEGER(now));
    return status == STATUS_OK && changes == 0 ? STATUS_NOT_FOUND : status;
}
