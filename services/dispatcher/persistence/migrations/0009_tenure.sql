-- A dispatcher that becomes active begins a tenure. What one with an earlier number still has under way must not be
-- committed: it would change what the new one has read. Connections of a tenure carry its number; writes to these two
-- tables ask for it, in the same statement, and hold the fence until they are committed, so that the next tenure begins
-- after them.
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
