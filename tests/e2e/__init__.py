"""End-to-end tests; a package, so that the running services that they share stop after the last of them."""
