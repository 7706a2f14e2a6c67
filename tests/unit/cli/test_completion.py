"""Batch ids, workloads and formats are completed in bash, zsh and fish."""

import pytest

from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

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
        ("list --status f", ["finished", "failed"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_words_are_offered(
    shell: str, line: str, offered: list[str], run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.answer("GET /batches", {"batches": [state(name="night")]})
    cluster.answer("GET /workloads", {"workloads": [MANIFEST]})
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


async def test_nothing_is_offered_and_nothing_said_without_a_server(
    run: Run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("BATCHYARD_URL", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.setenv("_BATCHYARD_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "batchyard submit ")
    ended = await run()
    assert (ended.out.strip(), ended.err) == ("_files", "")  # as zsh completes what it knows nothing of
