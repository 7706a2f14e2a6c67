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
_CREATE_ROLES = """\
DO $$
DECLARE role name;
BEGIN
  FOREACH role IN ARRAY ARRAY[ROLES] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I', role);
    END IF;
  END LOOP;
END $$"""
_GIVE_SCHEMAS = """\
DO $$
DECLARE role name; schema name; owned text;
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  REVOKE ALL ON SCHEMA public FROM PUBLIC;
  FOREACH role IN ARRAY ARRAY[ROLES] LOOP
    schema := substr(role, length('PREFIX') + 1);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
    EXECUTE format('GRANT %I TO CURRENT_USER', role);
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', schema, role);
    EXECUTE format('ALTER SCHEMA %I OWNER TO %I', schema, role);
    FOR owned IN
      SELECT format('TABLE %s', oid::regclass) FROM pg_class
      WHERE relnamespace = schema::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND relowner <> role::regrole
      UNION ALL
      SELECT format('ROUTINE %s', oid::regprocedure) FROM pg_proc
      WHERE pronamespace = schema::regnamespace AND proowner <> role::regrole
    LOOP
      EXECUTE format('ALTER %s OWNER TO %I', owned, role);
    END LOOP;
  END LOOP;
END $$"""
"""Statement that gives each role its schema, with the tables and functions that an earlier owner has made there, and
nobody else anything. Indexes, and the sequences of columns, follow their tables."""
_PREFIX = "batchyard_"
_ITERATIONS = 4096
_SALT_BYTES = 16


def role_of(service: str) -> str:
    """Return the name of the role of a service. Roles are those of all databases of a server, hence the prefix."""
    return f"{_PREFIX}{service}"


def role_statements(
    passwords: Mapping[str, str], salt_of: Callable[[str], bytes] = lambda _: secrets.token_bytes(_SALT_BYTES)
) -> list[str]:
    """Return the statements that make the role of each service whose password is given. Once for each server."""
    return [
        _for_roles(_CREATE_ROLES, passwords),
        *(
            f"ALTER ROLE {role} LOGIN NOCREATEDB NOCREATEROLE PASSWORD '{scram_verifier(password, salt_of(role))}'"
            for role, password in ((role_of(service), password) for service, password in passwords.items())
        ),
    ]


def schema_statement() -> str:
    """Return the statement that gives each role its schema, once for each database."""
    return _for_roles(_GIVE_SCHEMAS, SERVICES)


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores of a password (SCRAM-SHA-256, RFC 5803), so that no statement carries it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _for_roles(statement: str, services: Iterable[str]) -> str:
    return statement.replace("ROLES", ", ".join(f"'{role_of(service)}'" for service in services)).replace(
        "PREFIX", _PREFIX
    )
