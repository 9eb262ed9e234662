/*
 * chat/accounting: what a finished call leaves behind, in the ledger and in the metrics.
 */
#ifndef CHAT_ACCOUNTING_H
#define CHAT_ACCOUNTING_H

#include <stdbool.h>

#include "http/request.h"
#include "model_call.h"
#include "stores/ledger.h"

/* How a call ended, as the ledger spells it. */
#define OUTCOME_OK      "ok"
#define OUTCOME_CUT_OFF "cut_off" /* the client left */
#define OUTCOME_FAILED  "failed"

/* True when the call was sent, so that the ledger must know, whatever became of it; one that the
 * provider has refused by a status is none. */
bool accounting_is_due(const struct model_call *call);

/* Texts are not copied. */
void accounting_fill(const struct request *request, const struct model_call *call,
                     const char *operation, const char *outcome, bool is_streamed,
                     struct ledger_entry *entry);

/* The counters of finished completions and tokens. */
void accounting_count(const struct model_call *call, const char *outcome);

#endif
