"""What the servers alone can do with the same messages and the same rows: no design that uses them can pass it."""
