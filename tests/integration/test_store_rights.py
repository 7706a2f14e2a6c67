"""The least rights in PostgreSQL and Redis: a service reaches its own tables and keys, and nobody else's."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, cast
from unittest.mock import ANY
from uuid import uuid4

import asyncpg
import pytest
import redis.asyncio
import structlog
from redis.exceptions import AuthenticationError, NoPermissionError
from yarl import URL

from batchyard_contracts.v1.flow import CacheInvalidated
from devstack import Servers
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.limits.shared_use import SharedUse
from services.ingest.progress.hub import ProgressHub
from services.ingest.retention.shared_results import SharedResults
from services.ingest.submission.dedup_index import DedupIndex
from services.worker.caching.result_cache import CachedResult, CachePolicy, ClaimRelease, ResultCache
from services.worker.workloads.videos.job_slots import JobSlots
from shared.postgres.migrations import apply_migrations
from shared.postgres.roles import SERVICES
from shared.redis.client import RedisClient
from shared.redis.keys import CACHED_RESULTS, SHARED_RESULTS, shared_results_index
from shared.redis.rate_reservations import KeyRate, RateReservations, rate_key
from shared.redis.spending import SpendingLimit
from tests.support.patience import PATIENCE_S
from tests.support.servers import Accounts, accounts_on

DATABASE, REDIS = "BATCHYARD_DATABASE_URL", "BATCHYARD_REDIS_URL"
FINGERPRINT = b"f" * 16


@pytest.fixture(scope="module")
def accounts(servers: Servers) -> Accounts:
    """Variables of the services by name; each service with a schema has migrated it by its own role."""
    return asyncio.run(_migrated(servers))


async def _migrated(servers: Servers) -> Accounts:
    found = await accounts_on(servers)
    if found["ingest"][DATABASE] == servers.database_url or found["ingest"][REDIS] == servers.redis_url:
        pytest.skip("PostgreSQL or Redis runs elsewhere, so that it has no accounts.")
    for service in SERVICES:
        await apply_migrations(
            found[service][DATABASE], service, files(f"services.{service}.persistence") / "migrations"
        )
    return found


@pytest.mark.parametrize(
    ("service", "statement", "is_allowed"),
    [
        *((service, f"SELECT count(*) FROM {service}.migrations", True) for service in SERVICES),
        *((service, f"SELECT count(*) FROM {other}.migrations", False)
          for service in SERVICES for other in SERVICES if other != service),
        *((service, f"CREATE TABLE {service}.further (n int)", True) for service in SERVICES),
        *((service, "CREATE SCHEMA further", False) for service in SERVICES),
        *((service, "CREATE TABLE public.further (n int)", False) for service in SERVICES),
        *((service, "CREATE TEMP TABLE further (n int)", False) for service in SERVICES),
        *((service, "CREATE ROLE further", False) for service in SERVICES),
        *((service, "SELECT pg_read_file('/etc/passwd')", False) for service in SERVICES),
        *((service, "COPY (SELECT 1) TO PROGRAM 'true'", False) for service in SERVICES),
        ("ingest", "UPDATE aggregator.outcomes SET status = 'succeeded'", False),
        ("ingest", "SET ROLE batchyard_aggregator", False),
        ("notifier", "DROP SCHEMA ingest CASCADE", False),
        ("dispatcher", "ALTER ROLE batchyard_ingest PASSWORD 'mine'", False),
    ],
)  # fmt: skip
async def test_a_role_reaches_its_own_schema_alone(
    accounts: Accounts, service: str, statement: str, is_allowed: bool
) -> None:
    connection = await asyncpg.connect(accounts[service][DATABASE])
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        was_allowed = False
    else:
        was_allowed = True
    finally:
        await transaction.rollback()
        await connection.close()
    assert was_allowed == is_allowed


async def test_nobody_logs_in_without_the_password_of_its_role(servers: Servers, accounts: Accounts) -> None:
    own = URL(accounts["ingest"][DATABASE])
    for user in (own.user, URL(servers.database_url).user):
        for password in ("", own.password if user != own.user else "wrong"):
            with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
                await asyncpg.connect(str(own.with_user(user).with_password(password)))


async def test_tables_of_an_earlier_owner_are_handed_over(servers: Servers, accounts: Accounts) -> None:
    administrator = await asyncpg.connect(servers.database_url)
    try:
        await administrator.execute("CREATE TABLE notifier.former (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
        await administrator.execute("CREATE FUNCTION notifier.former() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        await accounts_on(servers)
        owners = await administrator.fetch(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'notifier'::regnamespace "
            "UNION SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'notifier'::regnamespace"
        )
    finally:
        await administrator.close()
    assert [row[0] for row in owners] == ["batchyard_notifier"]


@pytest.mark.parametrize(
    ("service", "command", "is_allowed"),
    [
        ("worker", ("SET", "cache:{noop}:1:key", "v"), True),
        ("worker", ("HSET", "pace:{noop}:key", "t", "1"), True),
        ("worker", ("GET", "batchyard:{videos}:job:1"), True),
        ("worker", ("MGET", "batchyard:{distances}:osrm:1"), True),
        ("worker", ("GET", "ingest:progress:1"), False),
        ("worker", ("SET", "ingest:dedup:1", "v"), False),
        ("worker", ("EVAL", "return 1", "0"), False),
        ("dispatcher", ("HSET", "pace:{noop}:key", "t", "1"), True),
        ("dispatcher", ("GET", "cache:{noop}:1:key"), False),
        ("ingest", ("SET", "ingest:progress:1", "{}"), True),
        ("ingest", ("UNLINK", "ingest:dedup:1"), True),
        ("ingest", ("UNLINK", "attach:ann:cache:{noop}:1:key"), True),
        ("ingest", ("SET", "cache:{noop}:1:key", "v"), False),
        ("ingest", ("DEL", "pace:{noop}:key"), False),
        *(
            (service, command, False)
            for service in ("ingest", "dispatcher", "worker")
            for command in (
                ("FLUSHDB",), ("FLUSHALL",), ("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("CONFIG", "GET", "*"),
                ("ACL", "LIST"), ("CLIENT", "LIST"), ("SCRIPT", "FLUSH"), ("SHUTDOWN",),
                ("PUBLISH", "a", "b"), ("SWAPDB", "0", "1"), ("REPLICAOF", "NO", "ONE"),
            )
        ),
    ],
)  # fmt: skip
async def test_a_user_of_redis_reaches_its_own_keys_alone(
    accounts: Accounts, service: str, command: tuple[str, ...], is_allowed: bool
) -> None:
    client = redis.asyncio.from_url(accounts[service][REDIS])
    try:
        await client.execute_command(*command)  # type: ignore[no-untyped-call]
    except NoPermissionError:
        was_allowed = False
    else:
        was_allowed = True
    finally:
        await client.aclose()
    assert was_allowed == is_allowed


async def used_by_ingest(memory: RedisClient) -> None:
    batch_id, index, hub = uuid4(), DedupIndex(memory), ProgressHub(memory)
    await index.add(batch_id, {FINGERPRINT: 3})
    assert await index.lookup(batch_id, {FINGERPRINT: 4}) == {FINGERPRINT: 3}
    await index.delete(batch_id)
    assert await index.lookup(batch_id, {FINGERPRINT: 4}) == {}
    assert await hub.saved_snapshot(batch_id) is None
    shared = SharedUse(memory, LimitKeeper(cast("Any", None), OwnerLimits()))
    await shared.exchange()
    await shared.leave()
    await SharedUse(memory, LimitKeeper(cast("Any", None), OwnerLimits())).exchange()
    assert await SharedResults(memory).delete("nobody", ["noop"]) == 0


async def used_by_the_dispatcher(memory: RedisClient) -> None:
    await RateReservations(memory).back_off(rate_key("noop", str(uuid4())), 1.0)


async def used_by_the_worker(memory: RedisClient) -> None:
    rate = KeyRate(rate_key("noop", str(uuid4())), 0.1, 1, 1)
    assert await RateReservations(memory).reserve([rate], 1) is not None
    results = ResultCache(memory)
    for start in (CACHED_RESULTS, SHARED_RESULTS):
        index = shared_results_index("ann", "noop") if start == SHARED_RESULTS else None
        policy = CachePolicy("noop", f"{start}{{noop}}:{uuid4()}", None, 60, 1000, index)
        claimed_at, _ = await results.claim(policy, [("payload", "claimant")])
        await results.renew(policy, [("payload", "claimant")])
        await results.release(policy, claimed_at, [ClaimRelease("payload", "claimant", b"1")])
        assert await results.claim(policy, [("payload", "claimant")]) == (ANY, [CachedResult(1)])
    assert await results.invalidate(
        CacheInvalidated(workload="noop", version="1", cache_ttl_s=60, at=datetime.now(UTC))
    )
    slots, job = JobSlots(memory, 0, 60), str(uuid4())
    assert not await slots.take("item")
    assert await slots.claim(job, "item")
    assert not await slots.claim(job, "another")
    spending, batch_id = SpendingLimit(memory, "predictions", 1.0), uuid4()
    assert await spending.reserve(batch_id, "call", 2.0) == "exceeded"
    await spending.settle(batch_id, "call", 0.0)


@pytest.mark.parametrize(
    ("service", "use"),
    [("ingest", used_by_ingest), ("dispatcher", used_by_the_dispatcher), ("worker", used_by_the_worker)],
)
async def test_a_service_reaches_every_key_that_it_uses(
    accounts: Accounts, service: str, use: Callable[[RedisClient], Awaitable[None]]
) -> None:
    memory = RedisClient(accounts[service][REDIS], PATIENCE_S)
    try:
        with structlog.testing.capture_logs() as logs:
            await use(memory)
    finally:
        await memory.close()
    assert logs == [], "a refusal by Redis is logged, and costs speed only"


async def test_a_script_reaches_no_key_of_another_service(accounts: Accounts) -> None:
    client = redis.asyncio.from_url(accounts["worker"][REDIS])
    try:
        read = client.register_script("return redis.call('GET', KEYS[1])")
        assert await read(keys=["cache:{noop}:1:absent"]) is None
        with pytest.raises(NoPermissionError):
            await read(keys=["ingest:progress:1"])
    finally:
        await client.aclose()


async def test_redis_serves_nobody_without_a_password(accounts: Accounts) -> None:
    url = URL(accounts["worker"][REDIS])
    for nobody in (url.with_user(None).with_password(None), url.with_password("wrong")):
        client = redis.asyncio.from_url(str(nobody))
        try:
            with pytest.raises(AuthenticationError):
                await client.ping()
        finally:
            await client.aclose()
