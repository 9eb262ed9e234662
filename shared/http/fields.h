/*
 * http/fields: members of a JSON body and parameters of a query, with their errors collected for
 * one 422; and the one way a time is written.
 *
 * Each reads one member of request->json or one parameter, adds a field error when it does not fit,
 * and returns what a handler can use. Read all fields, then ask problem_has_fields once.
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/request.h"

/* null is a value of the wrong type, but for FIELD_NULLABLE, where it stands for an absent one. */
enum field_presence { FIELD_OPTIONAL, FIELD_REQUIRED, FIELD_NULLABLE };

/* A string of minimum…maximum characters (code points). NULL when absent or wrong. */
const char *field_text(struct request *request, const char *name, enum field_presence presence,
                       size_t minimum, size_t maximum);

/* A whole number in the range; `fallback` when absent or wrong. */
int64_t field_integer(struct request *request, const char *name, enum field_presence presence,
                      int64_t minimum, int64_t maximum, int64_t fallback);

/* true or false and nothing else. */
bool field_boolean(struct request *request, const char *name, enum field_presence presence,
                   bool fallback);

/* An address that mail could be sent to, in its normal form (auth/names). */
const char *field_email(struct request *request, const char *name, enum field_presence presence);

/* A whole number of the query in the range; `fallback` when absent or wrong. */
int64_t field_query_integer(struct request *request, const char *name, int64_t minimum,
                            int64_t maximum, int64_t fallback);

/* `page` (from 1) and `page_size` of a list: 20 when not said, 100 at most. */
struct field_page {
    int64_t page;
    int64_t size;
    int64_t offset; /* of its first item */
};
struct field_page field_query_page(struct request *request);
/* Ends a list's answer: total, page, page_size. */
void field_write_page(struct json_writer *json, const struct field_page *page, int64_t total);

/* A member that is an RFC 3339 time, as wall seconds; 0 when absent, null or wrong. The one second that
 * would be 0 is told as the next. */
int64_t field_time(struct request *request, const char *name, enum field_presence presence);

/* A member that is a time: RFC 3339 in UTC, or null for 0. */
void field_write_time(struct json_writer *json, const char *name, int64_t wall_milliseconds);

#endif
