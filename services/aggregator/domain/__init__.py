"""What the ledger decides: pure functions on frozen values, without I/O and clock."""
