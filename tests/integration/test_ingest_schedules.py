"""Schedules are saved, paused, resumed, filled in afterwards and deleted, by owners with the right to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.events import ScheduleFired
from batchyard_contracts.v1.schedules import ScheduleAccepted, ScheduleControl, ScheduleSave
from devstack import Servers
from services.ingest.persistence import run_store
from tests.support.patience import until
from tests.support.running_ingest import running_ingest
from tests.support.schedules import BATCH, make_due, runs_of, save_schedule

EVERY_MINUTE: dict[str, Any] = {"cron": "* * * * *", "batch": BATCH}


async def test_pause_resume_run_now_and_backfill(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, cron="* * * * *", overlap="allow")
        paused = (await harness.post("/schedules/tick/pause", json={"note": "holidays"}))[1]
        assert (paused["paused"], paused["note"], "next_at" in paused) == (True, "holidays", False)
        assert (await harness.get("/schedules/tick/times"))[1] == {"times": []}
        assert (await harness.post("/schedules/tick/run"))[0] == 202
        await harness.wait_until(lambda: "manual" in {one.origin for one in harness.all(ScheduleFired)})
        await harness.rows("UPDATE schedules SET next_at = '2020-01-01T00:00Z'")  # as if it kept the time
        asked_at = datetime.now(UTC)
        resumed = (await harness.post("/schedules/tick/resume"))[1]
        assert (resumed["paused"], resumed["note"]) == (False, "")
        assert datetime.fromisoformat(resumed["next_at"]) > asked_at
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
        replaced: Any = await harness.command(command)
        assert replaced.at > saved.at, "the time of the reply, not that at which the schedule was created"
        for action in ("pause", "resume", "run", "delete"):
            reply: Any = await harness.command(ScheduleControl(name="tick", action=action))
            assert isinstance(reply, ScheduleAccepted)
            assert (reply.next_at is None) == (action in {"pause", "delete"})
        gone: Any = await harness.command(ScheduleControl(name="tick", action="run"))
        assert gone.code == "schedule_not_found"


async def test_a_replaced_schedule_does_not_start_what_is_past(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        await save_schedule(harness, cron="* * * * *", zone="Asia/Tokyo")
        saved = await save_schedule(harness, cron="0 6 * * MON", zone="Europe/Berlin")
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
        await save_schedule(harness, "preview")
        await save_schedule(harness, "preview", jitter_s=5)
        async with harness.http.put(f"{harness.url}/schedules/second", json=EVERY_MINUTE) as response:
            assert (response.status, (await response.json())["code"]) == (409, "too_many_schedules")
        status, shown = await harness.post("/schedule-preview", json=EVERY_MINUTE | {"zone": "UTC"})
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
        rotated = (await harness.post(f"/keys/{key['id']}/rotate", json={"grace_s": 3600}, headers=ann))[1]
        (row,) = await harness.rows("SELECT key_id FROM schedules")
        assert row["key_id"] == rotated["id"]
        async with harness.http.put(f"{harness.url}/schedules/late", json=EVERY_MINUTE, headers=ann) as response:
            assert response.status == 200
        (row,) = await harness.rows("SELECT key_id FROM schedules WHERE name = 'late'")
        assert row["key_id"] == rotated["id"], "a key that was rotated saves for its successor"
        ann = {"Authorization": f"Bearer {rotated['key']}"}
        await make_due(harness)
        await harness.wait_for(ScheduleFired)
        async with harness.http.delete(f"{harness.url}/keys/{rotated['id']}", headers=operator) as response:
            assert response.status == 200
        await harness.rows(
            "INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at) "
            "SELECT schedule_id, now(), 'manual', 'waiting', 'allow', now() FROM schedules WHERE name = 'tick'"
        )
        rows = await until(lambda: harness.rows("SELECT reason FROM schedule_runs WHERE state = 'failed'"))
        assert "revoked" in rows[0]["reason"]
        await harness.rows("DELETE FROM api_keys WHERE id = $1", rotated["id"])  # as happens a month later
        await make_due(harness)
        rows = await until(lambda: harness.rows("SELECT note FROM schedules WHERE paused AND name = 'tick'"))
        assert "revoked" in rows[0]["note"]
        former = {"Authorization": f"Bearer {key['key']}"}  # it works for an hour after its rotation
        async with harness.http.put(f"{harness.url}/schedules/late", json=EVERY_MINUTE, headers=former) as response:
            assert response.status == 200
        (row,) = await harness.rows("SELECT key_id FROM schedules WHERE name = 'late'")
        assert row["key_id"] == key["id"]
        other = (await harness.post("/keys", json=body, headers=operator))[1]
        ann = {"Authorization": f"Bearer {other['key']}"}
        for asked in ("resume", "run"):
            status, problem = await harness.post(f"/schedules/tick/{asked}", headers=ann)
            assert (status, problem["code"]) == (409, "schedule_key_ended")
        async with harness.http.put(f"{harness.url}/schedules/tick", json=EVERY_MINUTE, headers=ann) as response:
            assert response.status == 200
        assert (await harness.post("/schedules/tick/resume", headers=ann))[0] == 200


async def test_twenty_thousand_schedules_cost_no_scan(clean: Servers) -> None:
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
        for statement, index in (("claim_due", "schedules_due"), ("claim_runs", "schedule_runs_due")):
            sql = run_store._SQL[statement].replace("$1", "50").replace("$2", "10")
            plan = "\n".join(row["QUERY PLAN"] for row in await harness.rows(f"EXPLAIN {sql}"))
            assert index in plan, plan
            assert "Seq Scan on schedule" not in plan


async def test_the_next_time_follows_newer_data_of_time_zones(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        saved = await save_schedule(harness, cron="0 6 * * MON", zone="Europe/Berlin")
        await harness.rows("UPDATE schedules SET next_at = next_at + interval '1 hour', zone_data = '1999a'")
    async with running_ingest(clean) as harness:
        _, found = await until(
            lambda: harness.get("/schedules/tick"), lambda answer: answer[1]["next_at"] == saved["next_at"]
        )
        assert found["paused"] is False
