-- An item that was in quarantine and is to run again stays there, until it has come to an end or goes on elsewhere.
ALTER TABLE retries ADD COLUMN quarantined boolean NOT NULL DEFAULT false;
