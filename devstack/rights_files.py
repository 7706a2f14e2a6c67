"""Files with which the three servers start with the users of Batchyard: `python -m devstack.rights_files [--check]`.

Run as a program, it writes those of the compose file and the Kubernetes overlay for development, whose passwords are
public. `batchyard rights` writes the same files with passwords of their own.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from batchyard_contracts.broker_rights import USERS
from batchyard_contracts.definitions import definitions
from batchyard_contracts.schema.generated_file import keep_current
from devstack.passwords import ADMINISTRATOR, LEASE_KEY
from devstack.stack import PROJECT
from shared.postgres.roles import SERVICES, role_statements, schema_statement
from shared.redis.acl import acl_file

DEFINITIONS, ROLES, USERS_OF_REDIS = "definitions.json", "roles.sql", "users.acl"
_FOLDER = PROJECT / "deploy" / "rights"
_PUBLIC = "batchyard"
"""Password of all users in the files for development."""
_HEADER = "-- Written by `batchyard rights`; for development, by `python -m devstack.rights_files`: change it there.\n"
OWNER = "default"
_IN_COMPOSE = ("ingest", "dispatcher", "worker", "aggregator", "notifier", "topology")
_SUPERUSER = "batchyard"
"""Administrator of RabbitMQ and superuser of PostgreSQL."""


def account_names(owners: Iterable[str]) -> list[str]:
    """Return the names of the accounts that need a password, and that of the key that signs chunks."""
    return [*USERS, *owners, ADMINISTRATOR, LEASE_KEY]


def rights_files(
    passwords: Mapping[str, str],
    owners: Sequence[str],
    vhost: str,
    random: Callable[[str, int], bytes],
) -> dict[str, str]:
    """Return the content of each file by its name: definitions of RabbitMQ, SQL, and users of Redis.

    `random` returns so many bytes for the password of a user.
    """
    known = {**passwords, _SUPERUSER: passwords[ADMINISTRATOR]}
    of_rabbitmq = definitions(
        vhost,
        owners=owners,
        passwords=known,
        administrator=_SUPERUSER,
        salt_of=lambda user: random(user, 4),
    )
    roles = role_statements({name: passwords[name] for name in SERVICES}, lambda role: random(role, 16))
    return {
        DEFINITIONS: json.dumps(of_rabbitmq, indent=1) + "\n",
        ROLES: _HEADER + "".join(f"{statement};\n" for statement in (*roles, schema_statement())),
        USERS_OF_REDIS: acl_file(passwords, passwords[ADMINISTRATOR]),
    }


def compose_environment(passwords: Mapping[str, str], folder: str) -> str:
    """Return the variables by which the compose file takes these secrets, and the other files from a folder."""
    named = {name: passwords[name] for name in passwords if name in {*_IN_COMPOSE, ADMINISTRATOR}}
    lines = [f"{name.upper()}_PASSWORD={password}" for name, password in named.items()]
    lines.append(f"BATCHYARD_LEASE_KEYS={passwords[LEASE_KEY]}")
    return "\n".join([f"RIGHTS_FOLDER={folder}", *lines]) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files for development, or say with `--check` that one differs."""
    passwords = dict.fromkeys(account_names([OWNER]), _PUBLIC)
    files = rights_files(passwords, [OWNER], "/", _public_salt)
    return max(keep_current(_FOLDER / name, text, "devstack.rights_files", arguments) for name, text in files.items())


def _public_salt(user: str, length: int) -> bytes:
    """Return a salt that is no secret and stays the same, so that the files do."""
    return hashlib.sha256(user.encode()).digest()[:length]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
