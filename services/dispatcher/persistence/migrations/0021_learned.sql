-- What the forecasts of a workload are made from (JSON), so that the next active dispatcher goes on with it.
ALTER TABLE workloads ADD COLUMN learned text;
