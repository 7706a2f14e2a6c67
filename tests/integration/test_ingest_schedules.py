"""Schedules start their batches, each time once, and say what became of every time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from batchyard_contracts import topology
from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.events import BatchFinished, ScheduleFired, ScheduleMissed
from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled
from batchyard_contracts.v1.schedules import ScheduleAccepted, ScheduleControl, ScheduleSave
from batchyard_contracts.v1.values import Counts
from devstack import Servers
from tests.support.patience import PATIENCE_S
from tests.support.running_ingest import IngestHarness, connect_harness, running_ingest, start_ingest

BATCH: dict[str, Any] = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
EVERY_MINUTE: dict[str, Any] = {"cron": "* * * * *", "batch": BATCH}


async def save(harness: IngestHarness, name: str = "tick", **fields: Any) -> dict[str, Any]:
    """Save a schedule with one time a day, which is this minute."""
    now = datetime.now(UTC)
    form = {"cron": f"{now.minute} {now.hour} * * *", "batch": BATCH, **fields}
    body = {name: value for name, value in form.items() if value is not None}
    async with harness.http.put(f"{harness.url}/schedules/{name}", json=body) as response:
        found: dict[str, Any] = await response.json()
        assert response.status == 200, found
        return found


async def make_due(harness: IngestHarness, *, minutes: int = 5) -> None:
    """Let all schedules be due for their times of the last minutes."""
    await harness.rows("UPDATE schedules SET next_at = now() - make_interval(mins => $1) WHERE NOT paused", minutes)


async def runs_of(
    harness: IngestHarness, *, name: str = "tick", states: set[str], number: int = 1, origin: str | None = None
) -> list[Any]:
    """Return the runs of a schedule once `number` of them have one of these states."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            runs = (await harness.get(f"/schedules/{name}/runs"))[1]["runs"]
            found = [run for run in runs if run["state"] in states and origin in {None, run["origin"]}]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)  # the API has no signal for it


def finished(batch_id: str, result: Any = "completed") -> BatchFinished:
    now = datetime.now(UTC)
    return BatchFinished(
        workload="squares",
        owner="default",
        batch_id=UUID(batch_id),
        round=1,
        result=result,
        counts=Counts(total=1, succeeded=1),
        accepted_at=now,
        finished_at=now,
    )


async def test_a_due_time_starts_its_batch_once_and_is_told(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness, overlap="allow")
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
        await save(harness, "other")
        await make_due(harness)
        await runs_of(harness, name="other", states={"started"})
        assert len((await harness.get("/schedules/tick/runs"))[1]["runs"]) == 1
        entry = (await harness.get("/audit", params={"object": run["batch_id"]}))[1]["entries"][0]
        assert (entry["action"], entry["owner"], entry["door"]) == ("batch.submit", "default", "service")


async def test_a_run_whose_batch_was_accepted_before_a_crash_is_not_submitted_again(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness)
        await make_due(harness)
        (run,) = await runs_of(harness, states={"started"})
        await harness.rows("UPDATE schedule_runs SET state = 'starting', due_at = now()")
        (again,) = await runs_of(harness, states={"started"})
        assert again["batch_id"] == run["batch_id"]
        changed = BATCH | {"items": [{"payload": {"n": 2}}]}
        await save(harness, batch=changed)  # now the same run has another content
        await harness.rows("UPDATE schedule_runs SET state = 'starting', due_at = now()")
        (again,) = await runs_of(harness, states={"started"})
        assert again["batch_id"] == run["batch_id"]
        assert len(await harness.rows("SELECT FROM batches")) == 1


async def test_a_run_is_skipped_until_the_ledger_has_ended_the_batch_before(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness)
        await make_due(harness)
        (first,) = await runs_of(harness, states={"started"})
        await harness.post("/schedules/tick/run")
        (skipped,) = await runs_of(harness, states={"skipped"})
        assert "not ended" in skipped["reason"]
        await harness.publish(topology.EVENTS, finished(first["batch_id"]))
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
        await save(harness, batch=None, template="since", overlap="queue")
        await make_due(harness)
        (first,) = await runs_of(harness, states={"started"})
        await harness.post("/schedules/tick/run")
        await runs_of(harness, states={"waiting"})
        await harness.publish(topology.EVENTS, finished(first["batch_id"]))
        (second,) = await runs_of(harness, states={"started"}, origin="manual")
        assert (second["nominal_at"] > first["nominal_at"], second["template_version"]) == (True, 1)
        labels = [one.labels for one in await harness.wait_for(BatchAccepted, 2)]
        times = [datetime.fromisoformat(each["nominal_at"]).isoformat() for each in (first, second)]
        assert labels == [{"since": "never", "due": times[0]}, {"since": times[0], "due": times[1]}]


