"""The longest time that a test waits for a condition, as a guard against hanging."""

PATIENCE_S = 120.0
"""Only a hang lasts as long, on a machine as busy as it may be."""
