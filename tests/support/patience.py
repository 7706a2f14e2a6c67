"""The longest time that a test waits for a condition, as a guard against hanging."""

PATIENCE_S = 120.0
"""Only a hang lasts as long, on a machine as busy as it may be."""

TEST_LIMIT_S = 300.0
"""The longest time of one test, after which it is ended where it waits; longer than any two conditions in turn."""
