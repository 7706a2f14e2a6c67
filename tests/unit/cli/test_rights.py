"""`batchyard rights`: files for the three servers, and passwords that only their owner may read."""

import base64
import json
import stat
from pathlib import Path

import pytest

from batchyard_contracts.definitions import password_hash
from batchyard_contracts.lease_token import LeaseTokens
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import Run

FILES = ("definitions.json", "roles.sql", "users.acl")


async def test_the_files_have_hashes_of_the_passwords_and_no_password(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "rights"
    ended = await run("rights", str(folder), "--owner", "ann", "--vhost", "yard")
    assert (ended.code, ended.out) == (Exit.OK, "")
    passwords: dict[str, str] = json.loads((folder / "passwords.json").read_text())
    assert {"ingest", "worker", "topology", "ann", "administrator"} <= passwords.keys()
    assert len(set(passwords.values())) == len(passwords)
    for text in (ended.err, *((folder / name).read_text() for name in FILES)):
        assert not any(password in text for password in passwords.values())
    definitions = json.loads((folder / "definitions.json").read_text())
    assert {one["vhost"] for one in definitions["permissions"]} == {"yard"}
    assert {one["name"] for one in definitions["users"] if one["tags"]} == {"batchyard"}
    for user in definitions["users"]:
        salt = user["password_hash"]
        own = passwords["administrator" if user["name"] == "batchyard" else user["name"]]
        assert salt == password_hash(own, _salt_of(salt))


async def test_only_their_owner_may_read_passwords_and_enter_the_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "rights"
    await run("rights", str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("passwords.json", "compose.env"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    lines = (folder / "compose.env").read_text().splitlines()
    assert f"RIGHTS_FOLDER={folder}" in lines
    assert any(line.startswith("BATCHYARD_LEASE_KEYS=") and LeaseTokens.parse(line.partition("=")[2]) for line in lines)


async def test_a_second_call_keeps_the_passwords(run: Run, tmp_path: Path) -> None:
    await run("rights", str(tmp_path), "--owner", "ann")
    first: dict[str, str] = json.loads((tmp_path / "passwords.json").read_text())
    await run("rights", str(tmp_path), "--owner", "ann", "--owner", "bob")
    second: dict[str, str] = json.loads((tmp_path / "passwords.json").read_text())
    assert second == first | {"bob": second["bob"]}


@pytest.mark.parametrize("owner", ["no.dots", "ingest", "batchyard", "administrator"])
async def test_an_owner_is_no_user_of_the_platform(run: Run, tmp_path: Path, owner: str) -> None:
    ended = await run("rights", str(tmp_path / "rights"), "--owner", owner)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert owner in ended.err
    assert not (tmp_path / "rights").exists()


def _salt_of(stored: str) -> bytes:
    return base64.b64decode(stored)[:4]
