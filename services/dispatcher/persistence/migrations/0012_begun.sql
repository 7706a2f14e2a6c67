-- Items whose run must not be repeated, by the worker that asked before it began them. It is the only one that may begin
-- such items of the chunk under this fencing number; what is lost of them does not go out again.
ALTER TABLE leases ADD COLUMN holder text, ADD COLUMN begun int[] NOT NULL DEFAULT '{}';
