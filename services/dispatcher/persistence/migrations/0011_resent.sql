-- resent: the chunk was recorded and not sent when its dispatcher died, and was therefore sent again unchanged. That is
-- done once, because a chunk that crashes its worker while the dispatcher dies looks the same.
ALTER TABLE leases ADD COLUMN resent boolean NOT NULL DEFAULT false;
