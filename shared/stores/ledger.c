/*
 * stores/ledger: the tables ledger and ledger_days.
 */
#include "stores/ledger.h"

#include <string.h>

#include "stores/rows.h"

#define EVERYBODY "" /* the owner of what the installation has used */

static enum status add_to_day(struct storage_connection *connection, const char *owner,
                              const struct ledger_entry *entry)
{
    return rows_execute(connection, "ledger_day_add", NULL, ROW_TEXT(owner),
                        ROW_INTEGER(entry->created_at / LEDGER_DAY_MILLISECONDS),
                        ROW_TEXT(entry->provider), ROW_INTEGER(entry->input_tokens),
                        ROW_INTEGER(entry->output_tokens), ROW_INTEGER(entry->cost_nanodollars));
}

enum status ledger_insert_within(struct storage_connection *connection,
                                 const struct ledger_entry *entry)
{
    enum status status = rows_execute(
        connection, "ledger_insert", NULL, ROW_INTEGER(entry->created_at),
        ROW_TEXT(entry->request_id), ROW_TEXT(entry->owner), ROW_TEXT(entry->principal),
        ROW_TEXT(entry->provider), ROW_TEXT(entry->model), ROW_TEXT(entry->operation),
        ROW_TEXT(entry->outcome), ROW_INTEGER(entry->is_streamed), ROW_INTEGER(entry->is_estimated),
        ROW_INTEGER(entry->input_tokens), ROW_INTEGER(entry->output_tokens),
        ROW_INTEGER(entry->cost_nanodollars));
    if (status == STATUS_OK) {
        status = add_to_day(connection, entry->owner, entry);
    }
    return status == STATUS_OK ? add_to_day(connection, EVERYBODY, entry) : status;
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

static int64_t add_capped(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static void add_sum(struct ledger_sum *sum, const struct ledger_sum *more)
{
    sum->calls = add_capped(sum->calls, more->calls);
    sum->input_tokens = add_capped(sum->input_tokens, more->input_tokens);
    sum->output_tokens = add_capped(sum->output_tokens, more->output_tokens);
    sum->cost_nanodollars = add_capped(sum->cost_nanodollars, more->cost_nanodollars);
}

struct day {
    const char *provider;
    int64_t day;
    struct ledger_sum sum;
};

static enum status read_day(struct storage_statement *row, struct arena *arena, void *item)
{
    struct day *out = item;
    out->provider = storage_copy_text(row, 0, arena);
    out->day = storage_integer(row, 1);
    out->sum = (struct ledger_sum){.calls = storage_integer(row, 2),
                                   .input_tokens = storage_integer(row, 3),
                                   .output_tokens = storage_integer(row, 4),
                                   .cost_nanodollars = storage_integer(row, 5)};
    return storage_status(row);
}

/* The rows of a provider stand together. */
static void add_day(struct ledger_report *out, const struct day *day, int64_t today, int64_t month)
{
    struct ledger_provider *last =
        out->provider_count > 0 ? &out->providers[out->provider_count - 1] : NULL;
    if (last == NULL || strcmp(last->provider, day->provider) != 0) {
        last = &out->providers[out->provider_count++];
        *last = (struct ledger_provider){.provider = day->provider};
    }
    last->cost_nanodollars = add_capped(last->cost_nanodollars, day->sum.cost_nanodollars);
    add_sum(&out->total, &day->sum);
    if (day->day >= month) {
        add_sum(&out->month, &day->sum);
    }
    if (day->day >= today) {
        add_sum(&out->today, &day->sum);
    }
}

static enum status read_from(struct storage *storage, struct arena *arena, const char *owner,
                             int64_t from, int64_t today, int64_t month, struct ledger_report *out)
{
    void *items = NULL;
    size_t count = 0;
    *out = (struct ledger_report){0};
    enum status status =
        rows_list(storage, "ledger_day_list", arena, read_day, sizeof(struct day), &items, &count,
                  ROW_TEXT(owner != NULL ? owner : EVERYBODY), ROW_INTEGER(from));
    if (status != STATUS_OK) {
        return status;
    }
    const struct day *days = items;
    out->providers = arena_allocate(arena, (count + 1) * sizeof *out->providers);
    if (out->providers == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        add_day(out, &days[i], today, month);
    }
    return STATUS_OK;
}

enum status ledger_read(struct storage *storage, struct arena *arena, const char *owner,
                        int64_t today, int64_t month, struct ledger_report *out)
{
    return read_from(storage, arena, owner, INT64_MIN, today, month, out);
}

enum status ledger_read_month(struct storage *storage, struct arena *arena, const char *owner,
                              int64_t today, int64_t month, struct ledger_report *out)
{
    return read_from(storage, arena, owner, month, today, month, out);
}
