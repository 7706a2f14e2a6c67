"""Forecasts the ends of batches: learned durations, a simulation of all batches together, and its calibration."""
