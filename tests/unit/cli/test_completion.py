"""Batch ids, workloads and formats are completed in bash, zsh and fish."""

import asyncio
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

_PROGRAM = """#!/bin/sh
if [ -n "$_BATCHYARD_COMPLETE" ]; then exec {python} -m services.cli "$@"; fi
for word; do :; done
echo "<$word>"
"""
"""The command, which prints its last word where it would run."""
_SHELLS: dict[str, tuple[tuple[str, ...], str]] = {
    "bash": (("--noprofile", "--norc"), 'eval "$(_BATCHYARD_COMPLETE=source_bash batchyard)"'),
    "zsh": (("-f",), 'autoload -Uz compinit; compinit -D; eval "$(_BATCHYARD_COMPLETE=source_zsh batchyard)"'),
    "fish": (("--no-config",), "_BATCHYARD_COMPLETE=source_fish batchyard | source"),
}
"""Options of each shell without a configuration, and the line by which it learns the completion."""
MANIFEST = {"name": "tracklists", "title": "Tracklists", "exports": {"cue": {}}}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("show ", ["last", BATCH]),
        (f"show {BATCH[:5]}", [BATCH]),
        ("pause l", ["last"]),
        ("submit tr", ["tracklists"]),
        ("workloads ", ["tracklists"]),
        (f"results {BATCH} --format c", ["csv", "cue"]),
        ("templates submit we", ["weekly-portfolio"]),
        ("schedules pause n", ["nightly"]),
        ("list --status f", ["finished", "failed"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_words_are_offered(
    shell: str, line: str, offered: list[str], run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.answer("GET /batches", {"batches": [state(name="night")]})
    cluster.answer("GET /workloads", {"workloads": [MANIFEST]})
    cluster.answer("GET /templates", {"templates": [{"name": "weekly-portfolio"}]})
    cluster.answer("GET /schedules", {"schedules": [{"name": "nightly", "cron": "@daily", "zone": "UTC"}]})
    words = f"batchyard {line}"
    monkeypatch.setenv("_BATCHYARD_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", words)
    if shell == "fish":
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    if shell == "bash":
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    ended = await run()
    assert ended.err == ""
    assert all(word in ended.out for word in offered), ended.out
    others = {BATCH, "csv", "records", "paused"} - set(offered)
    assert [word for word in others if word in ended.out] == []


@pytest.mark.parametrize("line", ["templates submit we", "schedules pause we"])
async def test_the_server_looks_for_the_beginning_of_a_name(
    line: str, run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.answer("GET /templates", {"templates": [{"name": "weekly"}]})
    cluster.answer("GET /schedules", {"schedules": [{"name": "weekly", "cron": "@daily", "zone": "UTC"}]})
    monkeypatch.setenv("_BATCHYARD_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"batchyard {line}")
    assert "weekly" in (await run()).out
    assert ("prefix", "we") in cluster.queries[-1]


async def test_nothing_is_offered_and_nothing_said_without_a_server(
    run: Run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("BATCHYARD_URL", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.setenv("_BATCHYARD_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "batchyard submit ")
    ended = await run()
    assert (ended.out.strip(), ended.err) == ("_files", "")  # as zsh completes what it knows nothing of


@pytest.mark.parametrize("shell", _SHELLS)
async def test_a_tab_completes_the_word_in_a_real_shell(shell: str, cluster: FakeCluster, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    cluster.answer("GET /batches", {"batches": [state(name="night")]})
    cluster.answer("GET /workloads", {"workloads": [MANIFEST]})
    program = tmp_path / "bin" / "batchyard"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "BATCHYARD_URL": cluster.url}
    typed = [f"batchyard show {BATCH[:6]}\t", "batchyard submit trac\t", "batchyard results last --format cu\t"]
    shown = await asyncio.to_thread(_complete, shell, typed, environment)
    assert shown == [BATCH, "tracklists", "cue"]


def _complete(shell: str, typed: list[str], environment: dict[str, str]) -> list[str]:
    """Type command lines into an interactive shell that completes the command; return the last word of each, as the
    completion has left it."""
    leader, follower = pty.openpty()
    options, setup = _SHELLS[shell]
    with subprocess.Popen(
        ["setsid", "--ctty", shell, *options, "-i"],  # fish takes no other terminal than its own
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**environment, "TERM": "dumb", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[3],
    ) as program:
        os.close(follower)
        guard = threading.Timer(PATIENCE_S, program.kill)
        guard.start()
        try:
            os.write(leader, "".join(f"{line}\n" for line in (setup, *typed, "exit")).encode())
            output = b""
            while part := _read(leader):
                output += part
            program.wait()
        finally:
            guard.cancel()
    os.close(leader)
    return re.findall(r"^<(\S+)>\r?$", output.decode(), re.MULTILINE)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other side is closed
        return b""
