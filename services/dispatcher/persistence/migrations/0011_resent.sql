-- A chunk that was on record when a dispatcher died and had not gone out goes out as it is. Once: a chunk that ends its
-- worker and the dispatcher together is not to be taken for one that never went out again and again.
ALTER TABLE leases ADD COLUMN resent boolean NOT NULL DEFAULT false;
