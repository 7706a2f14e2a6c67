"""Decides what runs next: priority, fairness, rates, chunk size, retry times; keeps the queues of RabbitMQ short."""
