-- Shares of owners that operators have set. Null: taken back. `number` is that of the change.
CREATE TABLE owner_weights (
    owner text PRIMARY KEY,
    weight double precision,
    number bigint NOT NULL
);
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON owner_weights FOR EACH STATEMENT EXECUTE FUNCTION fence();
