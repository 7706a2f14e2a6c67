-- Time at which the first item of the latest round was dispatched.
ALTER TABLE batches ADD COLUMN started_at timestamptz;
-- State that a circuit changed to; null: the row is a change of the rate.
ALTER TABLE pace_history ADD COLUMN circuit text;
