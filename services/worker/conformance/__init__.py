"""Tells whether a workload keeps to what the platform relies on: run with its own code, without a broker."""
