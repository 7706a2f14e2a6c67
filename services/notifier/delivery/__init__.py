"""Delivers webhooks and e-mails, and lines them up when a round ends."""
