"""Servers named by the environment: checked, used as they are, never stopped; no password is printed."""

import signal
from pathlib import Path

import pytest

from devstack import Servers, Stack, StackError, default_home, without_credentials
from devstack.component import COMPONENTS
from devstack.errors import ServerUnavailable
from devstack.isolation import check_isolated_name
from devstack.ports import free_ports
from devstack.server import ExternalServer


async def test_a_server_that_does_not_answer_is_an_error_that_says_what_to_do() -> None:
    port = free_ports(1)[0]
    server = ExternalServer(COMPONENTS["rabbitmq"], f"amqp://guest:hush@127.0.0.1:{port}/v")
    with pytest.raises(ServerUnavailable) as caught:
        await server.start()
    assert f"BATCHYARD_AMQP_URL names amqp://127.0.0.1:{port}/v, which does not answer" in str(caught.value)
    assert "unset it" in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_an_external_server_gets_no_signals() -> None:
    server = ExternalServer(COMPONENTS["redis"], "redis://127.0.0.1:1/0")
    with pytest.raises(StackError, match="external server"):
        await server.kill(signal.SIGKILL)
    await server.stop()


async def test_a_failed_start_leaves_the_stack_unstarted(tmp_path: Path) -> None:
    urls = ("amqp://127.0.0.1:1/", "postgresql://127.0.0.1:1/x", "redis://127.0.0.1:1/0")
    environment = Servers(*urls).environment()
    stack = Stack(tmp_path, lambda _: None, environment=environment)
    with pytest.raises(ServerUnavailable, match="does not answer"):
        await stack.start()


async def test_control_before_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="Call start"):
        await Stack(tmp_path, lambda _: None).restart("redis")


@pytest.mark.parametrize("name", ["", "Demo", "1st", "a" * 32, 'a"b', "a/b", "a;b"])
def test_an_isolated_name_needs_no_quoting(name: str) -> None:
    with pytest.raises(StackError, match="is no name"):
        check_isolated_name(name)


def test_addresses_are_shown_without_secrets() -> None:
    assert (
        without_credentials("postgresql://me:secret@db.example:5433/main?sslmode=require")
        == "postgresql://db.example:5433/main"
    )


def test_the_home_is_in_the_project_unless_it_is_named(tmp_path: Path) -> None:
    assert default_home({"BATCHYARD_HOME": str(tmp_path)}) == tmp_path
    assert default_home({}) == Path(__file__).parents[3] / ".batchyard"
