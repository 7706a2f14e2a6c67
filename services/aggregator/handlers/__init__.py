"""What the aggregator does with each message: load, decide, save, publish."""
