/*
 * storage/driver: what a kind of database must be able to do for shared/storage. Private to that
 * folder (and to its tests, which bring SQL of their own).
 *
 * storage.c owns connections, names and transactions' rules; a driver owns its library's handles
 * and turns that library's errors into `enum status`. A driver is called by one thread at a time
 * for a given connection and keeps no state but the handles. SQL parameters are spelled as the
 * dialect likes (?1 for SQLite) and are always numbered from 1 in the order callers bind them.
 *
 * Two flags are how a driver tells more than a status: `must_retry` (the transaction lost a race
 * and must be run again from its start) and `is_broken` (the handle is of no use any more; it is
 * closed at the end of the transaction and replaced at the next storage_connect).
 */
#ifndef STORAGE_DRIVER_H
#define STORAGE_DRIVER_H

#include <pthread.h>

#include "storage/sql.h"
#include "storage/storage.h"

/* How far housekeeping lets a write-ahead log grow. */
#define STORAGE_LOG_SIZE_MAXIMUM (16 * 1024 * 1024)

struct storage {
    const struct storage_driver *driver;
    const struct sql_dialect *dialect;
    char *location;            /* DATABASE_URL without the scheme */
    uint64_t busy_nanoseconds; /* how long one write may wait for its turn */
    uint64_t size_maximum;     /* bytes; 0 = no limit */
    unsigned writers_maximum;
    bool echo;
    storage_observer *observer;
    void *observer_context;
    _Atomic uint64_t *versions; /* of subjects, shared by all processes; NULL: none */
    uint16_t *names;            /* hash table: place -> number of the statement + 1; 0 = free */
    size_t names_mask;
    pthread_key_t key; /* a thread's connection */
    pthread_mutex_t lock;
    struct storage_connection *connections; /* guarded by lock */
    pthread_cond_t turn;                    /* a writer has left; with lock, like the next two */
    unsigned writers;
    uint64_t moved; /* when the last one came or left */
};

struct storage_connection {
    struct storage *storage;
    void *handle;                         /* the driver's; NULL while not connected */
    struct storage_statement *statements; /* one for each of the dialect's, in its order */
    size_t open_statements;               /* prepared and not finished */
    bool in_transaction;
    bool must_retry;
    bool is_broken;
    uint64_t changed;  /* in this transaction: a bit for each place among the versions */
    uint64_t deadline; /* of the present transaction, monotonic nanoseconds; 0 outside */
    struct storage_connection *previous;
    struct storage_connection *next;
};

struct storage_statement {
    struct storage_connection *connection;
    const struct sql_statement *sql;
    void *handle;       /* the driver's; NULL until first prepared */
    enum status status; /* the first failure since storage_prepare */
    bool is_open;
    bool is_done; /* storage_step has said that there is no more row */
    bool writes;  /* set by the driver's prepare */
    uint64_t started;
};

struct storage_driver {
    const char *scheme; /* of DATABASE_URL, with the colon */
    bool is_local;      /* every process that writes it runs on this host */
    const struct sql_dialect *dialect;

    /* `location` is what follows the scheme. On success connection->handle is set. */
    enum status (*connect)(struct storage_connection *connection, const char *location);
    void (*disconnect)(struct storage_connection *connection);
    /* Is the database still the one that was opened? For readiness. */
    enum status (*check)(struct storage_connection *connection);
    enum status (*maintain)(struct storage_connection *connection, const char *location);

    /* Sets statement->handle and statement->writes. */
    enum status (*prepare)(struct storage_statement *statement);
    void (*discard)(struct storage_statement *statement);
    enum status (*bind_integer)(struct storage_statement *statement, int position, int64_t value);
    enum status (*bind_double)(struct storage_statement *statement, int position, double value);
    enum status (*bind_text)(struct storage_statement *statement, int position, struct slice text);
    enum status (*bind_blob)(struct storage_statement *statement, int position, struct slice bytes);
    enum status (*bind_null)(struct storage_statement *statement, int position);
    enum status (*step)(struct storage_statement *statement); /* as storage_step */
    int64_t (*integer)(struct storage_statement *statement, int column);
    double (*number)(struct storage_statement *statement, int column);
    struct slice (*text)(struct storage_statement *statement, int column);
    struct slice (*blob)(struct storage_statement *statement, int column);
    bool (*is_null)(struct storage_statement *statement, int column);
    void (*reset)(struct storage_statement *statement); /* also forgets the bindings */
    int64_t (*changes)(struct storage_connection *connection);

    enum status (*begin)(struct storage_connection *connection);
    enum status (*commit)(struct storage_connection *connection);
    void (*rollback)(struct storage_connection *connection);
    /* A consistent copy of the database as a new file. */
    enum status (*copy)(struct storage_connection *connection, const char *path);
    /* Several statements without parameters or rows, for migrations. */
    enum status (*run_script)(struct storage_connection *connection, const char *text);
};

extern const struct storage_driver storage_sqlite_driver;

/* storage_open with other SQL than the product's; for tests. */
enum status storage_open_dialect(struct storage **out, const struct storage_options *options,
                                 const struct sql_dialect *dialect) MUST_CHECK;

/* Inside a transaction. */
enum status storage_run_script(struct storage_connection *connection, const char *text) MUST_CHECK;

/* --- changes.c --- */

/* The transaction is about to change what the statement is about (NULL: anything). */
void storage_note_change(struct storage_connection *connection,
                         const struct storage_statement *statement);
/* Raises the versions of what has been noted. */
void storage_announce_changes(struct storage_connection *connection);

/* Until when the calling thread may wait from now on, for whatever lock. */
uint64_t storage_wait_until(const struct storage *storage);

/* 0.2 to 0.8 ms. The jitter keeps processes that wait for one another from waking in step, which
 * costs seconds in the worst case under load. */
void storage_nap(void);

#endif