async def test_a_run_may_cancel_the_batch_before(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness, overlap="cancel")
        await make_due(harness)
        (first,) = await runs_of(harness, states={"started"})
        await harness.post("/schedules/tick/run")
        (control,) = await harness.wait_for(BatchControlled)
        assert (str(control.batch_id), control.action) == (first["batch_id"], "cancel")
        await runs_of(harness, states={"waiting"})
        await harness.publish(topology.EVENTS, finished(first["batch_id"], "cancelled"))
        (second,) = await runs_of(harness, states={"started"}, origin="manual")
        assert second["batch_id"] != first["batch_id"]
        assert len(harness.all(BatchControlled)) == 1, "it is cancelled once, however often the run looked"


async def test_missed_times_are_told_and_made_up_for(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness, cron="* * * * *", overlap="allow", missed="all", catch_up_s=600)
        await make_due(harness, minutes=30)
        (missed,) = await harness.wait_for(ScheduleMissed)
        assert 19 <= missed.count <= 21
        started = await runs_of(harness, states={"started"}, number=10)
        (lost,) = await runs_of(harness, states={"missed"})
        assert (lost["count"], "in time" in lost["reason"]) == (missed.count, True)
        assert len({run["nominal_at"] for run in started}) == len(started)


async def test_a_run_that_is_refused_says_why(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness, batch=BATCH | {"workload": "absent"})
        await make_due(harness)
        (failed,) = await runs_of(harness, states={"failed"})
        assert "absent" in failed["reason"]
        assert harness.all(ScheduleFired) == []


