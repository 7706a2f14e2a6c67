"""Exit codes of a service that no restart mends, so that whoever runs it can stop trying and show its last line."""

CONFIGURATION = 78
"""The settings are wrong (EX_CONFIG of sysexits.h)."""
PORT_TAKEN = 98
"""Another program listens on a port that the settings name (the number of EADDRINUSE)."""
