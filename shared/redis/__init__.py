"""Redis: a client with a circuit breaker, and rate reservations that all processes share."""
