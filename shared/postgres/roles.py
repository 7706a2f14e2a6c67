"""Roles of PostgreSQL: each service owns one schema, which it migrates, and reaches no other.

Whoever runs these statements is a superuser, or owns the database and may create roles. They can be repeated.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping

SERVICES = ("ingest", "dispatcher", "aggregator", "notifier")
"""Services with a schema, which has the name of its service. The worker uses no database."""
_HAND_OVER = """\
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'SCHEMA' AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> 'ROLE'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO ROLE', found.name);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'SCHEMA' AND p.proowner <> 'ROLE'::regrole
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO ROLE', found.name);
  END LOOP;
END $$"""
"""Statement that gives a role the tables and functions that an earlier owner has made in its schema. Indexes, and the
sequences of columns, follow their tables."""
_CREATE = """\
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'NAME') THEN
    CREATE ROLE NAME;
  END IF;
END $$"""
_ITERATIONS = 4096
_SALT_BYTES = 16


def role_of(service: str) -> str:
    """Return the name of the role of a service. Roles are those of all databases of a server, hence the prefix."""
    return f"batchyard_{service}"


def role_statements(
    passwords: Mapping[str, str], salt_of: Callable[[str], bytes] = lambda _: secrets.token_bytes(_SALT_BYTES)
) -> list[str]:
    """Return the statements that make the role of each service whose password is given. Once for each server."""
    statements = []
    for service, password in passwords.items():
        role = role_of(service)
        statements += [
            _CREATE.replace("NAME", role),
            f"ALTER ROLE {role} LOGIN NOCREATEDB NOCREATEROLE PASSWORD '{scram_verifier(password, salt_of(role))}'",
        ]
    return statements


def schema_statements(services: Iterable[str] = SERVICES) -> list[str]:
    """Return the statements that give each role its schema, with the tables that are there, and nobody else anything.

    Once for each database.
    """
    statements = [
        "DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()); END $$",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    ]
    for schema in services:
        role = role_of(schema)
        statements += [
            f"DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {role}', current_database()); END $$",
            f"GRANT {role} TO CURRENT_USER",
            f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}",
            f"ALTER SCHEMA {schema} OWNER TO {role}",
            _hand_over(schema, role),
        ]
    return statements


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores of a password (SCRAM-SHA-256, RFC 5803), so that no statement carries it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _hand_over(schema: str, role: str) -> str:
    return _HAND_OVER.replace("SCHEMA", schema).replace("ROLE", role)
