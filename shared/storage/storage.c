/*
 * storage: opening, connections of threads, and the rules of transactions.
 *
 * A connection is found through a thread-specific key and kept in a list, so that it is closed by
 * whichever comes first: the end of its thread or storage_close.
 *
 * A thread's deadline is its own, whatever storage it uses.
 *
 * Process-wide state, because fork is a matter of the process: how many connections are open, and
 * whether this process was forked off one that had some. The libraries below hold locks and
 * sockets that a child would share with its parent; using them there, or even closing them,
 * damages the parent's database.
 */
#include "storage/storage.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "log/log.h"
#include "storage/driver.h"

#define BUSY_MILLISECONDS 5000
#define NAP_NANOSECONDS   200000
#define NAP_JITTER        600001
#define TURN_NANOSECONDS  2000000 /* more than two naps of whoever waits */

static const struct storage_driver *const drivers[] = {&storage_sqlite_driver};

/* How long writers may make no progress before further ones are refused at once. */
#define STUCK_NANOSECONDS UINT64_C(250000000)

static _Thread_local uint64_t thread_deadline;

static atomic_uint open_connections;
static atomic_bool is_forked;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void notice_fork(void)
{
    if (atomic_load_explicit(&open_connections, memory_order_relaxed) > 0) {
        atomic_store_explicit(&is_forked, true, memory_order_relaxed);
    }
}

static void install_fork_handler(void)
{
    if (pthread_atfork(NULL, NULL, notice_fork) != 0) {
        /* Without the handler nothing is lost but a warning about a bug. */
        log_write(LOG_WARNING, "fork_handler_missing", LOG_TEXT("module", "storage"));
    }
}

void storage_nap(void)
{
    struct timespec nap = {.tv_nsec = NAP_NANOSECONDS + (long)random_below(NAP_JITTER)};
    nanosleep(&nap, NULL);
}

void storage_set_deadline(uint64_t nanoseconds)
{
    thread_deadline = nanoseconds;
}

uint64_t storage_wait_until(const struct storage *storage)
{
    uint64_t until = clock_monotonic_nanoseconds() + storage->busy_nanoseconds;
    return thread_deadline != 0 && thread_deadline < until ? thread_deadline : until;
}

void storage_give_way(void)
{
    struct timespec nap = {.tv_nsec = TURN_NANOSECONDS};
    nanosleep(&nap, NULL);
}

/* --- Connections -------------------------------------------------------------------------- */

static void disconnect(struct storage_connection *connection)
{
    struct storage *storage = connection->storage;
    if (connection->handle == NULL) {
        return;
    }
    if (!atomic_load_explicit(&is_forked, memory_order_relaxed)) {
        for (size_t i = 0; i < storage->dialect->statement_count; i++) {
            if (connection->statements[i].handle != NULL) {
                storage->driver->discard(&connection->statements[i]);
                connection->statements[i].handle = NULL;
            }
        }
        storage->driver->disconnect(connection);
        atomic_fetch_sub_explicit(&open_connections, 1, memory_order_relaxed);
    }
    connection->handle = NULL;
}

/* The destructor of the thread-specific key. */
static void drop_connection(void *pointer)
{
    struct storage_connection *connection = pointer;
    struct storage *storage = connection->storage;
    pthread_mutex_lock(&storage->lock);
    if (connection->previous != NULL) {
        connection->previous->next = connection->next;
    } else {
        storage->connections = connection->next;
    }
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    pthread_mutex_unlock(&storage->lock);
    disconnect(connection);
    memory_release(connection->statements);
    memory_release(connection);
}

