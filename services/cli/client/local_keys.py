"""API keys of a local cluster, in files that their user alone may read: the operator's, and that of the owner of all
batches that are submitted over AMQP."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from batchyard_contracts.api_keys import is_api_key, new_api_key
from services.cli.client.address import Address
from services.cli.client.http_client import open_client
from services.cli.client.variables import OPERATOR_KEY
from services.cli.errors import Refused

OPERATOR_FILE, OWNER_FILE = "operator-key", "owner-key"
LOCAL_OWNER = "default"
"""Owner of the batches of a local cluster."""
_SCOPES = ("batches:read", "batches:write", "results:read", "schedules:write", "webhooks:write", "keys:write")


def operator_key(home: Path, echo: Callable[[str], None]) -> str:
    """Return the key of the environment, else that of the home, which is created once."""
    if key := os.environ.get(OPERATOR_KEY.name):
        return key
    file = home / OPERATOR_FILE
    if (key := _read(file)) is None:
        key = new_api_key("local")
        write_secret(file, key)
        echo(f"API key of the operator: {file}")
    return key


async def owner_key(home: Path, operator: Address, echo: Callable[[str], None]) -> str:
    """Return the owner's key of the home. It is created if there is none, or if the cluster does not know it."""
    file = home / OWNER_FILE
    if (key := _read(file)) is not None and await _is_known(Address(operator.url, key)):
        return key
    document = {"name": "local cluster", "owner": LOCAL_OWNER, "scopes": _SCOPES}
    async with open_client(operator) as client:
        created = await client.post("/keys", msgspec.json.encode(document), {"Content-Type": "application/json"}, ())
    key = str(msgspec.json.decode(created)["key"])
    write_secret(file, key)
    echo(f"API key of the owner {LOCAL_OWNER}: {file}; the commands find both keys")
    return key


def write_secret(file: Path, text: str) -> None:
    """Write a line to a file that its user alone may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as target:
        os.fchmod(target.fileno(), 0o600)
        target.write(f"{text}\n")


async def _is_known(address: Address) -> bool:
    try:
        async with open_client(address) as client:
            await client.get("/session")
    except Refused:
        return False
    return True


def _read(file: Path) -> str | None:
    if not file.is_file():
        return None
    key = file.read_text("ascii", errors="replace").strip()
    return key if is_api_key(key) else None
