"""Creates deliveries when a round ends, and sends them as webhooks and e-mails."""