static enum status add_connection(struct storage *storage, struct storage_connection **out)
{
    struct storage_connection *connection = memory_allocate(sizeof(*connection));
    if (connection == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t count = storage->dialect->statement_count;
    connection->storage = storage;
    connection->statements = memory_allocate((count + 1) * sizeof(connection->statements[0]));
    if (connection->statements == NULL || pthread_setspecific(storage->key, connection) != 0) {
        memory_release(connection->statements);
        memory_release(connection);
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        connection->statements[i].connection = connection;
        connection->statements[i].sql = &storage->dialect->statements[i];
    }
    pthread_mutex_lock(&storage->lock);
    connection->next = storage->connections;
    if (connection->next != NULL) {
        connection->next->previous = connection;
    }
    storage->connections = connection;
    pthread_mutex_unlock(&storage->lock);
    *out = connection;
    return STATUS_OK;
}

enum status storage_connect(struct storage *storage, struct storage_connection **out)
{
    *out = NULL;
    if (atomic_load_explicit(&is_forked, memory_order_relaxed)) {
        log_write(LOG_CRITICAL, "database_used_after_fork", LOG_TEXT("module", "storage"));
        return STATUS_INTERNAL;
    }
    struct storage_connection *connection = pthread_getspecific(storage->key);
    if (connection == NULL) {
        enum status status = add_connection(storage, &connection);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (connection->is_broken && connection->open_statements == 0 && !connection->in_transaction) {
        disconnect(connection);
    }
    if (connection->handle == NULL) {
        enum status status = storage->driver->connect(connection, storage->location);
        if (status != STATUS_OK) {
            return status;
        }
        connection->is_broken = false;
        atomic_fetch_add_explicit(&open_connections, 1, memory_order_relaxed);
    }
    *out = connection;
    return STATUS_OK;
}

/* --- Opening ------------------------------------------------------------------------------ */

/* A table at most half full, so that a search ends soon. */
static enum status index_names(struct storage *storage)
{
    const struct sql_dialect *dialect = storage->dialect;
    size_t size = 16;
    while (size < 2 * dialect->statement_count) {
        size *= 2;
    }
    if (dialect->statement_count >= UINT16_MAX) {
        return STATUS_INTERNAL;
    }
    storage->names = memory_allocate(size * sizeof(storage->names[0]));
    if (storage->names == NULL) {
        return STATUS_NO_MEMORY;
    }
    storage->names_mask = size - 1;
    for (size_t i = 0; i < dialect->statement_count; i++) {
        size_t place = text_hash(dialect->statements[i].name) & storage->names_mask;
        while (storage->names[place] != 0) {
            place = (place + 1) & storage->names_mask;
        }
        storage->names[place] = (uint16_t)(i + 1);
    }
    return STATUS_OK;
}

static const struct storage_driver *find_driver(const char *url)
{
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (slice_starts_with(slice_of(url), drivers[i]->scheme)) {
            return drivers[i];
        }
    }
    return NULL;
}

bool storage_has_driver(const char *url)
{
    return find_driver(url) != NULL;
}

enum status storage_open_dialect(struct storage **out, const struct storage_options *options,
                                 const struct sql_dialect *dialect)
{
    *out = NULL;
    const struct storage_driver *driver = find_driver(options->url);
    if (driver == NULL) {
        return STATUS_INVALID;
    }
    struct slice location = slice_of(options->url + strlen(driver->scheme));
    if (location.length == 0) {
        return STATUS_INVALID;
    }
    pthread_once(&fork_once, install_fork_handler);

    struct storage *storage = memory_allocate(sizeof(*storage));
    if (storage == NULL) {
        return STATUS_NO_MEMORY;
    }
    unsigned busy = options->busy_timeout_milliseconds;
    storage->driver = driver;
    storage->dialect = dialect != NULL ? dialect : driver->dialect;
    storage->busy_nanoseconds = (busy > 0 ? busy : BUSY_MILLISECONDS) * UINT64_C(1000000);
    storage->size_maximum = options->size_maximum;
    storage->writers_maximum = options->writers_maximum;
    storage->echo = options->echo;
    storage->observer = options->observer;
    storage->observer_context = options->observer_context;
    storage->versions = options->segment == NULL
                            ? NULL
                            : segment_find(options->segment, storage_segment_region.name);
    enum status status = STATUS_NO_MEMORY;
    storage->location = memory_copy_text(location.data, location.length);
    if (storage->location == NULL) {
        goto out;
    }
    status = index_names(storage);
    if (status != STATUS_OK) {
        goto out;
    }
    if (pthread_key_create(&storage->key, drop_connection) != 0) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    pthread_mutex_init(&storage->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&storage->turn, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = storage;
out:
    if (status != STATUS_OK) {
        memory_release(storage->names);
        memory_release(storage->location);
        memory_release(storage);
    }
    return status;
}

enum status storage_open(struct storage **out, const struct storage_options *options)
{
    return storage_open_dialect(out, options, NULL);
}

void storage_close(struct storage *storage)
{
    if (storage == NULL) {
        return;
    }
    /* First the key, so that no thread's end reaches for a connection that is gone. */
    pthread_key_delete(storage->key);
    while (storage->connections != NULL) {
        drop_connection(storage->connections);
    }
    pthread_cond_destroy(&storage->turn);
    pthread_mutex_destroy(&storage->lock);
    memory_release(storage->names);
    memory_release(storage->location);
    memory_release(storage);
}

const char *storage_dialect(const struct storage *storage)
{
    return storage->dialect->name;
}

enum status storage_ping(struct storage *storage)
{
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    status = storage->driver->check(connection);
    if (status != STATUS_OK) {
        return status;
    }
    struct storage_statement *statement;
    status = storage_prepare(connection, "storage_ping", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    return storage_execute(statement);
}

enum status storage_maintain(struct storage *storage)
{
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    if (connection->in_transaction || connection->open_statements > 0) {
        return STATUS_INTERNAL;
    }
    return storage->driver->maintain(connection, storage->location);
}

/* --- Transactions ------------------------------------------------------------------------- */

/* A function that failed half-way may have left statements open. */
static void finish_statements(struct storage_connection *connection)
{
    for (size_t i = 0; connection->open_statements > 0; i++) {
        storage_finish(&connection->statements[i]);
    }
}

static enum status attempt(struct storage_connection *connection, storage_work *function,
                           void *context)
{
    const struct storage_driver *driver = connection->storage->driver;
    connection->must_retry = false;
    connection->changed = 0;
    enum status status = driver->begin(connection);
    if (status != STATUS_OK) {
        return status;
    }
    connection->in_transaction = true;
    status = function(connection, context);
    finish_statements(connection);
    if (connection->must_retry) {
        /* Whatever the function made of that failure, its reads were not of one moment. */
        status = STATUS_UNAVAILABLE;
    }
    if (status == STATUS_OK) {
        /* Once more before, so that what is read while the commit becomes visible is not kept. */
        storage_announce_changes(connection);
        status = driver->commit(connection);
        storage_announce_changes(connection);
    }
    if (status != STATUS_OK) {
        driver->rollback(connection);
    }
    connection->in_transaction = false;
    return status;
}

/* --- The place for writers ---------------------------------------------------------------- */

/* STATUS_UNAVAILABLE: all places are taken, and nobody has come or left for a while. */
static enum status enter(struct storage *storage, uint64_t deadline)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&storage->lock);
    while (storage->writers_maximum > 0 && storage->writers >= storage->writers_maximum) {
        uint64_t until = storage->moved + STUCK_NANOSECONDS;
        until = until < deadline ? until : deadline;
        if (clock_monotonic_nanoseconds() >= until) {
            status = STATUS_UNAVAILABLE;
            break;
        }
        struct timespec time = {.tv_sec = (time_t)(until / 1000000000),
                                .tv_nsec = (long)(until % 1000000000)};
        pthread_cond_timedwait(&storage->turn, &storage->lock, &time);
    }
    if (status == STATUS_OK) {
        storage->writers++;
        storage->moved = clock_monotonic_nanoseconds();
    }
    pthread_mutex_unlock(&storage->lock);
    return status;
}

static void leave(struct storage *storage)
{
    pthread_mutex_lock(&storage->lock);
    storage->writers--;
    storage->moved = clock_monotonic_nanoseconds();
    pthread_cond_signal(&storage->turn);
    pthread_mutex_unlock(&storage->lock);
}

enum status storage_transaction(struct storage_connection *connection, storage_work *function,
                                void *context)
{
    if (connection->in_transaction || connection->open_statements > 0) {
        log_write(LOG_CRITICAL, "transaction_misused",
                  LOG_TEXT("error", connection->in_transaction ? "nested" : "statement left open"));
        return STATUS_INTERNAL;
    }
    if (connection->handle == NULL) {
        return STATUS_UNAVAILABLE; /* lost in a transaction before this one */
    }
    connection->deadline = storage_wait_until(connection->storage);
    enum status status = enter(connection->storage, connection->deadline);
    if (status != STATUS_OK) {
        connection->deadline = 0;
        return status;
    }
    status = attempt(connection, function, context);
    while (status != STATUS_OK && connection->must_retry && !connection->is_broken &&
           clock_monotonic_nanoseconds() < connection->deadline) {
        storage_nap();
        status = attempt(connection, function, context);
    }
    connection->deadline = 0;
    leave(connection->storage);
    if (connection->is_broken) {
        /* At once: it may still hold the lock that everybody needs who writes. */
        disconnect(connection);
    }
    return status;
}

enum status storage_copy(struct storage *storage, const char *path)
{
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    return status == STATUS_OK ? storage->driver->copy(connection, path) : status;
}

enum status storage_run_script(struct storage_connection *connection, const char *text)
{
    if (!connection->in_transaction) {
        return STATUS_INTERNAL;
    }
    storage_note_change(connection, NULL);
    return connection->storage->driver->run_script(connection, text);
}
