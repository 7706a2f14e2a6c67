"""The aggregator's message handlers: each loads, decides, saves and publishes."""
