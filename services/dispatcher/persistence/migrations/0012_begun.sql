-- Start permits: `begun` has the ordinals of started items whose run must not be repeated, `holder` the worker that asked
-- for the permit. Only that worker may start such items under this fence. If they are lost, they are not dispatched again.
ALTER TABLE leases ADD COLUMN holder text, ADD COLUMN begun int[] NOT NULL DEFAULT '{}';
