"""State of a stack survives its process, and two processes never overwrite each other."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from devstack.errors import StackError
from devstack.processes import ProcessIdentity
from devstack.state import ServerRecord, StackState


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    assert StackState(tmp_path / "new").read().servers == {}


def test_one_process_reads_the_state_of_another(tmp_path: Path) -> None:
    me = ProcessIdentity.of(psutil.Process())
    with StackState(tmp_path).change() as document:
        document.servers["redis"] = ServerRecord(how="private", ports={"redis": 1234}, processes=[me])
    assert StackState(tmp_path).read().servers["redis"] == ServerRecord(
        how="private", ports={"redis": 1234}, processes=[me]
    )


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with StackState(tmp_path).change() as document:
            document.redis_numbers["a"] = 1
            raise KeyError("half-way")

    with pytest.raises(KeyError):
        half()
    assert StackState(tmp_path).read().redis_numbers == {}


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def add(number: int) -> None:
        with StackState(tmp_path).change() as document:
            document.redis_numbers[f"corner{number}"] = number

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert len(StackState(tmp_path).read().redis_numbers) == 40


def test_a_broken_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"servers": 7}', "utf-8")
    with pytest.raises(StackError, match="delete the file"):
        StackState(tmp_path).read()


async def test_only_one_starts_or_stops_at_a_time(tmp_path: Path) -> None:
    state, order = StackState(tmp_path), list[str]()
    entered = asyncio.Event()

    async def first() -> None:
        async with state.exclusive():
            entered.set()
            with pytest.raises(StackError, match="Another command"):
                async with StackState(tmp_path).exclusive(within=0.15):
                    order.append("never")
            order.append("first")

    async def second() -> None:
        await entered.wait()
        async with StackState(tmp_path).exclusive():
            order.append("second")

    await asyncio.gather(first(), second())
    assert order == ["first", "second"]


def test_a_home_in_place_of_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="BATCHYARD_HOME"), StackState(tmp_path / "file" / "home").change():
        pass
