/*
 * stores/series: finding, listing and removing series.
 */
#include "stores/series.h"

#include "stores/rows.h"
#include "stores/series_block.h"

enum status series_load(struct storage_statement *statement, struct arena *arena,
                        struct series *out)
{
    const char *options = storage_copy_text(statement, 5, arena);
    *out = (struct series){
        .number = storage_integer(statement, 0),
        .chart = storage_integer(statement, 1),
        .pane = storage_integer(statement, 2),
        .id = storage_copy_text(statement, 3, arena),
        .type = storage_copy_text(statement, 4, arena),
        .options = slice_of(options),
        .point_count = storage_integer(statement, 6),
        .has_fractions = storage_integer(statement, 7) != 0,
        .version = storage_integer(statement, 8),
        .stamp = storage_integer(statement, 9),
        .strip = storage_integer(statement, 10),
    };
    return storage_status(statement);
}

enum status series_find(struct storage *storage, struct arena *arena, const struct series_key *key,
                        struct series *out)
{
    struct storage_statement *statement;
    enum status status = rows_find(storage, "series_find", &statement, ROW_TEXT(key->owner),
                                   ROW_TEXT(key->chart), ROW_INTEGER(key->pane), ROW_TEXT(key->id));
    if (status == STATUS_OK) {
        status = series_load(statement, arena, out);
    }
    storage_finish(statement);
    return status;
}

static enum status read_item(struct storage_statement *statement, struct arena *arena, void *item)
{
    return series_load(statement, arena, item);
}

enum status series_list(struct storage *storage, struct arena *arena, const char *owner,
                        const char *chart, struct series **out, size_t *count)
{
    void *items;
    enum status status = rows_list(storage, "series_list", arena, read_item, sizeof(struct series),
                                   &items, count, ROW_TEXT(owner), ROW_TEXT(chart));
    *out = items;
    return status;
}

struct removal {
    const struct series_key *key;
    int64_t now;
};

static enum status work_delete(struct storage_connection *connection, void *context)
{
    const struct removal *removal = context;
    const struct series_key *key = removal->key;
    struct storage_statement *statement;
    int64_t number = 0;
    int64_t chart = 0;
    enum status status =
        rows_prepare(connection, "series_find", &statement, ROW_TEXT(key->owner),
                     ROW_TEXT(key->chart), ROW_INTEGER(key->pane), ROW_TEXT(key->id));
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK) {
        number = storage_integer(statement, 0);
        chart = storage_integer(statement, 1);
    }
    storage_finish(statement);
    if (status == STATUS_OK) {
        status = rows_execute(connection, "series_delete", NULL, ROW_INTEGER(number));
    }
    if (status == STATUS_OK) {
        status = rows_execute(connection, "chart_touch", NULL, ROW_INTEGER(chart),
                              ROW_INTEGER(removal->now));
    }
    return status;
}

enum status series_delete(struct storage *storage, const struct series_key *key, int64_t now)
{
    struct removal removal = {.key = key, .now = now};
    return rows_transaction(storage, work_delete, &removal);
}
