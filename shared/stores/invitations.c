/*
 * stores/invitations: the table invitations.
 */
#include "stores/invitations.h"

#include "stores/rows.h"

#define HASH(hash) ROW_BLOB((hash), INVITATION_HASH_SIZE)

enum status invitation_create(struct storage *storage,
                              const unsigned char hash[INVITATION_HASH_SIZE], int64_t now,
                              int64_t expires_at)
{
    return rows_change(storage, "invitation_insert", NULL, HASH(hash), ROW_INTEGER(now),
                       ROW_INTEGER(expires_at));
}

enum status invitation_find(struct storage *storage, const unsigned char hash[INVITATION_HASH_SIZE],
                            int64_t now)
{
    struct storage_statement *row;
    enum status status = rows_find(storage, "invitation_live", &row, HASH(hash), ROW_INTEGER(now));
    storage_finish(row);
    return status;
}

enum status invitation_use(struct storage_connection *connection,
                           const unsigned char hash[INVITATION_HASH_SIZE], int64_t now)
{
    int64_t changes;
    enum status status =
        rows_execute(connection, "invitation_use", &changes, HASH(hash), ROW_INTEGER(now));
    return status == STATUS_OK && changes == 0 ? STATUS_DENIED : status;
}

enum status invitation_sweep(struct storage *storage, int64_t now, int64_t *removed)
{
    *removed = 0;
    return rows_sweep(storage, "invitation_sweep", removed, ROW_INTEGER(now),
                      ROW_INTEGER(ROWS_SWEEP_BATCH));
}
