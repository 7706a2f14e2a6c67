"""The contestants and their work."""

import json
from pathlib import Path

import pytest

from benchmarks.peers import environment
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.environment import Unavailable
from benchmarks.work import NAPS, TEN

_PEERS = Path(environment.__file__).parent


def test_every_peer_runs_the_trivial_items_and_those_with_an_outcome_the_naps_and_single_ones_too() -> None:
    for contestant in CONTESTANTS:
        works = {work for part in contestant.parts for work in part.works}
        assert (TEN in works) is (contestant.name != "bare_road")
        if contestant.kind == "per item":
            assert NAPS in works or contestant.name == "celery_quorum"
            assert any(part.singles for part in contestant.parts)


def test_requirements_of_peers_are_pinned_by_hash_and_name_no_address() -> None:
    for needs in {part.peer.needs for contestant in CONTESTANTS for part in contestant.parts} - {None}:
        pins = _PEERS / str(needs)
        if pins.is_dir():
            lock = json.loads((pins / "package-lock.json").read_text("utf-8"))
            packages = {name: package for name, package in lock["packages"].items() if name}
            assert all(package["integrity"].startswith("sha512-") for package in packages.values())
            assert not any("resolved" in package for package in packages.values())
        else:
            text = pins.read_text("utf-8")
            assert "--hash=sha256:" in text
            assert "://" not in text


async def test_a_peer_for_node_is_unavailable_without_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="bullmq needs Node"):
        await environment.environment(tmp_path, "bullmq", print)


async def test_a_peer_that_cannot_be_installed_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match="celery could not be installed: "):
        await environment.environment(tmp_path, "celery.txt", print)
