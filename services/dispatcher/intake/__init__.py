"""Takes in batches, pages of items and controls, and answers questions about payloads."""
