"""Writes the files by which RabbitMQ, PostgreSQL and Redis get a user with the least rights for each service."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from devstack import StackError
from devstack.passwords import PASSWORDS_FILE, passwords_of
from devstack.rights_files import account_names, compose_environment, rights_files
from services.cli.actions.topology import check_owner
from services.cli.errors import BadInput
from services.cli.rendering.output import note

_COMPOSE_FILE = "compose.env"


def write_rights(folder: Path, vhost: str, owners: Sequence[str]) -> None:
    """Write the files. Passwords that the folder has stay; servers take their files from it, which hold hashes only."""
    for owner in owners:
        check_owner(owner)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        passwords = passwords_of(folder, account_names(owners))
        files = rights_files(passwords, owners, vhost, lambda _, length: secrets.token_bytes(length))
        for name, text in files.items():
            _write(folder / name, text, 0o644)  # containers read them as other users; the folder is closed
        _write(folder / _COMPOSE_FILE, compose_environment(passwords, str(folder.absolute())), 0o600)
    except (OSError, StackError) as error:
        raise BadInput(f"The files cannot be written: {error}") from error
    note(f"Passwords: {folder / PASSWORDS_FILE}. Only you may read them.")
    note(f"For the servers: {', '.join(str(folder / name) for name in files)}.")
    note(f"For docker compose: cp {folder / _COMPOSE_FILE} .env")


def _write(file: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as target:
        os.fchmod(target.fileno(), mode)
        target.write(text)
