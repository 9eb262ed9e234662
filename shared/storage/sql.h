/*
 * storage/sql: the SQL text that is compiled into the programs, one dialect each.
 *
 * script/embed-sql writes the tables while building, from the files under sql/<dialect>/:
 *
 *   sql/<dialect>/NNNN_name.up.sql, NNNN_name.down.sql   one migration, kept byte for byte (its
 *                                                        text is what a checksum is taken of)
 *   sql/<dialect>/queries/<subject>.sql                  statements, each headed by a line
 *                                                        `-- name: account_by_email`; comment lines
 *                                                        and the closing semicolon are left out
 *
 * The build fails on a statement name used twice, a migration without its way back, or a gap in
 * the numbers. Everything here is constant and lives as long as the program.
 */
#ifndef STORAGE_SQL_H
#define STORAGE_SQL_H

#include <stddef.h>

struct sql_statement {
    const char *name;    /* [a-z][a-z0-9_]* */
    const char *subject; /* name of its file, without ".sql" */
    const char *text;
};

struct sql_migration {
    int version; /* 1, 2, 3 … without gaps */
    const char *name;
    const char *up;
    const char *down;
};

struct sql_dialect {
    const char *name;                       /* "sqlite" */
    const struct sql_statement *statements; /* ascending by strcmp of the names */
    size_t statement_count;
    const struct sql_migration *migrations; /* ascending by version */
    size_t migration_count;
};

extern const struct sql_dialect sql_sqlite;

#endif
