"""Control of accepted batches: pause, cancel, change and retry; invalidation of cached results."""
