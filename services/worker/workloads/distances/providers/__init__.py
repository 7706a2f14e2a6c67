"""Who computes ways: a router behind a matrix service, each in a module of its own, or nobody but ourselves."""
