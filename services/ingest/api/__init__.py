"""The commands and questions that ingest answers, over AMQP and behind the HTTP API."""
