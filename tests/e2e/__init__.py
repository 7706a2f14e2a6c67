"""End-to-end tests: a package, so that the yard they share ends with the last of them."""
