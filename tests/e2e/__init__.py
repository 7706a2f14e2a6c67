"""End-to-end tests: a package, so that the cluster they share ends with the last of them."""
