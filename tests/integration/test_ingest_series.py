"""Charts are an owner's own; an operator sees those of all."""

from datetime import UTC, datetime, timedelta
from typing import Any

from batchyard_contracts.api_keys import new_api_key
from batchyard_contracts.v1.queries import DestinationSeries, SeriesPoint, SeriesQuery, SeriesReply
from devstack import Servers
from tests.support.running_ingest import IngestHarness, running_ingest

OPERATOR_KEY = new_api_key("test")
BODY = {"workload": "squares", "items": [{"payload": {"n": 1}}]}
AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
REPLY = SeriesReply(
    step_s=10,
    points=[SeriesPoint(at=AT, succeeded=2.5, p50_ms=90, p95_ms=210), SeriesPoint(at=AT)],
    destinations=[DestinationSeries(partition="a.example", p50_ms=[90, None], p95_ms=[210, None])],
)


async def asked(harness: IngestHarness, path: str, **options: Any) -> tuple[SeriesQuery, object]:
    questions: list[SeriesQuery] = []

    def answer(question: SeriesQuery) -> SeriesReply:
        questions.append(question)
        return REPLY

    harness.answers[SeriesQuery] = answer
    status, body = await harness.get(path, **options)
    assert status == 200, body
    return questions[0], body


async def test_a_batch_has_its_points(clean: Servers) -> None:
    async with running_ingest(clean) as harness:
        batch = (await harness.post("/batches", json=BODY))[1]["batch_id"]
        question, body = await asked(harness, f"/batches/{batch}/series?points=20")
        assert (str(question.batch_id), question.owner, question.points) == (batch, "default", 20)
        at = "2026-11-30T06:00:00Z"
        assert body == {
            "step_s": 10.0,
            "destinations": [{"partition": "a.example", "p50_ms": [90.0, None], "p95_ms": [210.0, None]}],
            "points": [
                {"at": at, "succeeded": 2.5, "failed": 0.0, "other": 0.0, "p50_ms": 90.0, "p95_ms": 210.0},
                {"at": at, "succeeded": 0.0, "failed": 0.0, "other": 0.0},
            ],
        }  # fmt: skip
        for query in ("points=1", "points=301"):
            assert (await harness.get(f"/batches/{batch}/series?{query}"))[0] == 422, query
        assert (await harness.get("/series?span=year"))[0] == 422


async def test_an_owner_sees_its_own_and_an_operator_all(clean: Servers) -> None:
    async with running_ingest(clean, operator_key=OPERATOR_KEY, announced=False) as harness:
        operator = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        document = {"name": "a key", "owner": "ann", "scopes": ["batches:read"]}
        _, made = await harness.post("/keys", json=document, headers=operator)
        ann = {"Authorization": f"Bearer {made['key']}"}
        before = datetime.now(UTC) - timedelta(days=1, minutes=1)
        question, _ = await asked(harness, "/series?owner=bob&span=day", headers=ann)
        assert question.owner == "ann", "the parameter is for operators"
        assert question.since is not None
        assert before < question.since < before + timedelta(minutes=5)
        assert (await asked(harness, "/series", headers=operator))[0].owner is None
        assert (await asked(harness, "/series?owner=bob", headers=operator))[0].owner == "bob"
