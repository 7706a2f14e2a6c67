-- reported: ordinals that partial reports have covered; they must not run again with the rest of their chunk.
-- apart: the chunk was lost twice and is split; its parts wait (fence 0) and are dispatched one at a time.
ALTER TABLE leases ADD COLUMN reported int[] NOT NULL DEFAULT '{}', ADD COLUMN apart boolean NOT NULL DEFAULT false;
