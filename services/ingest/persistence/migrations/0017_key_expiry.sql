-- Time at which the end of a key was last announced; NULL: it never was.
ALTER TABLE api_keys ADD COLUMN expiry_told_at timestamptz;
