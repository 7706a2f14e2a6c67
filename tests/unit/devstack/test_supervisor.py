"""Programs are started, restarted and stopped: real processes, none of them left."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from devstack import AlreadyRunning, Backoff, Program, ProgramFailed, Stack, Supervisor, free_ports, shut_down
from devstack.processes import MARK
from devstack.state import StackState, StateDocument

ROOT = Path(__file__).parents[3]
STUB = str(ROOT / "tests" / "support" / "stub_program.py")
QUICK = Backoff(first=0.05, cap=0.2)


def stub(name: str, *options: str, backoff: Backoff | None = QUICK, ready_within: float = 60) -> Program:
    """A program that serves on a free port."""
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}/readyz"
    return Program(name, (sys.executable, STUB, str(port), *options), {}, url, ready_within, backoff)


def processes_of(home: Path) -> list[int]:
    """Find every process that carries this home's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in process.environ().get(MARK, ""):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def said() -> list[str]:
    """The lines that the supervisor printed."""
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    """A supervisor with a short grace; nothing of it may be left at the end."""
    supervisor = Supervisor(tmp_path, said.append, grace=3)
    yield supervisor
    await supervisor.stop()
    assert processes_of(tmp_path) == []
    assert StackState(tmp_path).read().programs == {}


async def test_programs_start_together_log_to_files_and_stop_in_good_order(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start(stub("one"), stub("two", "--child"))
    assert supervisor.pid("one") in processes_of(tmp_path)
    assert set(StackState(tmp_path).read().programs) == {"one", "two"}
    await supervisor.stop()
    assert supervisor.log("one").read_text("utf-8").splitlines()[-1] == "stopped in good order"
    assert processes_of(tmp_path) == []


async def test_a_killed_program_comes_back_by_itself(supervisor: Supervisor, said: list[str]) -> None:
    await supervisor.start(stub("one"))
    first = supervisor.pid("one")
    supervisor.kill("one")
    await supervisor.ready("one")
    assert supervisor.pid("one") not in {first, None}
    assert "Killed by signal 9" in said[0]
    assert "starting again in 0.05 s" in said[0]


async def test_a_program_that_no_restart_mends_ends_the_start_with_its_last_line(
    supervisor: Supervisor, said: list[str]
) -> None:
    final = dataclasses.replace(stub("one", "--crash", backoff=Backoff(first=60)), final_codes=frozenset({3}))
    with pytest.raises(ProgramFailed, match=r"^started with .* --crash$") as failed:
        await supervisor.start(stub("two"), final)
    assert failed.value.final_code == 3
    assert said == []


async def test_a_program_without_backoff_stays_down_until_it_is_restarted(supervisor: Supervisor) -> None:
    await supervisor.start(stub("one", backoff=None))
    supervisor.kill("one")
    with pytest.raises(ProgramFailed, match="ended"):
        await supervisor.ready("one")
    assert supervisor.pid("one") is None
    await supervisor.restart("one")
    assert supervisor.pid("one") is not None


async def test_a_program_that_is_stopped_stays_down_beside_the_others_until_it_is_restarted(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    await supervisor.start(stub("one"), stub("two"))
    other = supervisor.pid("two")
    await supervisor.stop_program("one")
    assert (supervisor.pid("one"), supervisor.pid("two")) == (None, other)
    assert set(StackState(tmp_path).read().programs) == {"two"}
    assert processes_of(tmp_path) == [other]
    with pytest.raises(ProgramFailed, match="ended"):
        await supervisor.ready("one")
    await supervisor.restart("one")
    assert supervisor.pid("one") is not None
    assert said == []


async def test_a_restart_is_quiet_and_gives_a_new_process(supervisor: Supervisor, said: list[str]) -> None:
    await supervisor.start(stub("one"))
    first = supervisor.pid("one")
    await supervisor.restart("one")
    assert supervisor.pid("one") not in {first, None}
    assert said == []


async def test_a_program_that_cannot_become_ready_is_an_error_with_its_log(supervisor: Supervisor) -> None:
    crash = ("/bin/sh", "-c", "echo cannot start; exit 3")  # a shell says so long before the time is up
    with pytest.raises(ProgramFailed, match=r"one is not ready after 2 s.*\n.*cannot start"):
        await supervisor.start(dataclasses.replace(stub("one", ready_within=2), argv=crash))


async def test_a_program_that_does_not_exist_is_an_error(supervisor: Supervisor) -> None:
    with pytest.raises(ProgramFailed, match="ghost cannot be started"):
        await supervisor.start(Program("ghost", ("/no/such/program",)))


async def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path, said: list[str]) -> None:
    supervisor = Supervisor(tmp_path, said.append, grace=0.2)
    await supervisor.start(stub("one", "--deaf", "--child"))
    await supervisor.stop()
    assert said == ["one did not stop within 0.2 s and is killed"]
    assert processes_of(tmp_path) == []


async def test_a_second_supervisor_is_refused(tmp_path: Path, supervisor: Supervisor) -> None:
    await supervisor.start(stub("one"))
    script = (
        "import asyncio, pathlib, sys; from devstack import Supervisor; "
        "asyncio.run(Supervisor(pathlib.Path(sys.argv[1]), print).start())"
    )
    second = await _python("-c", script, str(tmp_path))
    _, complaint = await second.communicate()
    assert second.returncode == 1
    assert AlreadyRunning.__name__ in complaint.decode()
    assert f"Process {os.getpid()} already runs" in complaint.decode()


SUPERVISE = """
import asyncio, pathlib, sys
from devstack import Program, Supervisor, run_interruptible

async def main():
    supervisor = Supervisor(pathlib.Path(sys.argv[1]), print)
    port = sys.argv[3]
    try:
        await supervisor.start(Program("one", (sys.executable, sys.argv[2], port), {}, f"http://127.0.0.1:{port}/"))
        print("ready", flush=True)
        await asyncio.Event().wait()
    finally:
        await supervisor.stop()

asyncio.run(run_interruptible(main()))
"""


async def _python(*argv: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def _supervising(home: Path) -> asyncio.subprocess.Process:
    process = await _python("-c", SUPERVISE, str(home), STUB, str(free_ports(1)[0]))
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_stops_everything_with_exit_code_0_and_no_traceback(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = await _supervising(tmp_path)
    process.send_signal(number)
    _, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b"")
    assert processes_of(tmp_path) == []


async def test_programs_of_a_killed_supervisor_are_stopped_from_another_shell(tmp_path: Path, said: list[str]) -> None:
    process = await _supervising(tmp_path)
    process.kill()
    await process.communicate()
    assert len(processes_of(tmp_path)) == 1
    await shut_down(tmp_path, said.append)
    assert processes_of(tmp_path) == []
    assert said == []


async def test_a_running_supervisor_is_stopped_from_another_shell(tmp_path: Path, said: list[str]) -> None:
    inner = tmp_path / "inner"
    process = await _supervising(inner)
    collecting = asyncio.create_task(process.communicate())
    await shut_down(tmp_path, said.append)
    await collecting
    assert process.returncode == 0
    assert processes_of(tmp_path) == []
    assert said == [f"Stopping process {process.pid} and its programs"]


def test_pauses_double_up_to_a_cap() -> None:
    backoff = Backoff(first=0.5, cap=15)
    assert [backoff.pause(failures) for failures in (1, 2, 3, 6, 7, 10_000)] == [0.5, 1, 2, 15, 15, 15]


async def test_stopping_what_never_ran_does_and_says_nothing(tmp_path: Path, said: list[str]) -> None:
    home = tmp_path / "home"
    await Stack(home, said.append).stop()
    await shut_down(home, said.append)
    assert said == []
    assert StackState(home).read() == StateDocument()
    assert processes_of(home) == []


async def test_the_module_stops_and_erases_the_home_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    process = await _supervising(home)
    collecting = asyncio.create_task(process.communicate())
    monkeypatch.setenv("BATCHYARD_HOME", str(home))
    erasing = await _python("-m", "devstack", "erase")
    said, complaint = await erasing.communicate()
    await collecting
    assert (erasing.returncode, complaint) == (0, b"")
    assert said.decode() == f"Stopping process {process.pid} and its programs\n"
    assert not home.exists()


async def test_the_module_says_how_to_use_it() -> None:
    wrong = await _python("-m", "devstack", "ereas")
    _, complaint = await wrong.communicate()
    assert (wrong.returncode, complaint) == (1, b"Use: python -m devstack down|erase\n")
