"""Processes are recognised for certain, and ended for certain."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.processes import MARK, Identity, end, gone, living, marked, tree

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
    identity = Identity.of(psutil.Process(spawned.pid))
    assert Identity.model_validate_json(identity.model_dump_json()).find() == psutil.Process(spawned.pid)


def test_another_process_under_a_recycled_id_is_never_taken_for_it(spawned: subprocess.Popen[str]) -> None:
    identity = Identity.of(psutil.Process(spawned.pid))
    assert Identity(pid=identity.pid, started=identity.started - 60).find() is None


def test_a_process_that_ended_is_gone_even_while_nobody_has_collected_it(spawned: subprocess.Popen[str]) -> None:
    process = psutil.Process(spawned.pid)
    identity = Identity.of(process)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, spawned.pid, os.WEXITED | os.WNOWAIT)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert not living(process)
    assert identity.find() is None


def test_marked_processes_are_found_and_others_are_not(spawned: subprocess.Popen[str], tmp_path: Path) -> None:
    assert [process.pid for process in marked(f"stub@{tmp_path}")] == [spawned.pid]
    assert marked(f"other@{tmp_path}") == []


def test_a_process_without_a_mark_is_found_by_name_and_folder(spawned: subprocess.Popen[str], tmp_path: Path) -> None:
    name = psutil.Process(spawned.pid).name()
    assert [process.pid for process in marked("", [tmp_path.parent], [name])] == [spawned.pid]
    assert marked("", [tmp_path.parent], ["another"]) == []
    assert marked("", [tmp_path], [name]) == []


async def test_what_ignores_the_signal_is_killed_after_the_grace(spawned: subprocess.Popen[str]) -> None:
    process = psutil.Process(spawned.pid)
    assert await gone([process], within=0.1) == [process]
    await end([process], signal.SIGTERM, grace=0.2)
    assert spawned.wait() == -signal.SIGKILL


async def test_ending_what_has_ended_is_no_error(spawned: subprocess.Popen[str]) -> None:
    process = psutil.Process(spawned.pid)
    spawned.kill()
    spawned.wait()
    await end([process], signal.SIGTERM, grace=1)
    assert tree([process]) == []
