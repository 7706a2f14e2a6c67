"""Commands and queries that ingest answers, over AMQP and behind the HTTP API."""
