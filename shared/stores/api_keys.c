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
    };
    struct slice hash = storage_blob(row, 5);
    if (hash.length != sizeof(out->hash)) {
        return STATUS_INTERNAL;
    }
    memcpy(out->hash, hash.data, hash.length);
    return storage_status(row);
}

enum status api_key_create(struct storage *storage, const struct api_key *key)
{
    return rows_change(storage, "api_key_insert", NULL, ROW_TEXT(key->id), ROW_TEXT(key->user_id),
                       ROW_TEXT(key->name), ROW_TEXT(key->scopes), ROW_TEXT(key->tier),
                       ROW_BLOB(key->hash, sizeof(key->hash)), ROW_INTEGER(key->created_at),
                       ROW_INTEGER(key->expires_at));
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
                         struct api_key **out, size_t *count)
{
    void *items;
    enum status status = rows_list(storage, "api_key_list", arena, read_key, sizeof(**out), &items,
                                   count, ROW_TEXT(user_id));
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
