-- API keys, and the sessions of browsers that a key was exchanged for. Secrets are stored as their SHA-256.
CREATE TABLE api_keys (
    id text PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    hint text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    expires_at timestamptz,
    revoked_at timestamptz,
    replaced_by text,
    last_used_at timestamptz,
    last_used_from text
) WITH (fillfactor = 80);
CREATE INDEX api_keys_of_owner ON api_keys (owner, created_at);

CREATE TABLE sessions (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    key_id text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX sessions_of_key ON sessions (key_id, created_at);

-- Number of changes of keys and sessions, counted in the transaction of each change. A process that sees another number
-- forgets what it knows. As long as there is no row, no key was ever made, and none is required.
CREATE TABLE identity_changes (
    only_row int PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    number bigint NOT NULL
);
