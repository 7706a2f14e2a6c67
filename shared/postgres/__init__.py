"""PostgreSQL: the connection pool, forward-only migrations, and named queries from .sql files."""
