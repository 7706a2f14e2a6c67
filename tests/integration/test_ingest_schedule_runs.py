"""Runs of schedules start their batches, each time once, and say what became of every time."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts import topology
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import ScheduleFired, ScheduleMissed
from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled
from devstack import Servers
from services.ingest.persistence import run_store, schedule_store
from services.ingest.schedules import due_schedules
from tests.support.finished_batches import finished
from tests.support.patience import until
from tests.support.running_ingest import connect_harness, running_ingest, start_ingest
from tests.support.schedules import BATCH, make_due, runs_of, save_schedule


async def test_a_due_time_starts_its_batch_once_and_is_told(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, overlap="allow")
        await make_due(harness)
        (run,) = await runs_of(harness, states={"started"})
        (fired,) = await harness.wait_for(ScheduleFired)
        (accepted,) = await harness.wait_for(BatchAccepted)
        assert str(fired.batch_id) == str(accepted.batch_id) == run["batch_id"]
        assert (fired.schedule, fired.origin, fired.workload, fired.owner) == ("tick", "schedule", "squares", "default")
        assert fired.nominal_at == datetime.fromisoformat(run["nominal_at"])
        assert fired.nominal_at.second == 0
        assert accepted.name == "tick"
        lineage = (await harness.get(f"/batches/{run['batch_id']}/lineage"))[1]
        assert (lineage["schedule"], lineage["nominal_at"]) == ("tick", run["nominal_at"])
        await make_due(harness)  # as if the next time had not been saved
        await save_schedule(harness, "other")
        await make_due(harness)
        await runs_of(harness, name="other", states={"started"})
        assert len((await harness.get("/schedules/tick/runs"))[1]["runs"]) == 1
        entry = (await harness.get("/audit", params={"object": run["batch_id"]}))[1]["entries"][0]
        assert (entry["action"], entry["owner"], entry["door"]) == ("batch.submit", "default", "service")


async def test_a_run_whose_batch_was_accepted_before_a_crash_is_not_submitted_again(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness)
        await make_due(harness)
        (run,) = await runs_of(harness, states={"started"})
        await harness.rows("UPDATE schedule_runs SET state = 'starting', due_at = now()")
        (again,) = await runs_of(harness, states={"started"})
        assert again["batch_id"] == run["batch_id"]
        changed = BATCH | {"items": [{"payload": {"n": 2}}]}
        await save_schedule(harness, batch=changed)  # now the same run has another content
        await harness.rows("UPDATE schedule_runs SET state = 'starting', due_at = now()")
        (again,) = await runs_of(harness, states={"started"})
        assert again["batch_id"] == run["batch_id"]
        assert len(await harness.rows("SELECT FROM batches")) == 1


async def test_a_run_is_skipped_until_the_ledger_has_ended_the_batch_before(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness)
        await make_due(harness)
        (first,) = await runs_of(harness, states={"started"})
        await harness.post("/schedules/tick/run")
        (skipped,) = await runs_of(harness, states={"skipped"})
        assert "not ended" in skipped["reason"]
        await harness.publish(topology.EVENTS, finished(UUID(first["batch_id"]), result="completed"))
        await runs_of(harness, states={"ended"}, origin="schedule")
        await harness.post("/schedules/tick/run")
        await runs_of(harness, states={"started"}, origin="manual")


async def test_a_queued_run_waits_for_the_end_and_knows_the_previous_success(clean: Servers) -> None:
    template = {
        "name": "since",
        "body": BATCH | {"labels": {"since": "never", "due": ""}},
        "fill": {"/labels/since": "@previous_success_at", "/labels/due": "@nominal_at"},
    }
    async with running_ingest(clean) as harness:
        await harness.post("/templates", json=template)
        await save_schedule(harness, batch=None, template="since", overlap="queue")
        await make_due(harness)
        (first,) = await runs_of(harness, states={"started"})
        await harness.post("/schedules/tick/run")
        await runs_of(harness, states={"waiting"})
        await harness.publish(topology.EVENTS, finished(UUID(first["batch_id"]), result="completed"))
        (second,) = await runs_of(harness, states={"started"}, origin="manual")
        assert (second["nominal_at"] > first["nominal_at"], second["template_version"]) == (True, 1)
        labels = [one.labels for one in await harness.wait_for(BatchAccepted, 2)]
        times = [datetime.fromisoformat(each["nominal_at"]).isoformat() for each in (first, second)]
        assert labels == [{"since": "never", "due": times[0]}, {"since": times[0], "due": times[1]}]


async def test_a_run_may_cancel_the_batch_before(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, overlap="cancel")
        await make_due(harness)
        (first,) = await runs_of(harness, states={"started"})
        await harness.post("/schedules/tick/run")
        (control,) = await harness.wait_for(BatchControlled)
        assert (str(control.batch_id), control.action) == (first["batch_id"], "cancel")
        looked = "SELECT due_at FROM schedule_runs WHERE state = 'waiting'"
        (before,) = await harness.rows(looked)
        await until(
            lambda: harness.rows(looked), lambda rows: rows[0]["due_at"] - before["due_at"] >= timedelta(seconds=2)
        )
        await harness.publish(topology.EVENTS, finished(UUID(first["batch_id"]), result="cancelled"))
        (second,) = await runs_of(harness, states={"started"}, origin="manual")
        assert second["batch_id"] != first["batch_id"]
        assert len(harness.all(BatchControlled)) == 1, "it is cancelled once, however often the run looked"


async def test_missed_times_are_told_and_made_up_for(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, cron="* * * * *", overlap="allow", missed="all", catch_up_s=600)
        await make_due(harness, minutes=30)
        (missed,) = await harness.wait_for(ScheduleMissed)
        assert 19 <= missed.count <= 21
        started = await runs_of(harness, states={"started"}, number=10)
        (lost,) = await runs_of(harness, states={"missed"})
        assert (lost["count"], "in time" in lost["reason"]) == (missed.count, True)
        assert len({run["nominal_at"] for run in started}) == len(started)


async def test_a_run_that_is_refused_says_why(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, batch=BATCH | {"workload": "absent"})
        await make_due(harness)
        (failed,) = await runs_of(harness, states={"failed"})
        assert "absent" in failed["reason"]
        assert harness.all(ScheduleFired) == []


async def test_several_replicas_start_each_time_once(clean: Servers) -> None:
    async with (
        start_ingest(clean) as port,
        start_ingest(clean),
        start_ingest(clean),
        connect_harness(clean, port) as harness,
    ):
        await harness.announce()
        every_minute: dict[str, Any] = {"cron": "* * * * *", "overlap": "allow", "missed": "all", "catch_up_s": 3600}
        for number in range(8):
            await save_schedule(harness, f"tick-{number}", **every_minute)
        await make_due(harness, minutes=10)
        await harness.wait_for(ScheduleFired, 80)
        for number in range(8):
            await harness.post(f"/schedules/tick-{number}/pause", json={})
        await until(lambda: harness.rows("SELECT FROM schedule_runs WHERE state <> 'started'"), lambda rows: not rows)
        runs = {row["batch_id"] for row in await harness.rows("SELECT batch_id FROM schedule_runs")}
        batches = [row["batch_id"] for row in await harness.rows("SELECT batch_id FROM batches")]
        assert (len(batches), set(batches)) == (len(runs), runs)
        await harness.wait_until(lambda: {one.batch_id for one in harness.all(ScheduleFired)} == runs)
        fired = harness.all(ScheduleFired)
        assert len({(one.schedule, one.nominal_at) for one in fired}) == len(fired)


async def test_a_run_whose_batch_was_accepted_needs_its_template_no_more(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.post("/templates", json={"name": "one", "body": BATCH})
        await save_schedule(harness, batch=None, template="one")
        await make_due(harness)
        (run,) = await runs_of(harness, states={"started"})
        await harness.rows("DELETE FROM templates WHERE name = 'one'")
        await harness.rows("UPDATE schedule_runs SET state = 'starting', due_at = now()")
        (again,) = await runs_of(harness, states={"started", "failed"})
        assert (again["state"], again["batch_id"]) == ("started", run["batch_id"])


async def test_a_run_applies_the_recorded_version_to_its_template_alone(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        for template in ("one", "two"):
            await harness.post("/templates", json={"name": template, "body": BATCH})
        await save_schedule(harness, batch=None, template="two")
        await harness.rows(
            "INSERT INTO schedule_runs "
            "(schedule_id, nominal_at, origin, state, overlap, due_at, batch_id, template, template_version) "
            "SELECT schedule_id, now(), 'manual', 'starting', 'skip', now(), $1, 'one', 7 FROM schedules",
            new_batch_id(),
        )
        (run,) = await runs_of(harness, states={"started", "failed"})
        assert (run["state"], run["template_version"]) == ("started", 1), run
        await save_schedule(harness)
        lineage = (await harness.get(f"/batches/{run['batch_id']}/lineage"))[1]
        assert (lineage["template"], lineage["template_version"]) == ("two", 1)


async def test_fields_of_a_newer_version_stop_no_run(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.post("/templates", json={"name": "one", "body": BATCH})
        await save_schedule(harness, batch=None, template="one")
        for table in ("templates", "schedules"):
            await harness.rows(f"UPDATE {table} SET form = (form::jsonb || $1::jsonb)::json", '{"newer": {"a": 1}}')
        assert (await harness.get("/templates/one"))[0] == 200
        await make_due(harness)
        (run,) = await runs_of(harness, states={"started", "failed"})
        assert run["state"] == "started", run


async def test_a_schedule_of_a_newer_version_is_shown_and_left_to_it_for_a_while(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, "known")
        await save_schedule(harness, "newer")
        change = "UPDATE schedules SET form = (form::jsonb || $1::jsonb)::json WHERE name = 'newer'"
        await harness.rows(change, '{"overlap": "merge"}')
        status, page = await harness.get("/schedules")
        assert (status, [(one["name"], one["unread"]) for one in page["schedules"]]) == (
            200,
            [("known", []), ("newer", ["overlap"])],
        )
        for action in ("run", "backfill"):
            body = {"first_at": "2026-01-01T00:00:00Z", "last_at": "2026-01-02T00:00:00Z"}
            status, problem = await harness.post(f"/schedules/newer/{action}", json=body)
            assert (status, problem["code"]) == (409, "schedule_unreadable")
        await make_due(harness)
        await runs_of(harness, name="known", states={"started"})
        shown = (await harness.get("/schedules/newer"))[1]
        assert (shown["paused"], (await harness.get("/schedules/newer/runs"))[1]["runs"]) == (False, [])
        monkeypatch.setattr(due_schedules, "UNREAD_FOR", timedelta())
        shown = await until(lambda: harness.get("/schedules/newer"), lambda answer: answer[1]["paused"])
        assert "cannot read" in shown[1]["note"]
        await save_schedule(harness, "newer")
        assert (await harness.get("/schedules/newer"))[1]["unread"] == []


async def test_a_run_whose_schedule_is_of_a_newer_version_waits_for_a_process_of_it(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness)
        await harness.rows(
            "INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at) "
            "SELECT schedule_id, now(), 'manual', 'waiting', 'allow', now() + interval '1 hour' FROM schedules"
        )
        await harness.rows("UPDATE schedules SET form = (form::jsonb || $1::jsonb)::json", '{"overlap": "merge"}')
        await harness.rows("UPDATE schedule_runs SET due_at = now()")
        await until(
            lambda: harness.rows(
                "SELECT FROM schedule_runs WHERE state = 'starting' AND due_at < now() + interval '9s'"
            )
        )
        await harness.rows("UPDATE schedules SET form = (form::jsonb || $1::jsonb)::json", '{"overlap": "skip"}')
        (run,) = await runs_of(harness, states={"started", "failed"})
        assert run["state"] == "started"


async def test_runs_that_queue_are_claimed_one_at_a_time_and_bounded(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, overlap="queue")
        await make_due(harness)
        await runs_of(harness, states={"started"})
        await harness.rows(
            "INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at) "
            "SELECT schedule_id, now() - make_interval(mins => n), 'backfill', 'waiting', 'queue', now() "
            "FROM schedules, generate_series(1, 1000) AS n"
        )
        await harness.rows("UPDATE schedule_runs SET due_at = now() WHERE state = 'waiting'")
        claimed = await harness.rows(run_store._SQL["claim_runs"], 50, 10)
        first = min(run["nominal_at"] for run in await harness.rows("SELECT nominal_at FROM schedule_runs"))
        assert {run["nominal_at"] for run in claimed} <= {first}
        status, problem = await harness.post("/schedules/tick/run")
        assert (status, problem["code"]) == (422, "too_many_runs")
        assert len(await harness.rows("SELECT FROM schedule_runs WHERE origin = 'manual'")) == 0


async def test_runs_that_decide_something_are_kept(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness)
        await harness.rows("UPDATE schedules SET paused = true")
        ids = [(await harness.post("/batches", json=BATCH))[1]["batch_id"] for _ in range(4)]
        for place, (batch_id, result) in enumerate(zip(ids, ("completed", "completed", "failed", None), strict=True)):
            await harness.rows(
                "UPDATE batches SET done = $2::text IS NOT NULL, result = $2 WHERE batch_id = $1",
                UUID(batch_id),
                result,
            )
            await harness.rows(
                "INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at, batch_id) "
                "SELECT schedule_id, now() + make_interval(mins => $2), 'schedule', 'started', 'skip', now(), $1 "
                "FROM schedules", UUID(batch_id), place,
            )  # fmt: skip
        await harness.rows(schedule_store._SQL["delete_old_runs"], timedelta(0))
        kept = {str(row["batch_id"]) for row in await harness.rows("SELECT batch_id FROM schedule_runs")}
        assert kept == {ids[1], ids[3]}, "the latest success, and the one that has not ended"


async def test_runs_of_one_time_are_on_one_page(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness)
        await harness.rows(
            "INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at) "
            "SELECT schedule_id, '2026-01-01T00:00Z', origin, 'skipped', 'skip', now() "
            "FROM schedules, unnest('{schedule,manual,backfill}'::text[]) AS origin"
        )
        page = (await harness.get("/schedules/tick/runs", params={"limit": "2"}))[1]
        assert {run["origin"] for run in page["runs"]} == {"schedule", "manual", "backfill"}
        rest = (await harness.get("/schedules/tick/runs", params={"before": page["next_before"]}))[1]
        assert rest == {"runs": []}
