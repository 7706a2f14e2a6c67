"""One error in any background task of any service: the service says so, goes on, and ends with no failure."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from devstack import Servers, free_ports
from services.aggregator.app import app as aggregator
from services.aggregator.settings import AggregatorSettings
from services.dispatcher import app as dispatcher_app
from services.dispatcher.settings import DispatcherSettings
from services.ingest.app import app as ingest
from services.ingest.settings import IngestSettings
from services.notifier.app import app as notifier
from services.notifier.settings import NotifierSettings
from services.worker.app import app as worker
from services.worker.settings import WorkerSettings
from shared.runtime import background
from shared.runtime.background import BackgroundTask
from shared.runtime.process import Runtime
from shared.runtime.settings import Settings
from tests.support.patience import PATIENCE_S, until_true

Service = Callable[[Any, Runtime], AbstractAsyncContextManager[None]]
SERVICES: dict[str, tuple[Service, type[Settings], dict[str, Any], set[str]]] = {
    "ingest": (ingest, IngestSettings, {}, {"housekeeping", "backpressure"}),
    "dispatcher": (
        dispatcher_app.app,
        DispatcherSettings,
        {},
        {"leadership", "dispatch loop", "batch stopper", "rates"},
    ),
    "worker": (
        worker,
        WorkerSettings,
        {"worker_workloads": ["noop"]},
        {"heartbeat", "chunk consumer noop", "quarantine consumer noop"},
    ),
    "aggregator": (aggregator, AggregatorSettings, {}, {"outbox cleanup"}),
    "notifier": (notifier, NotifierSettings, {}, {"webhooks", "mail"}),
}
"""Each service with its settings, and some of the tasks that must be among those found."""


class Injection:
    """Makes the first step of every background task that runs raise, and observes the second.

    A task that ends others by its error raises when these have gone on after theirs.
    """

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime = runtime
        self.ending: set[str] = set()
        """Tasks whose error ends what they belong to."""
        self.optional: set[str] = set()
        """Tasks whose error leaves the service ready."""
        self.unready: set[str] = set()
        """Tasks that the readiness check named after their error."""
        self.counted: Counter[str] = Counter()
        self._steps: Counter[str] = Counter()
        self._stepped = asyncio.Condition()
        run = BackgroundTask.run

        async def injected(task: BackgroundTask) -> None:
            self._inject(task)
            await run(task)

        monkeypatch.setattr(BackgroundTask, "run", injected)
        monkeypatch.setattr(background, "UNREADY_AFTER_S", 0.0)
        monkeypatch.setattr(dispatcher_app, "UNREADY_AFTER_S", 0.0)
        monkeypatch.setattr(background, "_errors", self)

    def add(self, count: int, attributes: dict[str, str]) -> None:
        """Take the place of the counter of errors."""
        self.counted[attributes["task"]] += count

    @property
    def found(self) -> set[str]:
        """Names of the tasks that have run."""
        return set(self._steps)

    async def until_all_went_on(self, expected: set[str]) -> None:
        """Wait until every task, the expected ones among them, has made a step after its error."""
        async with asyncio.timeout(PATIENCE_S), self._stepped:
            await self._stepped.wait_for(lambda: expected <= self.found and min(self._steps.values()) > 1)

    def _inject(self, task: BackgroundTask) -> None:
        step, task._delay_s = task._step, 0.0
        self._steps[task.name] += 0
        if task._ends_on_error:
            self.ending.add(task.name)
        if task._is_optional:
            self.optional.add(task.name)

        async def injected() -> float | None:
            if task._ends_on_error and not self._have_others_gone_on():
                return await step()
            async with self._stepped:
                self._steps[task.name] += 1
                self._stepped.notify_all()
            if self._steps[task.name] == 1:
                raise KeyError("injected")
            if self._steps[task.name] == 2:
                self.unready |= {task.name} & set(self.runtime.health.missing())
            return await step()

        task._step = injected

    def _have_others_gone_on(self) -> bool:
        return all(steps > 1 for name, steps in self._steps.items() if name not in self.ending)


@pytest.mark.parametrize("service", SERVICES)
async def test_an_error_in_each_background_task_ends_no_service(
    service: str, clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, settings, given, expected = SERVICES[service]
    addresses: dict[str, Any] = {
        "amqp_url": clean.amqp_url,
        "database_url": clean.database_url,
        "redis_url": clean.redis_url,
        "http_port": free_ports(1)[0],
    }
    runtime = Runtime()
    injection = Injection(runtime, monkeypatch)
    known = {name: value for name, value in addresses.items() if name in settings.model_fields}
    async with app(settings(**known | given), runtime):
        await injection.until_all_went_on(expected)
        await until_true(lambda: not runtime.health.missing())
        assert not runtime.stopping.is_set()
        assert runtime.health.stuck() == []
        surviving = injection.found - injection.ending
        assert injection.unready & surviving == surviving - injection.optional
        assert surviving <= injection.counted.keys()
        assert set(injection.counted.values()) <= {1, 2}
    assert runtime.failure is None
