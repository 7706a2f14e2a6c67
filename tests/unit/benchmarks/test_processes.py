"""Use of processor and memory, read from the process table; this process is the subject."""

import os
import signal
import subprocess
import sys
import time

import psutil

from benchmarks.processes import CLIENT, Usage, proportional_mb, resident_mb, spent, watching_memory

_ROLES = {"me": [psutil.Process()]}


def test_spent_is_the_difference_and_a_role_that_is_new_began_with_nothing() -> None:
    assert spent({"a": 1.0}, {"a": 1.5, "b": 0.25}) == {"a": 0.5, "b": 0.25}


def test_processor_time_of_a_busy_process_is_seen() -> None:
    usage = Usage(_ROLES)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert usage.cpu_s()["me"] >= 0.03
    assert 0 <= usage.others_share() <= 1


def test_the_client_is_counted_without_what_it_has_started() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        me = [psutil.Process()]
        found = resident_mb({CLIENT: me, "all": me})
        assert found["all"] > found[CLIENT]
    finally:
        child.communicate(b"\n")


def test_a_page_that_processes_share_counts_once() -> None:
    me = {"me": [psutil.Process()]}
    shared = bytearray(64 * 1024 * 1024)
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        children = {"child": [psutil.Process(child)]}
        both = sum((proportional_mb(me) | proportional_mb(children)).values())
        assert both < sum((resident_mb(me) | resident_mb(children)).values()) - 60
        assert both >= 64
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        del shared


def test_a_process_that_the_benchmark_started_is_no_other_program() -> None:
    spin = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ninput('spun\\n')"
    usage = Usage({})
    child = subprocess.Popen([sys.executable, "-uc", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"spun\n"
        helpers = usage._helpers_s()
        assert helpers[child.pid] >= 0.25  # the kernel counts in ticks
        assert child.pid not in Usage({"child": [psutil.Process(child.pid)]})._helpers
    finally:
        child.communicate(b"\n")


async def test_the_highest_memory_is_kept() -> None:
    async with watching_memory(_ROLES) as watched:
        much = bytearray(40 * 1024 * 1024)
        watched.look(_ROLES)
        del much
    assert watched.highest_mb["me"] >= resident_mb(_ROLES)["me"]
    assert max(watched.together_mb) == watched.highest_mb["me"]
    assert max(watched.together_mb) - watched.together_mb[0] > 30
