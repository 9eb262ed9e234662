/*
 * chat/budget: what an owner may still spend.
 *
 * Each user, together with all the user's keys, may spend BUDGET_NEW_USER; keys of the configuration,
 * companies and administrators have no budget. What a call may cost is reserved before it is sent and
 * given back when the ledger has its row or keeps it, before the client hears the end. So calls at the
 * same time cannot each spend the same rest, and no call counts twice for the next. A stream that has
 * used more than it reserved holds as much as it has used. Only calls that were under way when a
 * budget ended can exceed it, by their cost beyond their reservations: with a maximum of tokens that
 * is the error in the estimate of the request, without one the part of each answer beyond
 * BUDGET_OUTPUT_TOKENS (docs/operating.md). A model without a price costs nothing.
 *
 * Reservations are of one process; any thread may use them.
 */
#ifndef CHAT_BUDGET_H
#define CHAT_BUDGET_H

#include <pthread.h>
#include <stdint.h>

#include "auth/principal.h"
#include "config/budget.h"
#include "model_call.h"

struct budget_reservation {
    struct budget *budget; /* NULL: nothing is reserved */
    const char *owner;     /* lives as long as the reservation */
    int64_t nanodollars;
    struct budget_reservation *previous, *next;
};

struct budget {
    struct budget_limits new_user;
    pthread_mutex_t checking; /* held while the database is read: never waited for on the pump */
    pthread_mutex_t lock;     /* of `first`; for a moment only */
    struct budget_reservation *first;
};

#define BUDGET_OUTPUT_TOKENS 1024 /* estimated when a request sets no maximum */

/* `new_user` is BUDGET_NEW_USER; STATUS_INVALID: it is no budget. */
enum status budget_init(struct budget *budget, const char *new_user) MUST_CHECK;
void budget_destroy(struct budget *budget);

/* For a call that is prepared; on a worker, reads the database for owners with a budget.
 * STATUS_DENIED: the budget is exhausted, for *retry_after seconds. */
enum status budget_reserve(struct budget *budget, struct storage *storage, struct arena *arena,
                           const struct principal *principal, const struct model_call *call,
                           int64_t output_tokens, struct budget_reservation *out,
                           int64_t *retry_after) MUST_CHECK;

/* To be called while the call goes on: raises the reservation to what it has used so far, if that is
 * more. Pump thread. */
void budget_follow(struct budget_reservation *reservation, const struct model_call *call);

/* Idempotent. Does not wait for those who reserve. */
void budget_release(struct budget_reservation *reservation);

#endif
