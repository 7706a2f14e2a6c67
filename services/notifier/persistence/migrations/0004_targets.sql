-- The message about the end of a round names the receivers, so no round waits for them any more. The table `batches` has
-- the receivers of batches that were accepted before.
DELETE FROM rounds WHERE NOT told;
ALTER TABLE rounds DROP COLUMN told;
COMMENT ON TABLE batches IS 'Receivers of batches that an earlier version accepted; no row is added.';
