"""Live progress of batches for watching clients."""
