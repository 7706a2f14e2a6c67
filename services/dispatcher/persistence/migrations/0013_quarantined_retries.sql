-- An item that ran in quarantine and is to run again stays in quarantine until it ends or continues elsewhere.
ALTER TABLE retries ADD COLUMN quarantined boolean NOT NULL DEFAULT false;
