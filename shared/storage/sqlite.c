/*
 * storage/sqlite: the driver for SQLite; the one place that includes sqlite3.h.
 *
 * How a file is kept: WAL with synchronous NORMAL. A commit is then a write(2) into the log, which
 * outlives the process whatever kills it; only a crash of the machine may lose the last commits,
 * and it never leaves a damaged file. WAL needs memory that all users of the file share, so on a
 * network file system the rollback journal is used instead, with a warning.
 *
 * The file is made with mode 0600 (its log and index inherit that) in a directory of mode 0700.
 * Nothing here opens the file but SQLite: closing any other descriptor of it would drop the locks
 * of the whole process (fcntl(2)).
 *
 * The file is not mapped into memory (mmap_size 0). Mapped, a read of a 43 kB value from beyond the
 * page cache of a connection takes 8 us instead of 15; but then a file that is cut short or lies
 * on a failing disk ends the process by SIGBUS instead of one request by 503.
 *
 * Process-wide state: SQLite's own configuration, set once, and per kind of error the time until
 * which it is not logged again, so that a full disk is one line every ten seconds, not a storm.
 */
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "log/log.h"
#include "storage/driver.h"

#define QUIET_NANOSECONDS   UINT64_C(10000000000)
#define CHECKPOINT_WAIT     UINT64_C(100000000)
#define PATH_LENGTH_MAXIMUM 4096
#define PAGE_SIZE           4096 /* SQLite's default since 3.12; Debian keeps it */
#define ERROR_KIND(code)    ((code)&0xff)
#define SETTINGS_FOR_EVERY_FILE                                                                    \
    "PRAGMA foreign_keys=ON;"                                                                      \
    "PRAGMA temp_store=MEMORY;"                                                                    \
    "PRAGMA cache_size=-2000;"                                                                     \
    "PRAGMA mmap_size=0;"                                                                          \
    "PRAGMA secure_delete=FAST;"                                                                   \
    "PRAGMA journal_size_limit=16777216;"

struct sqlite_handle {
    sqlite3 *database;
    sqlite3_stmt *begin; /* prepared once: parsing would cost as much as a small transaction */
    sqlite3_stmt *commit;
    sqlite3_stmt *rollback; /* so that it needs no memory when there is none */
    uint64_t wait_until;    /* monotonic nanoseconds; of the present wait for others' locks */
};

static _Atomic uint64_t quiet_until[256];
static pthread_once_t configured = PTHREAD_ONCE_INIT;

