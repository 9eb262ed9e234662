DROP TABLE ledger_days;
DROP TABLE ledger;
DROP TABLE messages;
DROP TABLE conversations;
