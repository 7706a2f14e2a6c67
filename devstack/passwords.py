"""Passwords of the accounts of a stack, in a file that its user alone may read."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from devstack.errors import StackError

PASSWORDS_FILE = "passwords.json"
"""Name of the file in the home of a stack."""
ADMINISTRATOR = "administrator"
"""Name under which the file has the password of the account that may do everything on the three servers."""
LEASE_KEY = "lease key"
"""Name under which the file has the key that signs chunks; no owner can have a name with a blank."""


def passwords_of(home: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the passwords of these accounts. Each is made once, by the process that first asks for it."""
    file = home / PASSWORDS_FILE
    home.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as opened:
        os.fchmod(opened.fileno(), 0o600)  # also where a copy of the file was open to others
        fcntl.flock(opened, fcntl.LOCK_EX)
        known = _read(file, opened.read())
        wanted = list(names)
        if missing := [name for name in wanted if name not in known]:
            known |= {name: secrets.token_hex(24) for name in missing}
            opened.seek(0)
            opened.truncate()
            opened.write(f"{json.dumps(known, indent=1)}\n")
        return {name: known[name] for name in wanted}


def administrator_password(home: Path) -> str:
    """Return the password of the account that may do everything on the three servers of a home."""
    return passwords_of(home, [ADMINISTRATOR])[ADMINISTRATOR]


def _read(file: Path, text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        return {str(name): str(password) for name, password in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise StackError(f"{file} is no JSON object. Delete it: the next start makes new passwords.") from error