static void configure_library(void)
{
    /* Statistics of memory cost a process-wide mutex per allocation, and nobody reads them. A
     * refusal means that SQLite runs already, with statistics: slower, not wrong. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_initialize();
}

static sqlite3 *database_of(const struct storage_connection *connection)
{
    const struct sqlite_handle *handle = connection->handle;
    return handle->database;
}

/* --- Errors ------------------------------------------------------------------------------- */

static void report(sqlite3 *database, int code, const char *what)
{
    _Atomic uint64_t *quiet = &quiet_until[ERROR_KIND(code)];
    uint64_t now = clock_monotonic_nanoseconds();
    uint64_t until = atomic_load_explicit(quiet, memory_order_relaxed);
    if (now < until ||
        !atomic_compare_exchange_strong_explicit(quiet, &until, now + QUIET_NANOSECONDS,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return;
    }
    /* SQLite's messages name tables and columns, never values. */
    bool is_own = database != NULL && sqlite3_extended_errcode(database) == code;
    const char *message = is_own ? sqlite3_errmsg(database) : sqlite3_errstr(code);
    log_write(LOG_ERROR, "database_error", LOG_TEXT("statement", what), LOG_TEXT("error", message),
              LOG_INTEGER("sqlite_code", code));
}

/* `code` is an extended result code of the call just made; `what` the statement's name. */
static enum status translate(struct storage_connection *connection, int code, const char *what)
{
    const struct sqlite_handle *handle = connection->handle;
    sqlite3 *database = handle != NULL ? handle->database : NULL;
    switch (ERROR_KIND(code)) {
    case SQLITE_OK:
        return STATUS_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_SCHEMA:
        connection->must_retry = true;
        return STATUS_UNAVAILABLE;
    case SQLITE_NOMEM:
        return STATUS_NO_MEMORY;
    case SQLITE_TOOBIG:
        return STATUS_TOO_LARGE;
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
            code == SQLITE_CONSTRAINT_ROWID || code == SQLITE_CONSTRAINT_FOREIGNKEY) {
            return STATUS_CONFLICT;
        }
        break;
    case SQLITE_FULL:
        report(database, code, what);
        return STATUS_UNAVAILABLE;
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_PROTOCOL:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_NOLFS:
        /* Opening anew is what heals, once the cause is gone. */
        connection->is_broken = true;
        report(database, code, what);
        return STATUS_UNAVAILABLE;
    default:
        break;
    }
    report(database, code, what);
    return STATUS_INTERNAL;
}

/* SQLite calls this while somebody else holds a lock: 0 gives up. */
static int wait_for_others(void *context, int attempts)
{
    struct storage_connection *connection = context;
    struct sqlite_handle *handle = connection->handle;
    uint64_t now = clock_monotonic_nanoseconds();
    if (attempts == 0) {
        handle->wait_until = connection->deadline != 0 ? connection->deadline
                                                       : storage_wait_until(connection->storage);
    }
    if (now >= handle->wait_until) {
        return 0;
    }
    storage_nap();
    return 1;
}

/* --- Opening ------------------------------------------------------------------------------ */

/* linux/magic.h does not list them all. */
static bool is_network_file_system(unsigned long type)
{
    static const unsigned long types[] = {
        0x6969,     /* NFS */
        0x517b,     /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 */
        0x5346414f, /* AFS */
        0x73757245, /* Coda */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x65735546, /* FUSE: sshfs, GlusterFS, s3fs */
        0x01021997, /* 9P */
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if ((type & 0xffffffff) == types[i]) {
            return true;
        }
    }
    return false;
}

/* Makes what is missing of directory and file, and looks what it stands on. */
static enum status settle_file(const char *path, bool *on_network)
{
    struct buffer directory;
    buffer_init(&directory, PATH_LENGTH_MAXIMUM);
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    enum status status = buffer_append(&directory, path, length);
    if (status != STATUS_OK) {
        goto out;
    }
    status = file_make_directory(buffer_text(&directory), 0700);
    if (status != STATUS_OK && status != STATUS_NO_MEMORY) {
        log_write(LOG_ERROR, "database_directory_missing", LOG_TEXT("error", status_text(status)));
        status = STATUS_UNAVAILABLE;
    }
    if (status != STATUS_OK) {
        goto out;
    }
    /* mknod makes the file without opening it; see the top. */
    if (mknod(path, S_IFREG | 0600, 0) != 0 && errno != EEXIST) {
        log_write(LOG_ERROR, "database_file_not_made", LOG_TEXT("error", strerrordesc_np(errno)));
        status = STATUS_UNAVAILABLE;
        goto out;
    }
    struct statfs system;
    *on_network = statfs(buffer_text(&directory), &system) == 0 &&
                  is_network_file_system((unsigned long)system.f_type);
out:
    buffer_release(&directory);
    return status;
}

/* Asks for a journal mode. Switching needs the file for itself for a moment and SQLite does not
 * call the busy handler for that, so processes that open a new file together must wait here. */
static int set_journal_mode(struct storage_connection *connection, const char *pragma,
                            const char *mode, bool *is_set)
{
    sqlite3 *database = database_of(connection);
    uint64_t deadline = storage_wait_until(connection->storage);
    for (;;) {
        sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(database, pragma, -1, &statement, NULL);
        if (code == SQLITE_OK) {
            code = sqlite3_step(statement);
        }
        if (code == SQLITE_ROW) {
            const char *answer = (const char *)sqlite3_column_text(statement, 0);
            *is_set = answer != NULL && strcmp(answer, mode) == 0;
        }
        int end = sqlite3_finalize(statement);
        if (code == SQLITE_ROW) {
            code = end;
        }
        if (ERROR_KIND(code) != SQLITE_BUSY || clock_monotonic_nanoseconds() >= deadline) {
            return code;
        }
        storage_nap();
    }
}

static int settle_journal(struct storage_connection *connection, bool on_network)
{
    sqlite3 *database = database_of(connection);
    static atomic_bool has_warned;
    bool is_wal = false;
    int code = SQLITE_OK;
    if (!on_network) {
        code = set_journal_mode(connection, "PRAGMA journal_mode=WAL", "wal", &is_wal);
    }
    if (code == SQLITE_OK && is_wal) {
        return sqlite3_exec(database, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    }
    if (code != SQLITE_OK) {
        return code;
    }
    if (!atomic_exchange(&has_warned, true)) {
        log_write(LOG_WARNING, "database_on_network_file_system",
                  LOG_TEXT("advice", "keep STATE_DIR on a local disk, or use a database server"));
    }
    bool is_delete;
    code = set_journal_mode(connection, "PRAGMA journal_mode=DELETE", "delete", &is_delete);
    return code != SQLITE_OK ? code
                             : sqlite3_exec(database, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
}

/* SQLite counts in pages. */
static int limit_size(struct storage_connection *connection)
{
    uint64_t size = connection->storage->size_maximum;
    char pragma[64];
    if (size == 0) {
        return SQLITE_OK;
    }
    snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count=%llu",
             (unsigned long long)(size < PAGE_SIZE ? 1 : size / PAGE_SIZE));
    return sqlite3_exec(database_of(connection), pragma, NULL, NULL, NULL);
}

static int open_file(struct storage_connection *connection, const char *path, bool on_network)
{
    struct sqlite_handle *handle = connection->handle;
    int code = sqlite3_open_v2(path, &handle->database,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                   SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                               NULL);
    if (code != SQLITE_OK) {
        return code;
    }
    sqlite3 *database = handle->database;
    sqlite3_busy_handler(database, wait_for_others, connection);
    sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
    sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DML, 0, (int *)NULL);
    sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)NULL);
    code = settle_journal(connection, on_network);
    if (code != SQLITE_OK) {
        return code;
    }
    code = sqlite3_exec(database, SETTINGS_FOR_EVERY_FILE, NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = limit_size(connection);
    }
    if (code != SQLITE_OK) {
        return code;
    }
    /* A deferred transaction that reads and then writes fails whenever somebody else wrote in
     * between, and no waiting helps; so there is only this one. */
    code = sqlite3_prepare_v3(database, "BEGIN IMMEDIATE", -1, SQLITE_PREPARE_PERSISTENT,
                              &handle->begin, NULL);
    if (code != SQLITE_OK) {
        return code;
    }
    code = sqlite3_prepare_v3(database, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT, &handle->commit,
                              NULL);
    if (code != SQLITE_OK) {
        return code;
    }
    return sqlite3_prepare_v3(database, "ROLLBACK", -1, SQLITE_PREPARE_PERSISTENT,
                              &handle->rollback, NULL);
}

