-- Terms and reuse options of a batch as submitted; the dispatcher has the changes since then.
ALTER TABLE batches ADD COLUMN terms json NOT NULL DEFAULT '{}', ADD COLUMN reuse json NOT NULL DEFAULT '{}';
