"""Processes are found again and terminated reliably."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.processes import MARK, ProcessIdentity, find_marked, is_running, process_tree, terminate, wait_until_ended

SLEEPS = "import signal; print('up', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


@pytest.fixture
def spawned(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with the mark of this test that ignores SIGTERM."""
    argv = [sys.executable, "-c", DEAF]
    env = os.environ | {MARK: f"stub@{tmp_path}"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_a_process_is_found_again_by_id_and_start_time(spawned: subprocess.Popen[str]) -> None:
    identity = ProcessIdentity.of(psutil.Process(spawned.pid))
    assert ProcessIdentity.model_validate_json(identity.model_dump_json()).find() == psutil.Process(spawned.pid)


def test_another_process_under_a_recycled_id_is_never_taken_for_it(spawned: subprocess.Popen[str]) -> None:
    identity = ProcessIdentity.of(psutil.Process(spawned.pid))
    assert ProcessIdentity(pid=identity.pid, started=identity.started - 60).find() is None


def test_a_zombie_counts_as_ended(spawned: subprocess.Popen[str]) -> None:
    process = psutil.Process(spawned.pid)
    identity = ProcessIdentity.of(process)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, spawned.pid, os.WEXITED | os.WNOWAIT)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert not is_running(process)
    assert identity.find() is None


def test_marked_processes_are_found_and_others_are_not(spawned: subprocess.Popen[str], tmp_path: Path) -> None:
    assert [process.pid for process in find_marked(f"stub@{tmp_path}")] == [spawned.pid]
    assert find_marked(f"other@{tmp_path}") == []


def test_a_process_without_a_mark_is_found_by_name_and_folder(spawned: subprocess.Popen[str], tmp_path: Path) -> None:
    name = psutil.Process(spawned.pid).name()
    assert [process.pid for process in find_marked("", [tmp_path.parent], [name])] == [spawned.pid]
    assert find_marked("", [tmp_path.parent], ["another"]) == []
    assert find_marked("", [tmp_path], [name]) == []


async def test_a_process_that_ignores_the_signal_is_killed_after_the_grace(spawned: subprocess.Popen[str]) -> None:
    process = psutil.Process(spawned.pid)
    assert await wait_until_ended([process], within=0.1) == [process]
    await terminate([process], signal.SIGTERM, grace=0.2)
    assert spawned.wait() == -signal.SIGKILL


async def test_terminating_an_ended_process_is_no_error(spawned: subprocess.Popen[str]) -> None:
    process = psutil.Process(spawned.pid)
    spawned.kill()
    spawned.wait()
    await terminate([process], signal.SIGTERM, grace=1)
    assert process_tree([process]) == []
