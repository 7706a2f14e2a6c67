-- Ordinals that parts of a report covered: they must not run again with the rest of their chunk.
-- A chunk that was lost twice is taken apart: its parts are held back (fence 0) and go out one at a time.
ALTER TABLE leases ADD COLUMN reported int[] NOT NULL DEFAULT '{}', ADD COLUMN apart boolean NOT NULL DEFAULT false;
