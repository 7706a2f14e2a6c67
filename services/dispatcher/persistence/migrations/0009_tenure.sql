-- The epoch of the active dispatcher (the table is named by an older word). A write of an earlier epoch that is still in
-- progress must not be committed, because it would change rows that the new dispatcher has read. Each connection has the
-- number of its epoch as a setting. A write to these two tables compares that number in the same statement, and holds the
-- fence until it is committed, so that the next epoch begins after it.
CREATE TABLE tenure (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL
);
INSERT INTO tenure (number) VALUES (0);

CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mine text := current_setting('batchyard.tenure', true);
BEGIN
    IF mine <> '' THEN
        PERFORM pg_advisory_xact_lock_shared(1717923171);
        IF (SELECT number FROM tenure) <> mine::bigint THEN
            RAISE EXCEPTION 'another dispatcher is active by now' USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON leases FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON retries FOR EACH STATEMENT EXECUTE FUNCTION fence();
