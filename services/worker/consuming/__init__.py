"""Takes chunks from the queues, tracks their deliveries, returns those that do not run here."""
