"""The dispatcher's decisions: pure, without a clock, I/O or randomness of their own."""