static void disconnect(struct storage_connection *connection)
{
    struct sqlite_handle *handle = connection->handle;
    sqlite3_finalize(handle->begin);
    sqlite3_finalize(handle->commit);
    sqlite3_finalize(handle->rollback);
    sqlite3_close_v2(handle->database);
    memory_release(handle);
    connection->handle = NULL;
}

static enum status connect(struct storage_connection *connection, const char *location)
{
    pthread_once(&configured, configure_library);
    struct sqlite_handle *handle = memory_allocate(sizeof(*handle));
    if (handle == NULL) {
        return STATUS_NO_MEMORY;
    }
    connection->handle = handle;
    /* "./" keeps SQLite from reading a meaning into names like ":memory:" or "file:x". */
    struct buffer path;
    buffer_init(&path, PATH_LENGTH_MAXIMUM);
    buffer_append_text(&path, location[0] == '/' ? "" : "./");
    buffer_append_text(&path, location);
    enum status status = buffer_status(&path);
    bool on_network = false;
    if (status == STATUS_OK) {
        status = settle_file(buffer_text(&path), &on_network);
    }
    if (status == STATUS_OK) {
        status =
            translate(connection, open_file(connection, buffer_text(&path), on_network), "open");
    }
    buffer_release(&path);
    if (status != STATUS_OK) {
        disconnect(connection);
    }
    return status;
}

static enum status check(struct storage_connection *connection)
{
    int has_moved = 0;
    int code =
        sqlite3_file_control(database_of(connection), "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (code == SQLITE_OK && has_moved != 0) {
        code = SQLITE_READONLY_DBMOVED;
    }
    return translate(connection, code, "check");
}

