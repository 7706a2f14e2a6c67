-- A chunk whose worker was lost goes to the quarantine of its workload. A chunk that was held back until now (fence 0) is
-- recorded as dispatched from now on. No worker has it, so it counts as lost and goes to quarantine too.
ALTER TABLE leases RENAME COLUMN apart TO quarantined;
UPDATE leases SET fence = 1 WHERE fence = 0;
