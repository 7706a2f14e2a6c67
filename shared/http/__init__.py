"""HTTP client sessions of all services, with one set of limits for the answers of servers."""
