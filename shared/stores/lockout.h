/*
 * stores/lockout: wrong passwords, counted by the name that was tried and the client's network.
 *
 * A name is counted whether or not an account has it, so a lock tells nobody which names exist.
 * LOCKOUT_THRESHOLD wrong ones lock a name for one network; LOCKOUT_EVERYWHERE_FACTOR times as many,
 * wherever they came from, lock it for all. A count that nobody has added to for
 * LOCKOUT_MEMORY_SECONDS is forgotten. Counting and locking are one transaction; the table survives
 * restarts and is kept below LOCKOUT_ROWS_MAXIMUM rows (some 20 MB), the oldest going first.
 *
 * Names come as SHA-256 of their normal form: people type passwords where a name belongs.
 */
#ifndef STORES_LOCKOUT_H
#define STORES_LOCKOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "storage/storage.h"

#define LOCKOUT_NAME_SIZE         32
#define LOCKOUT_EVERYWHERE_FACTOR 10
#define LOCKOUT_MEMORY_SECONDS    86400
#define LOCKOUT_ROWS_MAXIMUM      200000

/* One try to prove a password. */
struct lockout_attempt {
    unsigned char name[LOCKOUT_NAME_SIZE];
    const char *network; /* not "" */
    int64_t now;         /* wall seconds */
    int64_t threshold;   /* 0: never locks */
    int64_t lock_seconds;
};

/* *until: when the lock on this name and network ends; 0 or in the past: there is none. */
enum status lockout_read(struct storage *storage, const struct lockout_attempt *attempt,
                         int64_t *until) MUST_CHECK;

/* Counts a wrong password; *is_locked: it was the one that locks. STATUS_BUSY when it has been locked
 * before: nothing is counted, and nobody may learn whether the password was right. */
enum status lockout_count(struct storage *storage, const struct lockout_attempt *attempt,
                          bool *is_locked) MUST_CHECK;

/* Inside the transaction that a right password brings about: clears the counts; STATUS_BUSY when
 * there is a lock. */
enum status lockout_clear(struct storage_connection *connection,
                          const struct lockout_attempt *attempt) MUST_CHECK;

/* Inside a transaction: forgets counts and locks of a name in every network. */
enum status lockout_forget(struct storage_connection *connection,
                           const unsigned char name[LOCKOUT_NAME_SIZE]) MUST_CHECK;

/* Removes what is over and what is beyond `rows_maximum`, in batches. */
enum status lockout_sweep(struct storage *storage, int64_t now, int64_t rows_maximum,
                          int64_t *removed) MUST_CHECK;

#endif
