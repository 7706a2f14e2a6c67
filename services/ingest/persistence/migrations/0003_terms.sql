-- On what terms a batch runs and what it may reuse, as its submission said; what was changed since is the dispatcher's.
ALTER TABLE batches ADD COLUMN terms json NOT NULL DEFAULT '{}', ADD COLUMN reuse json NOT NULL DEFAULT '{}';
