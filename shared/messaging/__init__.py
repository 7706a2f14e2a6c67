"""AMQP as Batchyard uses it: confirmed publishing, consuming in small batches, dead letters with a reason."""
