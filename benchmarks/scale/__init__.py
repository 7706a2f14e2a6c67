"""Figures that must not change with the number of items: rate, memory, queues, and the wait of later batches."""
