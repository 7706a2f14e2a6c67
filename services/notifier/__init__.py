"""The notifier reports finished batches by signed webhooks and e-mail, and retries failed deliveries."""
