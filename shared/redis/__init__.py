"""Redis: a client with deadlines, and rate reservations that all processes share."""
