/*
 * stores/ledger_spill: ledger entries in a file, for when there is no database to write them to.
 *
 * One JSON object a line with the names of the table's columns; a line that cannot be read is left
 * out and said in the log. Programs of one host may append at the same time, and one of them reads:
 * the file is locked meanwhile (flock).
 */
#ifndef STORES_LEDGER_SPILL_H
#define STORES_LEDGER_SPILL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "stores/ledger.h"

/* Appends and syncs. STATUS_UNAVAILABLE: the disk does not take it. */
enum status ledger_spill_append(const char *path, const struct ledger_entry *entry) MUST_CHECK;

struct ledger_spill {
    int descriptor;
    struct arena arena;
    struct slice text;
    int64_t count; /* entries inserted by the last ledger_spill_each */
};

/* STATUS_NOT_FOUND: there is no file, or nothing in it. */
enum status ledger_spill_open(const char *path, struct ledger_spill *spill) MUST_CHECK;

/* Inserts every entry, within the caller's transaction. */
enum status ledger_spill_each(struct ledger_spill *spill,
                              struct storage_connection *connection) MUST_CHECK;

/* `is_done`: everything is in the ledger; the file becomes empty. */
void ledger_spill_close(struct ledger_spill *spill, bool is_done);

#endif
