"""Scores the forecasts of the ends of batches: on a simulated clock, and with real services."""
