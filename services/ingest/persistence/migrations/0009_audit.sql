-- Commands that changed something, and readings of what another owner has. Rows are never changed; the oldest ones are
-- deleted by their age and number.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner text NOT NULL,
    actor text NOT NULL,
    key_id text,
    door text NOT NULL,
    address text,
    trace text,
    action text NOT NULL,
    object text NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX audit_of_owner ON audit (owner, id);
CREATE INDEX audit_by_age ON audit (at);

CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of the audit are never changed';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
