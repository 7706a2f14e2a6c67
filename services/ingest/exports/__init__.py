"""Export formats of outcomes: each encodes pages to bytes, and holds one page at a time."""
