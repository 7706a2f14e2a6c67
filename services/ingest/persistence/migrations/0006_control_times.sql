-- Time of the latest control command. It orders the commands of a batch, whichever process accepts them.
ALTER TABLE batches ADD COLUMN controlled_at timestamptz;
