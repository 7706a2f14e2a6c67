"""Options that do not apply are errors that name the command that is meant, and `--url` stands anywhere."""

from typing import Any

import pytest

from services.cli.commands.plain_help import url_first
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state


@pytest.mark.parametrize(
    ("argv", "advice"),
    [
        (("rates", "leads", "--rate", "5/s"), "batchyard rates set leads --rate 5/s"),
        (
            ("rates", "clear", "http", "--partition", "a.example", "--rate", "5/s"),
            "batchyard rates set http --partition a.example --rate 5/s",
        ),
        (("rates", "set", "http", "--rate", "5/s", "--history"), "batchyard rates http --history"),
        (("rates", "set", "http", "--partition", "a.example"), "--rate, --adaptive or --concurrency"),
        (("rates", "--partition", "a.example"), "batchyard rates WORKLOAD"),
        (("rates", "close", "http"), "--partition"),
        (("results", BATCH, "--json", "--format", "csv"), "Give one of them"),
        (("submit", "noop", "--item", "{}", "--format", "csv"), "JSON"),
        (("submit", "noop", "--item", "{}", "--estimate", "--watch"), "waited for"),
        (("submit", "noop", "--item", "{}", "--dedup-ttl", "1h"), "--dedup"),
        (("retry", BATCH, "--skip-invalid"), "--patch"),
        (("dead-letters", "replay", "ingest.commands", "--id", "a", "--all"), "Give one of them"),
    ],
)
async def test_an_option_that_does_not_apply_names_the_command_meant(
    argv: tuple[str, ...], advice: str, run: Run, cluster: FakeCluster
) -> None:
    ended = await run(*argv)
    assert ended.code == Exit.USAGE, ended
    assert advice in ended.err
    assert cluster.requests == []


@pytest.mark.parametrize("argv", [("--url", "URL", "list"), ("list", "--url", "URL"), ("list", "--url=URL")])
async def test_the_address_stands_anywhere(
    argv: tuple[str, ...], run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHYARD_URL", "http://127.0.0.1:1")
    cluster.answer("GET /batches", {"batches": []})
    assert (await run(*(word.replace("URL", cluster.url) for word in argv))).code == Exit.OK


def test_no_option_follows_two_dashes() -> None:
    assert url_first(["submit", "--url", "a", "--", "--url", "b"]) == ["--url", "a", "submit", "--", "--url", "b"]
    assert url_first(["list", "--url"]) == ["--url"], "its value is missing, and nothing else"


@pytest.mark.parametrize(
    ("argv", "query"),
    [
        (("--status", "failed"), [("state", "failed"), ("limit", "20")]),
        (("--status", "open"), [("state", "open"), ("limit", "20")]),
        (
            ("--name", "night", "--label", "team=a", "--label", "for=b"),
            [("name", "night"), ("label", "team=a"), ("label", "for=b"), ("limit", "20")],
        ),
    ],
)
async def test_a_list_is_narrowed_by_all_that_it_shows(
    argv: tuple[str, ...], query: list[tuple[str, str]], run: Run, cluster: FakeCluster
) -> None:
    cluster.answer("GET /batches", {"batches": [state()]})
    assert (await run("list", *argv)).code == Exit.OK
    assert cluster.queries == [query]


async def test_a_withheld_token_is_explained(run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_URL", "https://prod.example")
    monkeypatch.setenv("BATCHYARD_TOKEN", "t0ken")
    cluster.answer("GET /batches", {"detail": "Send a token.", "status": 401}, status=401)
    ended = await run("list", "--url", cluster.url)
    assert "Authorization" not in cluster.headers[0]
    assert "belongs to https://prod.example" in ended.err


async def test_a_redirection_is_not_followed_with_the_token(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elsewhere(_: Any) -> Any:
        from aiohttp import web  # noqa: PLC0415

        return web.Response(status=307, headers={"Location": f"{cluster.url}/elsewhere"})

    monkeypatch.setenv("BATCHYARD_TOKEN", "t0ken")
    cluster.answer("GET /batches", elsewhere)
    ended = await run("list")
    assert ended.code == Exit.REFUSED
    assert f"leads to {cluster.url}/elsewhere" in ended.err
    assert len(cluster.requests) == 1
