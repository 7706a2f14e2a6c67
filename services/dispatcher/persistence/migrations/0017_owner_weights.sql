-- Shares of owners that operators have set. Null: taken back. `number` is that of the change.
CREATE TABLE owner_weights (
    owner text PRIMARY KEY,
    weight double precision,
    number bigint NOT NULL
);
