"""The HTTP door: an API with problem documents, its page, and WebSockets. FastAPI is known here and nowhere else."""
