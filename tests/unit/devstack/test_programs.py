"""Server programs are found where Debian and others put them."""

from pathlib import Path

import pytest

from devstack.programs import ProgramFinder


def program(path: Path) -> Path:
    """Make a program that can be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


@pytest.fixture
def finder(tmp_path: Path) -> ProgramFinder:
    """A machine whose every folder is in `tmp_path`."""
    return ProgramFinder(
        path=str(tmp_path / "path"),
        rabbitmq_folders=[tmp_path / "rabbitmq"],
        postgres_roots=[tmp_path / "postgresql"],
        redis_folders=[tmp_path / "bin"],
    )


def test_an_empty_machine_has_none(finder: ProgramFinder) -> None:
    assert [finder.find(name) for name in ("rabbitmq", "postgres", "redis")] == [None, None, None]


def test_rabbitmq_is_taken_from_beside_the_wrapper_that_is_on_the_path(finder: ProgramFinder, tmp_path: Path) -> None:
    real = tmp_path / "lib" / "bin"
    program(real / "rabbitmq-server")
    program(real / "rabbitmqctl")
    wrapper = program(real / "rabbitmq-script-wrapper")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "rabbitmq-server").symlink_to(wrapper)
    assert finder.find("rabbitmq") == real / "rabbitmq-server"


def test_rabbitmq_without_its_tool_does_not_count(finder: ProgramFinder, tmp_path: Path) -> None:
    program(tmp_path / "rabbitmq" / "rabbitmq-server")
    assert finder.find("rabbitmq") is None


def test_the_newest_postgresql_is_taken(finder: ProgramFinder, tmp_path: Path) -> None:
    for version in ("9.6", "15", "17"):
        program(tmp_path / "postgresql" / version / "bin" / "postgres")
        program(tmp_path / "postgresql" / version / "bin" / "initdb")
    assert finder.find("postgres") == tmp_path / "postgresql" / "17" / "bin" / "postgres"


def test_a_client_only_postgresql_does_not_count(finder: ProgramFinder, tmp_path: Path) -> None:
    program(tmp_path / "postgresql" / "17" / "bin" / "psql")
    server = program(tmp_path / "postgresql" / "15" / "bin" / "postgres")
    program(server.with_name("initdb"))
    assert finder.find("postgres") == server


def test_valkey_stands_in_for_redis(finder: ProgramFinder, tmp_path: Path) -> None:
    valkey = program(tmp_path / "bin" / "valkey-server")
    assert finder.find("redis") == valkey
    redis = program(tmp_path / "bin" / "redis-server")
    assert finder.find("redis") == redis


def test_a_file_that_cannot_be_executed_is_no_program(finder: ProgramFinder, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "redis-server").chmod(0o644)
    assert finder.find("redis") is None
