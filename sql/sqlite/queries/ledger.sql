-- Statements of stores/ledger.

-- name: ledger_insert
INSERT INTO ledger (created_at, request_id, owner, principal, provider, model, operation, outcome,
    is_streamed, is_estimated, input_tokens, output_tokens, cost_nanodollars)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13);

-- name: ledger_day_add
INSERT INTO ledger_days (owner, day, provider, calls, input_tokens, output_tokens, cost_nanodollars)
VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)
ON CONFLICT (owner, day, provider) DO UPDATE SET
    calls = calls + 1,
    input_tokens = min(input_tokens, 9223372036854775807 - excluded.input_tokens)
        + excluded.input_tokens,
    output_tokens = min(output_tokens, 9223372036854775807 - excluded.output_tokens)
        + excluded.output_tokens,
    cost_nanodollars = min(cost_nanodollars, 9223372036854775807 - excluded.cost_nanodollars)
        + excluded.cost_nanodollars;

-- name: ledger_day_list
SELECT provider, day, calls, input_tokens, output_tokens, cost_nanodollars FROM ledger_days
WHERE owner = ?1 AND day >= ?2 ORDER BY provider;
