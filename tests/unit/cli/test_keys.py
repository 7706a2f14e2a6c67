"""`batchyard keys`, and the keys of a local cluster."""

import stat
from pathlib import Path

import pytest

from batchyard_contracts.api_keys import is_api_key, new_api_key
from services.cli.client.address import Address, find_address
from services.cli.client.cluster_file import RunningCluster, published
from services.cli.client.local_keys import OPERATOR_FILE, OWNER_FILE, operator_key, owner_key
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import FakeCluster, Run

KEY = {
    "id": "0aB1cD2e", "owner": "ann", "name": "nightly", "hint": "by_live_0aB1cD2e…x7Qd", "scopes": ["batches:read"],
    "created_at": "2026-11-30T06:00:00Z",
}  # fmt: skip


async def test_a_new_key_alone_goes_to_standard_output(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("POST /keys", {**KEY, "key": "by_live_secret"})
    ended = await run("keys", "create", "nightly", "--scope", "batches:read", "--owner", "ann", "--expires", "90d")
    assert (ended.code, ended.out) == (Exit.OK, "by_live_secret\n")
    assert "not shown again" in ended.err
    ((_, sent),) = cluster.requests
    assert (sent["name"], sent["scopes"], sent["owner"]) == ("nightly", ["batches:read"], "ann")
    assert sent["expires_at"]


async def test_keys_are_listed_with_their_states(cluster: FakeCluster, run: Run) -> None:
    listed = [
        {**KEY, "last_used_at": "2026-11-30T06:00:00Z", "last_used_from": "192.0.2.7"},
        {**KEY, "id": "11111111", "revoked_at": "2026-11-30T06:00:00Z"},
        {**KEY, "id": "22222222", "expires_at": "2020-01-01T00:00:00Z", "replaced_by": "0aB1cD2e"},
        {**KEY, "id": "33333333", "expires_at": "2999-01-01T00:00:00Z"},
    ]
    cluster.answer("GET /keys", {"keys": listed})
    ended = await run("keys", "list", "--all")
    assert ended.code == Exit.OK
    for words in (
        "works",
        "revoked",
        "expired",
        "replaced by 0aB1cD2e",
        "works until 2999-01-01",
        "192.0.2.7",
        "never",
    ):
        assert words in ended.out


async def test_a_key_is_rotated_and_revoked_by_its_id(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("POST /keys/0aB1cD2e/rotate", {**KEY, "key": "by_live_next"})
    cluster.answer("DELETE /keys/0aB1cD2e", {**KEY, "revoked_at": "2026-11-30T06:00:00Z"})
    assert (await run("keys", "rotate", "0aB1cD2e", "--grace", "2h")).out == "by_live_next\n"
    assert cluster.requests[-1][1] == {"grace_s": 7200, "force": False}
    assert (await run("keys", "revoke", "0aB1cD2e")).out == "0aB1cD2e: revoked\n"


async def test_a_key_of_the_settings_is_made_without_a_server(run: Run) -> None:
    ended = await run("keys", "generate", "--environment", "prod")
    assert is_api_key(ended.out.strip())
    assert ended.out.startswith("by_prod_")
    assert (await run("keys", "generate", "--environment", "A B")).code == Exit.USAGE


def test_the_operators_key_is_made_once_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHYARD_OPERATOR_KEY", raising=False)
    said: list[str] = []
    key = operator_key(tmp_path / "home", said.append)
    assert operator_key(tmp_path / "home", said.append) == key
    assert said == [f"API key of the operator: {tmp_path / 'home' / OPERATOR_FILE}"]
    assert stat.S_IMODE((tmp_path / "home" / OPERATOR_FILE).stat().st_mode) == 0o600
    monkeypatch.setenv("BATCHYARD_OPERATOR_KEY", "by_given")
    assert operator_key(tmp_path / "home", said.append) == "by_given"


async def test_the_owners_key_is_made_anew_when_the_cluster_does_not_know_it(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    said: list[str] = []
    made = new_api_key("local")
    cluster.answer("POST /keys", {**KEY, "key": made})
    cluster.answer("GET /session", {"owner": "default"})
    operator = Address(cluster.url, "by_operator")
    assert await owner_key(tmp_path, operator, said.append) == made
    assert await owner_key(tmp_path, operator, said.append) == made
    assert len(said) == 1
    assert stat.S_IMODE((tmp_path / OWNER_FILE).stat().st_mode) == 0o600
    cluster.answer("GET /session", {"code": "unauthorized"}, status=401)
    await owner_key(tmp_path, operator, said.append)
    names = [name for name, _ in cluster.requests]
    assert names.count("POST /keys") == 2


@pytest.mark.parametrize(
    ("environment", "as_operator", "token"),
    [
        ({}, False, "by_owner"),
        ({}, True, "by_operator"),
        ({"BATCHYARD_TOKEN": "mine"}, False, "mine"),
        ({"BATCHYARD_TOKEN": "mine"}, True, "mine"),
        ({"BATCHYARD_TOKEN": "mine", "BATCHYARD_OPERATOR_KEY": "op"}, True, "op"),
    ],
)
def test_the_keys_of_the_local_cluster_are_found(
    environment: dict[str, str], as_operator: bool, token: str, tmp_path: Path
) -> None:
    keys = {"BATCHYARD_TOKEN": "by_owner", "BATCHYARD_OPERATOR_KEY": "by_operator"}
    with published(tmp_path, RunningCluster("http://127.0.0.1:4711", keys)):
        assert find_address(environment, tmp_path, as_operator=as_operator).token == token


def test_the_keys_of_the_local_cluster_go_to_no_other_address(tmp_path: Path) -> None:
    with published(tmp_path, RunningCluster("http://127.0.0.1:4711", {"BATCHYARD_TOKEN": "by_owner"})):
        assert find_address({}, tmp_path, "http://127.0.0.1:4712").token is None
        assert find_address({"BATCHYARD_URL": "http://127.0.0.1:4711/"}, tmp_path).token == "by_owner"
