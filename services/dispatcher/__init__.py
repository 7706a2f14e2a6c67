"""Decides what runs next: priority, fairness, pace, chunk size, retry time; keeps RabbitMQ short."""
