"""Each command against a cluster: what it asks, what it prints, with which exit code it ends."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from batchyard_contracts.v1.queries import StreamOrder
from batchyard_contracts.v1.values import BatchStatus, Priority, Result, TerminalStatus
from services.cli.actions import export, follow_results
from services.cli.commands.options import OrderName, PriorityName, StateName, StatusName
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import BATCH, FakeCluster, Run, state

ACCEPTED = {
    "batch_id": BATCH,
    "workload": "tracklists",
    "items": 2,
    "replayed": False,
    "accepted_at": "2026-11-21T20:00:00Z",
}
FINISHED = {
    "type": "batch.finished.v1",
    "batch_id": BATCH,
    "workload": "tracklists",
    "owner": "default",
    "round": 1,
    "result": "partial",
    "counts": {"total": 4, "succeeded": 3, "failed": 1},
    "accepted_at": "2026-11-21T20:00:00Z",
    "finished_at": "2026-11-21T20:00:09Z",
}


def test_names_on_the_command_line_are_those_of_the_contract() -> None:
    assert tuple(each.value for each in PriorityName) == get_args(Priority)
    assert tuple(each.value for each in StatusName) == get_args(TerminalStatus)
    assert tuple(each.value for each in OrderName) == get_args(StreamOrder)
    assert tuple(each.value for each in StateName) == (*get_args(BatchStatus), *get_args(Result))


async def test_help_shows_every_exit_code(run: Run) -> None:
    ended = await run("--help")
    assert ended.code == Exit.OK
    assert all(f"{code.value} " in ended.out for code in Exit)


OPTIONS = (
    "--priority", "low", "--name", "Night", "--label", "team=a", "--idempotency-key", "k-1",
    "--notify-webhook", "https://x.example/h", "--notify-email", "a@x.example",
)  # fmt: skip
SAID = [
    ("workload", "tracklists"), ("priority", "low"), ("name", "Night"), ("label", "team=a"),
    ("notify_webhook", "https://x.example/h"), ("notify_email", "a@x.example"),
]  # fmt: skip


async def test_a_list_is_sent_item_by_item_as_it_is(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    file = tmp_path / "items.json"
    file.write_text('[{"n": 100000000000000000001}, {"payload":\r\n {"x": 1.50}, "custom_id": "2"}]')
    ended = await run("submit", "tracklists", str(file), *OPTIONS)
    assert (ended.code, ended.out) == (Exit.OK, f"{BATCH}\n")
    ((_, sent),) = cluster.requests
    assert sent == '{"n": 100000000000000000001}\n{"payload":   {"x": 1.50}, "custom_id": "2"}\n'
    assert cluster.queries[0][:-1] == SAID
    headers = cluster.headers[0]
    assert (headers["Content-Type"], headers["Idempotency-Key"]) == ("application/x-ndjson", "k-1")


@pytest.mark.parametrize(
    ("name", "text", "media_type"),
    [("a.ndjson", '{"n": 1}\n\n', "application/x-ndjson"), ("a.csv", "n,custom_id\n1,é\n", "text/csv")],
)
async def test_a_file_is_uploaded_as_it_is(
    name: str, text: str, media_type: str, run: Run, cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    (tmp_path / name).write_text(text)
    assert (await run("submit", "tracklists", str(tmp_path / name), *OPTIONS)).code == Exit.OK
    assert cluster.requests == [("POST /batches", text)]
    *said, (name, batch_id) = cluster.queries[0]
    assert (name, UUID(batch_id).version) == ("batch_id", 7)
    assert said == SAID
    assert (cluster.headers[0]["Content-Type"], cluster.headers[0]["Idempotency-Key"]) == (media_type, "k-1")


async def test_items_may_stand_on_the_command_line(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    ended = await run("submit", "tracklists", "--item", '{"url":\n"a"}', "--item", '{"url": "b"}', "--json")
    assert json.loads(ended.out) == {"type": "command.accepted.v1", **ACCEPTED}
    assert cluster.requests == [("POST /batches", '{"url": "a"}\n{"url": "b"}\n')]


async def test_a_refused_item_is_named(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.answer("POST /batches", {"title": "x", "status": 422, "detail": "n: not a number", "line": 3}, status=422)
    (tmp_path / "a.csv").write_text("n\n1\nx\n")
    ended = await run("submit", "squares", str(tmp_path / "a.csv"))
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert "Line 3: n: not a number" in ended.err


async def test_an_interrupted_upload_can_be_sent_again_under_its_key(run: Run, cluster: FakeCluster) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    cluster.answer("POST /batches", hang_up)
    ended = await run("submit", "squares", "--item", "{}")
    assert ended.code == Exit.UNREACHABLE
    assert f"--idempotency-key {cluster.headers[0]['Idempotency-Key']}" in ended.err


async def test_submit_and_watch_ends_by_how_the_batch_ended(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("POST /batches", ACCEPTED, status=202)
    cluster.answer(f"GET /batches/{BATCH}", state(), state(status="finished", result="completed"))
    cluster.answer(f"GET /batches/{BATCH}/progress", _closing())
    ended = await run("submit", "tracklists", "--item", "{}", "--watch")
    assert ended.code == Exit.OK
    assert "completed" in ended.err
    assert ended.out == f"{BATCH}\n"


async def test_watch_draws_what_the_websocket_sends(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}", state())
    progressed = {
        **{key: value for key, value in FINISHED.items() if key in {"batch_id", "workload", "owner", "round"}},
        "type": "batch.progressed.v1",
        "status": "running",
        "counts": {"total": 4, "succeeded": 2, "remaining": 2},
        "items_per_s": 12.5,
        "eta_s": 61,
        "at": "2026-11-21T20:00:05Z",
    }
    cluster.answer(f"GET /batches/{BATCH}/progress", _frames(progressed, FINISHED))
    ended = await run("watch", BATCH)
    assert ended.code == Exit.BATCH_FAILED
    assert "50% 2/4  2 succeeded  12.5/s  1:01 left" in ended.err
    assert "100% 4/4  3 succeeded  1 failed  partial" in ended.err
    assert f"batchyard failures {BATCH}" in ended.err


async def test_watch_says_why_a_batch_was_stopped(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}", state())
    cluster.answer(f"GET /batches/{BATCH}/progress", _frames(FINISHED | {"stop_reason": "deadline"}))
    assert "It was stopped: its deadline passed" in (await run("watch", BATCH)).err


async def test_watch_in_json_is_a_document_a_line(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": [state()]})
    cluster.answer(f"GET /batches/{BATCH}", state())
    cluster.answer(f"GET /batches/{BATCH}/progress", _frames(FINISHED))
    ended = await run("watch", "last", "--json")
    assert [json.loads(line) for line in ended.out.splitlines()] == [state(), FINISHED]
    assert ended.code == Exit.BATCH_FAILED


async def test_list_asks_and_prints(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": [state(name="[bold]Night")]})
    ended = await run("list", "--status", "running", "--limit", "5")
    assert cluster.queries == [[("state", "running"), ("limit", "5")]]
    assert BATCH in ended.out
    assert "1/4" in ended.out
    assert "[bold]Night" in ended.out
    assert ended.err == ""
    assert json.loads((await run("list", "--json")).out) == {"batches": [state(name="[bold]Night")]}


async def test_list_prints_the_owners_where_it_asks_about_all(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /owners/batches", {"batches": [state(owner="ann"), state(owner="bob")]})
    printed = (await run("list", "--all")).out
    assert [name for name in ("owner", "ann", "bob") if name in printed] == ["owner", "ann", "bob"]


async def test_a_list_that_was_cut_says_how_it_goes_on(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": [state()], "next_before": BATCH})
    ended = await run("list", "--limit", "1")
    assert ended.err == f"Older ones, with the same options: --before {BATCH}\n"


async def test_a_list_is_narrowed_by_every_option(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": [state()], "next_after": BATCH})
    ended = await run(
        *("list", "--status", "paused", "--status", "partial", "-q", "night", "--priority", "low", "--oldest-first"),
        *("--since", "2026-12-24T18:00+00:00", "--until", "2026-12-25T18:00Z", "--after", BATCH, "--limit", "1"),
    )
    assert cluster.queries == [
        [
            ("state", "paused"), ("state", "partial"), ("q", "night"), ("priority", "low"),
            ("accepted_from", "2026-12-24T18:00:00+00:00"), ("accepted_before", "2026-12-25T18:00:00+00:00"),
            ("sort", "oldest"), ("limit", "1"), ("after", BATCH),
        ]
    ]  # fmt: skip
    assert ended.err == f"Younger ones, with the same options: --after {BATCH}\n"


async def test_show_failures_workers_workloads(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(
        f"GET /batches/{BATCH}",
        state(status="finished", result="partial", finished_at="2026-11-21T20:01:00Z", labels={"a": "b"}),
    )
    shown = (await run("show", BATCH)).out
    assert "1 succeeded, 3 remaining of 4" in shown
    assert "after 60.0 s" in shown
    stopped = {"stop_reason": "failure_threshold", "terms": {"weight": 3, "failure_threshold": {"share": 0.1}}}
    cluster.answer(f"GET /batches/{BATCH}", state(status="finished", result="cancelled", **stopped))
    lines = [line.split(None, 1) for line in (await run("show", BATCH)).out.splitlines()]
    shown_as = {words[0]: words[1].strip() for words in lines}
    assert shown_as["stopped"] == "more items failed than --failure-threshold allows: the rest was cancelled"
    assert (shown_as["weight"], shown_as["failure"]) == ("3", "threshold  10%")
    groups = [{"code": "not_found", "count": 7, "message": "HTTP 404", "ordinals": [3, 9, 27, 81]}]
    cluster.answer(f"GET /batches/{BATCH}/failures", {"found": True, "groups": groups})
    assert "item 3, 9, 27 …" in (await run("failures", BATCH)).out
    worker = {
        "worker_id": "host-1", "workloads": ["tracklists"], "chunks": [], "running": 3, "stopping": True,
        "seen_at": "2026-11-21T20:00:00Z", "slots": {"tracklists": {"busy": 3, "open": 5, "max": 16}},
    }  # fmt: skip
    cluster.answer("GET /workers", {"workers": [worker]})
    shown = (await run("workers")).out
    assert "host-1 (stopping)" in shown
    assert "3/5/16" in shown
    manifest = {
        "name": "squares", "version": "1", "title": "Squares", "item_schema": {
            "properties": {"n": {"type": "integer", "description": "a number"}}, "required": ["n"]},
        "result_schema": {}, "example": {"n": 7}, "exports": {},
    }  # fmt: skip
    cluster.answer("GET /workloads", {"workloads": [manifest]})
    cluster.answer("GET /workloads/squares", manifest)
    assert "Squares" in (await run("workloads")).out
    one = (await run("workloads", "squares")).out
    assert "a number" in one
    assert """batchyard submit squares --item '{"n":7}'""" in one


@pytest.mark.parametrize(
    ("argv", "request_", "body"),
    [
        (("pause", BATCH), f"POST /batches/{BATCH}/pause", ""),
        (("resume", BATCH), f"POST /batches/{BATCH}/resume", ""),
        (("cancel", BATCH), f"POST /batches/{BATCH}/cancel", ""),
        (("priority", BATCH, "immediate"), f"PATCH /batches/{BATCH}", {"priority": "immediate"}),
    ],
)
async def test_a_batch_is_steered(
    argv: tuple[str, ...], request_: str, body: Any, run: Run, cluster: FakeCluster
) -> None:
    cluster.answer(request_, ACCEPTED, status=202)
    assert json.loads((await run(*argv, "--json")).out) == ACCEPTED
    assert (await run(*argv)).out.startswith(f"{BATCH}: ")
    assert cluster.requests[0] == (request_, body)


async def test_a_cancel_tells_what_becomes_of_the_items(run: Run, cluster: FakeCluster) -> None:
    summary = {"stopped": 70, "kept": 25, "running": 1}
    cluster.answer(f"POST /batches/{BATCH}/cancel", {**ACCEPTED, "cancelled": summary}, status=202)
    ended = await run("cancel", BATCH)
    words = "70 items stopped, 25 items kept with their outcomes, 1 item still running"
    assert ended.out == f"{BATCH}: cancelling. {words}\n"


async def test_an_operator_ends_a_batch_of_the_user_or_of_the_owner_that_is_named(
    run: Run, cluster: FakeCluster
) -> None:
    owners: list[str | None] = []

    async def finish(request: web.Request) -> web.Response:
        owners.append(request.query.get("owner"))
        return web.json_response(ACCEPTED, status=202)

    cluster.answer("GET /session", {"owner": "default"})
    cluster.answer("GET /batches", {"batches": [state()]})
    cluster.answer(f"POST /batches/{BATCH}/finish", finish)
    assert (await run("finish", "last", "--reason", "lost")).out == f"{BATCH}: ending\n"
    assert (await run("finish", BATCH, "--reason", "lost", "--owner", "bob")).code == Exit.OK
    assert owners == ["default", "bob"]


async def test_a_retry_waits_until_its_round_is_open(run: Run, cluster: FakeCluster) -> None:
    ended = state(status="finished", result="partial", counts={"total": 4, "succeeded": 1, "failed": 2, "cancelled": 1})
    cluster.answer(f"GET /batches/{BATCH}", ended, ended, state(round=2))
    cluster.answer(f"POST /batches/{BATCH}/retry", ACCEPTED | {"retried": 3}, status=202)
    assert (await run("retry", BATCH)).out == f"{BATCH}: running 3 items again\n"
    assert [name.split()[0] for name, _ in cluster.requests] == ["GET", "POST", "GET", "GET"]


async def test_a_retry_says_what_is_wanted_and_shows_what_would_run(
    run: Run, cluster: FakeCluster, tmp_path: Path
) -> None:
    preview = {
        "round": 1,
        "items": 2,
        "invalid": 1,
        "samples": [{"ordinal": 4, "custom_id": "a", "partition": "", "before": {"n": 1}, "after": {"n": 2}}],
        "invalid_items": [{"ordinal": 9, "code": "patch_not_applicable", "reason": "no such path"}],
    }
    cluster.answer(f"POST /batches/{BATCH}/retry", preview)
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "add", "path": "/n", "value": null}]')
    options: tuple[str, ...] = (
        "--cause",
        "1-0123456789abcdef",
        "--code",
        "bad",
        "--partition",
        "p",
        "--status",
        "expired",
    )
    options += ("--item", "4", "--item", "a", "--item", "custom:7", "--patch", str(patch), "--skip-invalid")
    shown = await run("retry", BATCH, *options, "--dry-run")
    assert shown.out.splitlines() == [
        "2 items would run again, nothing was changed",
        "  item 4 (a)",
        '  - {"n":1}',
        '  + {"n":2}',
        "1 item would not run (leave them out with --skip-invalid):",
        "  item 9: patch_not_applicable: no such path",
    ]
    select = {"causes": ["1-0123456789abcdef"], "codes": ["bad"], "partitions": ["p"], "statuses": ["expired"]} | {
        "ordinals": [4],
        "custom_ids": ["a", "7"],
    }
    operations = [{"op": "add", "path": "/n", "value": None}]
    assert cluster.requests[-1] == (
        f"POST /batches/{BATCH}/retry",
        {"select": select, "patch": operations, "skip_invalid": True, "dry_run": True},
    )
    await run("retry", BATCH, "--patch", '{"op": "remove", "path": "/n"}', "--dry-run", "--json")
    assert cluster.requests[-1][1] == {"patch": [{"op": "remove", "path": "/n"}], "dry_run": True}


async def test_refused_results_are_accepted_by_their_numbers_or_all(run: Run, cluster: FakeCluster) -> None:
    path = f"POST /batches/{BATCH}/accept-results"
    cluster.answer(path, ACCEPTED | {"accepted": 2}, status=202)
    ended = await run("accept-results", BATCH, "--item", "7", "--item", "custom:8", "--reason", "right")
    assert ended.out == f"{BATCH}: accepting 2 results\n"
    assert cluster.requests[-1] == (path, {"ordinals": [7], "custom_ids": ["8"], "reason": "right"})
    await run("accept-results", BATCH, "--reason", "right", "--json")
    assert cluster.requests[-1][1] == {"reason": "right"}


async def test_integers_of_any_size_in_a_patch_and_an_item_stay_exact(run: Run, cluster: FakeCluster) -> None:
    number = 10**20 + 1
    cluster.answer(f"GET /batches/{BATCH}", state(round=1), state(round=2))
    cluster.answer(f"POST /batches/{BATCH}/retry", ACCEPTED | {"retried": 1}, status=202)
    patch = f'{{"op": "replace", "path": "/id", "value": {number}}}'
    assert (await run("retry", BATCH, "--patch", patch)).code == Exit.OK
    cluster.answer("POST /workloads/noop/invalidate-cache", {"at": "2026-11-21T20:00:00Z"}, status=202)
    assert (await run("invalidate-cache", "noop", "--item", f'{{"id": {number}}}')).code == Exit.OK
    sent = [body for name, body in cluster.requests if name.startswith("POST")]
    assert [sent[0]["patch"][0]["value"], sent[1]["payload"]["id"]] == [number, number]


@pytest.mark.parametrize("patch", ["[1]", "[", "{", "no-such-file.json"])
async def test_a_patch_that_is_none_is_not_sent(patch: str, run: Run, cluster: FakeCluster) -> None:
    ended = await run("retry", BATCH, "--patch", patch)
    assert ended.code == Exit.USAGE
    assert "--patch" in ended.err
    assert not cluster.requests


async def test_a_retry_of_what_succeeded_changes_nothing(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(
        f"GET /batches/{BATCH}", state(status="finished", result="completed", counts={"total": 1, "succeeded": 1})
    )
    cluster.answer(f"POST /batches/{BATCH}/retry", ACCEPTED, status=202)
    assert (await run("retry", BATCH)).out == f"{BATCH}: nothing to run again\n"


async def test_results_go_to_standard_output_or_a_file(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    async def lines(request: web.Request) -> web.Response:
        return web.Response(text='{"ordinal":0}\n', content_type="application/x-ndjson")

    cluster.answer(f"GET /batches/{BATCH}/results", lines)
    ended = await run("results", BATCH, "--status", "failed", "--code", "not_found", "--after", "41")
    assert ended.out == '{"ordinal":0}\n'
    asked = [("format", "ndjson"), ("status", "failed"), ("error_code", "not_found"), ("after", "41")]
    assert cluster.queries[0] == asked
    file = tmp_path / "r.ndjson"
    ended = await run("results", BATCH, "-o", str(file))
    assert (ended.out, file.read_text()) == ("", '{"ordinal":0}\n')
    assert {path.name for path in tmp_path.iterdir()} == {"r.ndjson"}  # noqa: ASYNC240  # no temporary file


async def test_results_are_followed_over_lost_connections(
    run: Run, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_results, "POLL_S", 0.0)

    async def lines(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        begun = request.query.get("cursor")
        if begun is None:
            await response.write(b'{"ordinal":4,"cursor":"c1.1"}\n\n{"ordinal":')
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(b'\n{"ordinal":2,"cursor":"c1.2"}\n')
            await response.write_eof()
        return response

    cluster.answer(f"GET /batches/{BATCH}/results", lines)
    file = tmp_path / "r.ndjson"
    for output in ([], ["-o", str(file)]):
        cluster.queries.clear()
        ended = await run(
            "results", BATCH, "--follow", "--round", "2", "--custom-id", "a", "--order", "completion", *output
        )
        assert ended.code == 0, ended.err
        written = file.read_text() if output else ended.out
        assert written == '{"ordinal":4,"cursor":"c1.1"}\n{"ordinal":2,"cursor":"c1.2"}\n'
    first, second = map(dict, cluster.queries)
    assert first == {
        "format": "ndjson",
        "after": "-1",
        "custom_id": "a",
        "round": "2",
        "order": "completion",
        "follow": "true",
    }
    assert second == {name: value for name, value in first.items() if name != "after"} | {"cursor": "c1.1"}


async def test_a_stream_that_breaks_off_says_how_to_continue(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_results, "POLL_S", 0.0)
    monkeypatch.setattr(follow_results, "MAX_UNAVAILABLE_S", -1.0)

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"ordinal":4,"cursor":"c1.1"}\n' if "cursor" not in request.query else b"")
        assert request.transport is not None
        request.transport.close()
        return response

    cluster.answer(f"GET /batches/{BATCH}/results", broken)
    ended = await run("results", BATCH, "--follow")
    assert ended.code == Exit.UNREACHABLE
    assert "--cursor c1.1" in ended.err


@pytest.mark.parametrize(
    "options", [("--follow", "--format", "csv"), ("--follow", "--json"), ("--cursor", "o1", "--after", "1")]
)
async def test_options_of_results_that_exclude_each_other(
    options: tuple[str, ...], run: Run, cluster: FakeCluster
) -> None:
    ended = await run("results", BATCH, *options)
    assert ended.code == Exit.USAGE
    assert not cluster.requests


async def test_an_export_is_waited_for_and_fetched_where_it_was_left(
    run: Run, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "POLL_S", 0.0)
    content, asked = {"part-00000.csv": b"ordinal\n0\n", "manifest.json": b"{}"}, []

    async def file(request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        asked.append((name, request.headers.get("Range")))
        start = request.http_range.start or 0
        return web.Response(body=content[name][start:], status=206 if start else 200)

    digest = {name: hashlib.sha256(body).hexdigest() for name, body in content.items()}
    part = {"name": "part-00000.csv", "rows": 1, "bytes": 10, "sha256": digest["part-00000.csv"]}
    begun = {"id": str(uuid4()), "state": "running", "format": "csv", "rows": 0, "parts": []}
    done = {**begun, "state": "succeeded", "rows": 1, "parts": [part], "complete": True}
    done["manifest_sha256"] = digest["manifest.json"]
    cluster.answer(f"POST /batches/{BATCH}/exports", begun, status=202)
    place = f"/batches/{BATCH}/exports/{begun['id']}"
    cluster.answer(f"GET {place}", begun, done)
    for name in content:
        cluster.answer(f"GET {place}/files/{name}", file)
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / ".part-00000.csv.part").write_bytes(b"ordi")
    ended = await run("export", BATCH, "--format", "csv", "--status", "failed", "--output", str(folder))
    assert (ended.code, ended.out) == (0, f"{folder}\n"), ended.err
    assert f"--id {begun['id']}" in ended.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    assert asked == [("part-00000.csv", "bytes=4-"), ("manifest.json", None)]
    ended = await run("export", BATCH, "--id", begun["id"], "--output", str(folder))
    assert (ended.code, len(asked)) == (0, 2), "what is there already is not fetched again"
    content["part-00000.csv"] = b"another"
    (folder / "part-00000.csv").unlink()
    ended = await run("export", BATCH, "--id", begun["id"], "--output", str(folder))
    assert ended.code == Exit.REFUSED
    assert not (folder / "part-00000.csv").exists()


async def test_an_export_that_failed_says_why(run: Run, cluster: FakeCluster) -> None:
    failed = {"id": str(uuid4()), "state": "failed", "format": "csv", "rows": 0, "parts": [], "error": "no room"}
    cluster.answer(f"GET /batches/{BATCH}/exports/{failed['id']}", failed)
    ended = await run("export", BATCH, "--id", failed["id"])
    assert (ended.code, "no room" in ended.err) == (Exit.REFUSED, True)
    assert (await run("export", BATCH, "--id", "x")).code == Exit.USAGE


async def test_an_export_is_begun_without_waiting(run: Run, cluster: FakeCluster) -> None:
    begun = {"id": str(uuid4()), "state": "running", "format": "parquet", "rows": 0, "parts": []}
    cluster.answer(f"POST /batches/{BATCH}/exports", begun, status=202)
    assert (await run("export", BATCH, "--format", "parquet", "--no-wait")).out == f"{begun['id']}\n"


async def test_an_export_is_unpacked(run: Run, cluster: FakeCluster, tmp_path: Path) -> None:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as target:
        target.writestr("a.cue", "TITLE")

    async def zipped(request: web.Request) -> web.Response:
        return web.Response(body=box.getvalue(), content_type="application/zip")

    cluster.answer(f"GET /batches/{BATCH}/results", zipped)
    ended = await run("results", BATCH, "--format", "cue", "-o", str(tmp_path / "sheets"))
    assert (tmp_path / "sheets" / "a.cue").read_text() == "TITLE"
    assert ended.out == f"{tmp_path / 'sheets'}\n"
    assert ended.err.splitlines()[0] == "1 file in"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, Exit.NOT_FOUND, "no such batch"),
        (422, Exit.REFUSED, "no such batch"),
        (401, Exit.REFUSED, "BATCHYARD_TOKEN"),
        (403, Exit.REFUSED, "no such batch"),
        (503, Exit.UNREACHABLE, "does not answer"),
        (500, Exit.REFUSED, "no such batch"),
    ],
)
async def test_a_problem_becomes_words_and_a_code(
    status: int, code: Exit, words: str, run: Run, cluster: FakeCluster
) -> None:
    cluster.answer(f"GET /batches/{BATCH}", {"detail": "no such batch", "status": status}, status=status)
    ended = await run("show", BATCH, "--json")
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err


async def test_an_unknown_workload_has_one_exit_code_by_every_command(run: Run, cluster: FakeCluster) -> None:
    problem = {"detail": "There is no workload 'nope'.", "code": "unknown_workload", "status": 422}
    cluster.answer("POST /batches", problem, status=422)
    ended = await run("submit", "nope", "--item", "{}")
    assert (ended.code, ended.out) == (Exit.NOT_FOUND, "")
    assert "batchyard workloads" in ended.err


async def test_a_cluster_that_is_not_there_is_said_so(run: Run, unused_tcp_port: int) -> None:
    ended = await run("--url", f"http://127.0.0.1:{unused_tcp_port}", "list")
    assert ended.code == Exit.UNREACHABLE
    assert "batchyard up" in ended.err


@pytest.mark.parametrize(
    "argv",
    [
        ("submit", "tracklists"),
        ("submit", "tracklists", "absent.json"),
        ("submit", "tracklists", "-", "--item", "{}"),
        ("submit", "tracklists", "--item", "{"),
        ("submit", "tracklists", "--item", "{}", "--label", "x"),
        ("submit", "tracklists", "--priority", "high"),
        ("show", "not-an-id"),
        ("change", BATCH),
        ("change", BATCH, "--retry", "captcha"),
        ("retry", BATCH, "--cause", "captcha"),
        ("list", "--limit", "0"),
        ("absent",),
    ],
)
async def test_a_wrong_command_line_sends_nothing(argv: tuple[str, ...], run: Run, cluster: FakeCluster) -> None:
    ended = await run(*argv)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err
    assert cluster.requests == []


async def test_a_token_is_sent_as_bearer(run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_TOKEN", "t0ken")
    cluster.answer("GET /batches", {"batches": []})
    ended = await run("list")
    assert "No batch fits" in ended.out
    assert cluster.headers[0]["Authorization"] == "Bearer t0ken"


async def test_a_defect_has_a_code_of_its_own(run: Run, cluster: FakeCluster) -> None:
    cluster.answer("GET /batches", {"batches": "nonsense"})
    ended = await run("list")
    assert ended.code == Exit.DEFECT
    assert "Traceback" in ended.err


def _frames(*documents: Any) -> Any:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for document in documents:
            await socket.send_json(document)
        await socket.close()
        return socket

    return serve


def _closing() -> Any:
    return _frames()


async def test_ask_sends_the_request_and_prints_the_answer(cluster: FakeCluster, run: Run, tmp_path: Path) -> None:
    path = "POST /workloads/count-words/questions/longest-word"
    cluster.answer(path, {"word": "much"})
    file = tmp_path / "request.json"
    file.write_text('{"text": "so much"}', "utf-8")

    shown = await run("ask", "count-words", "longest-word", str(file))
    as_json = await run("ask", "count-words", "longest-word", '{"text": "so much"}', "--json")

    assert (shown.code, shown.out) == (0, '{\n  "word": "much"\n}\n')
    assert (as_json.code, json.loads(as_json.out)) == (0, {"word": "much"})
    assert cluster.requests == [(path, {"text": "so much"})] * 2


@pytest.mark.parametrize(
    ("request_", "said"), [("[1]", "cannot be read"), ("{", "not JSON"), ("nowhere.json", "nowhere")]
)
async def test_ask_refuses_a_request_that_is_no_json_object(
    cluster: FakeCluster, run: Run, request_: str, said: str
) -> None:
    ended = await run("ask", "count-words", "longest-word", request_)

    assert ended.code == Exit.USAGE
    assert said in ended.err
    assert cluster.requests == []


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("Preview it with dry_run; skip_invalid leaves these items out.", "--dry-run; --skip-invalid leaves"),
        ("`notify.emails.0` takes one e-mail address.", "--notify-email takes one e-mail address."),
        ("`rate.per_second` takes at most 1,000,000.", "--rate takes at most 1,000,000."),
        ("`items.1.payload` is missing.", "`items.1.payload` is missing."),
        ("Column 1 (`n`) takes a number.", "Column 1 (`n`) takes a number."),
    ],
)
async def test_a_refusal_names_options_in_place_of_fields(
    run: Run, cluster: FakeCluster, detail: str, said: str
) -> None:
    cluster.answer(f"POST /batches/{BATCH}/pause", {"title": "x", "status": 422, "detail": detail}, status=422)
    assert said in (await run("pause", BATCH)).err


@pytest.mark.parametrize(("code", "exit_"), [("malformed_csv", Exit.USAGE), ("idempotency_conflict", Exit.REFUSED)])
async def test_a_file_that_cannot_be_read_is_wrong_input(
    code: str, exit_: Exit, run: Run, cluster: FakeCluster
) -> None:
    cluster.answer("POST /batches", {"code": code, "detail": "The file is not UTF-16.", "status": 400}, status=400)
    assert (await run("submit", "noop", "--item", "{}")).code == exit_


@pytest.mark.parametrize(
    ("argv", "words"),
    [(("--before", "xyz"), "'xyz' is not the id of a batch."), (("--label", "x"), "'x' is not a label.")],
)
async def test_a_list_names_a_wrong_option(argv: tuple[str, ...], words: str, run: Run, cluster: FakeCluster) -> None:
    ended = await run("list", *argv)
    assert (ended.code, words in ended.err, cluster.requests) == (Exit.USAGE, True, [])


async def test_results_end_with_a_line_end(run: Run, cluster: FakeCluster) -> None:
    cluster.answer(f"GET /batches/{BATCH}/results", [{"ordinal": 0}])
    assert (await run("results", BATCH, "--json")).out == '[{"ordinal": 0}]\n'
