-- The table of `shared.postgres.outbox`: a message without a key is deleted once it is sent; `reason` states why a message
-- was set aside.
ALTER TABLE outbox ALTER COLUMN key DROP NOT NULL, ALTER COLUMN due_at SET DEFAULT now() + interval '5 seconds',
    ADD COLUMN reason text;
