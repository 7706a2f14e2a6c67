"""Makes the summaries of batches whose workload has one."""
