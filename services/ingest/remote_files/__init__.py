"""Remote files: reads the items of batches from URLs and buckets."""
