"""Forecasts the ends of running batches, and of batches that are about to be submitted."""
