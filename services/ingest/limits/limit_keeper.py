"""Keeps owners within their limits: counts requests, uploads, WebSockets, questions and receivers of notifications.

Limits are read once a second, so that a change holds within two seconds in every process. Each process counts what
passes through itself, and adds what others have told it: see `SharedUse`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import structlog

from batchyard_contracts.v1.values import NotificationTargets
from services.ingest.domain.caller import Caller
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.owner_limits import DELIVERIES_PERIOD_S, REQUESTS_PERIOD_S, OwnerLimits
from services.ingest.domain.period_counter import PeriodCounter
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.request_quota import RateLimit, RequestQuota
from services.ingest.persistence.limit_store import Changes, LimitStore

log = structlog.get_logger()
_RETRY_AFTER_S = 1.0
"""Seconds after which a request is worth a retry that was one too many at a time."""
_TOLD_SHARE = 0.01
"""Share of a limit below which a count of a period is not told to other processes."""


class Use(NamedTuple):
    """Use of limits in one process: counts by the names of the limits, then by owner or key."""

    in_use: Mapping[str, Mapping[str, int]]
    """Uses at present of the limits on what is done at a time."""
    counted: Mapping[str, tuple[int, Mapping[str, int]]]
    """Counts of the running period, with its number."""


class LimitKeeper:
    """The limits of owners, and their use. `defaults` hold for owners for whom nothing was set."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(self, store: LimitStore, defaults: OwnerLimits, clock: Callable[[], float] = time.time) -> None:
        self._store, self._defaults, self._clock = store, defaults, clock
        self._changes: dict[str, Changes] = {}
        self._limits: dict[str, OwnerLimits] = {}
        self._requests = RequestQuota("owner", REQUESTS_PERIOD_S)
        self._key_requests = RequestQuota("key", REQUESTS_PERIOD_S)
        self._deliveries = PeriodCounter(DELIVERIES_PERIOD_S)
        self._counters = {
            "requests": self._requests.counter,
            "key_requests": self._key_requests.counter,
            "deliveries": self._deliveries,
        }
        self._in_use: dict[str, Counter[str]] = {name: Counter() for name in _AT_A_TIME}
        self._in_use_elsewhere: dict[str, Counter[str]] = {name: Counter() for name in _AT_A_TIME}

    async def refresh(self) -> None:
        """Read the limits that were set."""
        changes = await self._store.all()
        if changes != self._changes:
            self._changes = changes
            self._limits = {owner: self._merged(owner, changes[owner]) for owner in changes}

    def limits(self, owner: str) -> OwnerLimits:
        """Return the limits of an owner."""
        return self._limits.get(owner, self._defaults)

    def changes(self) -> dict[str, Changes]:
        """Return the limits that were set, by owner."""
        return self._changes

    def use(self, owner: str) -> dict[str, int]:
        """Return how much is in use at present, by the name of the limit."""
        return {name: self._in_use[name][owner] + self._in_use_elsewhere[name][owner] for name in _AT_A_TIME}

    def own_use(self) -> Use:
        """Return the use in this process, without what is far from its limit."""
        now = self._clock()
        counted: dict[str, tuple[int, Mapping[str, int]]] = {}
        for name, counter in self._counters.items():
            period, counts = counter.own(now)
            told = {who: count for who, count in counts.items() if count >= self._limit_of(name, who) * _TOLD_SHARE}
            counted[name] = (period, told)
        return Use(self._in_use, counted)

    def set_use_elsewhere(self, uses: Sequence[Use]) -> None:
        """Replace what is known of the use in other processes. Counts of another period are left out."""
        now = self._clock()
        for name in _AT_A_TIME:
            self._in_use_elsewhere[name] = _sum([use.in_use.get(name, {}) for use in uses])
        for name, counter in self._counters.items():
            period, _ = counter.own(now)
            found = [use.counted.get(name, (-1, {})) for use in uses]
            counter.set_others(_sum([counts for number, counts in found if number == period]), now)

    def take_request(self, caller: Caller) -> RateLimit:
        """Count a request; return what is left of its quota, the scarcer one of two. Raises `TooManyRequests`."""
        limits, now = self.limits(caller.owner), self._clock()
        found = self._requests.take(caller.owner, limits.requests, now)
        if caller.key_id is not None:
            of_key = self._key_requests.take(f"{caller.owner}/{caller.key_id}", limits.key_requests, now)
            found = min(found, of_key, key=lambda one: one.left / one.quota)
        if found.left < 0:
            raise TooManyRequests(found)
        return found

    @contextmanager
    def upload(self, owner: str) -> Iterator[None]:
        """Count an upload while it is received; raises `IngestError` (429)."""
        with self._one_more("uploads", owner, self.limits(owner).uploads):
            yield

    @contextmanager
    def websocket(self, owner: str) -> Iterator[None]:
        """Count a WebSocket while it is open; raises `IngestError` (429)."""
        with self._one_more("websockets", owner, self.limits(owner).websockets):
            yield

    @contextmanager
    def question(self, owner: str) -> Iterator[None]:
        """Count a question while it waits for its answer; raises `IngestError` (429)."""
        with self._one_more("questions", owner, self.limits(owner).questions):
            yield

    def take_deliveries(self, owner: str, targets: NotificationTargets) -> None:
        """Count the receivers that a new batch names; raises `IngestError` (429). The last batch may exceed the limit,
        so that no batch has too many for it."""
        count = len(targets.webhooks) + len(targets.emails)
        if not count:
            return
        now, limit = self._clock(), self.limits(owner).deliveries
        if self._deliveries.total(owner, now) >= limit:
            raise IngestError(
                Rejection(
                    "too_many_deliveries",
                    f"Your batches have named {limit} receivers of notifications in this hour, which is the limit. "
                    "Leave the receivers out, or submit the batch later.",
                    429,
                    retry_after_s=self._deliveries.ends_in_s(now),
                )
            )
        self._deliveries.add(owner, now, count)

    @contextmanager
    def _one_more(self, name: str, owner: str, limit: int) -> Iterator[None]:
        counts = self._in_use[name]
        if counts[owner] + self._in_use_elsewhere[name][owner] >= limit:
            code, words = _AT_A_TIME[name]
            detail = (
                f"You have {limit} {words} at a time, which is the limit. Wait until one has ended, or ask an operator "
                "for more."
            )
            raise IngestError(Rejection(code, detail, 429, retry_after_s=_RETRY_AFTER_S))
        counts[owner] += 1
        try:
            yield
        finally:
            counts[owner] -= 1
            if not counts[owner]:
                del counts[owner]

    def _limit_of(self, name: str, who: str) -> int:
        owner, _, _ = who.partition("/")  # a key is counted as `owner/key`
        limit: int = getattr(self.limits(owner), name)
        return limit

    def _merged(self, owner: str, changes: Changes) -> OwnerLimits:
        try:
            return self._defaults.with_changes(changes)
        except ValueError as error:  # stored by a version with other bounds
            log.error("stored limits cannot be read", owner=owner, error=str(error)[:300])
            return self._defaults


_AT_A_TIME = {
    "uploads": ("too_many_uploads", "uploads"),
    "websockets": ("too_many_websockets", "WebSockets"),
    "questions": ("too_many_questions", "questions to workloads"),
}
"""Code and words of a refusal, by the name of the limit."""


def _sum(counts: Sequence[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


class TooManyRequests(IngestError):
    """The quota of requests of an owner or a key is used up."""

    def __init__(self, limit: RateLimit) -> None:
        whose = "This API key has" if limit.name == "key" else "Your API keys have together"
        super().__init__(
            Rejection(
                "too_many_requests",
                f"{whose} sent {limit.quota} requests in {limit.period_s} seconds, which is the limit. Send the "
                f"request again in {limit.ends_in_s} s, and ask for several things at a time where the API permits it.",
                429,
                retry_after_s=limit.ends_in_s,
            )
        )
        self.limit = limit
