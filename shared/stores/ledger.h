/*
 * stores/ledger: what every call to a language model has used and cost.
 *
 * Rows are only ever added. Costs are whole billionths of a US dollar (a price of 0.15 dollars per
 * million tokens is 150 of them per token), so that sums are exact.
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

struct ledger_sum {
    int64_t calls;
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cost_nanodollars;
};

/* In a transaction of its own. */
enum status ledger_insert(struct storage *storage, const struct ledger_entry *entry) MUST_CHECK;

/* Within the caller's transaction. */
enum status ledger_insert_within(struct storage_connection *connection,
                                 const struct ledger_entry *entry) MUST_CHECK;

/* All calls of the owner since then (wall milliseconds, inclusive). */
enum status ledger_total(struct storage *storage, const char *owner, int64_t since,
                         struct ledger_sum *out) MUST_CHECK;

struct ledger_provider {
    const char *provider;
    int64_t cost_nanodollars;
};

/* All calls of the owner ever, by provider; *items lives in the arena. */
enum status ledger_by_provider(struct storage *storage, struct arena *arena, const char *owner,
                               struct ledger_provider **items, size_t *count) MUST_CHECK;

#endif
