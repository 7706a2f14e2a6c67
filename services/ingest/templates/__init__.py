"""Templates: batches with places that parameters fill."""
