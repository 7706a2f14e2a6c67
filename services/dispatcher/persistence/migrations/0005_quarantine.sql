-- A chunk whose worker was lost goes to the quarantine of its workload. One that was held back until now (fence 0) is on
-- record as out, is found nowhere, and so goes there too.
ALTER TABLE leases RENAME COLUMN apart TO quarantined;
UPDATE leases SET fence = 1 WHERE fence = 0;
