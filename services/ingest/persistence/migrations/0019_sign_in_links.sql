-- Links that sign a browser in, once each. The token of a link is stored as its SHA-256.
CREATE TABLE sign_in_links (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    key_id text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_in_links_of_key ON sign_in_links (key_id, created_at);
