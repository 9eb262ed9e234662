/*
 * chat/accounting: see the header.
 */
#include "accounting.h"

#include <string.h>

#include "base/clock.h"
#include "chat.h"
#include "log/log.h"

bool accounting_is_due(const struct model_call *call)
{
    return call->has_answered || (call->was_sent && !call->was_refused);
}

void accounting_fill(const struct request *request, const struct model_call *call,
                     const char *operation, const char *outcome, bool is_streamed,
                     struct ledger_entry *entry)
{
    struct token_usage usage = model_call_usage(call);
    *entry = (struct ledger_entry){
        .created_at = clock_wall_milliseconds(),
        .request_id = request->exchange->origin.correlation_id,
        .owner = request->principal.owner,
        .principal = request->principal.id,
        .provider = call->choice.provider->name,
        .model = call->choice.model,
        .operation = operation,
        .outcome = outcome,
        .is_streamed = is_streamed,
        .is_estimated = usage.is_estimated,
        .input_tokens = usage.input_tokens,
        .output_tokens = usage.output_tokens,
        .cost_nanodollars = usage_cost(call->choice.price, &usage),
    };
}

void accounting_count(const struct model_call *call, const char *outcome)
{
    struct metrics *metrics = call->chat->app->metrics;
    const char *provider = call->choice.provider->name;
    const char *model = call->choice.label;
    struct token_usage usage = model_call_usage(call);
    if (strcmp(outcome, OUTCOME_OK) == 0) {
        metrics_add(metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS(provider, model), 1);
    }
    metrics_add(metrics, METRIC_CHAT_COMPLETION_TOKENS, METRIC_LABELS(provider, model, "prompt"),
                (uint64_t)usage.input_tokens);
    metrics_add(metrics, METRIC_CHAT_COMPLETION_TOKENS,
                METRIC_LABELS(provider, model, "completion"), (uint64_t)usage.output_tokens);
}