async def test_pause_resume_run_now_and_backfill(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        saved = await save(harness, cron="* * * * *", overlap="allow")
        paused = (await harness.post("/schedules/tick/pause", json={"note": "holidays"}))[1]
        assert (paused["paused"], paused["note"], "next_at" in paused) == (True, "holidays", False)
        assert (await harness.get("/schedules/tick/times"))[1] == {"times": []}
        assert (await harness.post("/schedules/tick/run"))[0] == 202
        await harness.wait_until(lambda: "manual" in {one.origin for one in harness.all(ScheduleFired)})
        resumed = (await harness.post("/schedules/tick/resume"))[1]
        assert (resumed["paused"], resumed["note"]) == (False, "")
        assert resumed["next_at"] >= saved["next_at"]
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        span = {
            "first_at": (now - timedelta(minutes=5)).isoformat(),
            "last_at": (now - timedelta(minutes=3)).isoformat(),
        }
        body = span | {"overlap": "allow"}
        assert (await harness.post("/schedules/tick/backfill", json=body))[1] == {"runs": 3}
        await runs_of(harness, states={"started"}, number=4)
        assert (await harness.post("/schedules/tick/backfill", json=body))[1] == {"runs": 3}
        found = await runs_of(harness, states={"started", "waiting", "starting"}, number=4)
        assert len([run for run in found if run["origin"] == "backfill"]) == 3, "a time is backfilled once"
        long = {"first_at": (now - timedelta(days=2)).isoformat(), "last_at": now.isoformat()}
        future = {"first_at": (now + timedelta(days=2)).isoformat(), "last_at": (now + timedelta(days=3)).isoformat()}
        for wrong, code in ((long, "too_many_runs"), (future, "too_few_runs")):
            status, problem = await harness.post("/schedules/tick/backfill", json=wrong)
            assert (status, problem["code"]) == (422, code)
        audited = {entry["action"] for entry in (await harness.get("/audit", params={"object": "tick"}))[1]["entries"]}
        wanted = {f"schedule.{verb}" for verb in ("save", "pause", "resume", "run", "backfill")}
        assert audited == wanted


async def test_a_schedule_is_controlled_over_amqp(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        command = ScheduleSave(name="tick", cron="0 6 * * MON", zone="Europe/Berlin", batch=BATCH)
        saved: Any = await harness.command(command)
        assert isinstance(saved, ScheduleAccepted)
        assert saved.next_at is not None
        for action in ("pause", "resume", "run", "delete"):
            reply: Any = await harness.command(ScheduleControl(name="tick", action=action))
            assert isinstance(reply, ScheduleAccepted)
            assert (reply.next_at is None) == (action in {"pause", "delete"})
        gone: Any = await harness.command(ScheduleControl(name="tick", action="run"))
        assert gone.code == "schedule_not_found"


async def test_a_replaced_schedule_does_not_start_what_is_past(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save(harness, cron="* * * * *", zone="Asia/Tokyo")
        saved = await save(harness, cron="0 6 * * MON", zone="Europe/Berlin")
        times = (await harness.get("/schedules/tick/times"))[1]["times"]
        assert len(times) == 10
        assert all(time["local"][11:16] == "06:00" for time in times)
        assert saved["next_at"] == times[0]["at"]


async def test_wrong_schedules_are_refused_with_their_place(clean: Servers) -> None:
    async with running_ingest(clean, max_schedules=1) as harness:
        wrong: list[tuple[dict[str, Any], str, str | None]] = [
            ({"cron": "61 * * * *"}, "invalid_schedule", "/cron"),
            ({"zone": "Mars/Base"}, "invalid_schedule", "/zone"),
            ({"batch": {"items": []}}, "invalid_command", "/batch/workload"),
            ({"batch": None, "template": "absent"}, "template_not_found", None),
            ({"batch": None, "template": "weekly-portfolio"}, "invalid_parameters", "/parameters"),
            ({"ends_at": "2020-01-01T00:00:00Z"}, "schedule_ended", None),
        ]
        for fields, code, pointer in wrong:
            body = {name: value for name, value in (EVERY_MINUTE | fields).items() if value is not None}
            async with harness.http.put(f"{harness.url}/schedules/tick", json=body) as response:
                problem = await response.json()
                (error, *_) = problem.get("errors") or [{}]
                assert (problem["code"], error.get("pointer")) == (code, pointer), problem
        await save(harness)
        await save(harness, jitter_s=5)
        async with harness.http.put(f"{harness.url}/schedules/second", json=EVERY_MINUTE) as response:
            assert (response.status, (await response.json())["code"]) == (409, "too_many_schedules")
        status, shown = await harness.post("/schedules/preview", json=EVERY_MINUTE | {"zone": "UTC"})
        assert (status, len(shown["times"])) == (200, 10)


async def test_a_schedule_pauses_when_its_key_is_revoked_and_outlives_a_rotation(clean: Servers) -> None:
    operator_key = new_api_key("test")
    async with running_ingest(clean, operator_key=operator_key, announced=False) as harness:
        operator = {"Authorization": f"Bearer {operator_key}"}
        await harness.announce(headers=operator)
        body = {
            "name": "ann",
            "owner": "ann",
            "scopes": ["batches:read", "batches:write", "schedules:write", "keys:write"],
        }
        key = (await harness.post("/keys", json=body, headers=operator))[1]
        ann = {"Authorization": f"Bearer {key['key']}"}
        async with harness.http.put(f"{harness.url}/schedules/tick", json=EVERY_MINUTE, headers=ann) as response:
            assert response.status == 200
        rotated = (await harness.post(f"/keys/{key['id']}/rotate", json={"grace_s": 0}, headers=ann))[1]
        ann = {"Authorization": f"Bearer {rotated['key']}"}
        await make_due(harness)
        await harness.wait_for(ScheduleFired)
        async with harness.http.delete(f"{harness.url}/keys/{rotated['id']}", headers=operator) as response:
            assert response.status == 200
        await make_due(harness)
        async with asyncio.timeout(PATIENCE_S):
            while not (rows := await harness.rows("SELECT note FROM schedules WHERE paused")):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # a table has no signal
        assert "revoked" in rows[0]["note"]


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
            await save(harness, f"tick-{number}", **every_minute)
        await make_due(harness, minutes=10)
        await harness.wait_for(ScheduleFired, 80)
        for number in range(8):
            await harness.post(f"/schedules/tick-{number}/pause", json={})
        async with asyncio.timeout(PATIENCE_S):
            while await harness.rows("SELECT FROM schedule_runs WHERE state <> 'started'"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # a table has no signal
        runs = {row["batch_id"] for row in await harness.rows("SELECT batch_id FROM schedule_runs")}
        batches = [row["batch_id"] for row in await harness.rows("SELECT batch_id FROM batches")]
        assert (len(batches), set(batches)) == (len(runs), runs)
        await harness.wait_until(lambda: {one.batch_id for one in harness.all(ScheduleFired)} == runs)
        fired = harness.all(ScheduleFired)
        assert len({(one.schedule, one.nominal_at) for one in fired}) == len(fired)


async def test_a_million_schedules_cost_no_scan(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await harness.rows(
            "INSERT INTO schedules (schedule_id, owner, name, workload, form, next_at) "
            "SELECT gen_random_uuid(), 'o' || n % 100, 's' || n, 'squares', $1::json, now() + interval '1 day' "
            "FROM generate_series(1, 20000) AS n",
            '{"cron": "0 6 * * *", "batch": {"workload": "squares", "items": []}}',
        )
        await harness.rows(
            "INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at) "
            "SELECT schedule_id, now(), 'schedule', 'ended', 'skip', now() FROM schedules"
        )
        await harness.rows("ANALYZE schedules")
        await harness.rows("ANALYZE schedule_runs")
        from services.ingest.persistence import run_store  # noqa: PLC0415  its statements are private

        for statement, index in (("claim_due", "schedules_due"), ("claim_runs", "schedule_runs_due")):
            sql = run_store._SQL[statement].replace("$1", "50")
            plan = "\n".join(row["QUERY PLAN"] for row in await harness.rows(f"EXPLAIN {sql}"))
            assert index in plan, plan
            assert "Seq Scan on schedule" not in plan
