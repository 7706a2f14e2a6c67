"""One limit at one of its values, a host or an account: what it lets out now, and why it lets no more."""

from dataclasses import dataclass, field

from batchyard_contracts.v1.flow import Felt
from batchyard_contracts.v1.values import Rate
from services.dispatcher.domain.bucket import Bucket

NEVER = float("inf")


@dataclass(slots=True)
class Throttle:
    """Times are seconds of the caller's clock."""

    limit: str
    value: str
    rate: Rate | None = None
    concurrency: int | None = None
    version: int = 0
    """Grows with each change of the rate."""
    out: int = 0
    """Items that are out at workers."""
    bucket: Bucket = field(default_factory=Bucket)
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
        if self.concurrency is not None:
            wanted = min(wanted, self.concurrency - self.out)
            if wanted <= 0:
                return 0, NEVER
        return (wanted, now) if self.rate is None else self.bucket.room(self.rate, wanted, now)

    def given(self, count: int, now: float) -> None:
        """Items went out."""
        self.out += count
        if self.rate is not None:
            self.bucket.take(self.rate, count, now)

    def pace(self, rate: Rate | None, version: int, now: float) -> None:
        """Another rate holds from now on, if it is another."""
        if rate != self.rate:
            self.rate, self.version = rate, version
            if rate is not None:
                self.bucket.changed(rate, now)

    def felt(self, felt: Felt, given_at: float, now: float) -> None:
        """How the destination bore items that were given out then."""
        self.bucket.waited(felt.waited_ms / 1000, given_at, now)

    def park(self, until: float, because: str) -> None:
        """Let nothing out before then."""
        if until > self.parked_until:
            self.parked_until, self.parked_because = until, because

    def idle(self, now: float) -> bool:
        """Whether it says nothing that a new one would not say as well."""
        return self.out <= 0 and self.bucket.full_at <= now and self.parked_until <= now
