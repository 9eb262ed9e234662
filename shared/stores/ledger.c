/*
 * stores/ledger: the table ledger.
 */
#include "stores/ledger.h"

#include "stores/rows.h"

enum status ledger_insert_within(struct storage_connection *connection,
                                 const struct ledger_entry *entry)
{
    return rows_execute(connection, "ledger_insert", NULL, ROW_INTEGER(entry->created_at),
                        ROW_TEXT(entry->request_id), ROW_TEXT(entry->owner),
                        ROW_TEXT(entry->principal), ROW_TEXT(entry->provider),
                        ROW_TEXT(entry->model), ROW_TEXT(entry->operation),
                        ROW_TEXT(entry->outcome), ROW_INTEGER(entry->is_streamed),
                        ROW_INTEGER(entry->is_estimated), ROW_INTEGER(entry->input_tokens),
                        ROW_INTEGER(entry->output_tokens), ROW_INTEGER(entry->cost_nanodollars));
}

static enum status work_insert(struct storage_connection *connection, void *context)
{
    return ledger_insert_within(connection, context);
}

enum status ledger_insert(struct storage *storage, const struct ledger_entry *entry)
{
    struct ledger_entry copy = *entry;
    return rows_transaction(storage, work_insert, &copy);
}

enum status ledger_total(struct storage *storage, const char *owner, int64_t since,
                         struct ledger_sum *out)
{
    struct storage_statement *row;
    enum status status =
        rows_find(storage, "ledger_total", &row, ROW_TEXT(owner), ROW_INTEGER(since));
    if (status == STATUS_OK) {
        *out = (struct ledger_sum){
            .calls = storage_integer(row, 0),
            .input_tokens = storage_integer(row, 1),
            .output_tokens = storage_integer(row, 2),
            .cost_nanodollars = storage_integer(row, 3),
        };
    }
    storage_finish(row);
    return status;
}

static enum status read_provider(struct storage_statement *row, struct arena *arena, void *item)
{
    struct ledger_provider *provider = item;
    struct slice name = storage_text(row, 0);
    provider->provider = arena_copy(arena, name.data, name.length);
    provider->cost_nanodollars = storage_integer(row, 1);
    return provider->provider ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status ledger_by_provider(struct storage *storage, struct arena *arena, const char *owner,
                               struct ledger_provider **items, size_t *count)
{
    void *list = NULL;
    enum status status = rows_list(storage, "ledger_by_provider", arena, read_provider,
                                   sizeof **items, &list, count, ROW_TEXT(owner));
    *items = list;
    return status;
}
