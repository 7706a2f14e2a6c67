-- Follow-ups with more items than one command are submitted in parts: their batch is open until the last one. `paged`:
-- parts are being sent, so that an open batch is not complete yet.
ALTER TABLE follow_ups ADD COLUMN paged boolean NOT NULL DEFAULT false;
