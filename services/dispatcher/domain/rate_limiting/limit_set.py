"""The limits of one workload: how many items may go out to a partition now, all of its limits taken together."""

from collections.abc import Iterator

from batchyard_contracts.partition import split
from batchyard_contracts.v1.manifest import CircuitRule, Limit, Manifest
from batchyard_contracts.v1.work import SharedRate
from services.dispatcher.domain.rate_limiting.gcra import paced_rate
from services.dispatcher.domain.rate_limiting.limiter import LearnedRate, Limiter, LimitTerms

_MIN_CLEANUP_SIZE = 1000
"""Limiters that are kept before the idle ones are looked for."""


class LimitSet:
    """Limiters, made when an item for them comes by, dropped when they have nothing to say."""

    def __init__(self, manifest: Manifest) -> None:
        self._limits: list[tuple[Limit, int | None]] = []
        """Each with its part of a partition's name, if it goes by one."""
        self._parts = 1
        self._version = 0
        self.rule = manifest.circuit
        """When circuits are tried again, if there are any."""
        self.overrides: dict[tuple[str, str | None], LimitTerms] = {}
        """What operators set, by limit and value; None: for all of its values."""
        self.learned: dict[tuple[str, str], LearnedRate] = {}
        """What is known from before of destinations that no item went to yet."""
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._by_partition: dict[str, tuple[Limiter, ...]] = {}
        self._cleanup_size = _MIN_CLEANUP_SIZE
        self.set_manifest(manifest, 0, 0.0)

    def set_manifest(self, manifest: Manifest, version: int, now: float) -> None:
        """Take a manifest, new or changed. Rates that change, and those to come, get this version."""
        self._version, self.rule = version, manifest.circuit
        first, *further = manifest.all_limits()
        self._limits = [(first, 0)]
        self._parts = 1
        for limit in further:
            self._limits.append((limit, self._parts if limit.partition else None))
            self._parts += limit.partition is not None
        self._by_partition.clear()
        for limiter in self._limiters.values():
            self._apply_terms(limiter, now)

    def limiters_of(self, partition: str) -> tuple[Limiter, ...]:
        """The limiters of a partition, in the order of the limits."""
        found = self._by_partition.get(partition)
        if found is None:
            values = split(partition, self._parts)
            found = self._by_partition[partition] = tuple(
                self._get_or_create(limit, "" if part is None else values[part]) for limit, part in self._limits
            )
        return found

    def rule_of(self, partition: str) -> CircuitRule | None:
        """When the circuit of a partition's provider is tried again, if it has one."""
        rule = self.rule
        return rule if rule is not None and rule.has_circuit(self.limiters_of(partition)[0].value) else None

    def __iter__(self) -> Iterator[Limiter]:
        return iter(self._limiters.values())

    def is_full(self, now: float) -> bool:
        """Whether a limit of the whole workload lets nothing out, so that asking for each partition is vain."""
        return any(
            limit.partition is None and self._get_or_create(limit, "").room(1, now)[0] <= 0 for limit, _ in self._limits
        )

    def room(self, partition: str, wanted: int, now: float) -> tuple[int, float]:
        """How many of the wanted items may go out now; if none, when to ask again."""
        for limiter in self.limiters_of(partition):
            wanted, at = limiter.room(wanted, now)
            if wanted <= 0:
                return 0, at
        return wanted, now

    def rate_keys(self, partition: str) -> list[SharedRate]:
        """The rates that workers keep together for items of a partition."""
        return [
            SharedRate(key=t.key, per_second=paced_rate(t.rate), burst=t.rate.burst, version=t.version)
            for t in self.limiters_of(partition)
            if t.rate is not None
        ]

    def override(self, limit: str, value: str | None, terms: LimitTerms | None, version: int, now: float) -> None:
        """An operator sets terms for a value of a limit, or for all (None), or takes them back."""
        if terms is None:
            self.overrides.pop((limit, value), None)
        else:
            self.overrides[limit, value] = terms
        self._version = version
        if value is not None:
            self.limiter(limit, value)
        for limiter in self._limiters.values():
            if limiter.limit == limit and value in {None, limiter.value}:
                self._apply_terms(limiter, now)

    def limiter(self, limit: str, value: str) -> Limiter | None:
        """The limiter of a value, made if need be; None if there is no such limit."""
        definition = next((x for x, _ in self._limits if x.name == limit), None)
        return self._get_or_create(definition, value) if definition else None

    @property
    def names(self) -> list[str]:
        """The limits by name, the one by the workload's partition first."""
        return [limit.name for limit, _ in self._limits]

    def partitions_of(self, limiter: Limiter) -> set[str]:
        """The partitions that go through a limiter, of those that came by lately."""
        return {name for name, limiters in self._by_partition.items() if any(t is limiter for t in limiters)}

    def record_dispatched(self, partition: str, count: int, now: float) -> None:
        """Items went out."""
        for limiter in self.limiters_of(partition):
            limiter.record_dispatched(count, now)

    def record_returned(self, partition: str, count: int) -> None:
        """Items are back."""
        for limiter in self.limiters_of(partition):
            limiter.record_returned(count)

    def drop_idle(self, now: float) -> None:
        """Forget what says nothing, when there is much of it."""
        if len(self._by_partition) <= self._cleanup_size:
            return
        for partition in [p for p, limiters in self._by_partition.items() if all(t.is_idle(now) for t in limiters)]:
            del self._by_partition[partition]
        used = {id(t) for limiters in self._by_partition.values() for t in limiters}
        for key in [k for k, t in self._limiters.items() if id(t) not in used and t.is_idle(now)]:
            del self._limiters[key]
        self._cleanup_size = max(_MIN_CLEANUP_SIZE, 2 * len(self._by_partition))

    def _get_or_create(self, limit: Limit, value: str) -> Limiter:
        key = (limit.name, value)
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = Limiter(limit.name, value, version=self._version)
            self._apply_terms(limiter, 0.0)
        return limiter

    def _apply_terms(self, limiter: Limiter, now: float) -> None:
        terms = self._terms(limiter.limit, limiter.value)
        limiter.set_terms(terms, self._version, now, self.learned.pop((limiter.limit, limiter.value), None))

    def _terms(self, name: str, value: str) -> LimitTerms:
        limit = next((x for x, _ in self._limits if x.name == name), None)
        if limit is None:
            return LimitTerms()
        fixed = limit.rates.get(value)
        adaptive = limit.adaptive if fixed is None else None
        default = LimitTerms(fixed or (None if adaptive else limit.rate), limit.concurrency, adaptive)
        override = self.overrides.get((name, value)) or self.overrides.get((name, None))
        if override is None:
            return default
        concurrency = override.concurrency or default.concurrency
        if override.rate is None and override.adaptive is None:
            return LimitTerms(default.rate, concurrency, default.adaptive, by_operator=True)
        return LimitTerms(override.rate, concurrency, override.adaptive, by_operator=True)