static enum status maintain(struct storage_connection *connection, const char *location)
{
    sqlite3 *database = database_of(connection);
    struct buffer path;
    buffer_init(&path, PATH_LENGTH_MAXIMUM);
    buffer_append_text(&path, location);
    buffer_append_text(&path, "-wal");
    enum status status = buffer_status(&path);
    struct stat log;
    if (status == STATUS_OK && stat(buffer_text(&path), &log) == 0 &&
        log.st_size > STORAGE_LOG_SIZE_MAXIMUM) {
        /* Everybody who wants to write waits meanwhile: rather not this time than for long. */
        connection->deadline = clock_monotonic_nanoseconds() + CHECKPOINT_WAIT;
        int code =
            sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        connection->deadline = 0;
        if (ERROR_KIND(code) != SQLITE_BUSY) {
            status = translate(connection, code, "checkpoint");
        }
    }
    buffer_release(&path);
    if (status == STATUS_OK) {
        status = translate(
            connection,
            sqlite3_exec(database, "PRAGMA analysis_limit=400; PRAGMA optimize", NULL, NULL, NULL),
            "optimize");
    }
    return status;
}

/* --- Statements --------------------------------------------------------------------------- */

static enum status translate_for(struct storage_statement *statement, int code)
{
    return translate(statement->connection, code, statement->sql->name);
}

static enum status prepare(struct storage_statement *statement)
{
    sqlite3 *database = database_of(statement->connection);
    sqlite3_stmt *handle = NULL;
    int code = sqlite3_prepare_v3(database, statement->sql->text, -1, SQLITE_PREPARE_PERSISTENT,
                                  &handle, NULL);
    if (code == SQLITE_ERROR) {
        /* A table or column is missing: the file has not been migrated, or was replaced. */
        report(database, code, statement->sql->name);
        return STATUS_UNAVAILABLE;
    }
    if (code != SQLITE_OK) {
        return translate_for(statement, code);
    }
    statement->handle = handle;
    statement->writes = sqlite3_stmt_readonly(handle) == 0;
    return STATUS_OK;
}

static void discard(struct storage_statement *statement)
{
    sqlite3_finalize(statement->handle);
}

static enum status bind_integer(struct storage_statement *statement, int position, int64_t value)
{
    return translate_for(statement, sqlite3_bind_int64(statement->handle, position, value));
}

static enum status bind_double(struct storage_statement *statement, int position, double value)
{
    return translate_for(statement, sqlite3_bind_double(statement->handle, position, value));
}

/* A NULL pointer would bind NULL, but an empty slice is an empty text. */
static enum status bind_text(struct storage_statement *statement, int position, struct slice text)
{
    return translate_for(statement, sqlite3_bind_text64(statement->handle, position,
                                                        text.length > 0 ? text.data : "",
                                                        text.length, SQLITE_STATIC, SQLITE_UTF8));
}

static enum status bind_blob(struct storage_statement *statement, int position, struct slice bytes)
{
    return translate_for(statement, sqlite3_bind_blob64(statement->handle, position,
                                                        bytes.length > 0 ? bytes.data : "",
                                                        bytes.length, SQLITE_STATIC));
}

static enum status bind_null(struct storage_statement *statement, int position)
{
    return translate_for(statement, sqlite3_bind_null(statement->handle, position));
}

/* A table that goes away under a prepared statement shows when SQLite prepares it anew by itself. */
static bool has_lost_schema(struct storage_statement *statement)
{
    sqlite3_stmt *again = NULL;
    int code = sqlite3_prepare_v3(database_of(statement->connection), statement->sql->text, -1, 0,
                                  &again, NULL);
    sqlite3_finalize(again);
    return code == SQLITE_ERROR;
}

static enum status step(struct storage_statement *statement)
{
    int code = sqlite3_step(statement->handle);
    if (code == SQLITE_ROW) {
        return STATUS_OK;
    }
    if (code == SQLITE_DONE) {
        return STATUS_NOT_FOUND;
    }
    if (code == SQLITE_ERROR && has_lost_schema(statement)) {
        report(database_of(statement->connection), code, statement->sql->name);
        return STATUS_UNAVAILABLE;
    }
    return translate_for(statement, code);
}

static int64_t integer(struct storage_statement *statement, int column)
{
    return sqlite3_column_int64(statement->handle, column);
}

static double number(struct storage_statement *statement, int column)
{
    return sqlite3_column_double(statement->handle, column);
}

