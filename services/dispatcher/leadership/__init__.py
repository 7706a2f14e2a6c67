"""One dispatcher is active at a time: its session, and the epoch that fences the one before it."""
