"""The runtime of a service: process, health, settings, errors, retries of transient errors, egress guard."""
