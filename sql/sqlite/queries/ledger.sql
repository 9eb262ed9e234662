-- Statements of stores/ledger.

-- name: ledger_insert
INSERT INTO ledger (created_at, request_id, owner, principal, provider, model, operation, outcome,
    is_streamed, is_estimated, input_tokens, output_tokens, cost_nanodollars)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13);

-- name: ledger_total
SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(cost_nanodollars), 0)
FROM ledger WHERE owner = ?1 AND created_at >= ?2;

-- name: ledger_by_provider
SELECT provider, sum(cost_nanodollars) FROM ledger WHERE owner = ?1 GROUP BY provider
ORDER BY provider;
