"""How long tests wait for what has to come."""

PATIENCE_S = 60.0
"""Only a hang lasts as long, on a machine as busy as it may be."""
