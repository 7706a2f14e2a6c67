"""One limit at one of its values, a host or an account: what it lets out now, and why it lets no more."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import Felt
from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.values import Rate
from services.dispatcher.domain.rate_limiting.adaptive_rate import Change, Tuner
from services.dispatcher.domain.rate_limiting.circuit_breaker import Circuit
from services.dispatcher.domain.rate_limiting.gcra import Bucket

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a throttle is to keep. `adaptive` stands in the place of a rate."""

    rate: Rate | None = None
    concurrency: int | None = None
    adaptive: Adaptive | None = None
    by_operator: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a destination from before."""

    per_second: float
    failed_at: float | None = None


@dataclass(slots=True)
class Throttle:
    """Times are seconds of the caller's clock."""

    limit: str
    value: str
    terms: Terms = Terms()
    rate: Rate | None = None
    """In force now."""
    cause: str = "no limit"
    """Why it is so."""
    version: int = 0
    """Grows with each change of the rate."""
    out: int = 0
    """Items that are out at workers."""
    bucket: Bucket = field(default_factory=Bucket)
    circuit: Circuit = field(default_factory=Circuit)
    tuner: Tuner | None = None
    parked_until: float = 0.0
    parked_because: str = ""

    @property
    def key(self) -> str:
        """Its name within its workload."""
        return f"{self.limit}:{self.value}"

    def room(self, wanted: int, now: float) -> tuple[int, float]:
        """How many of the wanted items may go out now; if none, when to ask again: `NEVER` when items must come back
        first."""
        if self.parked_until > now:
            return 0, self.parked_until
        if self.circuit.state != "closed":
            wanted = self.circuit.lets_out(wanted, self.out, now)
            if wanted <= 0:
                return 0, self.circuit.until if self.circuit.until > now else NEVER
        if self.terms.concurrency is not None:
            wanted = min(wanted, self.terms.concurrency - self.out)
            if wanted <= 0:
                return 0, NEVER
        if self.rate is None:
            return wanted, now
        self.bucket.held(self.rate, self.out, now)
        return self.bucket.room(self.rate, wanted, now)

    def given(self, count: int, now: float) -> None:
        """Items went out."""
        self.out += count
        self.circuit.given()
        if self.rate is not None:
            self.bucket.take(self.rate, count, now)

    def returned(self, count: int) -> None:
        """Items are back."""
        self.out -= count
        if self.out <= 0:
            self.circuit.came_back_unheard()

    def keep(self, terms: Terms, version: int, now: float, learned: Learned | None = None) -> None:
        """Keep these terms from now on."""
        if terms.adaptive is None:
            self.tuner = None
        elif self.tuner is None or self.tuner.bounds != terms.adaptive:
            known = learned or (Learned(self.tuner.rate, self.tuner.failed_at) if self.tuner else None)
            self.tuner = Tuner(terms.adaptive, now, *((known.per_second, known.failed_at) if known else ()))
            self.cause = "learned earlier" if known else "the beginning"
        self.terms = terms
        if self.tuner is not None:
            self._pace(Rate(per_second=self.tuner.rate), version, now)
            return
        self.cause = "set by an operator" if terms.by_operator else "the manifest" if terms.rate else "no limit"
        self._pace(terms.rate, version, now)

    def felt(self, felt: Felt, given_at: float, version: int, now: float) -> Change | None:
        """How the destination bore items that were given out then; if the rate changes, how."""
        self.bucket.waited(felt.waited_ms / 1000, given_at, now)
        if felt.remaining is not None and felt.reset_s:
            self._obey(felt.remaining, felt.reset_s, now)
        change = self.tuner.felt(felt, now) if self.tuner else None
        if change is not None:
            self.cause = change.cause
            self._pace(Rate(per_second=change.after), version, now)
        return change

    def park(self, until: float, because: str) -> None:
        """Let nothing out before then."""
        if until > self.parked_until:
            self.parked_until, self.parked_because = until, because

    def idle(self, now: float) -> bool:
        """Whether it says nothing that a new one would not say as well."""
        return (
            self.out <= 0
            and self.bucket.full_at <= now
            and self.parked_until <= now
            and self.tuner is None
            and self.circuit.state == "closed"
            and not self.terms.by_operator
        )

    def _obey(self, remaining: int, reset_s: float, now: float) -> None:
        """The destination takes so many more calls until then, those that are out among them."""
        if remaining <= self.out:
            self.park(now + reset_s, f"{remaining} calls left for {reset_s:.0f} s, the destination said")

    def _pace(self, rate: Rate | None, version: int, now: float) -> None:
        if rate != self.rate:
            if rate is not None:
                self.bucket.changed(self.rate, rate, now)
            self.rate, self.version = rate, version
