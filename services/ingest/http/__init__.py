"""The HTTP API: routes, problem documents, Swagger UI, and WebSockets. Only this package uses FastAPI."""
