"""A Docker engine counts only when it answers; addresses come from the compose file itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from devstack import docker
from devstack.docker import ComposeServer, address, engine_answers
from devstack.errors import ServerUnavailable, StackError
from devstack.state import StackState

CONFIG: dict[str, Any] = {
    "services": {
        "rabbitmq": {
            "environment": {"RABBITMQ_DEFAULT_USER": "cluster", "RABBITMQ_DEFAULT_PASS": "p/w"},
            "ports": [{"target": 15672, "published": "1"}, {"target": 5672, "published": "5673"}],
        },
        "postgres": {
            "environment": {"POSTGRES_USER": "cluster", "POSTGRES_PASSWORD": "p@w", "POSTGRES_DB": "main"},
            "ports": [{"target": 5432, "published": "5433"}],
        },
        "redis": {"environment": {"REDISCLI_AUTH": "s"}, "ports": [{"target": 6379, "published": "6380"}]},
    }
}


def fake_docker(folder: Path, script: str) -> str:
    """Make a program that stands in for the client."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(("script", "expected"), [("exit 0", True), ("echo no daemon >&2; exit 1", False)])
async def test_an_engine_is_there_when_its_info_is(script: str, expected: bool, tmp_path: Path) -> None:
    assert await engine_answers(fake_docker(tmp_path, script)) is expected


async def test_a_client_that_hangs_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "_PROBE_WITHIN", 0.2)
    assert not await engine_answers(fake_docker(tmp_path, "exec sleep 60"))


async def test_a_machine_without_the_client_has_no_engine(tmp_path: Path) -> None:
    assert not await engine_answers(str(tmp_path / "absent"))


def test_addresses_follow_the_compose_file() -> None:
    assert address("rabbitmq", CONFIG) == "amqp://cluster:p%2Fw@127.0.0.1:5673/"
    assert address("rabbitmq", CONFIG, path="test") == "amqp://cluster:p%2Fw@127.0.0.1:5673/test"
    assert address("postgres", CONFIG) == "postgresql://cluster:p%40w@127.0.0.1:5433/main"
    assert address("redis", CONFIG) == "redis://:s@127.0.0.1:6380/0"


def test_a_service_that_publishes_nothing_is_an_error() -> None:
    with pytest.raises(StackError, match="does not publish port 6379"):
        address("redis", {"services": {"redis": {"ports": []}}})


async def test_a_missing_compose_file_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match=r"does not exist\. Run from a checkout"):
        await ComposeServer("redis", tmp_path / "docker-compose.yml", StackState(tmp_path)).start()


async def test_the_virtual_host_is_made_with_the_container_s_own_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker-compose.yml").touch()
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    fake_docker(tmp_path, f'echo "$@" >> {tmp_path}/calls; case "$*" in *config*) cat {tmp_path}/config.json;; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    server = ComposeServer("rabbitmq", tmp_path / "docker-compose.yml", StackState(tmp_path))
    assert await server.create_vhost("corner") == "amqp://cluster:p%2Fw@127.0.0.1:5673/corner"
    calls = (tmp_path / "calls").read_text("utf-8")
    assert "exec -T rabbitmq rabbitmqctl add_vhost corner" in calls
    assert "set_permissions --vhost corner cluster .* .* .*" in calls
    assert not await server.purge_vhost("corner"), "by AMQP it is quicker"
    await server.drop_vhost("absent")
    assert "delete_vhost" not in (tmp_path / "calls").read_text("utf-8")
