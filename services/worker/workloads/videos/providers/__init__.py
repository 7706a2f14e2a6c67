"""Who makes clips: each behind one interface."""
