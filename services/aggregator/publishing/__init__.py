"""Publishes changes of batches: their ends, their progress and their failures."""