static struct slice text(struct storage_statement *statement, int column)
{
    const char *data = (const char *)sqlite3_column_text(statement->handle, column);
    int length = sqlite3_column_bytes(statement->handle, column);
    return (struct slice){.data = data != NULL ? data : "",
                          .length = data != NULL ? (size_t)length : 0};
}

static struct slice blob(struct storage_statement *statement, int column)
{
    const char *data = sqlite3_column_blob(statement->handle, column);
    int length = sqlite3_column_bytes(statement->handle, column);
    return (struct slice){.data = data != NULL ? data : "",
                          .length = data != NULL ? (size_t)length : 0};
}

static bool is_null(struct storage_statement *statement, int column)
{
    return sqlite3_column_type(statement->handle, column) == SQLITE_NULL;
}

/* Both return what the last step said already. */
static void reset(struct storage_statement *statement)
{
    sqlite3_reset(statement->handle);
    sqlite3_clear_bindings(statement->handle);
}

static int64_t changes(struct storage_connection *connection)
{
    return sqlite3_changes64(database_of(connection));
}

/* --- Transactions ------------------------------------------------------------------------- */

static int run(sqlite3_stmt *statement)
{
    sqlite3_step(statement);
    return sqlite3_reset(statement);
}

static enum status begin(struct storage_connection *connection)
{
    const struct sqlite_handle *handle = connection->handle;
    return translate(connection, run(handle->begin), "begin");
}

static enum status commit(struct storage_connection *connection)
{
    const struct sqlite_handle *handle = connection->handle;
    if (sqlite3_get_autocommit(handle->database) != 0) {
        /* A full disk or the like has rolled back, and the function did not notice. */
        return STATUS_UNAVAILABLE;
    }
    return translate(connection, run(handle->commit), "commit");
}

static void rollback(struct storage_connection *connection)
{
    const struct sqlite_handle *handle = connection->handle;
    if (sqlite3_get_autocommit(handle->database) == 0 && run(handle->rollback) != SQLITE_OK) {
        connection->is_broken = true;
    }
}

/* Of all pages in one step: the copy is of one moment, and nobody has to wait for it in WAL. */
static int copy_pages(sqlite3 *to, sqlite3 *from)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL) {
        return sqlite3_extended_errcode(to);
    }
    int code = sqlite3_backup_step(backup, -1);
    int end = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? end : code;
}

/* Under another name until it is whole. */
static enum status copy(struct storage_connection *connection, const char *path)
{
    sqlite3 *to = NULL;
    char part[PATH_LENGTH_MAXIMUM];
    int length = snprintf(part, sizeof(part), "%s.part", path);
    struct stat found;
    if (length >= (int)sizeof(part)) {
        return STATUS_TOO_LARGE;
    }
    if (lstat(path, &found) == 0 || mknod(part, S_IFREG | 0600, 0) != 0) {
        return STATUS_CONFLICT;
    }
    int code = sqlite3_open_v2(
        part, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
    if (code == SQLITE_OK) {
        code = copy_pages(to, database_of(connection));
    }
    /* Its log is folded in, so that the copy is one file. */
    if (code == SQLITE_OK) {
        code = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    }
    sqlite3_close_v2(to);
    if (code == SQLITE_OK && rename(part, path) != 0) {
        code = SQLITE_CANTOPEN;
    }
    if (code != SQLITE_OK) {
        remove(part);
    }
    return translate(connection, code, "copy");
}

static enum status run_script(struct storage_connection *connection, const char *script)
{
    return translate(connection, sqlite3_exec(database_of(connection), script, NULL, NULL, NULL),
                     "migration");
}

const struct storage_driver storage_sqlite_driver = {
    .scheme = "sqlite:",
    .is_local = true,
    .dialect = &sql_sqlite,
    .connect = connect,
    .disconnect = disconnect,
    .check = check,
    .maintain = maintain,
    .prepare = prepare,
    .discard = discard,
    .bind_integer = bind_integer,
    .bind_double = bind_double,
    .bind_text = bind_text,
    .bind_blob = bind_blob,
    .bind_null = bind_null,
    .step = step,
    .integer = integer,
    .number = number,
    .text = text,
    .blob = blob,
    .is_null = is_null,
    .reset = reset,
    .changes = changes,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .copy = copy,
    .run_script = run_script,
};
