DROP TABLE ledger;
DROP TABLE messages;
DROP TABLE conversations;
