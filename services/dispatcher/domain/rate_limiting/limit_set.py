"""The limits of one workload: how many items may go out to a partition now, all of its limits taken together."""

from collections.abc import Iterator

from batchyard_contracts.partition import split
from batchyard_contracts.v1.manifest import CircuitRule, Limit, Manifest
from batchyard_contracts.v1.work import PaceKey
from services.dispatcher.domain.rate_limiting.gcra import kept_rate
from services.dispatcher.domain.rate_limiting.limiter import Learned, Terms, Throttle

_IDLE_KEPT = 1000
"""Throttles that are kept before the idle ones are looked for."""


class Limits:
    """Throttles, made when an item for them comes by, dropped when they have nothing to say."""

    def __init__(self, manifest: Manifest) -> None:
        self._limits: list[tuple[Limit, int | None]] = []
        """Each with its part of a partition's name, if it goes by one."""
        self._parts = 1
        self._version = 0
        self.rule = manifest.circuit
        """When circuits are tried again, if there are any."""
        self.overrides: dict[tuple[str, str | None], Terms] = {}
        """What operators set, by limit and value; None: for all of its values."""
        self.learned: dict[tuple[str, str], Learned] = {}
        """What is known from before of destinations that no item went to yet."""
        self._throttles: dict[tuple[str, str], Throttle] = {}
        self._of: dict[str, tuple[Throttle, ...]] = {}
        self._kept = _IDLE_KEPT
        self.know(manifest, 0, 0.0)

    def know(self, manifest: Manifest, version: int, now: float) -> None:
        """Take a manifest, new or changed. Rates that change, and those to come, get this version."""
        self._version, self.rule = version, manifest.circuit
        first, *further = manifest.all_limits()
        self._limits = [(first, 0)]
        self._parts = 1
        for limit in further:
            self._limits.append((limit, self._parts if limit.partition else None))
            self._parts += limit.partition is not None
        self._of.clear()
        for throttle in self._throttles.values():
            self._set(throttle, now)

    def of(self, partition: str) -> tuple[Throttle, ...]:
        """The throttles of a partition, in the order of the limits."""
        found = self._of.get(partition)
        if found is None:
            values = split(partition, self._parts)
            found = self._of[partition] = tuple(
                self._throttle(limit, "" if part is None else values[part]) for limit, part in self._limits
            )
        return found

    def rule_of(self, partition: str) -> CircuitRule | None:
        """When the circuit of a partition's provider is tried again, if it has one."""
        rule = self.rule
        return rule if rule is not None and rule.holds_for(self.of(partition)[0].value) else None

    def __iter__(self) -> Iterator[Throttle]:
        return iter(self._throttles.values())

    def full(self, now: float) -> bool:
        """Whether a limit of the whole workload lets nothing out, so that asking for each partition is vain."""
        return any(
            limit.partition is None and self._throttle(limit, "").room(1, now)[0] <= 0 for limit, _ in self._limits
        )

    def room(self, partition: str, wanted: int, now: float) -> tuple[int, float]:
        """How many of the wanted items may go out now; if none, when to ask again."""
        for throttle in self.of(partition):
            wanted, at = throttle.room(wanted, now)
            if wanted <= 0:
                return 0, at
        return wanted, now

    def keys_of(self, partition: str) -> list[PaceKey]:
        """The rates that workers keep together for items of a partition."""
        return [
            PaceKey(key=t.key, per_second=kept_rate(t.rate), burst=t.rate.burst, version=t.version)
            for t in self.of(partition)
            if t.rate is not None
        ]

    def override(self, limit: str, value: str | None, terms: Terms | None, version: int, now: float) -> None:
        """An operator sets terms for a value of a limit, or for all (None), or takes them back."""
        if terms is None:
            self.overrides.pop((limit, value), None)
        else:
            self.overrides[limit, value] = terms
        self._version = version
        if value is not None:
            self.at(limit, value)
        for throttle in self._throttles.values():
            if throttle.limit == limit and value in {None, throttle.value}:
                self._set(throttle, now)

    def at(self, limit: str, value: str) -> Throttle | None:
        """The throttle of a value, made if need be; None if there is no such limit."""
        stated = next((x for x, _ in self._limits if x.name == limit), None)
        return self._throttle(stated, value) if stated else None

    @property
    def names(self) -> list[str]:
        """The limits by name, the one by the workload's partition first."""
        return [limit.name for limit, _ in self._limits]

    def partitions_of(self, throttle: Throttle) -> set[str]:
        """The partitions that go through a throttle, of those that came by lately."""
        return {name for name, throttles in self._of.items() if any(t is throttle for t in throttles)}

    def given(self, partition: str, count: int, now: float) -> None:
        """Items went out."""
        for throttle in self.of(partition):
            throttle.given(count, now)

    def returned(self, partition: str, count: int) -> None:
        """Items are back."""
        for throttle in self.of(partition):
            throttle.returned(count)

    def drop_idle(self, now: float) -> None:
        """Forget what says nothing, when there is much of it."""
        if len(self._of) <= self._kept:
            return
        for partition in [p for p, throttles in self._of.items() if all(t.idle(now) for t in throttles)]:
            del self._of[partition]
        used = {id(t) for throttles in self._of.values() for t in throttles}
        for key in [k for k, t in self._throttles.items() if id(t) not in used and t.idle(now)]:
            del self._throttles[key]
        self._kept = max(_IDLE_KEPT, 2 * len(self._of))

    def _throttle(self, limit: Limit, value: str) -> Throttle:
        key = (limit.name, value)
        throttle = self._throttles.get(key)
        if throttle is None:
            throttle = self._throttles[key] = Throttle(limit.name, value, version=self._version)
            self._set(throttle, 0.0)
        return throttle

    def _set(self, throttle: Throttle, now: float) -> None:
        terms = self._terms(throttle.limit, throttle.value)
        throttle.keep(terms, self._version, now, self.learned.pop((throttle.limit, throttle.value), None))

    def _terms(self, name: str, value: str) -> Terms:
        limit = next((x for x, _ in self._limits if x.name == name), None)
        if limit is None:
            return Terms()
        fixed = limit.rates.get(value)
        adaptive = limit.adaptive if fixed is None else None
        stated = Terms(fixed or (None if adaptive else limit.rate), limit.concurrency, adaptive)
        told = self.overrides.get((name, value)) or self.overrides.get((name, None))
        if told is None:
            return stated
        concurrency = told.concurrency or stated.concurrency
        if told.rate is None and told.adaptive is None:
            return Terms(stated.rate, concurrency, stated.adaptive, by_operator=True)
        return Terms(told.rate, concurrency, told.adaptive, by_operator=True)
