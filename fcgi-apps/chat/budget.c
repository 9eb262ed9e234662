/*
 * chat/budget: see the header.
 */
#include "budget.h"

#include <string.h>

#include "base/clock.h"
#include "chat.h"
#include "stores/ledger.h"

#define SECONDS_A_DAY INT64_C(86400)

enum status budget_init(struct budget *budget, const char *new_user)
{
    *budget = (struct budget){0};
    pthread_mutex_init(&budget->checking, NULL);
    pthread_mutex_init(&budget->lock, NULL);
    return budget_parse(slice_of(new_user), &budget->new_user);
}

void budget_destroy(struct budget *budget)
{
    pthread_mutex_destroy(&budget->lock);
    pthread_mutex_destroy(&budget->checking);
}

static bool has_budget(const struct principal *principal)
{
    static const char user[] = "user:";
    return !principal->is_superuser && strncmp(principal->owner, user, strlen(user)) == 0;
}

static int64_t estimate(const struct model_call *call, int64_t output_tokens)
{
    struct token_usage usage = {.input_tokens = usage_estimate_tokens(call->input_weight),
                                .output_tokens = output_tokens};
    return usage_cost(call->choice.price, &usage);
}

static int64_t reserved_for(struct budget *budget, const char *owner)
{
    int64_t sum = 0;
    pthread_mutex_lock(&budget->lock);
    for (const struct budget_reservation *each = budget->first; each != NULL; each = each->next) {
        if (strcmp(each->owner, owner) == 0) {
            sum += each->nanodollars;
        }
    }
    pthread_mutex_unlock(&budget->lock);
    return sum;
}

static bool fits(int64_t limit, int64_t spent, int64_t more)
{
    return limit == BUDGET_UNLIMITED || (spent <= limit && more <= limit - spent);
}

/* Seconds until the period that has no room any more is over. */
static int64_t seconds_left(int64_t now, bool is_month)
{
    int64_t today = now / SECONDS_A_DAY;
    /* 31 days after the first of a month are in the next one, however long it is. */
    int64_t next = is_month ? clock_first_of_month(clock_first_of_month(today) + 31) : today + 1;
    return next * SECONDS_A_DAY - now;
}

/* The database is read last: what is told to it while this adds up counts twice rather than never. */
static enum status check(struct budget *budget, struct storage *storage, struct arena *arena,
                         const char *owner, int64_t more, int64_t *retry_after)
{
    int64_t now = clock_wall_seconds();
    struct ledger_report spent;
    int64_t today = now / SECONDS_A_DAY;
    int64_t month = clock_first_of_month(today);
    enum status status = ledger_read_month(storage, arena, owner, today, month, &spent);
    if (status != STATUS_OK) {
        return status;
    }
    const struct budget_limits *limits = &budget->new_user;
    bool fits_month = fits(limits->month, spent.month.cost_nanodollars, more);
    if (fits_month && fits(limits->day, spent.today.cost_nanodollars, more)) {
        return STATUS_OK;
    }
    *retry_after = seconds_left(now, !fits_month);
    return STATUS_DENIED;
}

static void enter(struct budget_reservation *reservation)
{
    struct budget *budget = reservation->budget;
    pthread_mutex_lock(&budget->lock);
    reservation->next = budget->first;
    if (budget->first != NULL) {
        budget->first->previous = reservation;
    }
    budget->first = reservation;
    pthread_mutex_unlock(&budget->lock);
}

enum status budget_reserve(struct budget *budget, struct storage *storage, struct arena *arena,
                           const struct principal *principal, const struct model_call *call,
                           int64_t output_tokens, struct budget_reservation *out,
                           int64_t *retry_after)
{
    int64_t cost = estimate(call, output_tokens);
    *out = (struct budget_reservation){0};
    if (cost == 0 || !has_budget(principal)) {
        return STATUS_OK;
    }
    pthread_mutex_lock(&budget->checking);
    int64_t more = cost + reserved_for(budget, principal->owner);
    more += ledger_queue_owed(&call->chat->ledger, principal->owner);
    enum status status = check(budget, storage, arena, principal->owner, more, retry_after);
    if (status == STATUS_OK) {
        *out = (struct budget_reservation){
            .budget = budget, .owner = principal->owner, .nanodollars = cost};
        enter(out);
    }
    pthread_mutex_unlock(&budget->checking);
    return status;
}

void budget_follow(struct budget_reservation *reservation, const struct model_call *call)
{
    struct budget *budget = reservation->budget;
    if (budget == NULL) {
        return;
    }
    struct token_usage usage = model_call_usage(call);
    int64_t used = usage_cost(call->choice.price, &usage);
    if (used > reservation->nanodollars) {
        pthread_mutex_lock(&budget->lock);
        reservation->nanodollars = used;
        pthread_mutex_unlock(&budget->lock);
    }
}

void budget_release(struct budget_reservation *reservation)
{
    struct budget *budget = reservation->budget;
    if (budget == NULL) {
        return;
    }
    pthread_mutex_lock(&budget->lock);
    if (reservation->previous != NULL) {
        reservation->previous->next = reservation->next;
    } else {
        budget->first = reservation->next;
    }
    if (reservation->next != NULL) {
        reservation->next->previous = reservation->previous;
    }
    pthread_mutex_unlock(&budget->lock);
    *reservation = (struct budget_reservation){0};
}
