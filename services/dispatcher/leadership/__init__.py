"""Makes one dispatcher active at a time: its session, and the epoch that fences off the previous one."""
