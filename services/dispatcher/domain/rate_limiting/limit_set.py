"""All limits of one workload: how many items a partition may get now."""

from collections import Counter
from collections.abc import Iterator

from batchyard_contracts.partition import split
from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import CircuitRule, Limit, Manifest
from batchyard_contracts.v1.values import ItemError
from batchyard_contracts.v1.work import SharedRate
from services.dispatcher.domain.rate_limiting.adaptive_rate import RateChange
from services.dispatcher.domain.rate_limiting.dispatch_rate import paced_rate
from services.dispatcher.domain.rate_limiting.limiter import NEVER, LearnedRate, Limiter, LimitTerms

_MIN_CLEANUP_SIZE = 1000
"""Limiters up to which idle ones are not removed."""
MAX_LEARNED = 10_000
"""Learned rates that are kept for destinations without a limiter, by workload."""


class LimitSet:
    """The limiters of one workload, created when first used and removed when idle."""

    def __init__(self, manifest: Manifest) -> None:
        self._limits: list[tuple[Limit, int | None]] = []
        """Each limit with the index of its part in a partition's name; None for a limit of the whole workload."""
        self._parts = 1
        self._version = 0
        self.rule = manifest.circuit
        """The manifest's rule for circuits; None if it has none."""
        self.overrides: dict[tuple[str, str | None], LimitTerms] = {}
        """Terms set by operators, by limit and value; the value None stands for all values."""
        self.learned: dict[tuple[str, str], LearnedRate] = {}
        """Rates of destinations without a limiter: those stored, and those of removed limiters."""
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._by_partition: dict[str, tuple[Limiter, ...]] = {}
        self._in_flight: Counter[str] = Counter()
        """Items and other calls in flight, by partition."""
        self._longer_backoffs: dict[str, Limiter] = {}
        """Limiters whose pause has become longer, by key."""
        self._cleanup_size = _MIN_CLEANUP_SIZE
        self.set_manifest(manifest, 0, 0.0)

    def set_manifest(self, manifest: Manifest, version: int, now: float) -> None:
        """Apply a new or changed manifest. Changed and new rates get this version."""
        self._version, self.rule = version, manifest.circuit
        first, *further = manifest.all_limits()
        self._limits = [(first, 0)]
        self._parts = 1
        for limit in further:
            self._limits.append((limit, self._parts if limit.partition else None))
            self._parts += limit.partition is not None
        self._by_partition.clear()
        for limiter in self._limiters.values():
            limiter.in_flight = 0
            self._apply_terms(limiter, now)
        for partition, count in self._in_flight.items():
            for limiter in self.limiters_of(partition):
                limiter.in_flight += count

    def limiters_of(self, partition: str) -> tuple[Limiter, ...]:
        """Return the limiters of a partition in the order of the limits."""
        found = self._by_partition.get(partition)
        if found is None:
            values = split(partition, self._parts)
            found = self._by_partition[partition] = tuple(
                self._get_or_create(limit, "" if part is None else values[part]) for limit, part in self._limits
            )
        return found

    def keys_of(self, partition: str) -> list[tuple[str, str]]:
        """Return the limits of a partition with their values, without a limiter for each."""
        values = split(partition, self._parts)
        return [(limit.name, "" if part is None else values[part]) for limit, part in self._limits]

    def rule_of(self, partition: str) -> CircuitRule | None:
        """Return the circuit rule of a partition's provider; None if it has no circuit."""
        rule = self.rule
        return rule if rule is not None and rule.has_circuit(self.limiters_of(partition)[0].value) else None

    def __iter__(self) -> Iterator[Limiter]:
        return iter(self._limiters.values())

    def is_full(self, now: float) -> bool:
        """Tell whether a limit of the whole workload is exhausted, which saves asking for each partition."""
        return any(
            limit.partition is None and self._get_or_create(limit, "").room(1, now)[0] <= 0 for limit, _ in self._limits
        )

    def opens_at(self, now: float) -> float | None:
        """Return the time at which an exhausted limit of the whole workload allows an item again; None if no limit is
        exhausted, or if an item must return first."""
        whole = (self._get_or_create(limit, "") for limit, _ in self._limits if limit.partition is None)
        times = [at for room, at in (limiter.room(1, now) for limiter in whole) if room <= 0 and at != NEVER]
        return max(times, default=None)

    def room(self, partition: str, wanted: int, now: float) -> tuple[int, float]:
        """Return how many of `wanted` items may be dispatched now; if 0, also the time at which to ask again."""
        for limiter in self.limiters_of(partition):
            wanted, at = limiter.room(wanted, now)
            if wanted <= 0:
                return 0, at
        return wanted, now

    def rate_keys(self, partition: str) -> list[SharedRate]:
        """Return the rates that workers share for items of a partition."""
        return [
            SharedRate(key=t.key, per_second=paced_rate(t.rate), burst=t.rate.burst, version=t.version)
            for t in self.limiters_of(partition)
            if t.rate is not None
        ]

    def override(self, limit: str, value: str | None, terms: LimitTerms | None, version: int, now: float) -> None:
        """Set an operator's terms for one value of a limit, or for all (None); terms of None remove the override."""
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
        """Return the limiter of a value, created if it is missing; None if there is no such limit."""
        definition = next((x for x, _ in self._limits if x.name == limit), None)
        return self._get_or_create(definition, value) if definition else None

    @property
    def names(self) -> list[str]:
        """Names of the limits; the one by the workload's partition comes first."""
        return [limit.name for limit, _ in self._limits]

    def partitions_of(self, limiter: Limiter) -> set[str]:
        """Return the recently used partitions that go through a limiter."""
        return {name for name, limiters in self._by_partition.items() if any(t is limiter for t in limiters)}

    def take_hopeless(self, now: float) -> list[tuple[Limiter, ItemError]]:
        """Return the limiters whose provider has refused for so long that their waiting items fail, with its error.

        Each at most once in `give_up_s` seconds, and none while a probe is in flight.
        """
        rule = self.rule
        if rule is None:
            return []
        return [
            (limiter, error)
            for limiter in self._limiters.values()
            if (error := limiter.circuit.error) is not None
            and limiter.in_flight == 0
            and limiter.circuit.take_give_up(rule, now)
        ]

    def back_off(self, partition: str, until: float, reason: str) -> None:
        """Dispatch nothing to the destination of a partition before `until`."""
        limiter = self.limiters_of(partition)[0]
        if limiter.back_off(until, reason):
            self._longer_backoffs[limiter.key] = limiter

    def record_feedback(
        self, partition: str, feedback: DestinationFeedback, sent_at: float, version: int, now: float
    ) -> list[tuple[Limiter, RateChange]]:
        """Feed measurements of items that were dispatched at `sent_at` to the limiters of their partition; returns
        those whose rate changed."""
        changes: list[tuple[Limiter, RateChange]] = []
        for limiter in self.limiters_of(partition):
            backoff_until = limiter.backoff_until
            if (change := limiter.record_feedback(feedback, sent_at, version, now)) is not None:
                changes.append((limiter, change))
            if limiter.backoff_until > backoff_until:
                self._longer_backoffs[limiter.key] = limiter
            if feedback.remaining is not None:  # the destination itself named the pause
                feedback = feedback.model_copy(update={"remaining": None})
        return changes

    def take_longer_backoffs(self) -> list[Limiter]:
        """Return the limiters whose pause has become longer since the last call."""
        taken, self._longer_backoffs = self._longer_backoffs, {}
        return list(taken.values())

    def record_dispatched(self, partition: str, count: int, now: float) -> None:
        """Count dispatched items in all limiters of a partition."""
        self._in_flight[partition] += count
        for limiter in self.limiters_of(partition):
            limiter.record_dispatched(count, now)

    def record_called(self, partition: str) -> None:
        """Count a call that is no item in all limiters of a partition. Its start is reserved elsewhere."""
        self._in_flight[partition] += 1
        for limiter in self.limiters_of(partition):
            limiter.in_flight += 1

    def record_returned(self, partition: str, count: int) -> None:
        """Count items, or other calls, of a partition as no longer in flight."""
        self._in_flight[partition] -= count
        if self._in_flight[partition] <= 0:
            del self._in_flight[partition]
        for limiter in self.limiters_of(partition):
            limiter.record_returned(count)

    def drop_idle(self, now: float) -> None:
        """Remove idle limiters when there are many."""
        if len(self._by_partition) <= self._cleanup_size:
            return
        for partition in [p for p, limiters in self._by_partition.items() if all(t.is_idle(now) for t in limiters)]:
            del self._by_partition[partition]
        used = {id(t) for limiters in self._by_partition.values() for t in limiters}
        for key in [k for k, t in self._limiters.items() if id(t) not in used and t.is_idle(now)]:
            if (learned := self._limiters.pop(key).learned) is not None:
                self.learned[key] = learned
        for key in list(self.learned)[: max(0, len(self.learned) - MAX_LEARNED)]:
            del self.learned[key]  # those that were learned first
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
            return LimitTerms(default.rate, concurrency, default.adaptive, set_by_operator=True)
        return LimitTerms(override.rate, concurrency, override.adaptive, set_by_operator=True)
