/*
 * stores/ledger: what every call to a language model has used and cost.
 *
 * Rows are only ever added. Costs are whole billionths of a US dollar (a price of 0.15 dollars per
 * million tokens is 150 of them per token), so that sums are exact; they stop at the largest
 * integer. The sums of each day are kept with each row, so that nobody adds up the rows.
 */
#ifndef STORES_LEDGER_H
#define STORES_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"

struct ledger_entry {
    int64_t created_at; /* wall milliseconds */
    const char *request_id;
    const char *owner;
    const char *principal;
    const char *provider;
    const char *model;
    const char *operation; /* "completion", "chat" */
    const char *outcome;   /* "ok", "cut_off", "failed" */
    bool is_streamed;
    bool is_estimated; /* the provider did not tell the tokens */
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cost_nanodollars;
};

/* In a transaction of its own. */
enum status ledger_insert(struct storage *storage, const struct ledger_entry *entry) MUST_CHECK;

/* Within the caller's transaction. */
enum status ledger_insert_within(struct storage_connection *connection,
                                 const struct ledger_entry *entry) MUST_CHECK;

#define LEDGER_DAY_MILLISECONDS INT64_C(86400000)

struct ledger_provider {
    const char *provider;
    int64_t cost_nanodollars;
};

/* What was used from a day on. */
struct ledger_sum {
    int64_t calls;
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cost_nanodollars;
};

struct ledger_report {
    struct ledger_sum total;
    struct ledger_sum month;
    struct ledger_sum today;
    struct ledger_provider *providers; /* of the total, by name; in the arena */
    size_t provider_count;
};

/* All calls of the owner ever; NULL: of the whole installation. `today` and `month` (its first day)
 * are days since 1970 in UTC. */
enum status ledger_read(struct storage *storage, struct arena *arena, const char *owner,
                        int64_t today, int64_t month, struct ledger_report *out) MUST_CHECK;

/* The same of this month alone, so that it reads no more than a month's rows. */
enum status ledger_read_month(struct storage *storage, struct arena *arena, const char *owner,
                              int64_t today, int64_t month, struct ledger_report *out) MUST_CHECK;

#endif
