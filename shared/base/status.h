/*
 * status: the one result type of the whole code base.
 *
 * Every function that can fail returns `enum status`. Wire errors (the E001… catalogue that
 * clients see) are a different thing and live in http/errors.h, which maps a status to a problem.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_NO_MEMORY,   /* an allocation failed or an arena reached its maximum */
    STATUS_TOO_LARGE,   /* a limit of ours was reached: buffer, body, depth, table full */
    STATUS_INVALID,     /* the input breaks the rules of its format */
    STATUS_NOT_FOUND,   /* no such row, file, name */
    STATUS_CONFLICT,    /* already exists, or the version was not the expected one */
    STATUS_DENIED,      /* the caller may not do this */
    STATUS_EXPIRED,     /* it was valid once */
    STATUS_BUSY,        /* somebody else holds it; try again later */
    STATUS_TIMEOUT,     /* a deadline passed */
    STATUS_CLOSED,      /* the peer has gone, or the object is shut down */
    STATUS_UNAVAILABLE, /* a dependency of ours does not answer; never the client's fault */
    STATUS_INTERNAL     /* a bug or an operating-system failure that has no better name */
};

/* A result that must not be dropped. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* A printf-like function: `format` and `first` are argument positions, from 1. */
#define PRINTF_LIKE(format_position, first) __attribute__((format(printf, format_position, first)))

/* Returns a fixed lower-case word ("not_found"); never NULL. For logs, not for clients. */
const char *status_text(enum status status);

#endif
